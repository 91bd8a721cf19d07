package l1

import (
	"slices"
	"strings"
	"testing"
)

// TestQ35 boots a guest on q35 with a root port and a device behind it. Linux
// finds them where the recording of QEMU has them, by the tables in its memory,
// and powers itself off by the chipset's registers.
func TestQ35(t *testing.T) {
	g := boot(t, Config{Machine: "q35", MemoryMiB: 256, Args: []string{
		"-device", "pcie-root-port,id=rp1,chassis=1", "-device", "pvpanic-pci,bus=rp1",
	}})
	sub(t, g, "System RAM is what -m says", checkMemory)
	sub(t, g, "Linux finds the functions of each bus", func(g *Guest) {
		text := g.Sh(`cd /sys/bus/pci/devices && for d in *; do echo $d $(cat $d/vendor) $(cat $d/device); done`)
		want := []string{
			"0000:00:00.0 0x8086 0x29c0", // the memory hub
			"0000:00:01.0 0x1b36 0x000c", // the root port
			"0000:00:1f.0 0x8086 0x2918", // the LPC bridge
			"0000:01:00.0 0x1b36 0x0011", // pvpanic
		}
		if got := strings.Split(text, "\n"); !slices.Equal(got, want) {
			g.Fatalf("got\n%s\nwant\n%s", text, strings.Join(want, "\n"))
		}
		g.Sh("dmesg | grep -q 'MMCONFIG at .mem 0xb0000000-0xbfffffff. reserved'")
		if n := g.Number("dmesg | grep -ciE 'ACPI.*(error|exception)|can.t claim|no compatible bridge window' || true"); n != 0 {
			g.Fatalf("%s", g.Sh("dmesg | grep -iE 'ACPI.*(error|exception)|can.t claim|no compatible bridge window'"))
		}
	})
	sub(t, g, "the guest's reboot boots again", func(g *Guest) {
		mark := g.QMP.Mark()
		typeLast(g, "reboot -f")
		checkReason(g, g.Event(mark, "RESET").Data, true, "guest-reset")
		checkBoot(g)
	})
	sub(t, g, "poweroff ends the VMM", checkPoweroff)
}
