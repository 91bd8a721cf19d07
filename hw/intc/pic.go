package intc

import (
	"math/bits"

	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// PIC is the "isa-i8259" device, one Intel 8259A (datasheet 231468) with the
// edge/level control register that PCs have beside it (82371SB datasheet,
// section 4.5.4). Bits of ICW1 to 4 and OCW1 to 3 that only matter to an
// 8080 are ignored.
type PIC struct {
	isa.Device
	ioBase, elcrAddr uint32
	elcrMask         uint8
	master           bool

	out   *qdev.IRQ
	level bool // of out
	slave *PIC // on a master's pin 2, nil without

	lines  uint8     // levels of the pins
	counts [8]uint64 // rises of each
	irr    uint8     // requests
	imr    uint8     // mask
	isr    uint8     // in service
	elcr   uint8     // 1: the pin is level-triggered

	initWord int   // ICW that comes next, 0 outside initialisation
	lowest   uint8 // pin after this one has the highest priority
	base     uint8 // vector of pin 0
	needICW4 bool
	single   bool
	allLevel bool // ICW1 LTIM
	nested   bool // special fully nested mode
	autoEOI  bool
	rotate   bool // on automatic EOI
	special  bool // special mask mode
	readISR  bool
	poll     bool
}

const cascade = 1 << 2 // the master's pin that the slave is on

// PICPair is the pair of PICs of a PC.
type PICPair struct{ Master, Slave *PIC }

// NewPICPair puts the two PICs of a PC on an ISA bus: ports 0x20 and 0xa0,
// ELCR at 0x4d0 and 0x4d1. Their output is the machine's ExtINT. place, if not
// nil, is called for each before it is realized.
func NewPICPair(h *qdev.Host, bus *qdev.Bus, place func(qdev.Device) error) (*PICPair, error) {
	var pair PICPair
	for _, c := range []struct {
		to   **PIC
		base uint32
		elcr uint32
		mask uint8
	}{{&pair.Master, 0x20, 0x4d0, 0xf8}, {&pair.Slave, 0xa0, 0x4d1, 0xde}} {
		d, err := h.Create("isa-i8259", bus, func(d qdev.Device) error {
			p := d.(*PIC)
			p.ioBase, p.elcrAddr, p.elcrMask, p.master = c.base, c.elcr, c.mask, c.base == 0x20
			if place != nil {
				return place(d)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		*c.to = d.(*PIC)
	}
	m, s := pair.Master, pair.Slave
	m.slave = s
	m.Connect("", 0, h.NewIRQ(0, func(_ int, level bool) { h.Interrupts.SetExtINT(level, m.Ack) }))
	s.Connect("", 0, m.GPIOIn("", 2))
	return &pair, nil
}

// Line is the input of ISA interrupt line n, 0 to 15.
func (p *PICPair) Line(n int) *qdev.IRQ {
	if n < 8 {
		return p.Master.GPIOIn("", n)
	}
	return p.Slave.GPIOIn("", n-8)
}

// Realize maps the ports and makes the pins.
func (p *PIC) Realize(h *qdev.Host) error {
	byteWide := memory.Access{ImplMax: 1}
	regs := memory.NewIO("pic", 2, memory.OpsFuncs{ReadFunc: p.read, WriteFunc: p.write}, byteWide)
	if err := p.AddPorts(regs, uint16(p.ioBase)); err != nil {
		return err
	}
	if p.elcrAddr != ^uint32(0) {
		elcr := memory.NewIO("elcr", 1, memory.OpsFuncs{
			ReadFunc:  func(uint64, int) uint64 { return uint64(p.elcr) },
			WriteFunc: func(_, v uint64, _ int) { p.elcr = uint8(v) & p.elcrMask },
		}, byteWide)
		if err := p.AddPorts(elcr, uint16(p.elcrAddr)); err != nil {
			return err
		}
	}
	if err := p.AddGPIOOut("", &p.out); err != nil {
		return err
	}
	return p.AddGPIOIn("", 8, p.setPin)
}

// Reset is power-on: all pins edge-triggered and not initialised.
func (p *PIC) Reset() {
	p.elcr = 0
	p.initialise()
	p.update()
}

// initialise is what ICW1 does first. Edges from before are forgotten, and
// the pins must fall and rise again.
func (p *PIC) initialise() {
	p.initWord, p.lowest, p.base = 0, 7, 0
	p.needICW4, p.single, p.allLevel, p.nested = false, false, false, false
	p.autoEOI, p.rotate, p.special, p.readISR, p.poll = false, false, false, false, false
	p.imr, p.isr = 0, 0
	p.irr = p.lines & p.levelPins()
}

// levelPins are those whose request follows the line. The cascade is among
// them: the slave's output stays high for as long as it has another request.
func (p *PIC) levelPins() uint8 {
	l := p.elcr
	if p.allLevel {
		l = 0xff
	}
	if p.slave != nil {
		l |= cascade
	}
	return l
}

func (p *PIC) setPin(n int, level bool) {
	bit := uint8(1) << n
	rising := level && p.lines&bit == 0
	if rising {
		p.counts[n]++
	}
	if level {
		p.lines |= bit
	} else {
		p.lines &^= bit
	}
	switch {
	case p.levelPins()&bit != 0:
		p.irr = p.irr&^bit | p.lines&bit
	case rising:
		p.irr |= bit
	}
	p.update()
}

// rank is how far the most urgent pin of a set is from the highest priority;
// 8 for an empty set.
func (p *PIC) rank(pins uint8) int {
	return bits.TrailingZeros8(bits.RotateLeft8(pins, -int(p.lowest+1)&7))
}

func (p *PIC) pinOf(rank int) int { return (rank + int(p.lowest) + 1) & 7 }

// request is the pin to be served now, -1 for none.
func (p *PIC) request() int {
	rank := p.rank(p.irr &^ p.imr)
	block := p.isr
	if p.special {
		block &^= p.imr
	}
	if p.nested && p.master {
		block &^= cascade
	}
	if rank >= p.rank(block) {
		return -1
	}
	return p.pinOf(rank)
}

func (p *PIC) update() {
	if level := p.request() >= 0; level != p.level {
		p.level = level
		p.out.Set(level)
	}
}

// serve acknowledges the request of a pin.
func (p *PIC) serve(pin int) {
	bit := uint8(1) << pin
	if !p.autoEOI {
		p.isr |= bit
	} else if p.rotate {
		p.lowest = uint8(pin)
	}
	p.irr &^= bit &^ p.levelPins()
	p.update()
}

// acknowledge is the interrupt acknowledge cycle: it gives the vector. When
// the request is gone by now, that is pin 7's, and nothing is in service.
func (p *PIC) acknowledge() uint8 {
	pin := p.request()
	if pin < 0 {
		return p.base + 7
	}
	if p.slave != nil && pin == 2 {
		vector := p.slave.acknowledge()
		p.serve(pin)
		return vector
	}
	p.serve(pin)
	return p.base + uint8(pin)
}

// Ack takes the vector to be served from the master, as the boot CPU's
// acknowledge cycle does.
func (p *PIC) Ack() uint8 { return p.acknowledge() }

func (p *PIC) read(offset uint64, _ int) uint64 {
	switch {
	case p.poll: // an acknowledge cycle by hand
		p.poll = false
		pin := p.request()
		if pin < 0 {
			return 0
		}
		p.serve(pin)
		return 0x80 | uint64(pin)
	case offset == 1:
		return uint64(p.imr)
	case p.readISR:
		return uint64(p.isr)
	default:
		return uint64(p.irr)
	}
}

func (p *PIC) write(offset, value uint64, _ int) {
	v := uint8(value)
	switch {
	case offset == 1:
		p.writeData(v)
	case v&0x10 != 0: // ICW1
		p.initialise()
		p.needICW4, p.single, p.allLevel = v&1 != 0, v&2 != 0, v&8 != 0
		p.irr = p.lines & p.levelPins()
		p.initWord = 2
	case v&0x08 != 0: // OCW3
		if v&4 != 0 {
			p.poll = true
		}
		if v&2 != 0 {
			p.readISR = v&1 != 0
		}
		if v&0x40 != 0 {
			p.special = v&0x20 != 0
		}
	default:
		p.endOfInterrupt(v>>5, v&7)
	}
	p.update()
}

// writeData is a write of OCW1, or of ICW2 to 4 during initialisation.
func (p *PIC) writeData(v uint8) {
	switch p.initWord {
	case 0:
		p.imr = v
		return
	case 2:
		p.base = v & 0xf8
		if !p.single {
			p.initWord = 3
			return
		}
	case 3:
		// Who is on which pin is wired.
	case 4:
		p.nested, p.autoEOI = v&0x10 != 0, v&2 != 0
		p.initWord = 0
		return
	}
	p.initWord = 0
	if p.needICW4 {
		p.initWord = 4
	}
}

// endOfInterrupt is OCW2.
func (p *PIC) endOfInterrupt(command, level uint8) {
	switch command {
	case 0, 4: // rotate on automatic EOI: clear, set
		p.rotate = command == 4
	case 1, 5: // non-specific, and rotate
		served := p.isr
		if p.special {
			served &^= p.imr
		}
		if rank := p.rank(served); rank < 8 {
			pin := p.pinOf(rank)
			p.isr &^= 1 << pin
			if command == 5 {
				p.lowest = uint8(pin)
			}
		}
	case 3: // specific
		p.isr &^= 1 << level
	case 6: // set priority
		p.lowest = level
	case 7: // specific, and rotate
		p.isr &^= 1 << level
		p.lowest = level
	}
}

func registerPIC(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "pic-common", Parent: "isa-device", Abstract: true,
		Class: &qdev.Class{BusType: "ISA", NotUserCreatable: true, NotHotpluggable: true},
		Properties: []*qom.Property{
			qdev.Field("iobase", func(p *PIC) *uint32 { return &p.ioBase }, ^uint32(0)),
			qdev.Field("elcr_addr", func(p *PIC) *uint32 { return &p.elcrAddr }, ^uint32(0)),
			qdev.Field("elcr_mask", func(p *PIC) *uint8 { return &p.elcrMask }, 0xff),
			qdev.Field("master", func(p *PIC) *bool { return &p.master }, false),
		},
	})
	r.Register(qom.Type{Name: "isa-i8259", Parent: "pic-common", New: func() qom.Object { return new(PIC) }})
}
