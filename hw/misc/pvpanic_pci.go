package misc

import (
	"github.com/gqemu/gqemu/hw/pci"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// PCIPanic is the "pvpanic-pci" device: what [Panic] is at a port, as a PCI
// function with a register in memory.
type PCIPanic struct {
	pci.Function
	events uint8
}

// panicBARLen is the length of its memory, in bytes.
const panicBARLen = 2

// Identity is part of pci.Model.
func (p *PCIPanic) Identity() pci.Identity {
	return pci.Identity{Vendor: 0x1b36, Device: 0x0011, Revision: 1, Class: 0x0880}
}

// RealizePCI declares the register.
func (p *PCIPanic) RealizePCI(h *qdev.Host) error {
	r := panicRegister(h, panicBARLen, &p.events)
	if err := p.AddBAR(0, pci.BARMem32, r); err != nil {
		return err
	}
	return h.ExposeRegion(p, r)
}

// RegisterPCITypes adds the devices that are PCI functions. Package pci's types
// are registered already.
func RegisterPCITypes(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "pvpanic-pci", Parent: "pci-device", Interfaces: []string{"conventional-pci-device"},
		New:   func() qom.Object { return new(PCIPanic) },
		Class: &qdev.Class{BusType: "PCI", Category: "Misc"},
		Properties: []*qom.Property{
			qdev.Field("events", func(p *PCIPanic) *uint8 { return &p.events }, panicked|crashLoaded),
		},
	})
}
