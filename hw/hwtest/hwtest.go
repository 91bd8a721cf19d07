// Package hwtest is a machine for tests of devices: address spaces with some
// RAM, a clock that stands until it is moved, and interrupts that are
// recorded. No guest code runs; the test is the guest.
//
// A Machine's access helpers take the VM lock. A test that calls a device's
// methods while something else could, such as a chardev, wraps them in Do.
package hwtest

import (
	"slices"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/clock"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// RAMSize is the guest RAM at address 0, in bytes.
const RAMSize = 64 << 20

// Machine is a qdev.Host and what stands behind it.
type Machine struct {
	*qdev.Host
	T   testing.TB
	RAM *memory.RAM
	// IRQ records what Host.Interrupts is told.
	IRQ *Interrupts
	// Posted and State stand behind Host.Events and Host.Run.
	Posted *Events
	State  *RunState
	// Asked stands behind Host.Guest.
	Asked *Guest

	mu sync.Mutex
}

// New makes a machine that knows the types that register adds to qdev's own.
// It lives as long as the test. The run state is "running", time is 0.
func New(t testing.TB, register ...func(*qom.Registry)) *Machine {
	t.Helper()
	types := qom.NewRegistry()
	qdev.RegisterTypes(types)
	for _, f := range register {
		f(types)
	}
	ram, err := memory.NewAnonRAM("ram", RAMSize)
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{T: t, RAM: ram, IRQ: newInterrupts(), Posted: &Events{}, State: &RunState{running: true}, Asked: &Guest{}}
	system := memory.NewContainer("system", memory.MaxSize)
	ports := memory.NewContainer("io", 0x10000)
	spaces := &memory.Map{}
	m.Host = &qdev.Host{
		Lock:       &m.mu,
		Map:        spaces,
		Memory:     spaces.NewSpace("memory", system, 0),
		IO:         spaces.NewSpace("I/O", ports, 0xff),
		System:     system,
		Ports:      ports,
		Clock:      clock.NewManual(&m.mu),
		Interrupts: m.IRQ,
		Log:        zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel),
		Chardevs:   &chardev.Registry{},
		Events:     m.Posted,
		Run:        m.State,
		Guest:      m.Asked,
		Boot:       &qdev.BootOrder{},
		Types:      types,
	}
	m.must(spaces.Add(system, memory.NewRAM(ram), 0, 0))
	m.tree()
	t.Cleanup(m.close)
	return m
}

func (m *Machine) tree() {
	container := func() qom.Object {
		o, err := m.Types.New("container")
		m.must(err)
		return o
	}
	root, machine := container(), container()
	m.Root, m.Peripheral, m.PeripheralAnon, m.Unattached = root, container(), container(), container()
	m.must(qom.AddChild(root, "machine", machine))
	m.must(qom.AddChild(machine, "peripheral", m.Peripheral))
	m.must(qom.AddChild(machine, "peripheral-anon", m.PeripheralAnon))
	m.must(qom.AddChild(machine, "unattached", m.Unattached))
	bus, err := m.NewBus("System", "main-system-bus", nil, 0)
	m.must(err)
	m.must(qom.AddChild(m.Unattached, "sysbus", bus))
	m.SysBus = bus
}

// close takes all devices away, so that what they own is stopped, and then
// the RAM.
func (m *Machine) close() {
	m.Do(func() {
		devices := m.SysBus.Devices()
		slices.Reverse(devices)
		for _, d := range devices {
			qdev.Delete(d)
		}
	})
	m.Chardevs.CloseAll()
	if err := m.RAM.Close(); err != nil {
		m.T.Errorf("closing the RAM: %v", err)
	}
}

func (m *Machine) must(err error) {
	m.T.Helper()
	if err != nil {
		m.T.Fatal(err)
	}
}

// Do runs f with the VM lock held.
func (m *Machine) Do(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// Add makes a device on a bus, nil for the main system bus, or fails the
// test. setup may be nil.
func Add[T qdev.Device](m *Machine, typ string, bus *qdev.Bus, setup func(T) error) T {
	m.T.Helper()
	var d qdev.Device
	var err error
	m.Do(func() {
		if bus == nil {
			bus = m.SysBus
		}
		d, err = m.Create(typ, bus, func(d qdev.Device) error {
			if setup == nil {
				return nil
			}
			return setup(d.(T))
		})
	})
	m.must(err)
	return d.(T)
}

// Step moves the clock by ns nanoseconds; timers on the way run.
func (m *Machine) Step(ns int64) {
	m.Do(func() { m.Clock.Advance(m.Clock.Now() + ns) })
}

// Line records the levels that an interrupt output takes.
type Line struct {
	IRQ    *qdev.IRQ
	Level  bool
	Raised int // rising edges
}

// NewLine makes a line to connect an output to.
func (m *Machine) NewLine() *Line {
	l := &Line{}
	l.IRQ = m.NewIRQ(0, func(_ int, level bool) {
		if level && !l.Level {
			l.Raised++
		}
		l.Level = level
	})
	return l
}
