package intc

import (
	"slices"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/qdev"
)

// binding is the eventfds of one input, and what has become of them.
//
// The kernel takes their signals (irqfd) from when the guest has set the pin
// up edge-triggered, with a delivery that an edge suits, and unmasked. A mask
// does not end that: what comes meanwhile stays in the eventfd, or is an edge
// remembered here, and interrupts when the mask goes. Any other way to set the
// pin up ends it, as a reset does; the device is told then, and signals are
// its own again.
type binding struct {
	events *qdev.Events
	direct bool // the kernel takes the signals
	told   bool // what the device knows of that
	failed bool // the kernel did not take them, and is not asked again
}

// The delivery modes that send an entry's vector (82093AA, section 3.2.4).
const (
	deliveryFixed  = 0
	deliveryLowest = 1
)

// BindEvents is part of qdev.EventInput.
func (a *IOAPIC) BindEvents(n int, e *qdev.Events) bool {
	if _, ok := a.eventInterrupts(); !ok || a.bound[n] != nil || n == 0 && a.GSIBase == 0 {
		return false
	}
	a.bound[n] = &binding{events: e}
	if a.fits(n, a.entries[n]) {
		a.take(n)
		a.tell(n)
	}
	return true
}

// UnbindEvents is part of qdev.EventInput.
func (a *IOAPIC) UnbindEvents(n int) {
	a.release(n)
	a.bound[n] = nil
}

// eventInterrupts is the accelerator, when it can do it.
func (a *IOAPIC) eventInterrupts() (accel.EventInterrupts, bool) {
	i := a.Host().Interrupts
	e, ok := i.(accel.EventInterrupts)
	return e, ok && i.IRQChip() == accel.IRQChipSplit
}

// direct tells whether the kernel takes the eventfds of pin n.
func (a *IOAPIC) direct(n int) bool { return a.bound[n] != nil && a.bound[n].direct }

// fits tells whether the kernel can take pin n's eventfds, or go on with it,
// while the pin has the entry e.
func (a *IOAPIC) fits(n int, e redirection) bool {
	switch {
	case a.bound[n] == nil, a.bound[n].failed, e&entryLevel != 0, e.delivery() != deliveryFixed && e.delivery() != deliveryLowest:
		return false
	case e&entryMasked != 0:
		return a.bound[n].direct
	}
	return true
}

// take hands the eventfds of pin n to the kernel, all or none. The pin's route
// is in place.
func (a *IOAPIC) take(n int) {
	b := a.bound[n]
	if b.direct {
		return
	}
	x, _ := a.eventInterrupts()
	for i, fd := range b.events.FDs {
		if err := x.AddIRQFD(a.GSIBase+n, fd); err != nil {
			a.Host().Log.Warn().Err(err).Msg("ioapic: interrupts will pass through this process")
			a.removeAll(n, b.events.FDs[:i])
			b.failed = true
			return
		}
	}
	b.direct = true
}

// release takes the eventfds of pin n back from the kernel.
func (a *IOAPIC) release(n int) {
	if b := a.bound[n]; b != nil && b.direct {
		b.direct = false
		a.removeAll(n, b.events.FDs)
	}
}

func (a *IOAPIC) removeAll(n int, fds []int) {
	x, _ := a.eventInterrupts()
	for _, fd := range slices.Backward(fds) {
		if err := x.RemoveIRQFD(a.GSIBase+n, fd); err != nil {
			a.Host().Log.Error().Err(err).Msg("ioapic: taking an interrupt back")
		}
	}
}

// tell tells the device what has changed. It may raise its line.
func (a *IOAPIC) tell(n int) {
	if b := a.bound[n]; b != nil && b.direct != b.told {
		b.told = b.direct
		b.events.Changed(b.direct)
	}
}

var _ qdev.EventInput = (*IOAPIC)(nil)
