package l1

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gqemu/gqemu/tests/rig"
)

// Unit is a part of the scenarios that runs in an L1 of its own, so that one
// machine does not have to outlive them all, and small ones get a small one.
type Unit struct {
	Name      string
	Run, Skip string // for -test.run and -test.skip
	MemoryMiB int    // L1's
	rig.Hardware
}

// L1's memory: the guest's plus 2 GiB.
const (
	smallL1 = rig.DefaultMemoryMiB
	largeL1 = 6656
)

// alone are the tests with an L1 of their own; the others share one.
var alone = []Unit{
	{Name: "main job", Run: "^TestMainJob$", MemoryMiB: smallL1},
	{Name: "memlock", Run: "^TestMemlock$", MemoryMiB: smallL1},
	{Name: "interrupts", Run: "^TestInterrupts$", MemoryMiB: smallL1},
	{Name: "legacy, PVH", Run: "^TestLegacyPVH$", MemoryMiB: largeL1},
	{Name: "q35", Run: "^TestQ35$", MemoryMiB: smallL1},
	{Name: "file system", Run: "^TestFileSystem$", MemoryMiB: smallL1},
	{Name: "VDUSE", Run: "^TestVDUSE$", MemoryMiB: smallL1},
	{Name: "vp_vdpa", Run: "^TestVirtioPCI$", MemoryMiB: smallL1, Hardware: rig.Hardware{VirtioPCI: true}},
}

// long are those that run with -full only.
var long = []Unit{
	{Name: "latency", Run: "^TestLatency$", MemoryMiB: largeL1},
}

// Benchmarks are the comparisons with Debian's QEMU, which take long.
func Benchmarks() []Unit {
	return []Unit{
		{Name: "start", Run: "^TestBenchmark$", MemoryMiB: smallL1},
		{Name: "disk", Run: "^TestIOBenchmark$", MemoryMiB: smallL1, Hardware: rig.Hardware{Disk: true}},
		{Name: "first request", Run: "^TestFirstRequestBenchmark$", MemoryMiB: largeL1, Hardware: rig.Hardware{Disk: true}},
	}
}

// Matching is one unit with all tests that match a regular expression, and
// what any of them needs.
func Matching(pattern string) ([]Unit, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	u := Unit{Name: pattern, Run: pattern, MemoryMiB: largeL1}
	for _, a := range alone {
		if re.MatchString(strings.Trim(a.Run, "^$")) { // those with hardware are one test
			u.VirtioPCI = u.VirtioPCI || a.VirtioPCI
			u.Disk = u.Disk || a.Disk
		}
	}
	return []Unit{u}, nil
}

// Units is all there is to run, in order. With full it is every combination of
// the matrix too.
func Units(full bool) []Unit {
	rest := Unit{Name: "wrong input and the kit", Run: ".", Skip: "^TestMatrix$|Benchmark$", MemoryMiB: smallL1}
	for _, u := range append(slices.Clone(alone), long...) {
		rest.Skip += "|" + u.Run
	}
	units := append([]Unit{rest}, alone...)
	if !full {
		return units
	}
	units = append(units, long...)
	for _, c := range matrix() {
		u := Unit{Name: c.name(), Run: "^TestMatrix$/^" + c.name() + "$", MemoryMiB: smallL1}
		if c.memoryMiB > 512 {
			u.MemoryMiB = largeL1
		}
		units = append(units, u)
	}
	return units
}

// combination is one point of the matrix.
type combination struct {
	elf, modern     bool
	cpus, memoryMiB int
}

func (c combination) name() string {
	kernel, version := "bzImage", "legacy"
	if c.elf {
		kernel = "vmlinux"
	}
	if c.modern {
		version = "modern"
	}
	return fmt.Sprintf("%s-%s-%dCPU-%dMiB", kernel, version, c.cpus, c.memoryMiB)
}

func matrix() []combination {
	var all []combination
	for _, memory := range []int{128, 512, 4096} {
		for _, cpus := range []int{1, 2, 4} {
			for _, elf := range []bool{false, true} {
				for _, modern := range []bool{false, true} {
					all = append(all, combination{elf, modern, cpus, memory})
				}
			}
		}
	}
	return all
}
