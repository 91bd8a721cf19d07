package l1

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The checks that several scenarios share. Each is about one promise and needs
// a guest that serves commands.

// bootTimeout is for a guest to reach its init: 11 to 21 s of its own time on
// an idle machine, and 10 s of pinning per GiB and device.
func bootTimeout(memoryMiB int) time.Duration {
	return 3*time.Minute + time.Duration(memoryMiB)*60*time.Millisecond
}

// boot starts a VMM and waits for its guest.
func boot(t *testing.T, c Config) *Guest {
	t.Helper()
	g := Start(t, c).With(t)
	checkBoot(g)
	return g
}

// checkBoot waits for the guest and holds it against the command line.
func checkBoot(g *Guest) {
	g.T.Helper()
	info := g.WaitBoot(bootTimeout(g.MemoryMiB))
	g.T.Logf("guest init: %d CPUs, %.1f s by the guest's clock, %.1f s since exec",
		info.CPUs, info.Uptime.Seconds(), info.Init.Sub(g.Started).Seconds())
	if info.CPUs != g.CPUs {
		g.Fatalf("the guest has %d CPUs, want %d", info.CPUs, g.CPUs)
	}
}

// sub runs a subtest with the guest, unless the guest has died already.
func sub(t *testing.T, g *Guest, name string, f func(g *Guest)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		if !g.Alive() {
			t.Fatalf("the VMM has ended before%s", g.Report())
		}
		f(g.With(t))
	})
}

// vdpaOnly skips what Debian's QEMU cannot do.
func vdpaOnly(t testing.TB, qemu bool) {
	t.Helper()
	if qemu {
		t.Skip("Debian's QEMU has no vhost-vdpa-device")
	}
}

// checkMemory: System RAM in /proc/iomem sums to within 1 MiB of -m.
func checkMemory(g *Guest) {
	g.T.Helper()
	text := g.Sh("cat /proc/iomem")
	sum, err := systemRAM(text)
	if err != nil {
		g.Fatalf("%v", err)
	}
	want := int64(g.MemoryMiB) << 20
	g.T.Logf("System RAM: %d bytes of %d", sum, want)
	if diff := want - sum; diff < 0 || diff > 1<<20 {
		g.Fatalf("System RAM is %d bytes, want %d or up to 1 MiB less:\n%s", sum, want, text)
	}
}

func systemRAM(iomem string) (int64, error) {
	var sum int64
	for _, l := range strings.Split(iomem, "\n") {
		area, what, ok := strings.Cut(l, " : ")
		if !ok || what != "System RAM" {
			continue
		}
		first, last, ok := strings.Cut(strings.TrimSpace(area), "-")
		a, err1 := strconv.ParseInt(first, 16, 64)
		b, err2 := strconv.ParseInt(last, 16, 64)
		if !ok || err1 != nil || err2 != nil || b < a {
			return 0, fmt.Errorf("/proc/iomem: %q", l)
		}
		sum += b - a + 1
	}
	return sum, nil
}

// checkTransport: the guest's driver sees the asked-for virtio-mmio version.
// The driver of version 1 cannot negotiate VIRTIO_F_VERSION_1, bit 32.
func checkTransport(g *Guest) {
	g.T.Helper()
	bits := g.Sh("cat /sys/bus/virtio/devices/virtio0/features")
	if len(bits) < 33 {
		g.Fatalf("features %q", bits)
	}
	if modern := bits[32] == '1'; modern != g.Modern {
		g.Fatalf("VERSION_1 negotiated: %v, want %v", modern, g.Modern)
	}
}

// dataMiB is how much the integrity check writes.
const dataMiB = 24

// checkBlock: a disk of 128 MiB is found; what is written is read back equal
// with the caches dropped.
func checkBlock(g *Guest) {
	g.T.Helper()
	if n := g.Number("cat /sys/block/vda/size"); n*512 != diskBytes {
		g.Fatalf("/dev/vda has %d bytes, want %d", n*512, int64(diskBytes))
	}
	g.Sh(fmt.Sprintf("dd if=/dev/urandom of=/tmp/data bs=1M count=%d status=none", dataMiB))
	g.Sh("dd if=/tmp/data of=/dev/vda bs=1M seek=8 conv=notrunc,fsync status=none")
	verifyData(g, 8)
	g.Sh("rm /tmp/data")
	g.T.Logf("%d MiB written, caches dropped, read back equal", dataMiB)
}

// verifyData compares /tmp/data with the disk behind its first MiB.
func verifyData(g *Guest, seekMiB int) {
	g.T.Helper()
	g.Sh("sync; echo 3 >/proc/sys/vm/drop_caches")
	before := g.Number("awk '{print $3}' /sys/block/vda/stat")
	out := g.Sh(fmt.Sprintf("dd if=/dev/vda bs=1M skip=%d count=%d status=none | cmp - /tmp/data && echo equal", seekMiB, dataMiB))
	if out != "equal" {
		g.Fatalf("the data differ: %s", out)
	}
	sectors := g.Number("awk '{print $3}' /sys/block/vda/stat") - before
	if sectors*512 < dataMiB<<20 {
		g.Fatalf("only %d sectors were read from the disk: the caches were not dropped", sectors)
	}
}

// checkDisk is a quick look whether the disk works at all: other data each
// time, directly.
func checkDisk(g *Guest) {
	g.T.Helper()
	g.Sh("dd if=/dev/urandom of=/tmp/p bs=256k count=4 status=none && " +
		"dd if=/tmp/p of=/dev/vda bs=256k seek=400 conv=notrunc oflag=direct status=none && " +
		"dd if=/dev/vda bs=256k skip=400 count=4 iflag=direct status=none | cmp - /tmp/p")
}

// checkNet: what the guest sends comes back, for the simulator loops: tx and
// rx rise together. (QEMU's user network answers instead.)
func checkNet(g *Guest) {
	g.T.Helper()
	g.Sh("ip link set eth0 up && ip addr replace 10.0.2.15/24 dev eth0")
	count := func(what string) int64 {
		return g.Number("cat /sys/class/net/eth0/statistics/" + what + "_packets")
	}
	// A simulated card here leaves out, as hardware does, what is for a
	// multicast group that the guest has not joined, and says how much.
	filtered := func() (n int64) {
		if g.SimNet != "" {
			if err := json.Unmarshal(g.Run("qom-get", map[string]string{"path": g.SimNet, "property": "rx-filtered"}), &n); err != nil {
				g.Fatalf("%v", err)
			}
		}
		return n
	}
	tx, rx, others := count("tx"), count("rx"), filtered()
	const packets = 5
	// Nobody answers on the simulator, so the status says nothing.
	g.Try(fmt.Sprintf("arping -q -c %d -w 10 -I eth0 10.0.2.2", packets))
	tx, rx, others = count("tx")-tx, count("rx")-rx, filtered()-others
	g.T.Logf("tx rose by %d, rx by %d, and %d were for others", tx, rx, others)
	if tx < packets || rx < packets {
		g.Fatalf("after %d ARP requests tx rose by %d, rx by %d", packets, tx, rx)
	}
	if diff := tx - rx - others; !g.QEMU && (diff < -1 || diff > 1) {
		g.Fatalf("the simulator loops, but tx rose by %d, rx by %d and what is for others by %d", tx, rx, others)
	}
}

// checkControlQueue: the guest sets its MAC address by the control queue. The
// kernel's simulator has that queue in a group of its own, which could have an
// address space of its own; as in QEMU's generic device all groups stay in
// address space 0, where the guest's memory is mapped.
func checkControlQueue(g *Guest) {
	vdpaOnly(g.T, g.QEMU)
	bits := g.Sh("cat /sys/class/net/eth0/device/features")
	const ctrlVQ, ctrlMAC = 17, 23 // virtio 1.2 section 5.1.3
	if len(bits) <= ctrlMAC || bits[ctrlVQ] != '1' || bits[ctrlMAC] != '1' {
		g.Fatalf("features %q, without a control queue that sets the address", bits)
	}
	old := g.Sh("cat /sys/class/net/eth0/address")
	const mac = "52:54:00:0a:0b:0c"
	g.Sh("ip link set eth0 address " + mac)
	if config := tool(g.T, "vdpa", "dev", "config", "show", "net0"); !strings.Contains(config, mac) {
		g.Fatalf("the device has %q, the guest set %s", config, mac)
	}
	checkNet(g)
	g.Sh("ip link set eth0 address " + old)
}

// checkExit: the process ends by itself, with code 0.
func checkExit(g *Guest) {
	g.T.Helper()
	code, err := g.Wait(time.Minute)
	if err != nil {
		g.Fatalf("%v", err)
	}
	if code != 0 {
		g.Fatalf("exit code %d, want 0", code)
	}
}

// checkReason holds a SHUTDOWN or RESET event's data against what is expected.
func checkReason(g *Guest, data map[string]any, guest bool, reason string) {
	g.T.Helper()
	if data["guest"] != guest || data["reason"] != reason {
		g.Fatalf("the event says %v, want guest:%v reason:%s", data, guest, reason)
	}
}

// typeLast types a command after which the guest is gone.
func typeLast(g *Guest, command string) {
	g.T.Helper()
	if err := g.Type("!0 " + command + "\n"); err != nil {
		g.Fatalf("%v", err)
	}
}
