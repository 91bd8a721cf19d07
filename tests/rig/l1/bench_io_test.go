package l1

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gqemu/gqemu/tests/rig"
)

// ioLoad is one way to load a disk, with 4 KiB requests.
type ioLoad struct {
	name  string
	flags string // rig-guest's
}

var ioLoads = []ioLoad{
	{"random read, depth 1", ""},
	{"random read, depth 32", "-depth 32"},
	{"random write, depth 1", "-write"},
	{"random write, depth 32", "-write -depth 32"},
	{"sequential read, depth 1", "-seq"},
	{"sequential read, depth 32", "-seq -depth 32"},
	{"sequential write, depth 1", "-seq -write"},
	{"sequential write, depth 32", "-seq -write -depth 32"},
}

// ioSample is one run of a load.
type ioSample struct {
	perSecond  float64 // requests
	cpu        float64 // of the VMM without its guest, µs for each request
	interrupts float64 // the guest's, of the device, per second
}

// ioTime is how long one run of a load takes.
const ioTime = 2 * time.Second

// TestIOBenchmark compares what a disk does in gqemu, on its own block device
// and on the kernel's simulator, with Debian's QEMU and virtio-blk with its
// default cache. gqemu's device and QEMU's are on the same file, on a file
// system on a disk of L1's. The three guests run at once, idle but for one, and
// take turns with each load. It prints a table of medians, and of ratios to
// QEMU's. GQEMU_RIG_BENCH gives the number of rounds.
func TestIOBenchmark(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("GQEMU_RIG_BENCH"))
	if err != nil || rounds < 1 {
		t.Skip("GQEMU_RIG_BENCH does not give a number of rounds")
	}
	image := filepath.Join(mountDisk(t), "image")
	if err := os.WriteFile(image, pattern(3, diskBytes), 0o644); err != nil {
		t.Fatal(err)
	}
	machines := ioMachines(image)
	guests := make([]*Guest, len(machines))
	for i, m := range machines {
		m.CPUs, m.MemoryMiB = 1, 256
		guests[i] = boot(t, m.Config)
	}
	samples := make([][][]ioSample, len(ioLoads))
	for l := range ioLoads {
		samples[l] = make([][]ioSample, len(machines))
	}
	for range rounds {
		for l, load := range ioLoads {
			for i, g := range guests {
				samples[l][i] = append(samples[l][i], measureIO(g, load))
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "medians of %d rounds, 4 KiB direct, %v each, microvm, 256 MiB, 1 vCPU; ratios to QEMU\n", rounds, ioTime)
	fmt.Fprintf(&b, "%-28s %-26s %12s %6s %20s %6s %14s\n", "", "", "requests/s", "", "VMM CPU µs/request", "", "interrupts/s")
	for l, load := range ioLoads {
		for i, m := range machines {
			s, base := medianIO(samples[l][i]), medianIO(samples[l][0])
			fmt.Fprintf(&b, "%-28s %-26s %12.0f %6.2f %20.0f %6.2f %14.0f\n", load.name, m.name,
				s.perSecond, s.perSecond/base.perSecond, s.cpu, s.cpu/base.cpu, s.interrupts)
		}
	}
	report(t, "bench-io.txt", b.String())
}

// report prints a table and keeps it.
func report(t *testing.T, name, text string) {
	t.Helper()
	fmt.Print(text)
	if err := os.WriteFile(filepath.Join(Results(), name), []byte(text), 0o644); err != nil {
		t.Error(err)
	}
}

type ioMachine struct {
	name string
	Config
}

// ioMachines are QEMU, with which the others are compared, and they.
func ioMachines(image string) []ioMachine {
	return []ioMachine{
		{"QEMU, virtio-blk, file", Config{Binary: DebianQEMU, Modern: true, Tools: true, Args: []string{
			"-drive", "if=none,id=disk,format=raw,file.locking=off,file=" + image,
			"-device", "virtio-blk-device,id=blk,drive=disk"}}},
		{"gqemu, vdpa-sim-blk, file", Config{Modern: true, Tools: true, Args: []string{
			"-object", "vdpa-sim-blk,id=d0,path=" + image,
			"-device", "vhost-vdpa-device,id=blk,vhostdev=/objects/d0"}}},
		{"gqemu, kernel's vdpa_sim", Config{Modern: true, Tools: true, Block: true}},
	}
}

// mountDisk makes a file system on the disk of rig.Hardware.Disk.
func mountDisk(t *testing.T) (dir string) {
	t.Helper()
	for _, m := range []string{"crc32c_generic", "ext4", "virtio_blk"} {
		tool(t, "modprobe", m)
	}
	serials, err := filepath.Glob("/sys/block/vd*/serial")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range serials {
		if text, err := os.ReadFile(s); err == nil && strings.TrimSpace(string(text)) == rig.DiskSerial {
			disk := "/dev/" + filepath.Base(filepath.Dir(s))
			tool(t, "mkfs.ext4", "-q", "-F", disk)
			dir = t.TempDir()
			tool(t, "mount", "-t", "ext4", disk, dir)
			t.Cleanup(func() {
				if out, err := tryTool("umount", dir); err != nil {
					t.Errorf("umount: %v: %s", err, out)
				}
			})
			return dir
		}
	}
	t.Fatalf("L1 has no disk of its own; give it one with -disk")
	return ""
}

// measureIO runs a load in a guest.
func measureIO(g *Guest, load ioLoad) ioSample {
	g.T.Helper()
	cpu, interrupts := vmmCPU(g), virtioInterrupts(g)
	text := g.Sh(fmt.Sprintf("rig-guest io -mib %d -for %v %s /dev/vda", diskBytes>>20, ioTime, load.flags))
	var requests int
	var seconds float64
	if _, err := fmt.Sscanf(text, "IO requests=%d seconds=%g", &requests, &seconds); err != nil || requests == 0 {
		g.Fatalf("%q: %v", text, err)
	}
	cpu, interrupts = vmmCPU(g)-cpu, virtioInterrupts(g)-interrupts
	return ioSample{
		perSecond:  float64(requests) / seconds,
		cpu:        float64(cpu.Microseconds()) / float64(requests),
		interrupts: float64(interrupts) / seconds,
	}
}

// vmmCPU is the CPU time of a VMM without that of its guest, by proc(5).
func vmmCPU(g *Guest) time.Duration {
	g.T.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.PID))
	if err != nil {
		g.Fatalf("%v", err)
	}
	// The fields behind the name, which may hold anything: utime is the 14th
	// of all, stime the 15th, guest_time, which is in utime, the 43rd.
	f := strings.Fields(string(text)[strings.LastIndexByte(string(text), ')')+1:])
	if len(f) < 41 {
		g.Fatalf("/proc/PID/stat: %q", text)
	}
	ticks := int64(0)
	for i, sign := range map[int]int64{14 - 3: 1, 15 - 3: 1, 43 - 3: -1} {
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			g.Fatalf("/proc/PID/stat: %q", text)
		}
		ticks += sign * n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
}

// virtioInterrupts counts those of the guest's virtio devices.
func virtioInterrupts(g *Guest) int64 {
	g.T.Helper()
	return g.Number("awk '/virtio/ {n+=$2} END {print n+0}' /proc/interrupts")
}

func medianIO(samples []ioSample) ioSample {
	pick := func(f func(ioSample) float64) float64 {
		var x []float64
		for _, s := range samples {
			x = append(x, f(s))
		}
		return median(x)
	}
	return ioSample{
		perSecond:  pick(func(s ioSample) float64 { return s.perSecond }),
		cpu:        pick(func(s ioSample) float64 { return s.cpu }),
		interrupts: pick(func(s ioSample) float64 { return s.interrupts }),
	}
}

// TestFirstRequestBenchmark measures, by the guest's clock, how long a guest
// waits from loading its disk's driver, which sets DRIVER_OK, to the end of its
// first request, by guest memory. The driver is loaded anew: guest memory is
// resident by then, as it is not at the first start. GQEMU_RIG_BENCH gives the number of rounds.
func TestFirstRequestBenchmark(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("GQEMU_RIG_BENCH"))
	if err != nil || rounds < 1 {
		t.Skip("GQEMU_RIG_BENCH does not give a number of rounds")
	}
	image := filepath.Join(mountDisk(t), "image")
	if err := os.WriteFile(image, pattern(3, diskBytes), 0o644); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "median of %d rounds, driver loaded to first request done; ratios to QEMU\n", rounds)
	for _, memory := range []int{512, 4096} {
		base := 0.0
		for i, m := range ioMachines(image) {
			m.CPUs, m.MemoryMiB = 1, memory
			g := boot(t, m.Config)
			var seconds []float64
			for range rounds {
				seconds = append(seconds, firstRequest(g))
			}
			if err := g.Quit(); err != nil {
				g.Fatalf("%v", err)
			}
			if i == 0 {
				base = median(seconds)
			}
			fmt.Fprintf(&b, "%4d MiB %-28s %8.2f s %8.2f\n", memory, m.name, median(seconds), median(seconds)/base)
		}
	}
	report(t, "bench-first.txt", b.String())
}

// firstRequest reloads the driver and gives the seconds until a read is done.
func firstRequest(g *Guest) float64 {
	g.T.Helper()
	out, status, err := g.Exec("rmmod virtio_blk; read a _ </proc/uptime; modprobe virtio_blk && "+
		"dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct status=none; s=$?; read b _ </proc/uptime; echo $a $b; [ $s = 0 ]",
		bootTimeout(g.MemoryMiB))
	var before, after float64
	if err == nil {
		_, err = fmt.Sscanf(out, "%g %g", &before, &after)
	}
	if err != nil || status != 0 {
		g.Fatalf("status %d, %v: %s", status, err, out)
	}
	return after - before
}
