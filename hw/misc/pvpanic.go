package misc

import (
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Panic is the "pvpanic" device (QEMU's docs/specs/pvpanic.rst; Linux
// drivers/misc/pvpanic): a port by which a guest kernel tells that it
// panicked or that a crash kernel was loaded. Reading it gives the events
// that the device understands.
type Panic struct {
	isa.Device
	port   uint16
	events uint8
}

const (
	panicked    = 1 << 0
	crashLoaded = 1 << 1
)

// Realize maps the port.
func (p *Panic) Realize(*qdev.Host) error {
	return p.AddPorts(panicRegister(p.Host(), 1, &p.events), p.port)
}

// panicRegister is where a guest says what happened, size bytes of the same.
func panicRegister(h *qdev.Host, size uint64, events *uint8) *memory.Region {
	return memory.NewIO("pvpanic", size, memory.OpsFuncs{
		ReadFunc:  func(uint64, int) uint64 { return uint64(*events) },
		WriteFunc: func(_, v uint64, _ int) { tellPanic(h, v) },
	}, memory.Access{ImplMin: 1, ImplMax: 1})
}

func tellPanic(h *qdev.Host, v uint64) {
	g := h.Guest
	if v&^(panicked|crashLoaded) != 0 {
		h.Log.Warn().Uint64("event", v).Msg("pvpanic: unknown event")
	}
	switch {
	case g == nil:
	case v&panicked != 0:
		g.GuestPanicked()
	case v&crashLoaded != 0:
		g.GuestCrashLoaded()
	}
}

func registerPanic(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "pvpanic", Parent: "isa-device",
		New:   func() qom.Object { return new(Panic) },
		Class: &qdev.Class{BusType: "ISA", Category: "Misc"},
		Properties: []*qom.Property{
			qdev.Field("ioport", func(p *Panic) *uint16 { return &p.port }, 0x505),
			qdev.Field("events", func(p *Panic) *uint8 { return &p.events }, panicked|crashLoaded),
		},
	})
}
