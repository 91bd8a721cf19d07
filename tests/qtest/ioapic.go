package qtest

// Addresses of microvm's two IOAPICs.
const (
	IOAPICBase  = 0xfec00000
	IOAPIC2Base = 0xfec10000
)

// Bits of an IOAPIC's redirection entry.
const (
	RTEMasked    = 1 << 16
	RTELevel     = 1 << 15
	RTERemoteIRR = 1 << 14
	RTEActiveLow = 1 << 13
)

// IOAPIC drives an 82093AA.
type IOAPIC struct {
	M    *Machine
	Base uint64
}

// In reads a register through the window.
func (a *IOAPIC) In(reg uint32) uint32 {
	a.M.t.Helper()
	a.M.Writel(a.Base, reg)
	return a.M.Readl(a.Base + 0x10)
}

// Out writes a register through the window.
func (a *IOAPIC) Out(reg, v uint32) {
	a.M.t.Helper()
	a.M.Writel(a.Base, reg)
	a.M.Writel(a.Base+0x10, v)
}

// Entry reads a pin's redirection entry.
func (a *IOAPIC) Entry(pin int) uint64 {
	a.M.t.Helper()
	return uint64(a.In(uint32(0x10+2*pin))) | uint64(a.In(uint32(0x11+2*pin)))<<32
}

// SetEntry writes a pin's redirection entry, masked while it changes.
func (a *IOAPIC) SetEntry(pin int, e uint64) {
	a.M.t.Helper()
	a.Out(uint32(0x10+2*pin), RTEMasked)
	a.Out(uint32(0x11+2*pin), uint32(e>>32))
	a.Out(uint32(0x10+2*pin), uint32(e))
}

// EOI writes the EOI register, which version 0x20 has.
func (a *IOAPIC) EOI(vector uint8) { a.M.t.Helper(); a.M.Writel(a.Base+0x40, uint32(vector)) }

// PIC drives an 8259A.
type PIC struct {
	M    *Machine
	Base uint16
}

// Init programs the pair as a PC's firmware does: vectors from base and
// base+8, cascade at line 2, all lines masked.
func InitPICs(m *Machine, base uint8) (master, slave *PIC) {
	m.t.Helper()
	master, slave = &PIC{m, 0x20}, &PIC{m, 0xa0}
	for _, p := range []struct {
		pic             *PIC
		vector, cascade uint8
	}{{master, base, 4}, {slave, base + 8, 2}} {
		m.Outb(p.pic.Base, 0x11)
		m.Outb(p.pic.Base+1, p.vector)
		m.Outb(p.pic.Base+1, p.cascade)
		m.Outb(p.pic.Base+1, 0x01)
		m.Outb(p.pic.Base+1, 0xff)
	}
	return master, slave
}

// Mask sets the interrupt mask.
func (p *PIC) Mask(v uint8) { p.M.t.Helper(); p.M.Outb(p.Base+1, v) }

// IRR reads the interrupt request register.
func (p *PIC) IRR() uint8 {
	p.M.t.Helper()
	p.M.Outb(p.Base, 0x0a)
	return p.M.Inb(p.Base)
}

// ISR reads the in-service register.
func (p *PIC) ISR() uint8 {
	p.M.t.Helper()
	p.M.Outb(p.Base, 0x0b)
	return p.M.Inb(p.Base)
}

// Poll acknowledges by the poll command: bit 7 says that there was a request,
// the low bits which.
func (p *PIC) Poll() uint8 {
	p.M.t.Helper()
	p.M.Outb(p.Base, 0x0c)
	return p.M.Inb(p.Base)
}

// EOI ends the interrupt in service that has the highest priority.
func (p *PIC) EOI() { p.M.t.Helper(); p.M.Outb(p.Base, 0x20) }
