package intc

import (
	"fmt"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/clock"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// IOAPIC is the "ioapic" device, an Intel 82093AA with 24 pins, or with
// version 0x20 its successor in the ICH chips, which has an EOI register
// (Intel 82093AA datasheet, order number 290566; ICH9 datasheet, section
// 13.5).
//
// Pins take "asserted", not a voltage: the polarity bit of an entry is kept
// for the guest and means nothing here, as in QEMU and KVM. Entries of
// delivery mode ExtINT send nothing: the PIC reaches the boot CPU by itself.
type IOAPIC struct {
	qdev.SysBus
	version uint8

	// GSIBase is the interrupt number of pin 0, a multiple of 24. Set before
	// realize. On the first IOAPIC (0) pin 0 is ISA line 0, which a PC wires
	// to pin 2: it drives that one.
	GSIBase int

	id      uint8
	sel     uint8
	entries [ioapicPins]redirection
	lines   uint32 // levels of the pins
	edges   uint32 // edges not sent yet, by pin
	routes  [ioapicPins]accel.PinRoute
	storm   [ioapicPins]int    // EOIs in a row that met the line still high
	counts  [ioapicPins]uint64 // rises of each input
	inputs  uint32             // levels of the inputs, which are not yet pins
	cool    *clock.Timer
	bound   [ioapicPins]*binding // eventfds of the inputs; nil without
}

const (
	ioapicPins = 24

	// IOAPICSize is the length of the register window, in bytes.
	IOAPICSize = 0x1000

	regSelect = 0x00
	regWindow = 0x10
	regEOI    = 0x40 // version 0x20

	indexID      = 0x00
	indexVersion = 0x01
	indexArb     = 0x02
	indexTable   = 0x10

	// A level-triggered line that is still high after this many EOIs rests
	// for a while, so that a guest without a handler for it gets on.
	stormEOIs = 10000
	stormRest = 10e6 // ns
)

// redirection is a redirection table entry (82093AA, section 3.2.4).
type redirection uint64

const (
	entryStatus    redirection = 1 << 12 // delivery status, read-only
	entryRemoteIRR redirection = 1 << 14 // read-only
	entryLevel     redirection = 1 << 15
	entryMasked    redirection = 1 << 16
	entryReadOnly              = entryStatus | entryRemoteIRR

	deliveryExtINT = 7
)

func (e redirection) vector() uint8  { return uint8(e) }
func (e redirection) delivery() uint { return uint(e>>8) & 7 }

// silent entries send nothing.
func (e redirection) silent() bool { return e&entryMasked != 0 || e.delivery() == deliveryExtINT }

// msi is the message that the entry stands for (Intel SDM volume 3, section
// 11.11): destination and its extension, logical mode; vector, delivery
// mode, level and trigger mode.
func (e redirection) msi() accel.MSI {
	m := accel.MSI{
		Addr: 0xfee00000 | uint64(e>>48)<<4 | uint64(e>>11&1)<<2,
		Data: uint32(e & 0x7ff),
	}
	if e&entryLevel != 0 {
		m.Data |= 1<<15 | 1<<14
	}
	return m
}

// Realize checks the version and makes the pins and the window.
func (a *IOAPIC) Realize(h *qdev.Host) error {
	if a.version != 0x11 && a.version != 0x20 {
		return fmt.Errorf("IOAPIC only supports version 0x11 or 0x20 (default: 0x20).")
	}
	a.cool = h.Clock.NewTimer(a.service)
	a.Defer(a.cool.Stop)
	if err := a.AddGPIOIn("", ioapicPins, a.setPin); err != nil {
		return err
	}
	for n := range a.routes {
		a.routes[n] = accel.PinRoute{GSI: a.GSIBase + n, Masked: true}
	}
	a.reset()
	return a.InitMMIO(memory.NewIO("ioapic", IOAPICSize,
		memory.OpsFuncs{ReadFunc: a.read, WriteFunc: a.write}, memory.Access{ValidMax: 4}))
}

// Reset masks all pins. What the devices drive onto them stays.
func (a *IOAPIC) Reset() {
	for n := range a.bound {
		a.release(n)
	}
	a.reset()
	a.updateRoutes()
	for n := range a.bound {
		a.tell(n)
	}
}

func (a *IOAPIC) reset() {
	a.id, a.sel, a.edges = 0, 0, 0
	a.storm = [ioapicPins]int{}
	a.cool.Stop()
	for n := range a.entries {
		a.entries[n] = entryMasked
	}
}

// setPin is a change of an input.
func (a *IOAPIC) setPin(n int, level bool) {
	if level && a.inputs>>n&1 == 0 {
		a.counts[n]++
	}
	a.inputs &^= 1 << n
	if level {
		a.inputs |= 1 << n
	}
	if n == 0 && a.GSIBase == 0 {
		n = 2
	}
	bit := uint32(1) << n
	rising := level && a.lines&bit == 0
	if level {
		a.lines |= bit
	} else {
		a.lines &^= bit
	}
	e := a.entries[n]
	switch {
	case e&entryLevel != 0:
		if level {
			a.fire(n)
		}
	case rising && (e&entryMasked == 0 || a.direct(n)): // else an edge on a masked pin is lost (section 3.4.2)
		a.edges |= bit
		a.fire(n)
	}
}

// fire sends pin n's message if it has reason to.
func (a *IOAPIC) fire(n int) {
	e, bit := &a.entries[n], uint32(1)<<n
	if *e&entryMasked != 0 {
		return
	}
	if *e&entryLevel != 0 {
		if a.lines&bit == 0 || *e&entryRemoteIRR != 0 {
			return
		}
		*e |= entryRemoteIRR
	} else {
		if a.edges&bit == 0 {
			return
		}
		a.edges &^= bit
	}
	if e.silent() {
		return
	}
	if err := a.Host().Interrupts.SendMSI(e.msi()); err != nil {
		a.Host().Log.Warn().Err(err).Int("gsi", a.GSIBase+n).Msg("ioapic: an interrupt is lost")
	}
}

func (a *IOAPIC) service() {
	for n := range a.entries {
		a.fire(n)
	}
}

// EOI ends a vector, as a local APIC announces it for level-triggered ones.
// Lines that are still high interrupt again.
func (a *IOAPIC) EOI(vector uint8) {
	for n := range a.entries {
		e := &a.entries[n]
		if e.vector() != vector || *e&entryLevel == 0 || *e&entryRemoteIRR == 0 {
			continue
		}
		*e &^= entryRemoteIRR
		if *e&entryMasked != 0 || a.lines>>n&1 == 0 {
			a.storm[n] = 0
			continue
		}
		if a.storm[n]++; a.storm[n] < stormEOIs {
			a.fire(n)
			continue
		}
		a.storm[n] = 0
		if !a.cool.Pending() {
			a.cool.Set(a.Host().Clock.Now() + stormRest)
		}
	}
}

// Pending tells whether a pin's line is high.
func (a *IOAPIC) Pending(n int) bool { return n >= 0 && n < ioapicPins && a.lines>>n&1 == 1 }

func (a *IOAPIC) read(offset uint64, size int) uint64 {
	switch offset & 0xff {
	case regSelect:
		return uint64(a.sel)
	case regWindow:
		if size == 4 {
			return uint64(a.readWindow())
		}
	}
	return 0
}

func (a *IOAPIC) readWindow() uint32 {
	switch a.sel {
	case indexID, indexArb:
		return uint32(a.id) << 24
	case indexVersion:
		return (ioapicPins-1)<<16 | uint32(a.version)
	}
	n, high, ok := a.tableIndex()
	if !ok {
		return 0
	}
	if high {
		return uint32(a.entries[n] >> 32)
	}
	return uint32(a.entries[n])
}

// tableIndex is the half of the entry that is selected.
func (a *IOAPIC) tableIndex() (n int, high, ok bool) {
	n = int(a.sel) - indexTable
	return n >> 1, n&1 == 1, n >= 0 && n < 2*ioapicPins
}

func (a *IOAPIC) write(offset, value uint64, size int) {
	switch offset & 0xff {
	case regSelect:
		a.sel = uint8(value)
	case regWindow:
		if size == 4 {
			a.writeWindow(uint32(value))
		}
	case regEOI:
		if size == 4 && a.version >= 0x20 {
			a.EOI(uint8(value))
		}
	}
}

func (a *IOAPIC) writeWindow(v uint32) {
	if a.sel == indexID {
		a.id = uint8(v>>24) & 0xf
		return
	}
	n, high, ok := a.tableIndex()
	if !ok {
		return
	}
	e := a.entries[n]
	if high {
		e = e&0xffffffff | redirection(v)<<32
	} else {
		e = e&^0xffffffff | redirection(v)&^entryReadOnly | e&entryReadOnly
	}
	if e&entryLevel == 0 {
		// Switching to edge and back is how a guest without the EOI
		// register ends an interrupt by hand.
		e &^= entryRemoteIRR
	} else {
		a.edges &^= 1 << n
	}
	if !a.fits(n, e) {
		// Nobody is to send with the new route what he means as an edge.
		a.release(n)
	}
	a.entries[n] = e
	a.storm[n] = 0
	// The route first: the EOI of what fire sends is seen only with it.
	a.updateRoutes()
	if a.fits(n, e) {
		a.take(n)
	}
	a.tell(n)
	a.fire(n)
}

// updateRoutes tells the accelerator what has changed since it was told
// last. A masked pin keeps its last message there, since its vector may
// still be in service.
func (a *IOAPIC) updateRoutes() {
	var changed []accel.PinRoute
	for n, e := range a.entries {
		r := a.routes[n]
		if r.Masked = e.silent(); !r.Masked {
			r.MSI = e.msi()
		}
		if r != a.routes[n] {
			a.routes[n] = r
			changed = append(changed, r)
		}
	}
	if changed == nil {
		return
	}
	if err := a.Host().Interrupts.SetPinRoutes(changed); err != nil {
		a.Host().Log.Warn().Err(err).Msg("ioapic: setting interrupt routes")
	}
}

func registerIOAPIC(r *qom.Registry) {
	r.Register(qom.Type{Name: "ioapic-common", Parent: "sys-bus-device", Abstract: true})
	r.Register(qom.Type{
		Name: "ioapic", Parent: "ioapic-common",
		New: func() qom.Object { return new(IOAPIC) },
		Properties: []*qom.Property{
			qdev.Field("version", func(a *IOAPIC) *uint8 { return &a.version }, 0x20),
		},
	})
}
