package cpu

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/machine"
)

var update = flag.Bool("update", false, "write the golden files anew")

// readTable reads what an accelerator offers.
func readTable(t testing.TB, name string) table {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".cpuid"))
	if err != nil {
		t.Fatal(err)
	}
	var list table
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		var c accel.CPUID
		if _, err := fmt.Sscanf(s.Text(), "%x %x %d %x %x %x %x",
			&c.Function, &c.Index, &c.Flags, &c.EAX, &c.EBX, &c.ECX, &c.EDX); err != nil {
			t.Fatalf("%s: %q: %v", name, s.Text(), err)
		}
		list = append(list, c)
	}
	return list
}

func dump(list []accel.CPUID) string {
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, "%08x %02x %d %08x %08x %08x %08x\n",
			c.Function, c.Index, c.Flags, c.EAX, c.EBX, c.ECX, c.EDX)
	}
	return b.String()
}

func modelNamed(t testing.TB, name string) *model {
	t.Helper()
	for _, m := range models() {
		if m.name == name {
			return m
		}
	}
	t.Fatalf("no model %q", name)
	return nil
}

func resolved(t testing.TB, name string, host table, topo topology, adjust func(*settings)) *processor {
	t.Helper()
	s := newSettings(modelNamed(t, name))
	if adjust != nil {
		adjust(&s)
	}
	p, _, err := resolve(s, host, true, topo)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *settings) turn(on bool, names ...string) {
	for _, n := range names {
		b := featureBits[n]
		s.user[b.word] |= b.mask
		s.features[b.word] &^= b.mask
		if on {
			s.features[b.word] |= b.mask
		}
	}
}

func TestCPUIDIsGolden(t *testing.T) {
	two := machine.SMP{CPUs: 4, Sockets: 2, Dies: 1, Clusters: 1, Cores: 2, Threads: 1}
	dies := machine.SMP{CPUs: 24, Sockets: 2, Dies: 2, Clusters: 1, Cores: 3, Threads: 2}
	for _, c := range []struct {
		name, host, model string
		smp               machine.SMP
		index             int
		adjust            func(*settings)
	}{
		{"intel-host", "intel", "host", two, 3, nil},
		{"intel-host-dies", "intel", "host", dies, 23, nil},
		{"intel-host-caches", "intel", "host", two, 1, func(s *settings) { s.hostCache = true }},
		{"intel-qemu64", "intel", "qemu64", two, 2, nil},
		{"intel-host-nokvm", "intel", "host", two, 0, func(s *settings) { s.exposeKVM, s.pmu = false, false }},
		{"intel-host-noxsave", "intel", "host", two, 0, func(s *settings) { s.turn(false, "xsave") }},
		{"amd-host", "amd", "host", two, 1, nil},
		{"amd-host-topoext", "amd", "host", dies, 22, func(s *settings) { s.turn(true, "topoext") }},
		{"amd-max-unmigratable", "amd", "max", two, 0, func(s *settings) { s.migratable = false }},
		{"amd-qemu64", "amd", "qemu64", two, 0, nil},
		{"amd-kvm64", "amd", "kvm64", dies, 11, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			topo := newTopology(c.smp)
			got := dump(resolved(t, c.model, readTable(t, c.host), topo, c.adjust).leaves(topo, topo.at(c.index)))
			file := filepath.Join("testdata", c.name+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestAPICIDs compares with ids worked out by hand.
func TestAPICIDs(t *testing.T) {
	for _, c := range []struct {
		sockets, dies, cores, threads int
		want                          []uint32
	}{
		{1, 1, 1, 1, []uint32{0}},
		{4, 1, 1, 1, []uint32{0, 1, 2, 3}},
		{2, 1, 2, 1, []uint32{0, 1, 2, 3}},
		{1, 1, 2, 2, []uint32{0, 1, 2, 3}},
		{2, 1, 3, 1, []uint32{0, 1, 2, 4, 5, 6}},
		{1, 2, 3, 2, []uint32{0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13}},
		{2, 1, 1, 3, []uint32{0, 1, 2, 4, 5, 6}},
		{2, 3, 1, 1, []uint32{0, 1, 2, 4, 5, 6}},
	} {
		topo := newTopology(machine.SMP{Dies: c.dies, Cores: c.cores, Threads: c.threads})
		for i, want := range c.want {
			if got := topo.apicID(topo.at(i)); got != want {
				t.Errorf("%+v: CPU %d has APIC id %d, want %d", topo, i, got, want)
			}
		}
	}
}

// TestGuestFindsTopology reads the leaves the way that a guest does.
func TestGuestFindsTopology(t *testing.T) {
	for _, name := range []string{"intel", "amd"} {
		host := readTable(t, name)
		for sockets := 1; sockets <= 2; sockets++ {
			for dies := 1; dies <= 3; dies++ {
				for cores := 1; cores <= 5; cores++ {
					for threads := 1; threads <= 3; threads++ {
						smp := machine.SMP{Sockets: sockets, Dies: dies, Cores: cores, Threads: threads}
						checkTopology(t, host, smp)
					}
				}
			}
		}
	}
}

func checkTopology(t *testing.T, host table, smp machine.SMP) {
	t.Helper()
	topo := newTopology(smp)
	p := resolved(t, "host", host, topo, func(s *settings) { s.turn(true, "topoext") })
	seen := map[uint32]bool{}
	perPackage := smp.Dies * smp.Cores * smp.Threads
	for i := range smp.Sockets * perPackage {
		at := topo.at(i)
		l := table(p.leaves(topo, at))
		id := l.leaf(0xb, 0).EDX
		fail := func(what string, got, want any) {
			t.Helper()
			if got != want {
				t.Errorf("%s %+v CPU %d: %s is %v, want %v", p.vendor, smp, i, what, got, want)
			}
		}
		fail("id seen before", seen[id], false)
		seen[id] = true
		fail("initial APIC id", l.leaf(1, 0).EBX>>24, id)
		fail("HTT", l.leaf(1, 0).EDX&f1HTT != 0, perPackage > 1)
		if perPackage > 1 {
			fail("threads in leaf 1", int(l.leaf(1, 0).EBX>>16&0xff), perPackage)
		}
		// Leaf 0xb: numbers of threads and where core and package begin.
		smt, core := l.leaf(0xb, 0), l.leaf(0xb, 1)
		fail("threads per core", int(smt.EBX), smp.Threads)
		fail("threads per package", int(core.EBX), perPackage)
		fail("thread", int(id&(1<<smt.EAX-1)), at.thread)
		fail("package", int(id>>core.EAX), at.socket)
		fail("end of leaf 0xb", l.leaf(0xb, 2).ECX>>8, uint32(0))
		var l3 uint32
		if p.vendor == vendorIntel {
			l3 = l.leaf(4, 3).EAX
			fail("cores in leaf 4", int(l.leaf(4, 0).EAX>>26)+1, smp.Dies*smp.Cores)
			fail("leaf 0x1f", l.leaf(0x1f, 0).ECX != 0, smp.Dies > 1)
			if smp.Dies > 1 {
				die := l.leaf(0x1f, 1)
				fail("die", int(id>>die.EAX&(1<<(core.EAX-die.EAX)-1)), at.die)
				fail("core", int(id>>smt.EAX&(1<<(die.EAX-smt.EAX)-1)), at.core)
				fail("package by 0x1f", int(id>>l.leaf(0x1f, 2).EAX), at.socket)
			}
		} else {
			l3 = l.leaf(0x8000001d, 3).EAX
			c := l.leaf(0x8000001e, 0)
			fail("extended APIC id", c.EAX, id)
			fail("core in 0x8000001e", int(c.EBX&0xff), at.core)
			fail("threads in 0x8000001e", int(c.EBX>>8)+1, smp.Threads)
			fail("dies in 0x8000001e", int(c.ECX>>8)+1, smp.Dies)
			if size := l.leaf(0x80000008, 0).ECX; perPackage > 1 {
				fail("threads in 0x80000008", int(size&0xff)+1, perPackage)
				fail("package by 0x80000008", int(id>>(size>>12&0xf)), at.socket)
			}
		}
		// The last cache is one die's: ids of one die agree beyond its sharing,
		// those of others do not.
		shift := width(int(l3>>14&0xfff) + 1)
		for j := range smp.Sockets * perPackage {
			other := topo.at(j)
			same := other.socket == at.socket && other.die == at.die
			fail("sharing of L3 with "+fmt.Sprint(other), topo.apicID(other)>>shift == id>>shift, same)
		}
	}
}

// TestCPUIDStaysInBounds is KVM's bound on a vCPU's list, and that no leaf
// is given twice.
func TestCPUIDStaysInBounds(t *testing.T) {
	topo := newTopology(machine.SMP{Dies: 4, Cores: 64, Threads: 2})
	for _, host := range []string{"intel", "amd"} {
		for _, m := range models() {
			p := resolved(t, m.name, readTable(t, host), topo, func(s *settings) {
				s.level, s.xlevel, s.xlevel2, s.func7 = auto-1, auto-1, auto-1, auto-1
			})
			list := p.leaves(topo, topo.at(511))
			if len(list) > 256 {
				t.Errorf("%s: %d leaves", m.name, len(list))
			}
			type key struct{ function, index uint32 }
			seen := map[key]bool{}
			for _, c := range list {
				if k := (key{c.Function, c.Index}); seen[k] {
					t.Errorf("%s: leaf %x.%x is there twice", m.name, c.Function, c.Index)
				} else {
					seen[k] = true
				}
			}
		}
	}
}

// FuzzCPUID gives the resolver accelerators of any kind.
func FuzzCPUID(f *testing.F) {
	f.Add([]byte("some table"), uint8(1), uint8(3), uint8(2), uint16(7), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, dies, cores, threads uint8, index uint16, which uint8) {
		topo := newTopology(machine.SMP{Dies: int(dies), Cores: int(cores), Threads: int(threads)})
		host := readTable(t, "amd")
		for i := range host {
			if len(data) < 4 {
				break
			}
			r := [...]*uint32{&host[i].EAX, &host[i].EBX, &host[i].ECX, &host[i].EDX}[data[0]&3]
			*r ^= uint32(data[1])<<24 | uint32(data[2])<<12 | uint32(data[3])
			data = data[4:]
		}
		list := models()
		p, _, err := resolve(newSettings(list[int(which)%len(list)]), host, true, topo)
		if err != nil {
			return
		}
		if l := p.leaves(topo, topo.at(int(index))); len(l) > 256 {
			t.Errorf("%d leaves", len(l))
		}
	})
}
