package qdev

import (
	"fmt"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qom"
)

// SysBus is the state of a device at a fixed place: memory and port regions
// and interrupt outputs. Devices of types derived from "sys-bus-device"
// embed it.
type SysBus struct {
	State
	mmio []*memory.Region
}

// SysBusDevice is anything that embeds SysBus.
type SysBusDevice interface {
	Device
	Sys() *SysBus
}

// Sys makes SysBus satisfy SysBusDevice.
func (s *SysBus) Sys() *SysBus { return s }

// InitMMIO declares the device's next memory region.
func (s *SysBus) InitMMIO(r *memory.Region) error {
	s.mmio = append(s.mmio, r)
	return s.host.ExposeRegion(s.self, r)
}

// InitIRQ declares interrupt outputs "sysbus-irq[0]" and so on.
func (s *SysBus) InitIRQ(slots ...**IRQ) error { return s.AddGPIOOut("sysbus-irq", slots...) }

// ConnectIRQ leads interrupt output n to irq.
func (s *SysBus) ConnectIRQ(n int, irq *IRQ) { s.Connect("sysbus-irq", n, irq) }

// MapMMIO puts memory region n at a guest physical address.
func (s *SysBus) MapMMIO(n int, addr uint64) error {
	return s.host.Map.Add(s.host.System, s.mmio[n], addr, 0)
}

// MMIO lists the memory regions.
func (s *SysBus) MMIO() []*memory.Region { return s.mmio }

// NewSysBus makes a device, puts it on the main system bus and realizes it.
// setup may set properties before that.
func (h *Host) NewSysBus(typ string, setup func(Device) error) (Device, error) {
	return h.Create(typ, h.SysBus, setup)
}

// Create makes a device that belongs to the machine, puts it on bus (nil for
// none) and realizes it.
func (h *Host) Create(typ string, bus *Bus, setup func(Device) error) (Device, error) {
	d, err := h.New(typ)
	if err != nil {
		return nil, err
	}
	if setup != nil {
		err = setup(d)
	}
	if err == nil && bus != nil {
		err = bus.Attach(d)
	}
	if err == nil {
		err = Realize(d)
	}
	if err != nil {
		Delete(d)
		return nil, fmt.Errorf("%s: %w", typ, err)
	}
	return d, nil
}

// memoryRegion makes a memory.Region visible as an object.
type memoryRegion struct {
	qom.State
	r *memory.Region
}

func memoryRegionType() qom.Type {
	ro := func(name, typ string, get func(*memory.Region) any) *qom.Property {
		return qom.NewProperty(name, typ, nil, func(m *memoryRegion) any { return get(m.r) }, nil, nil)
	}
	return qom.Type{
		Name: "memory-region", Parent: "object",
		New: func() qom.Object { return new(memoryRegion) },
		Properties: []*qom.Property{
			ro("addr", "uint64", func(r *memory.Region) any { return r.Addr() }),
			ro("size", "uint64", func(r *memory.Region) any { return max(r.Last()+1, r.Last()) }), // 2^64-1 for 2^64
			ro("priority", "uint32", func(r *memory.Region) any { return uint64(uint32(int32(r.Priority()))) }),
		},
	}
}

// ExposeRegion shows a region as a child of its owner, named after it, as in
// "virtio-mmio[0]".
func (h *Host) ExposeRegion(owner qom.Object, r *memory.Region) error {
	o, err := h.Types.New("memory-region")
	if err != nil {
		return err
	}
	o.(*memoryRegion).r = r
	r.Object = o
	err = qom.AddLink(o, "container", "memory-region", func() qom.Object {
		if c := r.Container(); c != nil {
			if o, ok := c.Object.(qom.Object); ok {
				return o
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return qom.AddChild(owner, r.Name()+"[*]", o)
}
