package cpu

import (
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// apicVersion is what local APICs answer as their version (Intel SDM volume
// 3, section 11.4.8).
const apicVersion = 0x14

// apic is the object of a local APIC. The APIC itself is in the kernel; where
// no guest runs there is none.
type apic struct {
	qdev.State
	id uint32
}

func registerAPIC(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "apic-common", Parent: "device", Abstract: true,
		New:   func() qom.Object { return new(apic) },
		Class: &qdev.Class{NotUserCreatable: true},
		Properties: []*qom.Property{
			qom.NewProperty("version", "uint8", nil, func(*apic) any { return uint64(apicVersion) }, nil, nil),
			qom.NewProperty("id", "uint32", nil, func(a *apic) any { return uint64(a.id) }, nil, nil),
		},
	})
	r.Register(qom.Type{Name: "apic", Parent: "apic-common"})
	r.Register(qom.Type{Name: "kvm-apic", Parent: "apic-common"})
}

// addAPIC makes the CPU's local APIC object.
func (c *CPU) addAPIC(h *qdev.Host, kvm bool) error {
	typ := "apic"
	if kvm {
		typ = "kvm-apic"
	}
	d, err := h.New(typ)
	if err != nil {
		return err
	}
	d.(*apic).id = c.apicID
	if err := qom.AddChild(c, "lapic", d); err != nil {
		return err
	}
	c.Defer(func() { qdev.Delete(d) })
	return qdev.Realize(d)
}
