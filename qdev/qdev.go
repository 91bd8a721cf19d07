// Package qdev is QEMU's device model on top of qom: devices that sit on
// buses, are realized and unrealized with everything undone in reverse order,
// are reset as a tree, and can be plugged and unplugged.
//
// Everything here is called with the VM lock held.
package qdev

import (
	"fmt"
	"sync"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/clock"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qom"
)

// Host is what a device may ask of the machine it is plugged into.
type Host struct {
	// Lock is the VM lock. It is held in every call to a device; a device's
	// own goroutine takes it before it touches the device.
	Lock sync.Locker
	// Map changes the address spaces; System and Ports are the roots
	// under which devices put their regions.
	Map           *memory.Map
	Memory, IO    *memory.Space
	System, Ports *memory.Region
	Clock         *clock.Clock
	Interrupts    accel.Interrupts
	Log           zerolog.Logger
	// Chardevs holds the character devices that devices name by id.
	Chardevs *chardev.Registry
	// Report prints one line for the user on standard error, after the
	// program's name.
	Report func(text string)
	// OpenFD opens a path below /dev/fdset for reading and writing, with
	// QEMU's error texts. Nil where there are no fd sets.
	OpenFD func(path string) (fd int, err error)
	// ReleaseFD says that a descriptor of OpenFD's is about to be closed. Nil
	// where there are no fd sets.
	ReleaseFD func(fd int)
	// TakeFD gives the caller a descriptor for good: one that the client
	// whose command is under way has named with getfd, or, by its number, one
	// that the process was started with. Errors have QEMU's texts. Nil where
	// there are none.
	TakeFD func(name string) (fd int, err error)
	// Await lets a guest access wait for done without the VM lock, which is
	// held again when it returns. It may return before done is closed, so
	// that a vCPU that is asked to pause does so at once. Nil waits for
	// done alone.
	Await func(done <-chan struct{})
	// Events takes what clients are told.
	Events EventSink
	Run    RunState
	// Guest takes what a guest asks of its machine. Nil ignores it.
	Guest GuestActions
	Boot  *BootOrder
	Types *qom.Registry
	// OnlyMigratable refuses devices that block migration.
	OnlyMigratable bool
	// Globals are the -global settings, in order.
	Globals []*Global

	// Root is the composition tree's root; the containers are
	// /machine/peripheral, /machine/peripheral-anon and
	// /machine/unattached.
	Root                                   qom.Object
	Peripheral, PeripheralAnon, Unattached qom.Object
	// SysBus is the main system bus.
	SysBus *Bus
	// Ready tells that the machine is complete: from then on a new device
	// is hotplugged.
	Ready bool

	busIDs map[string]int // next automatic bus number by type
}

// EventSink takes events for QMP clients. data is nil or a struct with
// qapi tags. It never blocks.
type EventSink interface{ Post(event string, data any) }

// GuestActions is what a guest asks of its machine by way of a device. The
// transition follows later; vCPUs stop before they go on. Called with the VM
// lock held, from within the guest's access.
type GuestActions interface {
	GuestReset()
	GuestPoweroff()
	// GuestPanicked does what -action panic= says. GuestCrashLoaded tells
	// clients that a kernel for the time after a crash has taken over.
	GuestPanicked()
	GuestCrashLoaded()
	// GuestExit ends the process with a status.
	GuestExit(status int)
}

// RunState tells devices whether the guest runs.
type RunState interface {
	// Running tells whether vCPUs run.
	Running() bool
	// OnChange calls f, with the VM lock held, after the vCPUs have begun
	// to run (true), and before a stop is complete (false). cancel takes f off.
	// f's error makes the client's command fail but not the transition.
	OnChange(f func(running bool) error) (cancel func())
}

// Class is a device type's part that is not per instance. It is the
// qom.Type's Class.
type Class struct {
	// BusType is the bus a device needs, "" for none.
	BusType string
	// Category is the heading in -device help.
	Category string
	Desc     string
	// NotUserCreatable keeps it from -device and device_add.
	NotUserCreatable bool
	// NotHotpluggable keeps it from device_add once the machine runs.
	NotHotpluggable bool
	// Unmigratable blocks the migration of a VM that has the device.
	Unmigratable bool
	// FWName is the device's name in firmware paths; "" takes the type's.
	FWName string
}

// Device is anything that embeds State.
type Device interface {
	qom.Object
	Qdev() *State
}

// Realizer is a device that does something when it is realized. It pushes
// the undo of each step with State.Defer; a failed Realize and an unrealize
// run the same stack.
type Realizer interface{ Realize(h *Host) error }

// Resetter is a device with state to reset.
type Resetter interface{ Reset() }

// State is what every device has.
type State struct {
	qom.State
	id         string
	self       Device
	bus        *Bus
	buses      []*Bus
	host       *Host
	realized   bool
	hotplugged bool
	unplugging bool
	cleanup    []func()
	gpioIn     map[string][]*IRQ
	gpioOut    []*gpioOut
}

// Qdev makes State satisfy Device.
func (s *State) Qdev() *State { return s }

// Self is the whole device that the state is a part of, nil before it is made
// by New.
func (s *State) Self() Device { return s.self }

// ID is the device's id as the user gave it, "" for an anonymous one.
func (s *State) ID() string { return s.id }

// Bus is the bus the device sits on, nil for none.
func (s *State) Bus() *Bus { return s.bus }

// Buses lists the buses the device provides.
func (s *State) Buses() []*Bus { return s.buses }

// Host is the machine, nil before the device is made by New.
func (s *State) Host() *Host { return s.host }

// Realized tells whether the device works.
func (s *State) Realized() bool { return s.realized }

// Hotplugged tells whether the device came after the machine was complete.
func (s *State) Hotplugged() bool { return s.hotplugged }

// Unplugging tells whether an unplug waits for the guest.
func (s *State) Unplugging() bool { return s.unplugging }

// SetUnplugging notes that an unplug waits for the guest.
func (s *State) SetUnplugging(on bool) { s.unplugging = on }

// Defer pushes the undo of something done during Realize.
func (s *State) Defer(undo func()) { s.cleanup = append(s.cleanup, undo) }

func (s *State) unwind() {
	for n := len(s.cleanup); n > 0; n = len(s.cleanup) {
		undo := s.cleanup[n-1]
		s.cleanup = s.cleanup[:n-1]
		undo()
	}
}

// ClassOf is the device type's class; a type without one has an empty class.
func ClassOf(t *qom.Type) *Class {
	if c, ok := t.ClassData().(*Class); ok {
		return c
	}
	return &Class{}
}

// Hotpluggable is the property of that name: whether the device may come
// and go while the VM runs.
func (s *State) Hotpluggable() bool {
	return !ClassOf(s.Type()).NotHotpluggable && (s.bus == nil || s.bus.hotplug != nil)
}

// RegisterTypes adds the types that all devices derive from.
func RegisterTypes(r *qom.Registry) {
	dev := func(o qom.Object) *State { return o.(Device).Qdev() }
	r.Register(qom.Type{
		Name: "device", Parent: "object", Abstract: true,
		Properties: []*qom.Property{
			{Name: "realized", Type: "bool",
				Get: func(o qom.Object) (any, error) { return dev(o).realized, nil },
				Set: setRealized},
			{Name: "hotpluggable", Type: "bool", Get: func(o qom.Object) (any, error) { return dev(o).Hotpluggable(), nil }},
			{Name: "hotplugged", Type: "bool", Get: func(o qom.Object) (any, error) { return dev(o).hotplugged, nil }},
			{Name: "parent_bus", Type: "link<bus>", Get: func(o qom.Object) (any, error) {
				if b := dev(o).bus; b != nil {
					return qom.Path(b), nil
				}
				return "", nil
			}},
		},
	})
	r.Register(qom.Type{Name: "sys-bus-device", Parent: "device", Abstract: true,
		Class: &Class{BusType: "System", NotUserCreatable: true, NotHotpluggable: true}})
	r.Register(qom.Type{Name: "hotplug-handler", Parent: "interface", Abstract: true})
	r.Register(qom.Type{
		Name: "bus", Parent: "object", Abstract: true, Interfaces: nil,
		New: func() qom.Object { return new(Bus) },
		Properties: []*qom.Property{
			// QEMU never realizes the main system bus.
			{Name: "realized", Type: "bool", Get: func(o qom.Object) (any, error) { return o.(*Bus).owner != nil, nil }},
			{Name: "hotplug-handler", Type: "link<hotplug-handler>", Get: func(o qom.Object) (any, error) {
				if h, ok := o.(*Bus).hotplug.(qom.Object); ok {
					return qom.Path(h), nil
				}
				return "", nil
			}},
		},
	})
	r.Register(qom.Type{Name: "System", Parent: "bus"})
	r.Register(qom.Type{Name: "irq", Parent: "object", New: func() qom.Object { return new(IRQ) }})
	r.Register(memoryRegionType())
}

func setRealized(o qom.Object, v qom.Value) error {
	on, err := v.Bool("realized")
	if err != nil {
		return err
	}
	d := o.(Device)
	if on == d.Qdev().realized {
		return nil
	}
	if on {
		return Realize(d)
	}
	// A client must not take the machine's own parts out of it.
	if !d.Qdev().Hotpluggable() {
		return fmt.Errorf("Device '%s' does not support hotplugging", d.QOM().TypeName())
	}
	Unrealize(d)
	return nil
}
