package cpu

import "github.com/gqemu/gqemu/accel"

// table is what an accelerator can give a guest, as accel.VM.SupportedCPUID
// lists it; nil where no guest code runs.
type table []accel.CPUID

func (t table) leaf(function, index uint32) accel.CPUID {
	for _, c := range t {
		if c.Function == function && (c.Index == index || c.Flags&1 == 0) {
			return c
		}
	}
	return accel.CPUID{}
}

func (t table) reg(function, index uint32, r register) uint32 {
	c := t.leaf(function, index)
	return [...]uint32{c.EAX, c.EBX, c.ECX, c.EDX}[r]
}

// features are the feature bits the accelerator can give. Where none runs a
// guest every bit can be had, as with QEMU's qtest, but those that describe
// things this program does not have.
func (t table) features() (f features) {
	if t == nil {
		for w := range f {
			f[w] = ^uint32(0)
		}
	} else {
		for w, i := range words {
			f[w] = t.reg(i.function, i.index, i.reg)
		}
		t.fix(&f)
	}
	f[w7EBX] &^= f7PT | f7SGX
	f[w7ECX] &^= f7SGXLC
	f[wPT], f[wSGXEAX], f[wSGXEBX], f[wSGX1EAX] = 0, 0, 0, 0
	return f
}

// fix makes up for what KVM does not say, or says of things that take more
// than a CPUID bit from the user of KVM.
func (t table) fix(f *features) {
	f[w1ECX] |= f1Hypervisor
	f[w1ECX] &^= f1OSXSAVE
	f[w6EAX] |= f6ARAT
	f[wKVMHints] |= 1
	// These leaves are computed here, with or without the host's help.
	f[wExt1ECX] |= ext1TopoExt
	// Intel's processors leave the repeated bits clear.
	f[wExt1EDX] |= f[w1EDX] & ext1Aliases
	// They need MSRs, or power management, handed to the guest.
	f[w7ECX] &^= f7WAITPKG | f7OSPKE
	f[w7EDX] &^= f7ArchLBR | f7CoreCaps
	f[wXSSLow], f[wXSSHigh] = 0, 0
	// KVM lists AMX even when the process may not use its state.
	if f[wXCR0Low]&xcr0Tile != xcr0Tile {
		f[w7EDX] &^= f7AMXTile | f7AMXInt8 | f7AMXBF16
		f[w71EAX] &^= f71AMXFP16
		f[w71EDX] &^= f71AMXComplex
		f[wXSAVE] &^= fXFD
		f[wXCR0Low] &^= xcr0Tile
	}
}

// component is the place of a state component. Without a host to ask it is
// where Intel's first processors with the component have it.
func (t table) component(n uint32) layout {
	if t == nil {
		return map[uint32]layout{
			2: {size: 256, offset: 576}, 3: {size: 64, offset: 960}, 4: {size: 64, offset: 1024},
			5: {size: 64, offset: 1088}, 6: {size: 512, offset: 1152}, 7: {size: 1024, offset: 1664},
			9: {size: 8, offset: 2688}, 17: {size: 64, offset: 2752, flags: 2},
			18: {size: 8192, offset: 2816, flags: 2 | 4},
		}[n]
	}
	c := t.leaf(0xd, n)
	return layout{size: c.EAX, offset: c.EBX, flags: c.ECX &^ 1}
}
