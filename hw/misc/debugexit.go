package misc

import (
	"fmt"

	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// DebugExit is the "isa-debug-exit" device: a write of v ends the process
// with exit status v*2+1. Reads give 0.
type DebugExit struct {
	isa.Device
	ioBase, ioSize uint32
}

// Realize maps the ports.
func (d *DebugExit) Realize(*qdev.Host) error {
	if err := checkPorts("isa-debug-exit", d.ioBase, d.ioSize); err != nil {
		return err
	}
	return d.AddPorts(memory.NewIO("isa-debug-exit", uint64(d.ioSize), memory.OpsFuncs{
		WriteFunc: func(_, v uint64, _ int) {
			if g := d.Host().Guest; g != nil {
				g.GuestExit(int(uint32(v)<<1 | 1))
			}
		},
	}, memory.Access{ValidMin: 1, ValidMax: 4}), uint16(d.ioBase))
}

// checkPorts tells whether a range of ports is one.
func checkPorts(who string, base, size uint32) error {
	if size == 0 || size > 0x10000 || base > 0x10000-size {
		return fmt.Errorf("%s: %d ports at 0x%x are beyond the I/O space", who, size, base)
	}
	return nil
}

func registerDebugExit(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "isa-debug-exit", Parent: "isa-device",
		New:   func() qom.Object { return new(DebugExit) },
		Class: &qdev.Class{BusType: "ISA", Category: "Misc"},
		Properties: []*qom.Property{
			qdev.Field("iobase", func(d *DebugExit) *uint32 { return &d.ioBase }, 0x501),
			qdev.Field("iosize", func(d *DebugExit) *uint32 { return &d.ioSize }, 2),
		},
	})
}
