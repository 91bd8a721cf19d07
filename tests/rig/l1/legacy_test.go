package l1

import "testing"

// TestLegacyPVH: the other values of the matrix in one boot: legacy
// virtio-mmio, the ELF kernel entered by PVH, four vCPUs, RAM on both sides of
// the hole, the console on a socket. It ends with a reboot under -no-reboot.
func TestLegacyPVH(t *testing.T) {
	g := boot(t, Config{
		Kernel: vmlinux(), CPUs: 4, MemoryMiB: 4096, CPUModel: "host",
		Block: true, Net: true, Socket: true, Args: []string{"-no-reboot"},
	})
	sub(t, g, "System RAM is what -m says", checkMemory)
	sub(t, g, "virtio-mmio is legacy", checkTransport)
	sub(t, g, "24 MiB survive dropped caches", checkBlock)
	sub(t, g, "high memory is readable by the device", checkHighMemory)
	sub(t, g, "tx and rx rise together", checkNet)
	sub(t, g, "data survive a stop of 5 s while writing", checkLongStop)
	sub(t, g, "with -no-reboot a reboot ends the VMM", checkNoReboot)
}

// checkHighMemory: the device reaches RAM above 4 GiB. The guest's pages come
// from the top, so a tmpfs file of 1.5 GiB lies on both sides; it is written
// with random data only at its ends.
func checkHighMemory(g *Guest) {
	if g.MemoryMiB < 4096 {
		g.T.Skip("no memory above the hole")
	}
	// MemTotal above what fits below 4 GiB is the precondition.
	if text := g.Sh("grep 'System RAM' /proc/iomem | tail -n 1"); text < "100000000" || text[0] == '0' {
		g.Fatalf("no System RAM above 4 GiB: %s", text)
	}
	before := g.Number("awk '/Normal/ {z=1} z && /pages free/ {print $3; exit}' /proc/zoneinfo")
	g.Sh("dd if=/dev/urandom of=/tmp/high bs=1M count=64 status=none && " +
		"dd if=/tmp/high of=/dev/vda bs=1M seek=48 conv=notrunc oflag=direct status=none && " +
		"dd if=/dev/vda bs=1M skip=48 count=64 iflag=direct status=none | cmp - /tmp/high")
	after := g.Number("awk '/Normal/ {z=1} z && /pages free/ {print $3; exit}' /proc/zoneinfo")
	g.T.Logf("free pages above 4 GiB: %d, then %d", before, after)
	if before-after < 32<<20/4096 {
		g.Fatalf("of 64 MiB only %d pages came from above 4 GiB: this proves nothing", before-after)
	}
	g.Sh("rm /tmp/high")
}

// checkNoReboot: the guest's reset becomes a shutdown.
func checkNoReboot(g *Guest) {
	mark := g.QMP.Mark()
	typeLast(g, "reboot -f")
	checkReason(g, g.Event(mark, "SHUTDOWN").Data, true, "guest-reset")
	checkExit(g)
}

// checkPoweroff: the guest powers the machine off.
func checkPoweroff(g *Guest) {
	mark := g.QMP.Mark()
	typeLast(g, "poweroff -f")
	checkReason(g, g.Event(mark, "SHUTDOWN").Data, true, "guest-shutdown")
	checkExit(g)
}

// TestMatrix is every combination, each booted once. GQEMU_RIG_FULL only.
func TestMatrix(t *testing.T) {
	if !Full() {
		t.Skip("the whole matrix runs with GQEMU_RIG_FULL=1")
	}
	for _, c := range matrix() {
		t.Run(c.name(), func(t *testing.T) {
			config := Config{
				Modern: c.modern, CPUs: c.cpus, MemoryMiB: c.memoryMiB,
				Block: true, Net: true, Append: "quiet",
			}
			if c.elf {
				config.Kernel = vmlinux()
			}
			g := boot(t, config)
			checkMemory(g)
			checkTransport(g)
			checkBlock(g)
			checkNet(g)
			checkPoweroff(g)
		})
	}
}
