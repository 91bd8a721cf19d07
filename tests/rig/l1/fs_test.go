package l1

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fsRun is one run of mixed writes into an ext4 file system.
type fsRun struct {
	seed uint64
	dir  string // in the guest
	mib  int
	mark int // where its lines begin on the console
}

// fsDisk has room for two runs.
const (
	fsDiskMiB     = 512
	fsDiskFullMiB = 1600
)

// TestFileSystem: ext4 on gqemu's own block device, on a file. While the guest
// writes the VM is stopped and goes on; then, in the middle of the writes, the
// machine is reset, and the second time the VMM is killed. Each time the
// journal is replayed, all that was said to be safe is there, and the file
// system is clean.
func TestFileSystem(t *testing.T) {
	vdpaOnly(t, isQEMU(Binary()))
	size, mib := fsDiskMiB, 48
	if Full() {
		size, mib = fsDiskFullMiB, 1024
	}
	dir := Results() // not memory: the full size would not fit
	image := filepath.Join(dir, "fs-image")
	t.Cleanup(func() { os.Remove(image) })
	writeImage(t, image, int64(size)<<20, 0, nil)
	tool(t, "mkfs.ext4", "-q", "-F", image)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)

	c := Config{
		Modern: true, MemoryMiB: 256, Tools: true,
		Args: []string{
			"-object", "vdpa-sim-blk,id=d0,path=" + image,
			"-device", "vhost-vdpa-device,id=blk,vhostdev=/objects/d0",
		},
	}
	reset := &fsRun{seed: seed, dir: "/mnt/reset", mib: mib}
	g := boot(t, c)
	sub(t, g, "stop and cont in the middle of mixed writes", func(g *Guest) { startWrites(g, reset); stopWrites(g, reset) })
	var safe []string
	sub(t, g, "a reset in the middle of mixed writes", func(g *Guest) {
		safe = safeLines(g, reset)
		checkSystemResetOnly(g)
	})
	sub(t, g, "the journal is replayed, nothing safe is lost, the file system is clean", func(g *Guest) {
		checkFileSystem(g, reset, safe)
	})
	if t.Failed() {
		return
	}
	killed := &fsRun{seed: seed + 1, dir: "/mnt/killed", mib: mib}
	sub(t, g, "the VMM is killed in the middle of mixed writes", func(g *Guest) {
		startWrites(g, killed)
		waitWrites(g, killed)
		g.kill()
		safe = safeLines(g, killed)
	})
	if t.Failed() {
		return
	}
	g = boot(t, c)
	sub(t, g, "after the kill nothing safe is lost and the file system is clean", func(g *Guest) {
		checkFileSystem(g, killed, safe)
	})
	sub(t, g, "poweroff ends the VMM", checkPoweroff)
	if out, err := tryTool("e2fsck", "-fn", image); err != nil {
		t.Errorf("e2fsck in L1: %v\n%s", err, out)
	}
}

const mountFS = "modprobe crc32c_generic && modprobe ext4 && mkdir -p /mnt && mount -t ext4 /dev/vda /mnt"

// startWrites begins a run; it says on the console what is safe.
func startWrites(g *Guest, r *fsRun) {
	g.T.Helper()
	if !g.Try("grep -q ' /mnt ext4' /proc/mounts") {
		g.Sh(mountFS)
	}
	r.mark = g.Console.Mark()
	g.Sh(fmt.Sprintf("mkdir %s && sync && ( rig-guest write -seed %d -mib %d %s >/dev/ttyS0 2>&1 ) </dev/null >/dev/null 2>&1 &",
		r.dir, r.seed, r.mib, r.dir))
}

// safeLines are the lines about what is safe, so far, of a run.
func safeLines(g *Guest, r *fsRun) (lines []string) {
	for _, l := range g.Console.From(r.mark) {
		// The shell's answers may stand before it on the line.
		if i := strings.Index(l, "SAFE "); i >= 0 {
			lines = append(lines, l[i:])
		}
	}
	return lines
}

// waitWrites waits until about half of a run is written, going by what a step
// of it writes.
func waitWrites(g *Guest, r *fsRun) {
	g.T.Helper()
	const perLine = 110 << 10 // bytes: half a file, half of 24 blocks, and noise
	want := r.mib << 20 / perLine / 2
	for end := time.Now().Add(20 * time.Minute); len(safeLines(g, r)) < want; time.Sleep(100 * time.Millisecond) {
		checkWriting(g, r)
		if time.Now().After(end) {
			g.Fatalf("only %d things of %d were written", len(safeLines(g, r)), want)
		}
	}
	checkWriting(g, r)
}

func checkWriting(g *Guest, r *fsRun) {
	g.T.Helper()
	for _, l := range g.Console.From(r.mark) {
		if strings.Contains(l, "rig-guest:") {
			g.Fatalf("%s", l)
		}
		if strings.Contains(l, "WRITTEN") {
			g.Fatalf("the writes were over too early: this proves nothing")
		}
	}
}

// stopWrites stops and continues the VM at random while the guest writes the
// first half.
func stopWrites(g *Guest, r *fsRun) {
	g.T.Helper()
	rnd := rand.New(rand.NewPCG(r.seed, 2))
	stops := 20
	if Full() {
		stops = 200
	}
	for range stops {
		time.Sleep(time.Duration(rnd.Int64N(int64(150 * time.Millisecond))))
		g.Run("stop", nil)
		time.Sleep(time.Duration(rnd.Int64N(int64(50 * time.Millisecond))))
		g.Run("cont", nil)
	}
	waitWrites(g, r)
	g.T.Logf("%d stops and conts; %d things are safe", stops, len(safeLines(g, r)))
}

// checkSystemResetOnly resets the machine and waits for its guest.
func checkSystemResetOnly(g *Guest) {
	g.T.Helper()
	mark := g.QMP.Mark()
	g.Run("system_reset", nil)
	checkReason(g, g.Event(mark, "RESET").Data, false, "host-qmp-system-reset")
	checkBoot(g)
}

// checkFileSystem mounts what a run left behind.
func checkFileSystem(g *Guest, r *fsRun, safe []string) {
	g.T.Helper()
	if len(safe) < 20 {
		g.Fatalf("only %d things were safe: this proves nothing", len(safe))
	}
	g.Sh(mountFS)
	if !g.Try("dmesg | grep -q 'EXT4-fs (vda): recovery complete'") {
		g.Fatalf("the journal was not replayed:\n%s", g.Sh("dmesg | grep EXT4 || true"))
	}
	sendLines(g, "/tmp/safe", newest(safe))
	g.T.Logf("%s", g.Sh(fmt.Sprintf("rig-guest verify -seed %d %s </tmp/safe", r.seed, r.dir)))
	g.Sh("umount /mnt")
	g.T.Logf("%s", g.Sh("e2fsck -fn /dev/vda"))
}

// newest leaves out what a later line says of the same thing.
func newest(lines []string) []string {
	last := make(map[string]string)
	var order []string
	for _, l := range lines {
		thing := l[:strings.LastIndexByte(l, ' ')]
		if _, ok := last[thing]; !ok {
			order = append(order, thing)
		}
		last[thing] = l
	}
	for i, thing := range order {
		order[i] = last[thing]
	}
	return order
}

// sendLines writes a file in the guest, by as many commands as it takes.
func sendLines(g *Guest, path string, lines []string) {
	g.T.Helper()
	g.Sh(": >" + path)
	for len(lines) > 0 {
		var b strings.Builder
		for len(lines) > 0 && b.Len()+len(lines[0]) < maxCommand-200 {
			b.WriteString(" '" + lines[0] + "'")
			lines = lines[1:]
		}
		g.Sh("printf '%s\\n'" + b.String() + " >>" + path)
	}
}
