package char

import (
	"fmt"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// DebugConsole is the "isa-debugcon" device, a port as the emulator Bochs
// has: what is written to it goes to a chardev, and reading it gives a value
// by which firmware finds it.
type DebugConsole struct {
	isa.Device
	ioBase, readback uint32
	chardevID        string
	chr              *chardev.Chardev // nil after unrealize
}

// Realize attaches the chardev and maps the port.
func (d *DebugConsole) Realize(h *qdev.Host) error {
	if d.chardevID == "" {
		return fmt.Errorf("Can't create debugcon device, empty char device")
	}
	if d.ioBase > 0xffff {
		return fmt.Errorf("isa-debugcon: iobase 0x%x is no I/O port", d.ioBase)
	}
	chr, ok := h.Chardevs.Get(d.chardevID)
	if !ok {
		return fmt.Errorf("Property 'isa-debugcon.chardev' can't find value '%s'", d.chardevID)
	}
	if err := chr.Attach(outputOnly{}); err != nil {
		return fmt.Errorf("Property 'isa-debugcon.chardev' can't take value '%s': %w", d.chardevID, err)
	}
	d.chr = chr
	d.Defer(func() {
		d.chr = nil
		chr.Detach()
	})
	return d.AddPorts(memory.NewIO("isa-debugcon", 1, memory.OpsFuncs{
		ReadFunc: func(uint64, int) uint64 { return uint64(d.readback) },
		WriteFunc: func(_, v uint64, _ int) {
			// What the chardev does not take now is lost: the port has no way
			// to hold the guest up.
			d.chr.Write([]byte{byte(v)})
		},
	}, memory.Access{ValidMin: 1, ValidMax: 1}), uint16(d.ioBase))
}

// outputOnly is the frontend of a device that takes no input.
type outputOnly struct{}

func (outputOnly) CanReceive() int     { return 0 }
func (outputOnly) Receive([]byte)      {}
func (outputOnly) Event(chardev.Event) {}
func (outputOnly) Writable()           {}

func registerDebugConsole(r *qom.Registry) {
	chr := qdev.Field("chardev", func(d *DebugConsole) *string { return &d.chardevID }, "")
	chr.Description = "ID of a chardev to use as a backend"
	r.Register(qom.Type{
		Name: "isa-debugcon", Parent: "isa-device",
		New:   func() qom.Object { return new(DebugConsole) },
		Class: &qdev.Class{BusType: "ISA", Category: "Misc"},
		Properties: []*qom.Property{
			qdev.Field("iobase", func(d *DebugConsole) *uint32 { return &d.ioBase }, 0xe9),
			chr,
			qdev.Field("readback", func(d *DebugConsole) *uint32 { return &d.readback }, 0xe9),
		},
	})
}
