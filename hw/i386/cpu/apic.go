package cpu

import (
	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Where local APICs are (Intel SDM volume 3, section 11.4).
const (
	apicBase     = 0xfee00000
	apicSize     = 1 << 20
	apicPriority = 0x1000
)

// addAPIC makes the CPU's local APIC: on a bus of them a working one, elsewhere
// its object alone. The first CPU's puts the window into the memory map in
// which a write is a message signalled interrupt. Guest code does not reach
// it where the kernel has the APICs; where they are here a vCPU reaches its
// own APIC in the window's first page.
func (c *CPU) addAPIC(h *qdev.Host) (accel.LocalAPIC, error) {
	typ, region := "apic", "apic-msi"
	if c.accel.Name() == "kvm" && c.apics == nil {
		typ, region = "kvm-apic", "kvm-apic-msi"
	}
	d, err := h.New(typ)
	if err != nil {
		return nil, err
	}
	d.(intc.APICObject).SetInitialID(c.apicID)
	var local accel.LocalAPIC
	if a, ok := d.(*intc.LAPIC); ok && c.apics != nil {
		a.Bus = c.apics
		local = a
	}
	if err := qom.AddChild(c, "lapic", d); err != nil {
		return nil, err
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
		return nil, err
	}
	if c.index == 0 {
		if err := h.Map.Add(h.System, window, apicBase, apicPriority); err != nil {
			return nil, err
		}
		c.Defer(func() { _ = h.Map.Remove(window) })
	}
	return local, qdev.Realize(d)
}
