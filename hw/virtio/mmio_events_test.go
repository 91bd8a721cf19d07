package virtio

import (
	"errors"
	"testing"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

const (
	testIOAPIC = 0xfec10000
	testPin    = 7
	pinLevel   = 1 << 15
	pinMasked  = 1 << 16
)

// signaller is a device that signals eventfds.
type signaller struct {
	dummy
	calls []*sys.Eventfd
}

// CallFD is part of CallSource.
func (s *signaller) CallFD(n int) int { return s.calls[n].FD() }

// Realize makes the eventfds, which live longer than the plug.
func (s *signaller) Realize(h *qdev.Host) error {
	for range testQueues {
		e, err := sys.NewEventfd()
		if err != nil {
			return err
		}
		s.Defer(func() { e.Close() })
		s.calls = append(s.calls, e)
	}
	return s.dummy.Realize(h)
}

func registerSignaller(r *qom.Registry) {
	register(r)
	isa.RegisterTypes(r)
	intc.RegisterTypes(r)
	r.Register(qom.Type{Name: "test-signaller", Parent: "virtio-device", New: func() qom.Object {
		d := &signaller{dummy: dummy{config: make([]byte, 24)}}
		d.setup = Setup{DeviceID: 2, ConfigSize: 24, Features: testFeatures, Queues: testQueues, QueueMax: 256}
		d.setup.Model = dummyModel{&d.dummy}
		return d
	}})
}

// eventRig is a transport on pin testPin of an IOAPIC, in a machine whose
// kernel has irqfds.
type eventRig struct {
	rig
	k   *hwtest.Kernel
	src *signaller
	pic *intc.IOAPIC
	fds *fdWatch
}

// lines leads to an IOAPIC as a machine's do.
type lines struct{ a *intc.IOAPIC }

func (l lines) BindEvents(n int, e *qdev.Events) bool { return l.a.BindEvents(n, e) }
func (l lines) UnbindEvents(n int)                    { l.a.UnbindEvents(n) }

func newEventRig(t testing.TB, props map[string]bool) *eventRig {
	t.Helper()
	m := hwtest.New(t, registerSignaller)
	r := &eventRig{rig: rig{Machine: m, line: &hwtest.Line{}}, k: hwtest.NewKernel(m.IRQ), fds: &fdWatch{}}
	m.Host.Interrupts = r.k
	r.pic = hwtest.Add(m, "ioapic", nil, func(a *intc.IOAPIC) error { a.GSIBase = 24; return nil })
	r.mmio = hwtest.Add(m, "virtio-mmio", nil, func(x *MMIO) error {
		err := qom.Set(x, "force-legacy", qom.JSON(false))
		for name, on := range props {
			err = errors.Join(err, qom.Set(x, name, qom.JSON(on)))
		}
		return err
	})
	r.Do(func() {
		irq := m.NewIRQ(0, func(_ int, level bool) {
			r.line.Level = level
			r.pic.GPIOIn("", testPin).Set(level)
		})
		irq.SetEventInput(lines{r.pic}, testPin)
		r.mmio.ConnectIRQ(0, irq)
		err := errors.Join(r.pic.MapMMIO(0, testIOAPIC), r.mmio.MapMMIO(0, base), m.Memory.Listen(r.fds))
		if err != nil {
			t.Fatal(err)
		}
	})
	r.src = hwtest.Add[*signaller](m, "test-signaller", r.mmio.Buses()[0], nil)
	r.dev = &r.src.dummy
	return r
}

// program writes the low half of the pin's redirection entry.
func (r *eventRig) program(v uint32) {
	r.Writel(testIOAPIC, 0x10+2*testPin)
	r.Writel(testIOAPIC+0x10, v)
}

// wantSent checks how many messages were sent since last asked.
func (r *eventRig) wantSent(what string, n int) {
	r.T.Helper()
	if got := r.IRQ.TakeMSIs(); len(got) != n {
		r.T.Errorf("%s: %d messages, want %d", what, len(got), n)
	}
}

// ackEvents are the ioeventfds of acknowledgements.
func (r *eventRig) ackEvents() (out []memory.IOEventFD) {
	for _, e := range r.fds.have {
		if e.Match && e.Data == interruptQueue && e.FD != r.dev.Queue(1).Kick.FD() {
			out = append(out, e)
		}
	}
	return out
}

func (r *eventRig) active() bool {
	v, err := qom.Get(r.mmio, "x-irqfd-active")
	if err != nil {
		r.T.Fatal(err)
	}
	return v.(bool)
}

// With an edge-triggered pin the eventfds are the interrupts: bit 0 reads 1
// from DRIVER_OK to reset, whoever acknowledges it, and only changes of the
// configuration come and go.
func TestQueueInterruptsWithoutThisProcess(t *testing.T) {
	r := newEventRig(t, nil)
	if !r.mmio.EdgeTriggered() {
		t.Error("the guest would not be told of edges")
	}
	r.program(0x41)
	r.want(regInterruptStatus, 0)
	r.live()
	if n := r.k.IRQFDs(); n != testQueues || !r.active() {
		t.Fatalf("%d irqfds, active %v", n, r.active())
	}
	r.wantSent("nothing has happened", 0)
	r.want(regInterruptStatus, 1)
	for n, e := range r.src.calls {
		if err := r.k.Signal(e.FD()); err != nil {
			t.Fatal(err)
		}
		r.wantSent("a signal", 1)
		if c, _ := e.Drain(); c != 0 {
			t.Errorf("queue %d left a count of %d", n, c)
		}
	}
	r.write(regInterruptACK, 1)
	r.want(regInterruptStatus, 1)

	r.Do(r.dev.ConfigChanged)
	r.wantSent("a change of the configuration", 1)
	r.want(regInterruptStatus, 3)
	r.write(regInterruptACK, 1)
	r.want(regInterruptStatus, 3)
	r.wantSent("what was acknowledged is not what is pending", 0)
	r.write(regInterruptACK, 3)
	r.want(regInterruptStatus, 1)
	if r.line.Level {
		t.Error("the line is high with nothing pending")
	}

	// What this process found in an eventfd all the same.
	r.Do(func() { r.dev.QueueUsed(1) })
	r.wantSent("relayed", 1)
	r.want(regInterruptStatus, 1)
	if v, err := qom.Get(r.mmio, "x-relayed-interrupts"); v != uint64(1) || err != nil {
		t.Errorf("%v relayed, %v", v, err)
	}
	r.program(pinMasked | 0x41)
	r.Do(func() { r.dev.QueueUsed(1) })
	r.wantSent("relayed while masked", 0)
	r.program(0x41)
	r.wantSent("unmasked", 1)

	r.write(regStatus, 0)
	r.want(regInterruptStatus, 0)
	if n := r.k.IRQFDs(); n != 0 || r.active() || r.line.Level {
		t.Errorf("after a reset %d irqfds, active %v, line %v", n, r.active(), r.line.Level)
	}
}

// Bit 0 goes the old way while the pin is level-triggered; each change is one
// interrupt more, and none less.
func TestQueueInterruptsFollowThePin(t *testing.T) {
	r := newEventRig(t, nil)
	r.program(pinLevel | 0x41)
	r.live()
	r.want(regInterruptStatus, 0)
	r.Do(func() { r.dev.QueueUsed(0) })
	r.wantSent("level", 1)
	r.want(regInterruptStatus, 1)
	r.write(regInterruptACK, 1)
	r.want(regInterruptStatus, 0)
	r.Do(func() { r.pic.EOI(0x41) })

	r.program(0x42)
	r.wantSent("edge, with nothing pending", 0)
	r.want(regInterruptStatus, 1)
	r.program(pinLevel | 0x43)
	r.wantSent("level after edge", 1)
	r.want(regInterruptStatus, 1)
	r.Do(func() { r.pic.EOI(0x43) })
	r.wantSent("until it is acknowledged", 1)
	r.write(regInterruptACK, 1)
	r.want(regInterruptStatus, 0)
	r.Do(func() { r.pic.EOI(0x43) })

	// Found while the pin was masked and not yet the kernel's.
	r.program(pinLevel | pinMasked | 0x43)
	r.Do(func() { r.dev.QueueUsed(2) })
	r.program(pinMasked | 0x43)
	r.wantSent("masked", 0)
	r.want(regInterruptStatus, 1)
	r.program(0x43)
	r.wantSent("edge, with one pending", 1)
	r.want(regInterruptStatus, 1)
	if !r.active() {
		t.Error("not the kernel's")
	}
}

// Acknowledgements of bit 0 alone go to an eventfd while they do nothing, and
// only then.
func TestAcknowledgementsWithoutThisProcess(t *testing.T) {
	r := newEventRig(t, nil)
	check := func(what string, want int) {
		t.Helper()
		if got := r.ackEvents(); len(got) != want || want == 1 && (r.fds.addr != base+regInterruptACK || got[0].Size != 4) {
			t.Errorf("%s: %v at %#x, want %d", what, got, r.fds.addr, want)
		}
	}
	r.program(0x41)
	check("before DRIVER_OK", 0)
	r.live()
	check("edges", 1)
	r.program(pinLevel | 0x41)
	check("level", 0)
	r.program(0x41)
	check("edges", 1)
	r.Do(func() { qdev.Reset(r.src); qdev.Reset(r.mmio) })
	check("reset", 0)
	r.program(0x41)
	r.live()
	r.Do(func() { qdev.Delete(r.src) })
	if len(r.fds.have) != 0 || r.k.IRQFDs() != 0 {
		t.Errorf("unplugged with %v and %d irqfds", r.fds.have, r.k.IRQFDs())
	}
}

// Without room for the ioeventfd the acknowledgement reaches this process.
func TestAcknowledgementsWithoutAnEventfd(t *testing.T) {
	r := newEventRig(t, nil)
	r.program(0x41)
	r.fds.failAt = r.fds.added + 1
	r.live()
	if len(r.ackEvents()) != 0 || !r.active() {
		t.Errorf("%v, active %v", r.ackEvents(), r.active())
	}
	r.write(regInterruptACK, 1)
	r.want(regInterruptStatus, 1)
	r.write(regStatus, 0)
	if n := r.dev.IllegalMoves(); n != 0 || r.k.IRQFDs() != 0 {
		t.Errorf("%d moves refused, %d irqfds", n, r.k.IRQFDs())
	}
}

// Everything goes the old way where the kernel has no room, the properties say
// so, or the line leads nowhere that could take eventfds.
func TestQueueInterruptsThroughThisProcess(t *testing.T) {
	old := func(what string, r *eventRig, edge bool) {
		t.Helper()
		if got := r.mmio.EdgeTriggered(); got != edge {
			t.Errorf("%s: edge-triggered %v", what, got)
		}
		r.program(0x41)
		r.live()
		r.want(regInterruptStatus, 0)
		r.Do(func() { r.dev.QueueUsed(0) })
		r.want(regInterruptStatus, 1)
		r.write(regInterruptACK, 1)
		r.want(regInterruptStatus, 0)
		r.wantSent(what, 1)
		if r.k.IRQFDs() != 0 || len(r.ackEvents()) != 0 || r.active() {
			t.Errorf("%s: %d irqfds, %v, active %v", what, r.k.IRQFDs(), r.ackEvents(), r.active())
		}
		r.write(regStatus, 0)
	}
	r := newEventRig(t, nil)
	r.k.LimitIRQFDs(testQueues - 1)
	old("no room", r, true)
	old("x-irqfd=off", newEventRig(t, map[string]bool{"x-irqfd": false}), false)
	r = newEventRig(t, nil)
	r.Do(func() { r.mmio.ConnectIRQ(0, r.pic.GPIOIn("", testPin)) })
	old("a pin that takes no eventfds", r, false)

	r = newEventRig(t, map[string]bool{"ioeventfd": false})
	r.program(0x41)
	r.live()
	if len(r.fds.have) != 0 || !r.active() {
		t.Errorf("ioeventfd=off: %v, active %v", r.fds.have, r.active())
	}
}
