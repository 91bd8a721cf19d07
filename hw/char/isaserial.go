package char

import (
	"fmt"

	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// ISASerial is the "isa-serial" device: a UART at one of the PC's four
// places. Its chardev, baudbase and wakeup properties are the UART's.
type ISASerial struct {
	isa.Device
	index, ioBase, irqNum uint32
	uart                  *UART
	types                 *qom.Registry
}

// auto stands for a property that the index decides.
const auto = ^uint32(0)

// The PC's serial ports, by index.
var (
	serialPorts = [...]uint32{0x3f8, 0x2f8, 0x3e8, 0x2e8}
	serialIRQs  = [...]uint32{4, 3, 4, 3}
)

// UART is the chip of the port.
func (s *ISASerial) UART() *UART { return s.uart }

// InitInstance makes the UART, which is part of the device from the start.
func (s *ISASerial) InitInstance() {
	o, err := s.types.New("serial")
	if err == nil {
		s.uart = o.(*UART)
		err = qom.AddChild(s, "serial", o)
	}
	if err != nil {
		panic(fmt.Sprintf("char: %v", err)) // RegisterTypes adds the type
	}
}

// Realize finds the port's place and puts the UART there.
func (s *ISASerial) Realize(h *qdev.Host) error {
	if s.index == auto {
		s.index = s.nextIndex()
	}
	if s.index >= uint32(len(serialPorts)) {
		return fmt.Errorf("Max. supported number of ISA serial ports is %d.", len(serialPorts))
	}
	if s.ioBase == auto {
		s.ioBase = serialPorts[s.index]
	}
	if s.irqNum == auto {
		s.irqNum = serialIRQs[s.index]
	}
	if s.ioBase > 0xffff {
		return fmt.Errorf("iobase 0x%x is no I/O port", s.ioBase)
	}
	irq, err := s.Line(uint64(s.irqNum))
	if err != nil {
		return err
	}
	s.uart.SetIRQ(irq)
	if err := qdev.Realize(s.uart); err != nil {
		return err
	}
	s.Defer(func() { qdev.Unrealize(s.uart) })
	return s.AddPorts(s.uart.Registers("serial"), uint16(s.ioBase))
}

// nextIndex counts the ports that are on the bus already.
func (s *ISASerial) nextIndex() uint32 {
	var n uint32
	if s.Bus() == nil {
		return n
	}
	for _, d := range s.Bus().Devices() {
		if o, ok := d.(*ISASerial); ok && o.Realized() {
			n++
		}
	}
	return n
}

// Reset resets the UART.
func (s *ISASerial) Reset() { qdev.Reset(s.uart) }

func registerISASerial(r *qom.Registry) {
	props := []*qom.Property{
		qdev.Field("index", func(s *ISASerial) *uint32 { return &s.index }, auto),
		qdev.Field("iobase", func(s *ISASerial) *uint32 { return &s.ioBase }, auto),
		qdev.Field("irq", func(s *ISASerial) *uint32 { return &s.irqNum }, auto),
	}
	for _, p := range r.Lookup("serial").Properties {
		alias := &qom.Property{Name: p.Name, Type: p.Type, Description: p.Description, Default: p.Default, Instance: true}
		alias.Get = func(o qom.Object) (any, error) { return p.Get(o.(*ISASerial).uart) }
		alias.Set = func(o qom.Object, v qom.Value) error { return p.Set(o.(*ISASerial).uart, v) }
		props = append(props, alias)
	}
	r.Register(qom.Type{
		Name: "isa-serial", Parent: "isa-device",
		New:        func() qom.Object { return &ISASerial{types: r} },
		Class:      &qdev.Class{BusType: "ISA", Category: "Input", FWName: "serial"},
		Properties: props,
	})
}
