package misc

import (
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Port92 is the "port92" device, the PS/2's system control port A: bit 0
// rising resets the machine, bit 1 is the gate of address line 20.
//
// The gate is an output of the device. As with KVM, memory accesses do not
// heed it.
type Port92 struct {
	isa.Device
	out uint8
	a20 *qdev.IRQ
}

const (
	port92Reset = 1 << 0
	port92A20   = 1 << 1
)

// Realize maps the port.
func (p *Port92) Realize(*qdev.Host) error {
	if err := p.AddGPIOOut("a20", &p.a20); err != nil {
		return err
	}
	return p.AddPorts(memory.NewIO("port92", 1, memory.OpsFuncs{
		ReadFunc:  func(uint64, int) uint64 { return uint64(p.out) },
		WriteFunc: p.write,
	}, memory.Access{ImplMax: 1}), 0x92)
}

func (p *Port92) write(_, v uint64, _ int) {
	old := p.out
	p.out = uint8(v)
	p.a20.Set(p.out&port92A20 != 0)
	if p.out&^old&port92Reset != 0 && p.Host().Guest != nil {
		p.Host().Guest.GuestReset()
	}
}

// Reset arms the fast reset again. The gate stays, as in QEMU.
func (p *Port92) Reset() { p.out &^= port92Reset }

func registerPort92(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "port92", Parent: "isa-device",
		New:   func() qom.Object { return new(Port92) },
		Class: &qdev.Class{BusType: "ISA", NotUserCreatable: true, NotHotpluggable: true},
	})
}
