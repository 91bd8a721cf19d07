package l1

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A sample is one start.
type sample struct {
	initAfter time.Duration // from exec to the guest's init
	pss       int64         // bytes, without guest RAM
}

// TestBenchmark starts gqemu and Debian's QEMU in turns, the same guest on the
// same L1, and prints the ratios of their medians. It runs only when
// GQEMU_RIG_BENCH gives the number of rounds.
func TestBenchmark(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("GQEMU_RIG_BENCH"))
	if err != nil || rounds < 1 {
		t.Skip("GQEMU_RIG_BENCH does not give a number of rounds")
	}
	if same(Binary(), DebianQEMU) {
		t.Log("QEMU against itself: the ratios should be 1")
	}
	series := []struct {
		name string
		Config
	}{
		{"QEMU, no device", Config{Binary: DebianQEMU}},
		{"gqemu, no device", Config{}},
		{"QEMU, virtio-blk on a file", Config{Binary: DebianQEMU, Block: true, Modern: true}},
		{"gqemu, vdpa_sim", Config{Block: true, Modern: true}},
	}
	samples := make([][]sample, len(series))
	for round := range rounds {
		for i, s := range series {
			t.Run(fmt.Sprintf("round %d/%s", round+1, s.name), func(t *testing.T) {
				samples[i] = append(samples[i], measure(t, s.Config))
			})
			if len(samples[i]) != round+1 {
				t.Fatalf("%s gave no sample", s.name)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "medians of %d rounds, microvm, 512 MiB, 2 vCPUs\n", rounds)
	for i, s := range series {
		times, memory := medians(samples[i])
		fmt.Fprintf(&b, "%-28s exec to init %6.2f s   PSS without RAM %6.1f MiB", s.name, times, memory)
		if i%2 == 1 {
			qemuTimes, qemuMemory := medians(samples[i-1])
			fmt.Fprintf(&b, "   ratios %.2f and %.2f", times/qemuTimes, memory/qemuMemory)
		}
		b.WriteByte('\n')
	}
	report(t, "bench.txt", b.String())
}

func same(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

func measure(t *testing.T, c Config) sample {
	c.CPUModel = "host"
	g := Start(t, c).With(t)
	info := g.WaitBoot(bootTimeout(g.MemoryMiB))
	if g.Block {
		checkDisk(g)
	}
	// What the boot left to be given back has its time.
	time.Sleep(time.Second)
	pss, err := PSSWithoutRAM(g.PID, g.MemoryMiB)
	if err != nil {
		g.Fatalf("%v", err)
	}
	if err := g.Quit(); err != nil {
		g.Fatalf("%v", err)
	}
	s := sample{info.Init.Sub(g.Started), pss}
	t.Logf("exec to init %.2f s (%.2f s by the guest's clock), PSS without RAM %.1f MiB",
		s.initAfter.Seconds(), info.Uptime.Seconds(), float64(s.pss)/(1<<20))
	return s
}

// medians returns seconds and MiB.
func medians(samples []sample) (seconds, mib float64) {
	var times, memory []float64
	for _, s := range samples {
		times = append(times, s.initAfter.Seconds())
		memory = append(memory, float64(s.pss)/(1<<20))
	}
	return median(times), median(memory)
}

func median(x []float64) float64 {
	slices.Sort(x)
	n := len(x)
	return (x[(n-1)/2] + x[n/2]) / 2
}
