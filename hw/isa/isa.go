// Package isa is the ISA bus: 16 interrupt lines and the first ports of the
// I/O space, behind a bridge that is a device of the machine.
package isa

import (
	"fmt"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Lines is how many interrupt lines the bus has.
const Lines = 16

// Bridge is the "isabus-bridge" device. It provides the bus "isa.0".
type Bridge struct {
	qdev.SysBus
	bus  *qdev.Bus
	irqs [Lines]*qdev.IRQ
}

// New puts a bridge on the main system bus. Device line n leads to irqs[n];
// irqs may be shorter than Lines and hold nil.
func New(h *qdev.Host, irqs []*qdev.IRQ) (*Bridge, error) {
	d, err := h.NewSysBus("isabus-bridge", func(d qdev.Device) error {
		copy(d.(*Bridge).irqs[:], irqs)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d.(*Bridge), nil
}

// ISA is the bus that the bridge provides.
func (b *Bridge) ISA() *qdev.Bus { return b.bus }

func (b *Bridge) isaLine(n uint64) *qdev.IRQ { return b.irqs[n] }

// SetIRQ leads a line somewhere else. Devices realized before keep the old
// end.
func (b *Bridge) SetIRQ(n int, irq *qdev.IRQ) { b.irqs[n] = irq }

// Realize makes the bus.
func (b *Bridge) Realize(h *qdev.Host) error {
	bus, err := h.NewBus("ISA", "", b, 0)
	if err != nil {
		return err
	}
	b.Defer(bus.Remove)
	bus.FWPath = firmwarePath
	b.bus = bus
	return nil
}

// firmwarePath is the name of a device on the bus, as in "serial@03f8".
func firmwarePath(d qdev.Device) string {
	name := qdev.ClassOf(d.QOM().Type()).FWName
	if name == "" {
		name = d.QOM().TypeName()
	}
	if i, ok := d.(interface{ firstPort() (uint16, bool) }); ok {
		if port, ok := i.firstPort(); ok {
			return fmt.Sprintf("%s@%04x", name, port)
		}
	}
	return name
}

// Device is the state of a device on the bus. Devices of types derived from
// "isa-device" embed it.
type Device struct {
	qdev.State
	port    uint16
	hasPort bool
}

func (d *Device) firstPort() (uint16, bool) { return d.port, d.hasPort }

// AddPorts maps a region of the device at a port, until it is unrealized.
func (d *Device) AddPorts(r *memory.Region, port uint16) error {
	h := d.Host()
	if err := h.Map.Add(h.Ports, r, uint64(port), 0); err != nil {
		return err
	}
	d.Defer(func() {
		if err := h.Map.Remove(r); err != nil {
			h.Log.Error().Err(err).Str("region", r.Name()).Msg("unmapping ports")
		}
	})
	if !d.hasPort {
		d.port, d.hasPort = port, true
	}
	return h.ExposeRegion(d.Self(), r)
}

// Line is interrupt line n of the device's bus; nil leads nowhere.
func (d *Device) Line(n uint64) (*qdev.IRQ, error) {
	if n >= Lines {
		return nil, fmt.Errorf(`Maximum value for "irq" is: %d`, Lines-1)
	}
	if d.Bus() == nil {
		return nil, nil
	}
	b, ok := d.Bus().Owner().(interface{ isaLine(n uint64) *qdev.IRQ })
	if !ok {
		return nil, nil
	}
	return b.isaLine(n), nil
}

// RegisterTypes adds the bus, its bridge and the type its devices derive
// from.
func RegisterTypes(r *qom.Registry) {
	r.Register(qom.Type{Name: "ISA", Parent: "bus"})
	r.Register(qom.Type{
		Name: "isabus-bridge", Parent: "sys-bus-device",
		New: func() qom.Object { return new(Bridge) },
		Class: &qdev.Class{BusType: "System", FWName: "isa", Category: "Controller/Bridge/Hub",
			NotUserCreatable: true, NotHotpluggable: true},
	})
	r.Register(qom.Type{Name: "isa-device", Parent: "device", Abstract: true, Class: &qdev.Class{BusType: "ISA"}})
	registerDMA(r)
}
