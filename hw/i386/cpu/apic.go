package cpu

import (
	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Where local APICs are, and what they answer as their version (Intel SDM
// volume 3, section 11.4).
const (
	apicBase     = 0xfee00000
	apicSize     = 1 << 20
	apicPriority = 0x1000
	apicVersion  = 0x14
)

// apic is the object of a local APIC. The APIC itself is in the kernel; where
// no guest runs only its message window exists.
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

// addAPIC makes the CPU's local APIC object. The first CPU's puts the window
// into the memory map in which a write is a message signalled interrupt; guest
// code does not reach it where the kernel has the APICs.
func (c *CPU) addAPIC(h *qdev.Host, kvm bool) error {
	typ, region := "apic", "apic-msi"
	if kvm {
		typ, region = "kvm-apic", "kvm-apic-msi"
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
	vm := c.accel
	window := memory.NewIO(region, apicSize, memory.OpsFuncs{
		WriteFunc: func(offset, value uint64, size int) {
			if size == 4 {
				if err := vm.SendMSI(accel.MSI{Addr: apicBase + offset, Data: uint32(value)}); err != nil {
					h.Log.Error().Err(err).Msg("message signalled interrupt is lost")
				}
			}
		},
	}, memory.Access{})
	if err := h.ExposeRegion(d, window); err != nil {
		return err
	}
	if c.index == 0 {
		if err := h.Map.Add(h.System, window, apicBase, apicPriority); err != nil {
			return err
		}
		c.Defer(func() { _ = h.Map.Remove(window) })
	}
	return qdev.Realize(d)
}
