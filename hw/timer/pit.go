// Package timer holds the PC's interval timer.
package timer

import (
	"math/bits"

	"github.com/gqemu/gqemu/clock"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// PIT is the "isa-pit" device, an Intel 8254 (datasheet 231164) at ports
// 0x40 to 0x43. Counter 0's output is ISA line 0; the gates of counters 0
// and 1 are tied high, and SetGate moves that of counter 2.
//
// Counters are not ticked: the state at any time follows from when the
// count was loaded. Input pin 0 high takes counter 0 off its line, as a HPET
// in legacy mode does.
type PIT struct {
	isa.Device
	ioBase   uint32
	counters [3]counter
	out      *qdev.IRQ
	timer    *clock.Timer // counter 0's next change of its output
	off      bool         // input pin 0
}

// PITHz is the frequency of the counters' clock.
const PITHz = 1193182

const (
	regControl = 3

	// A line that changes faster than this is not followed: a period of one
	// tick would keep the host from everything else. Nanoseconds.
	minInterval = 20e3
)

// Realize maps the ports and leads the output to the bus's line 0.
func (p *PIT) Realize(h *qdev.Host) error {
	p.timer = h.Clock.NewTimer(p.tick)
	p.Defer(p.timer.Stop)
	if err := p.AddGPIOIn("", 1, func(_ int, level bool) { p.off = level; p.arm() }); err != nil {
		return err
	}
	if err := p.AddGPIOOut("", &p.out); err != nil {
		return err
	}
	irq, err := p.Line(0)
	if err != nil {
		return err
	}
	p.Connect("", 0, irq)
	return p.AddPorts(memory.NewIO("pit", 4, memory.OpsFuncs{ReadFunc: p.read, WriteFunc: p.write},
		memory.Access{ImplMax: 1}), uint16(p.ioBase))
}

// Reset has all counters run as square wave generators over the full count.
func (p *PIT) Reset() {
	for i := range p.counters {
		p.counters[i] = counter{mode: 3, access: accessBoth, gate: i != 2,
			loaded: true, count: fullCount, reload: fullCount, start: p.now()}
	}
	p.arm()
}

func (p *PIT) now() int64 { return p.Host().Clock.Now() }

// SetGate moves counter 2's gate, which on a PC is bit 0 of port 0x61.
func (p *PIT) SetGate(level bool) { p.counters[2].setGate(level, p.now()) }

// Output is the level of a counter's output, 0 to 2.
func (p *PIT) Output(n int) bool { return p.counters[n].output(p.now()) }

// arm drives the line as it is now and sets the timer to its next change.
func (p *PIT) arm() {
	p.timer.Stop()
	if p.off {
		return
	}
	c, now := &p.counters[0], p.now()
	p.out.Set(c.output(now))
	if next, ok := c.nextChange(now); ok {
		p.timer.Set(max(next, now+minInterval*boolInt(c.periodic())))
	}
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// tick follows counter 0's output. Pulses of mode 2 and 4 last one tick, so
// both their edges are due by now when the host was late.
func (p *PIT) tick() {
	c, now := &p.counters[0], p.now()
	if level := c.output(now); level && c.pulses() {
		p.out.Set(false)
	}
	p.arm()
}

func (p *PIT) read(offset uint64, _ int) uint64 {
	if offset == regControl {
		return 0 // write-only
	}
	return uint64(p.counters[offset].read(p.now()))
}

func (p *PIT) write(offset, value uint64, _ int) {
	v, now := uint8(value), p.now()
	if offset != regControl {
		if p.counters[offset].write(v, now) && offset == 0 {
			p.arm()
		}
		return
	}
	which := int(v >> 6)
	switch {
	case which == 3:
		p.readBack(v, now)
	case v>>4&3 == 0:
		p.counters[which].latchCount(now)
	default:
		p.counters[which].program(v, now)
		if which == 0 {
			p.arm()
		}
	}
}

// readBack is the read-back command (8254 datasheet, "Read-Back Command").
func (p *PIT) readBack(v uint8, now int64) {
	for set := v >> 1 & 7; set != 0; set &= set - 1 {
		c := &p.counters[bits.TrailingZeros8(set)]
		if v&0x20 == 0 {
			c.latchCount(now)
		}
		if v&0x10 == 0 {
			c.latchStatus(now)
		}
	}
}

// RegisterTypes adds the interval timer. Package isa's types are registered
// already.
func RegisterTypes(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "pit-common", Parent: "isa-device", Abstract: true,
		Class: &qdev.Class{BusType: "ISA", NotUserCreatable: true, NotHotpluggable: true},
		Properties: []*qom.Property{
			qdev.Field("iobase", func(p *PIT) *uint32 { return &p.ioBase }, 0x40),
		},
	})
	r.Register(qom.Type{Name: "isa-pit", Parent: "pit-common", New: func() qom.Object { return new(PIT) }})
	registerSpeaker(r)
}
