package cpu

import (
	"math/bits"

	"github.com/gqemu/gqemu/hw/machine"
)

// topology is how APIC ids are made of a place in sockets, dies, cores and
// threads: each has a bit field as wide as its count needs, threads lowest
// (Intel SDM volume 3, section 9.9.1). Counts that are no powers of two leave
// gaps between ids.
type topology struct{ dies, cores, threads int }

func newTopology(s machine.SMP) topology {
	return topology{
		dies: max(s.Dies, 1), cores: max(s.Clusters, 1) * max(s.Cores, 1), threads: max(s.Threads, 1),
	}
}

// place is where a thread is.
type place struct{ socket, die, core, thread int }

func width(count int) uint { return uint(bits.Len(uint(count - 1))) }

// The shift that takes an APIC id to the number of its core, die or package.
func (t topology) coreShift() uint { return width(t.threads) }
func (t topology) dieShift() uint  { return t.coreShift() + width(t.cores) }
func (t topology) pkgShift() uint  { return t.dieShift() + width(t.dies) }

// perDie and perPackage count threads.
func (t topology) perDie() int     { return t.cores * t.threads }
func (t topology) perPackage() int { return t.dies * t.perDie() }

// at places the CPU of a number: threads of a core come first, sockets last.
func (t topology) at(index int) place {
	return place{
		socket: index / t.perPackage(),
		die:    index / t.perDie() % t.dies,
		core:   index / t.threads % t.cores,
		thread: index % t.threads,
	}
}

func (t topology) apicID(p place) uint32 {
	return uint32(p.socket)<<t.pkgShift() | uint32(p.die)<<t.dieShift() |
		uint32(p.core)<<t.coreShift() | uint32(p.thread)
}

// APICIDLimit is one more than the highest APIC id of a topology.
func APICIDLimit(smp machine.SMP) int {
	t := newTopology(smp)
	return int(t.apicID(t.at(max(smp.MaxCPUs, 1)-1))) + 1
}
