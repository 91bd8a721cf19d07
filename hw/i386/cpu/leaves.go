package cpu

import "github.com/gqemu/gqemu/accel"

// emitter collects leaves. One that is all zero is left out: that is how an
// absent one reads.
type emitter struct {
	p    *processor
	list []accel.CPUID
}

// inRange tells whether the guest can reach a leaf.
func (e *emitter) inRange(function uint32) bool {
	switch function >> 28 {
	case 0:
		return function <= e.p.level
	case 4:
		return e.p.hostKVM && e.p.exposeKVM
	case 8:
		return e.p.xlevel >= 0x80000000 && function <= e.p.xlevel
	default:
		return e.p.xlevel2 >= 0xc0000000 && function <= e.p.xlevel2
	}
}

func (e *emitter) put(c accel.CPUID) {
	if e.inRange(c.Function) && c.EAX|c.EBX|c.ECX|c.EDX != 0 {
		e.list = append(e.list, c)
	}
}

// plain adds a leaf whose index does not matter.
func (e *emitter) plain(function, eax, ebx, ecx, edx uint32) {
	e.put(accel.CPUID{Function: function, EAX: eax, EBX: ebx, ECX: ecx, EDX: edx})
}

func (e *emitter) sub(function, index, eax, ebx, ecx, edx uint32) {
	e.put(accel.CPUID{Function: function, Index: index, Flags: 1, EAX: eax, EBX: ebx, ECX: ecx, EDX: edx})
}

// leaves is the CPUID of the processor at a place: a pure function of its
// arguments.
func (p *processor) leaves(topo topology, at place) []accel.CPUID {
	e := &emitter{p: p}
	e.basic(topo, at)
	e.extended(topo, at)
	return e.list
}

func (e *emitter) basic(topo topology, at place) {
	p, f, id := e.p, &e.p.features, topo.apicID(at)
	vendor := textRegs(p.vendor, 3)
	e.plain(0, p.level, vendor[0], vendor[2], vendor[1])

	ebx, edx := id<<24|lineSize/8<<8, f[w1EDX]
	if n := topo.perPackage(); n > 1 {
		ebx |= uint32(n&0xff) << 16
		edx |= f1HTT
	}
	e.plain(1, p.signature(), ebx, f[w1ECX], edx)
	e.intelCaches(topo)
	e.plain(5, 0, 0, 3, 0) // MWAIT's extensions, for whom MONITOR is on
	e.plain(6, f[w6EAX], 0, 0, 0)
	e.sub(7, 0, p.func7, f[w7EBX], f[w7ECX], f[w7EDX])
	if p.func7 >= 1 {
		e.sub(7, 1, f[w71EAX], 0, 0, f[w71EDX])
	}
	if p.func7 >= 2 {
		e.sub(7, 2, 0, 0, 0, f[w72EDX])
	}
	if p.pmu {
		c := p.host.leaf(0xa, 0)
		e.plain(0xa, c.EAX, c.EBX, c.ECX, c.EDX)
	}
	e.topologyLeaves(topo, id)
	e.xsave()
	e.amx()
	if e.inRange(leafKVMSignature) {
		kvm := textRegs("KVMKVMKVM", 3)
		e.plain(leafKVMSignature, leafKVMFeatures, kvm[0], kvm[1], kvm[2])
		e.plain(leafKVMFeatures, f[wKVM], 0, 0, f[wKVMHints])
	}
}

// Kinds of levels in leaves 0xb and 0x1f.
const (
	levelSMT  = 1 << 8
	levelCore = 2 << 8
	levelDie  = 5 << 8
)

// topologyLeaves adds leaves 0xb and, with dies, 0x1f.
func (e *emitter) topologyLeaves(topo topology, id uint32) {
	if !e.p.leaf0B {
		return
	}
	pkg, threads := uint32(topo.perPackage()), uint32(topo.threads)
	e.sub(0xb, 0, uint32(topo.coreShift()), threads, 0|levelSMT, id)
	e.sub(0xb, 1, uint32(topo.pkgShift()), pkg, 1|levelCore, id)
	e.sub(0xb, 2, 0, 0, 2, id)
	if topo.dies == 1 {
		return
	}
	e.sub(0x1f, 0, uint32(topo.coreShift()), threads, 0|levelSMT, id)
	e.sub(0x1f, 1, uint32(topo.dieShift()), uint32(topo.perDie()), 1|levelCore, id)
	e.sub(0x1f, 2, uint32(topo.pkgShift()), pkg, 2|levelDie, id)
	e.sub(0x1f, 3, 0, 0, 3, id)
}

// xsave adds leaf 0xd. KVM replaces the sizes for the current XCR0 when the
// guest changes it.
func (e *emitter) xsave() {
	p, f := e.p, &e.p.features
	xcr0 := f[wXCR0Low]
	if f[w1ECX]&f1XSAVE == 0 {
		return
	}
	size := areaSize(xcr0, p.host.component)
	e.sub(0xd, 0, xcr0, xsaveHeaderEnd, size, 0)
	compact := uint32(0)
	if f[wXSAVE]&fXSAVES != 0 {
		compact = compactSize(xcr0, p.host.component)
	}
	e.sub(0xd, 1, f[wXSAVE], compact, 0, 0)
	for i := uint32(2); i < 32; i++ {
		if xcr0>>i&1 != 0 {
			l := p.host.component(i)
			e.sub(0xd, i, l.size, l.offset, l.flags, 0)
		}
	}
}

// amx adds leaves 0x1d and 0x1e: 8 tiles of 16 rows of 64 bytes (Intel SDM
// volume 1, section 18.2).
func (e *emitter) amx() {
	if e.p.features[w7EDX]&f7AMXTile == 0 {
		return
	}
	e.sub(0x1d, 0, 1, 0, 0, 0)
	e.sub(0x1d, 1, 8192|1024<<16, 64|8<<16, 16, 0)
	e.sub(0x1e, 0, 0, 16|64<<8, 0, 0)
}

// intelCaches adds leaves 2 and 4, which AMD's processors do not have.
func (e *emitter) intelCaches(topo topology) {
	p := e.p
	if p.vendor == vendorAMD && p.vendorOnly && !p.hostCache {
		return
	}
	cores := uint32(min(topo.dies*topo.cores, 64)-1) << 26
	if p.hostCache {
		c := p.host.leaf(2, 0)
		e.plain(2, c.EAX, c.EBX, c.ECX, c.EDX)
		for i := uint32(0); i < 16; i++ {
			c := p.host.leaf(4, i)
			if c.EAX&0x1f == 0 {
				return
			}
			// A cache is shared by no more threads than a package has.
			sharing := min(c.EAX>>14&0xfff, 1<<topo.pkgShift()-1)
			e.sub(4, i, c.EAX&0x3fff|sharing<<14|cores, c.EBX, c.ECX, c.EDX)
		}
		return
	}
	l3 := uint32(0)
	if p.l3 {
		l3 = descL3
	}
	e.plain(2, 1, 0, l3, descL1D<<16|descL1I<<8|descL2)
	for i, c := range legacyCaches(intelL1D, intelL1I, intelL2, p.l3) {
		ebx, ecx := c.geometry()
		e.sub(4, uint32(i), c.eax()|min(topo.sharing(c)-1, 0xfff)<<14|cores, ebx, ecx, c.flags)
	}
}

func (e *emitter) extended(topo topology, at place) {
	p, f, id := e.p, &e.p.features, topo.apicID(at)
	vendor := textRegs(p.vendor, 3)
	e.plain(0x80000000, p.xlevel, vendor[0], vendor[2], vendor[1])

	n := topo.perPackage()
	ecx := f[wExt1ECX]
	// Intel's processors do not have the bit, and Linux takes it as a sign that
	// the threads are cores.
	if n > 1 && p.vendor != vendorIntel {
		ecx |= ext1CmpLegacy
	}
	e.plain(0x80000001, p.signature(), 0, ecx, f[wExt1EDX])
	brand := textRegs(p.id, 12)
	for i := range uint32(3) {
		r := brand[4*i:]
		e.plain(0x80000002+i, r[0], r[1], r[2], r[3])
	}
	e.amdCaches(topo)
	e.plain(0x80000007, 0, 0, 0, f[wExt7EDX])

	eax, ecx := p.physBits, uint32(0)
	if f[wExt1EDX]&ext1LM != 0 {
		virt := uint32(48)
		if f[w7ECX]&f7LA57 != 0 {
			virt = 57
		}
		eax |= virt << 8
	}
	if n > 1 {
		ecx = uint32(topo.pkgShift())<<12 | uint32(n-1)&0xff
	}
	e.plain(0x80000008, eax, f[wExt8EBX], ecx, 0)
	if f[wExt1ECX]&ext1SVM != 0 {
		e.plain(0x8000000a, 1, 16, 0, f[wSVM]) // revision 1, 16 ASIDs
	}
	if at.core <= 0xff {
		e.plain(0x8000001e, id, uint32(topo.threads-1)<<8|uint32(at.core),
			uint32(topo.dies-1)&7<<8|id>>topo.dieShift()&0xff, 0)
	}
	e.plain(0x80000021, f[wExt21EAX], 0, 0, 0)
	e.plain(0xc0000000, p.xlevel2, 0, 0, 0)
	e.plain(0xc0000001, 0, 0, 0, f[wCentaurEDX])
}

// amdCaches adds leaves 0x80000005, 0x80000006 and 0x8000001d.
func (e *emitter) amdCaches(topo topology) {
	p := e.p
	if p.hostCache {
		for _, l := range []uint32{0x80000005, 0x80000006} {
			c := p.host.leaf(l, 0)
			e.plain(l, c.EAX, c.EBX, c.ECX, c.EDX)
		}
		for i := uint32(0); i < 16; i++ {
			c := p.host.leaf(0x8000001d, i)
			if c.EAX&0x1f == 0 {
				return
			}
			sharing := min(c.EAX>>14&0xfff, 1<<topo.pkgShift()-1)
			e.sub(0x8000001d, i, c.EAX&0x3fff|sharing<<14, c.EBX, c.ECX, c.EDX)
		}
		return
	}
	l1 := func(c cache) uint32 { return c.size>>10<<24 | c.ways<<16 | 1<<8 | lineSize }
	e.plain(0x80000005, amdL1TLB, amdL1TLB, l1(amdL1D), l1(amdL1I))
	l3 := uint32(0)
	if p.l3 {
		l3 = sharedL3.size>>19<<18 | amdWays(sharedL3.ways)<<12 | 1<<8 | lineSize
	}
	e.plain(0x80000006, 0, amdL2TLBSmall, amdL2.size>>10<<16|amdWays(amdL2.ways)<<12|1<<8|lineSize, l3)
	for i, c := range legacyCaches(amdL1D, amdL1I, amdL2, p.l3) {
		ebx, ecx := c.geometry()
		e.sub(0x8000001d, uint32(i), c.eax()|min(topo.sharing(c)-1, 0xfff)<<14, ebx, ecx, c.flags)
	}
}
