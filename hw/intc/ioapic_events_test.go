package intc_test

import (
	"slices"
	"testing"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/qdev"
)

// eventPins is an IOAPIC at GSI 24 on a kernel with irqfds, and two eventfds
// bound to pin 5.
type eventPins struct {
	ioapic
	k    *hwtest.Kernel
	fds  []*sys.Eventfd
	told []bool
}

const eventPin = 5

func newEventPins(t *testing.T) *eventPins {
	t.Helper()
	m := hwtest.New(t, isa.RegisterTypes, intc.RegisterTypes)
	p := &eventPins{k: hwtest.NewKernel(m.IRQ)}
	m.Host.Interrupts = p.k
	p.ioapic = ioapic{m, hwtest.Add(m, "ioapic", nil, func(a *intc.IOAPIC) error { a.GSIBase = 24; return nil })}
	if err := p.a.MapMMIO(0, ioapicBase); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		e, err := sys.NewEventfd()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		p.fds = append(p.fds, e)
	}
	return p
}

func (p *eventPins) bind(t *testing.T) {
	t.Helper()
	e := &qdev.Events{Changed: func(direct bool) { p.told = append(p.told, direct) }}
	for _, fd := range p.fds {
		e.FDs = append(e.FDs, fd.FD())
	}
	p.Do(func() {
		if !p.a.BindEvents(eventPin, e) {
			t.Fatal("not bound")
		}
		if p.a.BindEvents(eventPin, e) {
			t.Error("bound twice")
		}
	})
}

// expect checks the calls to the kernel and what the device was told.
func (p *eventPins) expect(t *testing.T, what string, calls []string, told ...bool) {
	t.Helper()
	if got := p.k.TakeCalls(); !slices.Equal(got, calls) {
		t.Errorf("%s: calls %q, want %q", what, got, calls)
	}
	if !slices.Equal(p.told, told) {
		t.Errorf("%s: told %v, want %v", what, p.told, told)
	}
	p.told = nil
}

func (p *eventPins) signal(t *testing.T, n int) {
	t.Helper()
	if err := p.k.Signal(p.fds[n].FD()); err != nil {
		t.Fatal(err)
	}
}

// The kernel takes the eventfds while the pin is set up for edges, with the
// route in place before, and taken back before another route is.
func TestEventfdsFollowThePin(t *testing.T) {
	p := newEventPins(t)
	p.bind(t)
	p.expect(t, "a pin never set up", nil)
	p.setEntry(eventPin, 0x41)
	p.expect(t, "edge", []string{"route 29", "add 29", "add 29"}, true)
	want := accel.MSI{Addr: 0xfee00000, Data: 0x41}
	p.signal(t, 0)
	p.signal(t, 1)
	p.wantMSIs(t, "a signal of each", want, want)

	p.setEntry(eventPin, masked|0x41)
	p.expect(t, "masked", []string{"mask 29"})
	p.signal(t, 0)
	p.wantMSIs(t, "a signal while masked")
	p.setEntry(eventPin, 0x42)
	p.expect(t, "unmasked", []string{"route 29"})
	p.wantMSIs(t, "the signal that was kept", accel.MSI{Addr: 0xfee00000, Data: 0x42})

	p.setEntry(eventPin, level|0x43)
	p.expect(t, "level", []string{"remove 29", "remove 29", "route 29"}, false)
	p.setEntry(eventPin, level|masked|0x43)
	p.setEntry(eventPin, masked|0x43)
	p.k.TakeCalls()
	p.expect(t, "masked before it is edge-triggered", nil)
	p.setEntry(eventPin, 1<<8|0x43) // lowest priority
	p.expect(t, "edge again", []string{"route 29", "add 29", "add 29"}, true)
	for _, mode := range []uint64{2, 4, 5} { // SMI, NMI, INIT
		p.setEntry(eventPin, mode<<8)
		p.expect(t, "a delivery without vector", []string{"remove 29", "remove 29", "route 29"}, false)
		p.setEntry(eventPin, 0x43)
		p.expect(t, "a vector", []string{"route 29", "add 29", "add 29"}, true)
	}
	p.setEntry(eventPin, 7<<8)
	p.expect(t, "ExtINT", []string{"remove 29", "remove 29", "mask 29"}, false)
	p.setEntry(eventPin, 0x43)
	p.k.TakeCalls()
	p.told = nil

	p.Do(p.a.Reset)
	p.expect(t, "reset", []string{"remove 29", "remove 29", "mask 29"}, false)
	p.setEntry(eventPin, 0x43)
	p.expect(t, "set up after the reset", []string{"route 29", "add 29", "add 29"}, true)
	p.Do(func() { p.a.UnbindEvents(eventPin) })
	p.expect(t, "unbound", []string{"remove 29", "remove 29"})
	p.setEntry(eventPin, level|0x43)
	p.expect(t, "nothing is bound", []string{"route 29"})
	p.setEntry(eventPin, 0x43)
	p.k.TakeCalls()
	p.bind(t)
	p.expect(t, "bound to a pin that is set up", []string{"add 29", "add 29"}, true)
}

// While the kernel has the eventfds a masked pin remembers an edge of the
// line, one; no other pin does.
func TestMaskedPinWithEventfdsRemembersAnEdge(t *testing.T) {
	p := newEventPins(t)
	p.bind(t)
	p.setEntry(eventPin, 0x41)
	p.setEntry(eventPin+1, 0x51)
	for n := range 2 {
		p.set(uint8(0x10+2*(eventPin+n)), masked|0x41+uint32(n)<<4)
		for range 3 {
			p.pin(eventPin+n, true)
			p.pin(eventPin+n, false)
		}
	}
	p.wantMSIs(t, "masked")
	p.set(0x10+2*eventPin, 0x41)
	p.set(0x10+2*(eventPin+1), 0x51)
	p.wantMSIs(t, "unmasked", accel.MSI{Addr: 0xfee00000, Data: 0x41})
	p.set(0x10+2*eventPin, masked|0x41)
	p.set(0x10+2*eventPin, 0x41)
	p.wantMSIs(t, "unmasked again")
}

// Where the kernel has no room for one of them it has none, and is not asked
// at each write of the guest.
func TestEventfdsThatTheKernelDoesNotTake(t *testing.T) {
	p := newEventPins(t)
	p.k.LimitIRQFDs(1)
	p.bind(t)
	p.setEntry(eventPin, 0x41)
	p.expect(t, "no room", []string{"route 29", "add 29", "remove 29"})
	p.setEntry(eventPin, 0x41)
	p.expect(t, "the same again", nil)
	if n := p.k.IRQFDs(); n != 0 {
		t.Errorf("%d irqfds are left", n)
	}
	p.pin(eventPin, true)
	p.wantMSIs(t, "the line", accel.MSI{Addr: 0xfee00000, Data: 0x41})
}

// Nothing is bound where the IOAPIC's messages are not what an eventfd would
// raise.
func TestEventfdsNeedAKernelThatTakesThem(t *testing.T) {
	e := &qdev.Events{FDs: []int{0}, Changed: func(bool) { t.Error("told") }}
	i := newIOAPIC(t, 24)
	i.Do(func() {
		if i.a.BindEvents(1, e) {
			t.Error("bound without irqfds")
		}
	})
	p := newEventPins(t)
	for _, c := range []accel.IRQChip{accel.IRQChipOff, accel.IRQChipOn} {
		p.IRQ.SetIRQChip(c)
		p.Do(func() {
			if p.a.BindEvents(1, e) {
				t.Errorf("bound with kernel-irqchip=%s", c)
			}
		})
	}
}
