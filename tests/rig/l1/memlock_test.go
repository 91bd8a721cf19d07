package l1

import (
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMemlock: where RLIMIT_MEMLOCK does not let the device pin the guest's
// RAM, the VMM says so once and lives, the guest's driver is told, and a reset
// under a higher limit recovers. It ends with the guest's poweroff.
func TestMemlock(t *testing.T) {
	const limit = 8 << 20
	c := Config{
		Modern: true, Block: true, CPUs: 1, MemoryMiB: 128, CPUModel: "max",
		Memlock: limit,
		// The disk's driver waits for ever here.
		Append: "rig.wait=5",
	}
	if isQEMU(Binary()) {
		c.Memlock = 0 // a file needs no pinning; what is left still holds
	}
	g := boot(t, c)
	sub(t, g, "System RAM is what -m says", checkMemory)
	sub(t, g, "the failure is one line and a status bit", checkPinFailure)
	sub(t, g, "after prlimit a reset recovers", checkPinRecovery)
	sub(t, g, "poweroff ends the VMM", checkPoweroff)
}

var memlockLine = regexp.MustCompile(`(?i)memlock`)

// checkPinFailure: stderr, QMP and the guest's view of it.
func checkPinFailure(g *Guest) {
	vdpaOnly(g.T, g.QEMU)
	var lines []string
	for _, l := range strings.Split(g.Stderr(), "\n") {
		if memlockLine.MatchString(l) {
			lines = append(lines, l)
		}
	}
	g.T.Logf("stderr: %q", lines)
	if len(lines) != 1 {
		g.Fatalf("%d lines on stderr about RLIMIT_MEMLOCK, want 1", len(lines))
	}
	if n := len(regexp.MustCompile(`\d+`).FindAllString(lines[0], -1)); n < 2 {
		g.Fatalf("the line %q does not say the limit and the need", lines[0])
	}
	if s := g.Status(); s != "running" {
		g.Fatalf("query-status says %s", s)
	}
	const needsReset = 0x40 // virtio 1.2 section 2.1
	status := g.Number("cat /sys/bus/virtio/devices/virtio0/status")
	g.T.Logf("the device's status in the guest: %#x", status)
	if status&needsReset == 0 {
		g.Fatalf("the device's status is %#x, without DEVICE_NEEDS_RESET", status)
	}
}

func checkPinRecovery(g *Guest) {
	if !g.QEMU {
		unlimited := &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
		if err := unix.Prlimit(g.PID, unix.RLIMIT_MEMLOCK, unlimited, nil); err != nil {
			g.Fatalf("prlimit: %v", err)
		}
	}
	checkSystemReset(g)
	checkBlock(g)
}
