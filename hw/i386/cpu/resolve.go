package cpu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	mathbits "math/bits"
	"strings"
)

// auto is a level that follows from the features.
const auto = math.MaxUint32

// settings is what properties can say of a CPU.
type settings struct {
	model *model
	// features are those asked for, user the bits on which the user has a say
	// either way, given the names of other properties that were set.
	features, user features
	given          map[string]bool

	vendor                          string
	family, number, stepping        uint32
	id                              string
	level, xlevel, xlevel2, func7   uint32
	minLevel, minXlevel, minXlevel2 uint32
	physBits                        uint32 // 0 takes the default
	hostPhysBitsLimit               uint8
	hostPhysBits, exposeKVM         bool
	check, enforce, force           bool
	l3, legacyCache, hostCache      bool
	leaf0B, vendorOnly, autoLevel   bool
	pmu, migratable                 bool
}

func newSettings(m *model) settings {
	return settings{
		model: m, features: m.features, given: map[string]bool{},
		vendor: m.vendor, family: m.family, number: m.model, stepping: m.stepping, id: m.id,
		level: auto, xlevel: auto, xlevel2: auto, func7: auto, minLevel: m.level, minXlevel: m.xlevel,
		hostPhysBits: m.host, exposeKVM: true, check: true, l3: true, legacyCache: true,
		leaf0B: true, vendorOnly: true, autoLevel: true, pmu: m.max, migratable: m.max,
	}
}

// defaultPhysBits is the width of physical addresses without better
// knowledge, QEMU's.
const defaultPhysBits = 40

// processor is a CPU as the guest sees it, but for its place.
type processor struct {
	settings
	filtered features // asked for, and not to be had
	host     table
	hostKVM  bool
}

// resolve turns what was asked for into what there will be. host is what the
// accelerator has, nil where no guest code runs; kvm tells that it is KVM.
// The warnings are for the user, without the program's name.
func resolve(s settings, host table, kvm bool, topo topology) (p *processor, warnings []string, err error) {
	if s.model.host && !kvm {
		return nil, nil, fmt.Errorf("CPU model '%s' requires KVM or HVF", s.model.name)
	}
	if !s.legacyCache {
		return nil, nil, fmt.Errorf("CPU model '%s' doesn't support legacy-cache=off", s.model.name)
	}
	p = &processor{settings: s, host: host, hostKVM: kvm}
	if kvm {
		p.takeHost()
	}
	offered := host.features()
	warnings = p.expand(&offered)
	warnings = append(warnings, p.filter(&offered)...)
	if s.enforce && p.filtered != (features{}) {
		return nil, warnings, errors.New(p.lacker() + " doesn't support requested features")
	}
	if !s.pmu {
		p.features[w1ECX] &^= f1PDCM
	}
	if p.vendor == vendorAMD {
		p.features[wExt1EDX] = p.features[wExt1EDX]&^ext1Aliases | p.features[w1EDX]&ext1Aliases
		if topo.threads > 1 && p.features[wExt1ECX]&ext1TopoExt == 0 {
			warnings = append(warnings, fmt.Sprintf("warning: This family of AMD CPU doesn't support hyperthreading(%d)\n"+
				"Please configure -smp options properly or try enabling topoext feature.", topo.threads))
		}
	}
	p.setLevels(topo)
	more, err := p.setPhysBits()
	return p, append(warnings, more...), err
}

// lacker is who is to blame for a missing feature.
func (p *processor) lacker() string {
	if p.hostKVM {
		return "Host"
	}
	return "TCG"
}

// takeHost sets what KVM changes in a model and takes from its host.
func (p *processor) takeHost() {
	id := p.host.leaf(0, 0)
	if p.model.builtin {
		offered := p.host.features()
		for _, d := range kvmDefaults {
			b := featureBits[d.name]
			mask := b.mask &^ p.user[b.word]
			if d.apic {
				// Nobody asked for it: no warning where it is missing.
				mask &= offered[b.word]
			}
			if d.on {
				p.features[b.word] |= mask
			} else {
				p.features[b.word] &^= mask
			}
		}
	}
	// System calls differ between vendors in compatibility mode, so a guest has
	// to know the true one.
	if (p.model.builtin || p.model.max) && !p.given["vendor"] {
		p.vendor = text(id.EBX, id.EDX, id.ECX)
	}
	if !p.model.max {
		return
	}
	family, number, stepping := splitSignature(p.host.leaf(1, 0).EAX)
	for _, v := range []struct {
		name  string
		field *uint32
		host  uint32
	}{
		{"family", &p.family, family}, {"model", &p.number, number}, {"stepping", &p.stepping, stepping},
		{"min-level", &p.minLevel, id.EAX},
		{"min-xlevel", &p.minXlevel, p.host.leaf(0x80000000, 0).EAX},
		{"min-xlevel2", &p.minXlevel2, p.host.leaf(0xc0000000, 0).EAX},
	} {
		if !p.given[v.name] {
			*v.field = v.host
		}
	}
	if !p.given["model-id"] {
		var brand []uint32
		for i := range uint32(3) {
			c := p.host.leaf(0x80000002+i, 0)
			brand = append(brand, c.EAX, c.EBX, c.ECX, c.EDX)
		}
		p.id = text(brand...)
	}
	if !p.given["host-phys-bits"] {
		p.hostPhysBits = true
	}
}

// text reads a string from registers.
func text(regs ...uint32) string {
	var b []byte
	for _, r := range regs {
		b = binary.LittleEndian.AppendUint32(b, r)
	}
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// textRegs is text's inverse: n registers, with zeroes behind the string.
func textRegs(s string, n int) []uint32 {
	b := make([]byte, 4*n)
	copy(b, s)
	regs := make([]uint32, n)
	for i := range regs {
		regs[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return regs
}

// splitSignature takes leaf 1's EAX apart.
func splitSignature(v uint32) (family, model, stepping uint32) {
	family, model, stepping = v>>8&0xf, v>>4&0xf|v>>12&0xf0, v&0xf
	if family == 0xf {
		family += v >> 20 & 0xff
	}
	return family, model, stepping
}

func (s *settings) signature() uint32 {
	v := s.stepping&0xf | s.number&0xf<<4 | s.number>>4<<16
	if s.family > 0xf {
		return v | 0xf00 | (s.family-0xf)<<20
	}
	return v | s.family<<8
}

// dependencies are words that mean nothing without a certain feature.
var dependencies = []struct {
	on      word
	feature uint32
	word    word
	mask    uint32
}{
	{w7EBX, f7PT, wPT, math.MaxUint32},
	{wExt1ECX, ext1SVM, wSVM, math.MaxUint32},
	{w7EBX, f7SGX, w7ECX, f7SGXLC},
	{w7EBX, f7SGX, wSGXEAX, math.MaxUint32},
	{w7EBX, f7SGX, wSGXEBX, math.MaxUint32},
	{w7EBX, f7SGX, wSGX1EAX, math.MaxUint32},
}

// expand adds what follows from the settings and drops what other features
// are missing for.
func (p *processor) expand(offered *features) (warnings []string) {
	f := &p.features
	if p.model.max {
		for w, i := range words {
			take := offered[w] &^ p.user[w] &^ i.noAuto
			if p.migratable {
				take &= i.named()&^i.unmigratable | i.migratable
			}
			f[w] |= take
		}
	}
	for _, d := range dependencies {
		if f[d.on]&d.feature == 0 {
			missing := f[d.word] & d.mask
			f[d.word] &^= d.mask
			warnings = append(warnings, p.lack(d.word, missing&p.user[d.word],
				"This feature depends on other features that were not requested")...)
		}
	}
	if !p.hostKVM || !p.exposeKVM {
		f[wKVM] = 0
	}
	f[wXCR0Low], f[wXCR0High] = xcr0For(f), 0
	f[wXSSLow], f[wXSSHigh] = 0, 0
	if f[w1ECX]&f1XSAVE == 0 {
		f[wXSAVE] = 0
	}
	return warnings
}

func (i *wordInfo) named() (mask uint32) {
	for n, name := range i.names {
		if name != "" {
			mask |= 1 << n
		}
	}
	return mask
}

// filter drops what the accelerator lacks.
func (p *processor) filter(offered *features) (warnings []string) {
	why := ""
	if p.check || p.enforce {
		who := "TCG"
		if p.hostKVM {
			who = "host"
		}
		why = who + " doesn't support requested feature"
	}
	for w := range words {
		missing := p.features[w] &^ offered[w]
		if !p.force {
			p.features[w] &^= missing
		}
		warnings = append(warnings, p.lack(word(w), missing, why)...)
	}
	return warnings
}

// lack notes features that are not to be had. An empty why is silent.
func (p *processor) lack(w word, missing uint32, why string) (warnings []string) {
	p.filtered[w] |= missing
	if why == "" {
		return nil
	}
	i := &words[w]
	for rest := missing; rest != 0; rest &= rest - 1 {
		n := mathbits.TrailingZeros32(rest)
		dot := ""
		if i.names[n] != "" {
			dot = "."
		}
		warnings = append(warnings, fmt.Sprintf("warning: %s: CPUID.%02XH:%s%s%s [bit %d]",
			why, i.function, i.reg, dot, i.names[n], n))
	}
	return warnings
}

// levelWords are those whose features need their leaf to be in reach.
var levelWords = []word{
	w1EDX, w1ECX, w6EAX, w7EBX, w7ECX, w7EDX, w71EAX, w71EDX, w72EDX, wExt1EDX, wExt1ECX,
	wExt7EDX, wExt8EBX, wExt21EAX, wCentaurEDX, wSVM, wXSAVE,
}

func (p *processor) setLevels(topo topology) {
	func7 := uint32(0)
	need := func(leaf uint32) {
		switch leaf >> 28 {
		case 0:
			p.minLevel = max(p.minLevel, leaf)
		case 8:
			p.minXlevel = max(p.minXlevel, leaf)
		case 0xc:
			p.minXlevel2 = max(p.minXlevel2, leaf)
		}
	}
	if p.autoLevel {
		for _, w := range levelWords {
			if p.features[w] == 0 {
				continue
			}
			need(words[w].function)
			if words[w].function == 7 {
				func7 = max(func7, words[w].index)
			}
		}
		if topo.dies > 1 && (p.vendor == vendorIntel || !p.vendorOnly) {
			need(0x1f)
		}
		if p.features[wExt1ECX]&ext1SVM != 0 {
			need(0x8000000a)
		}
		if p.features[wExt1ECX]&ext1TopoExt != 0 {
			need(0x8000001e)
		}
	}
	for _, l := range []struct {
		field *uint32
		least uint32
	}{{&p.level, p.minLevel}, {&p.xlevel, p.minXlevel}, {&p.xlevel2, p.minXlevel2}, {&p.func7, func7}} {
		if *l.field == auto {
			*l.field = l.least
		}
	}
}

func (p *processor) setPhysBits() (warnings []string, err error) {
	host := p.host.leaf(0x80000008, 0).EAX & 0xff
	if p.hostKVM && host != 0 {
		switch {
		case p.hostPhysBits:
			p.physBits = host
			if l := uint32(p.hostPhysBitsLimit); l != 0 {
				p.physBits = min(p.physBits, l)
			}
		case p.physBits != 0 && p.physBits != host:
			warnings = append(warnings, fmt.Sprintf(
				"warning: Host physical bits (%d) does not match phys-bits property (%d)", host, p.physBits))
		}
	}
	if p.physBits == 0 {
		p.physBits = defaultPhysBits
	}
	if p.physBits < 32 || p.physBits > 52 {
		return warnings, fmt.Errorf("phys-bits should be between 32 and 52  (but is %d)", p.physBits)
	}
	return warnings, nil
}
