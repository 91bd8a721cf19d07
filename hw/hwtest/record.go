package hwtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/gqemu/gqemu/accel"
)

// Interrupts records what a machine's devices ask of accel.Interrupts. Its
// methods may be called from any goroutine.
type Interrupts struct {
	mu sync.Mutex // guards all below; SendMSI comes with and without the VM lock

	chip   accel.IRQChip
	msis   []accel.MSI
	sent   chan struct{} // closed and replaced at each MSI
	lines  map[int]bool
	routes map[int]accel.PinRoute
	calls  int
	extINT bool
	ack    func() uint8
	fail   error
}

func newInterrupts() *Interrupts {
	return &Interrupts{
		chip:   accel.IRQChipSplit,
		sent:   make(chan struct{}),
		lines:  map[int]bool{},
		routes: map[int]accel.PinRoute{},
	}
}

// SetIRQChip changes what IRQChip answers, at first IRQChipSplit.
func (i *Interrupts) SetIRQChip(c accel.IRQChip) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.chip = c
}

// Fail makes SendMSI, SetLine and SetPinRoutes return err from now on; nil
// ends that.
func (i *Interrupts) Fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fail = err
}

// IRQChip is part of accel.Interrupts.
func (i *Interrupts) IRQChip() accel.IRQChip {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.chip
}

// SetLine is part of accel.Interrupts.
func (i *Interrupts) SetLine(gsi int, level bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.chip != accel.IRQChipOn {
		return errors.New("hwtest: SetLine without an interrupt controller in the kernel")
	}
	i.lines[gsi] = level
	return i.fail
}

// SendMSI is part of accel.Interrupts.
func (i *Interrupts) SendMSI(m accel.MSI) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fail != nil {
		return i.fail
	}
	i.msis = append(i.msis, m)
	close(i.sent)
	i.sent = make(chan struct{})
	return nil
}

// SetPinRoutes is part of accel.Interrupts.
func (i *Interrupts) SetPinRoutes(routes []accel.PinRoute) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, r := range routes {
		i.routes[r.GSI] = r
	}
	i.calls++
	return i.fail
}

// SetExtINT is part of accel.Interrupts.
func (i *Interrupts) SetExtINT(level bool, ack func() uint8) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.extINT, i.ack = level, ack
}

// TakeMSIs gives the messages sent since the last call, in order.
func (i *Interrupts) TakeMSIs() []accel.MSI {
	i.mu.Lock()
	defer i.mu.Unlock()
	out := i.msis
	i.msis = nil
	return out
}

// MSISent is closed when the next message is sent.
func (i *Interrupts) MSISent() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.sent
}

// Lines gives the levels of the kernel lines that SetLine has named.
func (i *Interrupts) Lines() map[int]bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return maps.Clone(i.lines)
}

// Route is the route of a pin as SetPinRoutes last gave it.
func (i *Interrupts) Route(gsi int) (r accel.PinRoute, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	r, ok = i.routes[gsi]
	return r, ok
}

// RouteCalls counts the calls of SetPinRoutes.
func (i *Interrupts) RouteCalls() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.calls
}

// ExtINT is the level of the PIC's output.
func (i *Interrupts) ExtINT() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.extINT
}

// Ack takes the vector from the PIC, as the boot CPU does. The VM lock is
// held.
func (i *Interrupts) Ack() uint8 {
	i.mu.Lock()
	ack := i.ack
	i.mu.Unlock()
	return ack()
}

// Event is one event for QMP clients.
type Event struct {
	Name string
	Data any
}

// Events records events.
type Events struct {
	mu   sync.Mutex
	list []Event
}

// Post is part of qdev.EventSink.
func (e *Events) Post(event string, data any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, Event{event, data})
}

// Take gives the events posted since the last call, in order.
func (e *Events) Take() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.list
	e.list = nil
	return out
}

// RunState is a run state that the test changes. Its methods are called with
// the VM lock held.
type RunState struct {
	running bool
	hooks   []*func(bool) error
}

// Running is part of qdev.RunState.
func (r *RunState) Running() bool { return r.running }

// OnChange is part of qdev.RunState.
func (r *RunState) OnChange(f func(running bool) error) (cancel func()) {
	h := &f
	r.hooks = append(r.hooks, h)
	return func() { r.hooks = slices.DeleteFunc(r.hooks, func(x *func(bool) error) bool { return x == h }) }
}

// Set changes the state and gives the joined errors of those it told.
func (r *RunState) Set(running bool) error {
	if r.running == running {
		return nil
	}
	r.running = running
	var errs []error
	for _, h := range slices.Clone(r.hooks) {
		errs = append(errs, (*h)(running))
	}
	return errors.Join(errs...)
}

// Hooks counts those that OnChange has to tell.
func (r *RunState) Hooks() int { return len(r.hooks) }

// Guest records what devices ask of the machine on the guest's behalf.
type Guest struct{ asked []string }

// Take lists what was asked since the last call: "reset", "poweroff",
// "panicked", "crashloaded" and "exit N".
func (g *Guest) Take() []string {
	out := g.asked
	g.asked = nil
	return out
}

// GuestReset is part of qdev.GuestActions.
func (g *Guest) GuestReset() { g.asked = append(g.asked, "reset") }

// GuestPoweroff is part of qdev.GuestActions.
func (g *Guest) GuestPoweroff() { g.asked = append(g.asked, "poweroff") }

// GuestPanicked is part of qdev.GuestActions.
func (g *Guest) GuestPanicked() { g.asked = append(g.asked, "panicked") }

// GuestCrashLoaded is part of qdev.GuestActions.
func (g *Guest) GuestCrashLoaded() { g.asked = append(g.asked, "crashloaded") }

// GuestExit is part of qdev.GuestActions.
func (g *Guest) GuestExit(status int) { g.asked = append(g.asked, fmt.Sprintf("exit %d", status)) }
