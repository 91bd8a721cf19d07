package timer

import (
	"errors"

	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Speaker is the "isa-pcspk" device: port 0x61 with the gate and the output
// of counter 2 of the PIT, and the speaker, which is never heard here.
type Speaker struct {
	isa.Device
	ioBase   uint32
	audiodev string
	migrate  bool

	// PIT has the counter. Set before realize.
	PIT *PIT

	gate, data bool
	refresh    bool // toggles with every read, as memory refresh once did
}

// Bits of port 0x61.
const (
	speakerGate    = 1 << 0
	speakerData    = 1 << 1
	speakerRefresh = 1 << 4
	speakerOut     = 1 << 5
)

// Realize maps the port.
func (s *Speaker) Realize(*qdev.Host) error {
	if s.audiodev != "" {
		return errors.New("isa-pcspk: there is no sound to send to an audiodev")
	}
	if s.ioBase > 0xffff {
		return errors.New("isa-pcspk: iobase is no I/O port")
	}
	if err := qom.AddLink(s, "pit", "pit-common", func() qom.Object {
		if s.PIT == nil {
			return nil
		}
		return s.PIT
	}); err != nil {
		return err
	}
	return s.AddPorts(memory.NewIO("pcspk", 1, memory.OpsFuncs{ReadFunc: s.read, WriteFunc: s.write},
		memory.Access{ImplMax: 1}), uint16(s.ioBase))
}

func (s *Speaker) read(uint64, int) uint64 {
	s.refresh = !s.refresh
	var v uint64
	for _, b := range []struct {
		on  bool
		bit uint64
	}{{s.gate, speakerGate}, {s.data, speakerData}, {s.refresh, speakerRefresh}, {s.PIT != nil && s.PIT.Output(2), speakerOut}} {
		if b.on {
			v |= b.bit
		}
	}
	return v
}

func (s *Speaker) write(_, v uint64, _ int) {
	s.gate, s.data = v&speakerGate != 0, v&speakerData != 0
	if s.PIT != nil {
		s.PIT.SetGate(s.gate)
	}
}

// Reset silences the speaker; the gate is the PIT's to reset.
func (s *Speaker) Reset() { s.gate, s.data, s.refresh = false, false, false }

func registerSpeaker(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "isa-pcspk", Parent: "isa-device",
		New:   func() qom.Object { return new(Speaker) },
		Class: &qdev.Class{BusType: "ISA", Category: "Sound", NotUserCreatable: true, NotHotpluggable: true},
		Properties: []*qom.Property{
			qdev.Field("audiodev", func(s *Speaker) *string { return &s.audiodev }, ""),
			qdev.Field("iobase", func(s *Speaker) *uint32 { return &s.ioBase }, 0x61),
			qdev.Field("migrate", func(s *Speaker) *bool { return &s.migrate }, true),
		},
	})
}
