// Package pci is PCI and PCI Express: functions with their configuration
// space, base address registers and interrupts (by line, MSI and MSI-X), buses,
// bridges with their windows, and root ports.
//
// A function is a device that embeds [Function] and implements [Model]. Its bus
// is a qdev bus of type "PCI" or "PCIE" whose owner, a host bridge or a bridge,
// is a [Parent]. Unless a comment says otherwise everything is called with the
// VM lock held.
package pci

import (
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// RegisterTypes adds the buses, the types that PCI devices derive from, and
// the root ports.
func RegisterTypes(r *qom.Registry) {
	r.Register(qom.Type{Name: "PCI", Parent: "bus"})
	r.Register(qom.Type{Name: "PCIE", Parent: "PCI"})
	r.Register(qom.Type{Name: "conventional-pci-device", Parent: "interface", Abstract: true})
	r.Register(qom.Type{Name: "pci-express-device", Parent: "interface", Abstract: true})
	r.Register(qom.Type{
		Name: "pci-device", Parent: "device", Abstract: true,
		Class:      &qdev.Class{BusType: "PCI"},
		Properties: functionProperties(),
	})
	r.Register(qom.Type{Name: "pci-host-bridge", Parent: "sys-bus-device", Abstract: true, Properties: []*qom.Property{
		qdev.Field("x-config-reg-migration-enabled", func(h hostBridge) *bool { return &h.pciHost().regMigration }, true),
		qdev.Field("bypass-iommu", func(h hostBridge) *bool { return &h.pciHost().bypassIOMMU }, false),
	}})
	r.Register(qom.Type{Name: "pcie-host-bridge", Parent: "pci-host-bridge", Abstract: true})
	r.Register(qom.Type{Name: "base-pci-bridge", Parent: "pci-device", Abstract: true})
	registerPorts(r)
}
