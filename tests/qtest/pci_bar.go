package qtest

// PCIRegion is what a base address register says of itself.
type PCIRegion struct {
	BAR      int
	IO       bool
	Wide     bool // 64-bit
	Prefetch bool
	Size     uint64 // bytes, 0 for no register
}

// Region sizes base address register n by writing ones, and puts back what was
// there.
func (f *PCIFunction) Region(n int) PCIRegion {
	f.P.M.t.Helper()
	at := PCIBAR0 + 4*n
	old := f.Get32(at)
	f.Set32(at, 0xffffffff)
	low := f.Get32(at)
	f.Set32(at, old)
	r := PCIRegion{BAR: n}
	if low == 0 {
		return r
	}
	if low&1 != 0 {
		r.IO = true
		r.Size = uint64(-(low &^ 3))
		return r
	}
	r.Wide, r.Prefetch = low&4 != 0, low&8 != 0
	mask := uint64(low&^0xf) | 0xffffffff<<32
	if r.Wide {
		oldHigh := f.Get32(at + 4)
		f.Set32(at+4, 0xffffffff)
		mask = uint64(low&^0xf) | uint64(f.Get32(at+4))<<32
		f.Set32(at+4, oldHigh)
	}
	r.Size = -mask
	return r
}

// Place puts base address register n at an address and switches its decoder on.
func (f *PCIFunction) Place(n int, addr uint64) {
	f.P.M.t.Helper()
	at := PCIBAR0 + 4*n
	low := f.Get32(at)
	f.Set32(at, uint32(addr))
	bit := uint16(PCICommandMemory)
	if low&1 != 0 {
		bit = PCICommandIO
	} else if low&4 != 0 {
		f.Set32(at+4, uint32(addr>>32))
	}
	f.Set16(PCICommand, f.Get16(PCICommand)|bit)
}

// MSIX drives the message interrupts of a function.
type MSIX struct {
	F *PCIFunction
	// At is the capability; Vectors how many there are; Table and Pending the
	// addresses of the table and the pending bits.
	At, Vectors    int
	Table, Pending uint64
}

// MSIX finds the capability and where its table is: the base address registers
// are placed already.
func (f *PCIFunction) MSIX() *MSIX {
	f.P.M.t.Helper()
	at := f.Capability(PCICapMSIX)
	if at == 0 {
		f.P.M.t.Fatalf("%v has no MSI-X", f)
	}
	where := func(reg int) uint64 {
		v := f.Get32(reg)
		bar := PCIBAR0 + 4*int(v&7)
		base := uint64(f.Get32(bar) &^ 0xf)
		if f.Get32(bar)&4 != 0 {
			base |= uint64(f.Get32(bar+4)) << 32
		}
		return base + uint64(v&^7)
	}
	return &MSIX{f, at, int(f.Get16(at+2)&0x7ff) + 1, where(at + 4), where(at + 8)}
}

// Enable switches message interrupts on, and lets the function send.
func (m *MSIX) Enable() {
	m.F.P.M.t.Helper()
	m.F.Set16(PCICommand, m.F.Get16(PCICommand)|PCICommandMaster)
	m.F.Set16(m.At+2, 1<<15)
}

// MaskAll masks all vectors, or ends that.
func (m *MSIX) MaskAll(on bool) {
	m.F.P.M.t.Helper()
	v := uint16(1 << 15)
	if on {
		v |= 1 << 14
	}
	m.F.Set16(m.At+2, v)
}

// Set gives a vector its message and opens it. An address in RAM lets the test
// see messages there.
func (m *MSIX) Set(vector int, addr uint64, data uint32) {
	m.F.P.M.t.Helper()
	e := m.Table + 16*uint64(vector)
	m.F.P.M.Writel(e, uint32(addr))
	m.F.P.M.Writel(e+4, uint32(addr>>32))
	m.F.P.M.Writel(e+8, data)
	m.Mask(vector, false)
}

// Mask masks a vector, or opens it.
func (m *MSIX) Mask(vector int, on bool) {
	m.F.P.M.t.Helper()
	v := uint32(0)
	if on {
		v = 1
	}
	m.F.P.M.Writel(m.Table+16*uint64(vector)+12, v)
}

// IsPending tells whether a vector waits for its mask to go.
func (m *MSIX) IsPending(vector int) bool {
	m.F.P.M.t.Helper()
	return m.F.P.M.Readl(m.Pending+uint64(vector/32*4))>>(vector%32)&1 == 1
}
