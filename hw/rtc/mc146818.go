// Package rtc holds the PC's real-time clock.
package rtc

import (
	"fmt"
	"time"

	"github.com/gqemu/gqemu/clock"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// MC146818 is the "mc146818rtc" device, a Motorola MC146818 with 128 bytes of
// CMOS RAM at an index and a data port (datasheet MC146818/D), and the
// century in byte 0x32.
//
// The time registers are made from a time source when they are read, and the
// flags of register C are brought up to date when someone looks or an
// interrupt is due, so that a guest that leaves the clock alone costs
// nothing.
type MC146818 struct {
	isa.Device
	ioBase   uint16
	irqNum   uint8
	baseYear int32
	lostTick string

	// Source is the time that the clock starts from and goes by, in
	// nanoseconds since 1970: UTC, or local time if the guest is to see
	// that. Nil is the host's UTC. Set before realize.
	Source func() int64

	out   *qdev.IRQ
	level bool // of out
	timer *clock.Timer

	index  uint8
	cmos   [128]uint8
	offset int64 // the guest's time is Source() + offset

	second   int64 // of the guest's time, up to which UF and AF are right
	phase    int64 // when the periods at this rate began, in cycles of virtual time
	periodic int64 // count of periods up to which PF is right
	lost     int   // periodic interrupts that wait for register C to be read
}

// Registers.
const (
	regSeconds      = 0x00
	regSecondsAlarm = 0x01
	regMinutes      = 0x02
	regMinutesAlarm = 0x03
	regHours        = 0x04
	regHoursAlarm   = 0x05
	regWeekday      = 0x06
	regDay          = 0x07
	regMonth        = 0x08
	regYear         = 0x09
	regA            = 0x0a
	regB            = 0x0b
	regC            = 0x0c
	regD            = 0x0d
	regCentury      = 0x32
	regCenturyPS2   = 0x37 // another name of it
)

const (
	aUIP     = 0x80 // update in progress, read-only
	aDivider = 0x70
	aRate    = 0x0f

	bSET  = 0x80
	bPIE  = 0x40
	bAIE  = 0x20
	bUIE  = 0x10
	bSQWE = 0x08
	bDM   = 0x04 // binary, not BCD
	b24H  = 0x02

	cIRQF  = 0x80
	cPF    = 0x40
	cAF    = 0x20
	cUF    = 0x10
	cFlags = cPF | cAF | cUF

	dVRT = 0x80 // the battery is good

	alarmAny = 0xc0 // both bits: the alarm byte matches all

	dividerRun   = 0x20 // up to here the time counts
	dividerReset = 0x60 // both bits: the divider is held in reset
)

const (
	second = int64(time.Second)
	// uipTime is how long UIP is set before an update: 8 cycles of 32 kHz.
	uipTime = 8 * second / 32768
	// firstUpdate follows the release of the divider by half a second.
	firstUpdate = second / 2
	// maxLost bounds the ticks that lost_tick_policy=slew makes up for.
	maxLost = 1000
)

// VMClock is a Source that goes by the guest's virtual time, from base on
// (-rtc clock=vm). Base is in nanoseconds since 1970.
func VMClock(c *clock.Clock, base int64) func() int64 {
	return func() int64 { return base + c.Now() }
}

// Realize sets the clock and maps the ports.
func (d *MC146818) Realize(h *qdev.Host) error {
	if d.lostTick != "discard" && d.lostTick != "slew" {
		return fmt.Errorf("Invalid lost tick policy.")
	}
	if d.Source == nil {
		d.Source = func() int64 { return time.Now().UnixNano() }
	}
	if d.baseYear == 2000 {
		// The century byte came later than the property: with it, years
		// count from 0.
		d.baseYear = 0
	}
	d.cmos[regA], d.cmos[regB], d.cmos[regD] = 0x26, b24H, dVRT
	d.timer = h.Clock.NewTimer(func() { d.catchUp(); d.update() })
	d.Defer(d.timer.Stop)
	d.second, d.periodic = d.now()/second, d.periods()
	d.storeTime()

	if err := d.AddGPIOOut("", &d.out); err != nil {
		return err
	}
	irq, err := d.Line(uint64(d.irqNum))
	if err != nil {
		return err
	}
	d.Connect("", 0, irq)
	byteWide := memory.Access{ImplMax: 1}
	regs := memory.NewIO("rtc", 2, memory.OpsFuncs{ReadFunc: d.read, WriteFunc: d.write}, byteWide)
	if err := d.AddPorts(regs, d.ioBase); err != nil {
		return err
	}
	index := memory.NewIO("rtc-index", 1, memory.OpsFuncs{ReadFunc: d.read, WriteFunc: d.write}, byteWide)
	if err := h.Map.Add(regs, index, 0, 0); err != nil {
		return err
	}
	if err := h.ExposeRegion(d, index); err != nil {
		return err
	}
	return qom.AddProperty(d, &qom.Property{Name: "date", Type: "struct tm",
		Get: func(qom.Object) (any, error) { return d.Tm(), nil }})
}

// Reset disables interrupts. Time and RAM stay, for they have a battery.
func (d *MC146818) Reset() {
	d.catchUp()
	d.cmos[regB] &^= bPIE | bAIE | bUIE | bSQWE
	d.cmos[regC] = 0
	d.lost = 0
	d.update()
}

// SetCMOS writes a byte of the CMOS RAM, 0x0e to 0x7f, for firmware and
// guests to find. Others are ignored.
func (d *MC146818) SetCMOS(addr int, v uint8) {
	if addr > regD && addr < len(d.cmos) {
		d.cmos[addr] = v
	}
}

// CMOS is a byte of the CMOS RAM, 0 beyond it.
func (d *MC146818) CMOS(addr int) uint8 {
	if addr < 0 || addr >= len(d.cmos) {
		return 0
	}
	return d.cmos[addr]
}

func (d *MC146818) read(offset uint64, _ int) uint64 {
	if offset == 0 {
		return 0xff // the index is write-only
	}
	switch i := d.index; i {
	case regSeconds, regMinutes, regHours, regWeekday, regDay, regMonth, regYear, regCentury:
		if d.running() {
			d.storeTime()
		}
		return uint64(d.cmos[i])
	case regA:
		v := d.cmos[regA]
		if d.running() && mod(d.now(), second) >= second-uipTime {
			v |= aUIP
		}
		return uint64(v)
	case regC:
		return uint64(d.readFlags())
	default:
		return uint64(d.cmos[i])
	}
}

// readFlags is a read of register C, which clears it and ends the interrupt.
func (d *MC146818) readFlags() uint8 {
	d.catchUp()
	d.update()
	v := d.cmos[regC]
	d.cmos[regC] = 0
	d.update()
	if d.lost > 0 && d.cmos[regB]&bPIE != 0 {
		d.lost--
		d.cmos[regC] |= cPF
		d.update()
	}
	return v
}

func (d *MC146818) write(offset, value uint64, _ int) {
	v := uint8(value)
	if offset == 0 {
		d.index = v & 0x7f
		if d.index == regCenturyPS2 {
			d.index = regCentury
		}
		return
	}
	switch i := d.index; i {
	case regSecondsAlarm, regMinutesAlarm, regHoursAlarm:
		d.catchUp()
		d.cmos[i] = v
		d.update()
	case regSeconds, regMinutes, regHours, regWeekday, regDay, regMonth, regYear, regCentury:
		if !d.running() {
			d.cmos[i] = v // counts once the clock runs
			return
		}
		d.catchUp()
		d.storeTime()
		d.cmos[i] = v
		d.loadTime(mod(d.now(), second))
	case regA:
		d.writeA(v)
	case regB:
		d.writeB(v)
	case regC, regD:
		// read-only
	default:
		d.cmos[i] = v
	}
}

func (d *MC146818) writeA(v uint8) {
	d.catchUp()
	wasRunning, wasReset := d.running(), d.cmos[regA]&dividerReset == dividerReset
	if wasRunning {
		d.storeTime()
	}
	d.setRate(v)
	switch {
	case !d.running() || wasRunning:
	case wasReset:
		d.loadTime(firstUpdate)
		return
	default:
		d.loadTime(mod(d.now(), second))
		return
	}
	d.update()
}

func (d *MC146818) writeB(v uint8) {
	d.catchUp()
	wasRunning := d.running()
	if wasRunning {
		d.storeTime()
	}
	if v&bSET != 0 {
		v &^= bUIE
	}
	d.cmos[regB] = v
	if v&bPIE == 0 {
		d.lost = 0
	}
	if !wasRunning && d.running() {
		d.loadTime(mod(d.now(), second))
		return
	}
	d.update()
}

// RegisterTypes adds the real-time clock. Package isa's types are registered
// already.
func RegisterTypes(r *qom.Registry) {
	policies := []string{"discard", "delay", "slew", "merge"}
	r.Register(qom.Type{
		Name: "mc146818rtc", Parent: "isa-device",
		New:   func() qom.Object { return new(MC146818) },
		Class: &qdev.Class{BusType: "ISA", Category: "Misc"},
		Properties: []*qom.Property{
			qdev.Field("base_year", func(d *MC146818) *int32 { return &d.baseYear }, 1980),
			qdev.Field("iobase", func(d *MC146818) *uint16 { return &d.ioBase }, 0x70),
			qdev.Field("irq", func(d *MC146818) *uint8 { return &d.irqNum }, 8),
			qdev.Enum("lost_tick_policy", "LostTickPolicy", policies,
				func(d *MC146818) *string { return &d.lostTick }, "discard"),
		},
	})
}
