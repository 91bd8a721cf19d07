package l1

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// interruptsBudget is how long one series of reads takes about, unless
// GQEMU_RIG_INTERRUPTS gives their number.
const interruptsBudget = 25 * time.Second

// TestInterrupts reads single pages from a vDPA disk, with its interrupts on
// the way that virtio-mmio has for them and on the old one, and prints what
// each costs. A lost interrupt is a read that never ends: at queue depth 1
// nothing else would wake the driver.
func TestInterrupts(t *testing.T) {
	vdpaOnly(t, isQEMU(Binary()))
	var costs []cost
	for _, on := range []bool{true, false} {
		ok := t.Run(fmt.Sprintf("x-irqfd=%v", on), func(t *testing.T) {
			c := Config{Modern: true, Block: true, CPUs: 1, MemoryMiB: 256, CPUModel: "host"}
			if !on {
				c.Args = []string{"-global", "virtio-mmio.x-irqfd=off"}
			}
			g := boot(t, c)
			checkTrigger(g, on)
			checkBlock(g)
			k := measureReads(g)
			t.Logf("%s", k)
			costs = append(costs, k)
			if on {
				checkDirect(g, k)
			} else if k.relayed < k.reads*9/10 {
				g.Fatalf("%d interrupts relayed for %d reads: this compares nothing", k.relayed, k.reads)
			}
			checkManyReaders(g)
			checkReload(g)
			checkPoweroff(g)
		})
		if !ok {
			return
		}
	}
	text := "single-page reads from a vDPA disk on virtio-mmio, queue depth 1, per read\n" +
		fmt.Sprintf("irqfd    %s\nrelayed  %s\n", costs[0], costs[1])
	fmt.Print(text)
	if err := os.WriteFile(filepath.Join(Results(), "interrupts.txt"), []byte(text), 0o644); err != nil {
		t.Error(err)
	}
}

// checkTrigger: Linux has taken the trigger mode that the DSDT gives.
func checkTrigger(g *Guest, edge bool) {
	g.T.Helper()
	line := g.Sh("grep 'virtio[0-9]' /proc/interrupts")
	g.T.Logf("%s", line)
	if strings.Contains(line, "edge") != edge {
		g.Fatalf("the disk's interrupt: %q, want edge-triggered: %v", line, edge)
	}
}

// cost is what reads have cost.
type cost struct {
	reads, interrupts int64
	relayed           int64
	time              time.Duration
	switches          int64         // wake-ups of threads that are neither vCPU nor monitor
	monitor           int64         // wake-ups of the Go runtime's monitor thread
	others            time.Duration // of CPU, by all but vCPUs
	vcpu              time.Duration // of CPU in the host's kernel and in the VMM, by vCPUs
	exits, mmio       int64         // of the guest, and of these to the VMM for registers
	emulated          int64

	threads map[string]int64 // wake-ups of each
}

func (c cost) String() string {
	per := func(n int64) float64 { return float64(n) / float64(c.reads) }
	return fmt.Sprintf("%7d reads in %5.1f s: %.3f interrupts, %.3f of them relayed; %.3f wake-ups of other threads, "+
		"%.3f of the runtime's monitor, together %5.0f µs of CPU; vCPU %5.0f µs; %.2f exits, %.3f for registers to the VMM, %.2f instructions emulated",
		c.reads, c.time.Seconds(), per(c.interrupts), per(c.relayed), per(c.switches), per(c.monitor), per(c.others.Microseconds()),
		per(c.vcpu.Microseconds()), per(c.exits), per(c.mmio), per(c.emulated))
}

// counters are cost's, since the VMM's start.
func counters(g *Guest) (c cost) {
	g.T.Helper()
	c.reads = g.Number("awk '{print $1}' /sys/block/vda/stat")
	c.interrupts = g.Number("awk '/virtio[0-9]/ {print $2}' /proc/interrupts")
	var path string
	if err := json.Unmarshal(g.Run("qom-get", map[string]any{"path": "/machine/peripheral/blk", "property": "parent_bus"}), &path); err != nil {
		g.Fatalf("%v", err)
	}
	get := func(name string, to any) {
		raw := g.Run("qom-get", map[string]any{"path": filepath.Dir(path), "property": name})
		if err := json.Unmarshal(raw, to); err != nil {
			g.Fatalf("%s: %v", name, err)
		}
	}
	get("x-relayed-interrupts", &c.relayed)
	var cpus []struct {
		Thread int `json:"thread-id"`
	}
	if err := json.Unmarshal(g.Run("query-cpus-fast", nil), &cpus); err != nil {
		g.Fatalf("%v", err)
	}
	vcpus := map[string]bool{}
	for _, x := range cpus {
		vcpus[strconv.Itoa(x.Thread)] = true
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", g.PID))
	if err != nil || len(tasks) < 2 {
		g.Fatalf("threads %v, %v", tasks, err)
	}
	// The runtime starts its monitor before it makes any other thread.
	var ids []int
	for _, dir := range tasks {
		id, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			g.Fatalf("%v", err)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	monitor := strconv.Itoa(ids[1])
	c.threads = map[string]int64{}
	for _, dir := range tasks {
		ran := time.Duration(number(g, dir+"/schedstat", 0))
		if vcpus[filepath.Base(dir)] {
			c.vcpu += ran
			continue
		}
		c.others += ran
		for _, l := range strings.Split(read(g, dir+"/status"), "\n") {
			if n, ok := strings.CutPrefix(l, "voluntary_ctxt_switches:"); ok {
				v, _ := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
				if filepath.Base(dir) == monitor {
					c.monitor = v
				} else {
					c.switches += v
				}
				c.threads[filepath.Base(dir)] = v
			}
		}
	}
	// It is named after the thread that made the VM; there is only one.
	dirs, err := filepath.Glob("/sys/kernel/debug/kvm/[0-9]*-*")
	if err != nil || len(dirs) != 1 {
		g.Fatalf("KVM's counters: %v, %v", dirs, err)
	}
	c.exits = number(g, dirs[0]+"/exits", 0)
	c.mmio = number(g, dirs[0]+"/mmio_exits", 0)
	c.emulated = number(g, dirs[0]+"/insn_emulation", 0)
	return c
}

func read(g *Guest, path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		g.Fatalf("%v", err)
	}
	return string(text)
}

// number is field n of a file.
func number(g *Guest, path string, n int) int64 {
	f := strings.Fields(read(g, path))
	if n >= len(f) {
		g.Fatalf("%s has %q", path, f)
	}
	v, err := strconv.ParseInt(f[n], 10, 64)
	if err != nil {
		g.Fatalf("%s: %v", path, err)
	}
	return v
}

// pages is how many requests of one page the disk has.
const pages = diskBytes / 4096

// readPages reads n pages, one after the other, and returns how long it took.
// (busybox's dd does not align its buffer, so iflag=direct means nothing.)
func readPages(g *Guest, n int64) time.Duration {
	g.T.Helper()
	began := time.Now()
	left := n
	for left > 0 {
		step := min(left, pages)
		cmd := "echo 3 >/proc/sys/vm/drop_caches && " +
			fmt.Sprintf("dd if=/dev/vda of=/dev/null bs=4096 count=%d status=none", step)
		out, status, err := g.Exec(cmd, 2*time.Minute+time.Duration(step)*50*time.Millisecond)
		if err != nil || status != 0 {
			g.Fatalf("%s: status %d, %v\n%s", cmd, status, err, out)
		}
		left -= step
	}
	return time.Since(began)
}

// measureReads reads for about interruptsBudget.
func measureReads(g *Guest) cost {
	g.T.Helper()
	g.Sh("echo 0 >/sys/block/vda/queue/read_ahead_kb")
	readPages(g, 200) // everything is in place from now on
	n := int64(0)
	if text := os.Getenv("GQEMU_RIG_INTERRUPTS"); text != "" {
		var err error
		if n, err = strconv.ParseInt(text, 10, 64); err != nil || n < 1 {
			g.Fatalf("GQEMU_RIG_INTERRUPTS=%q", text)
		}
	} else {
		const sample = 500
		n = max(1000, int64(float64(sample)*float64(interruptsBudget)/float64(readPages(g, sample))))
	}
	a := counters(g)
	took := readPages(g, n)
	b := counters(g)
	for tid, v := range b.threads {
		if v -= a.threads[tid]; v > n/100 {
			g.T.Logf("thread %s woke %d times in %d reads", tid, v, n)
		}
	}
	if b.reads-a.reads != n {
		g.Fatalf("%d requests for %d reads", b.reads-a.reads, n)
	}
	return cost{
		reads: n, time: took, interrupts: b.interrupts - a.interrupts, relayed: b.relayed - a.relayed,
		switches: b.switches - a.switches, monitor: b.monitor - a.monitor, others: b.others - a.others, vcpu: b.vcpu - a.vcpu,
		exits: b.exits - a.exits, mmio: b.mmio - a.mmio, emulated: b.emulated - a.emulated,
	}
}

// checkDirect: no interrupt passes through the VMM, and nothing in it wakes for
// one but the vCPU for the read of InterruptStatus.
func checkDirect(g *Guest, k cost) {
	g.T.Helper()
	if k.relayed != 0 {
		g.Fatalf("%d interrupts of %d were relayed", k.relayed, k.interrupts)
	}
	if k.interrupts < k.reads {
		g.Fatalf("%d interrupts for %d reads, one at a time", k.interrupts, k.reads)
	}
	// Timers, garbage collection, the two looks at the counters, and two for each
	// time that the vCPU has itself scheduled, which is every 7 ms.
	if limit := k.reads/5 + int64(k.time/(3*time.Millisecond)); k.switches > limit {
		g.Fatalf("other threads woke %d times in %d reads, want at most %d", k.switches, k.reads, limit)
	}
	if k.mmio > k.reads*5/4 {
		g.Fatalf("%d exits to the VMM for %d reads, want one each", k.mmio, k.reads)
	}
}

// checkManyReaders: interrupts that meet an earlier one still pending.
func checkManyReaders(g *Guest) {
	g.T.Helper()
	const readers, count = 8, 300
	g.Sh(fmt.Sprintf("echo 3 >/proc/sys/vm/drop_caches; rm -f /tmp/r.*; for i in $(seq %d); do "+
		"(dd if=/dev/vda of=/dev/null bs=4096 skip=$((i*1000)) count=%d && : >/tmp/r.$i) >/dev/null 2>&1 & done", readers, count))
	g.Until("all readers end", fmt.Sprintf("test $(ls /tmp/r.* | wc -l) -eq %d", readers), 2*time.Minute)
	g.Sh("rm /tmp/r.*")
}
