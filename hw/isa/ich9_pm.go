package isa

import (
	"math/bits"

	"github.com/gqemu/gqemu/clock"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
)

// PM is the bridge's ACPI fixed hardware (ACPI 6.4 section 4.8; ICH9
// datasheet 316972, section 13.8.3): PM1 status, enable and control, the
// power management timer, and a block of general purpose events without any
// event.
type PM struct {
	clock    *clock.Clock
	timer    *clock.Timer // next change of the timer's most significant bit
	sci      func(level bool)
	powerOff func()

	sts, en, cnt uint16
	gpeEn        [gpeLen / 2]uint8
	level        bool
	carries      int64 // half periods of the timer that are over and in sts
}

// Where firmware puts the registers, and how they lie (ICH9 datasheet table
// 13-11).
const (
	PMBase = 0x600
	pmLen  = 0x80

	// Ports of the registers for tables.
	PM1EventPort   = PMBase + pm1Sts
	PM1ControlPort = PMBase + pm1Cnt
	PMTimerPort    = PMBase + pmTmr
	GPE0Port       = PMBase + gpe0
	GPE0Len        = gpeLen

	pm1Sts = 0x00
	pm1En  = 0x02
	pm1Cnt = 0x04
	pmTmr  = 0x08
	gpe0   = 0x20
	gpeLen = 16 // bytes of status and then enable

)

// Bits of PM1 status and enable, and control.
const (
	pmTimerSts    = 1 << 0
	pmGlobalLock  = 1 << 5
	pmPowerButton = 1 << 8
	pmRTC         = 1 << 10
	pmEvents      = pmTimerSts | pmGlobalLock | pmPowerButton | pmRTC

	cntSCIEnable   = 1 << 0
	cntSleepEnable = 1 << 13
	cntSleepShift  = 10
	cntSleepMask   = 7
	sleepS5        = 0 // what \_S5 names
)

// The timer counts 24 bits at 3.579545 MHz.
const (
	pmTimerHz   = 3579545
	pmTimerBits = 24
)

func newPM(h *qdev.Host, sci func(bool), powerOff func()) *PM {
	p := &PM{clock: h.Clock, sci: sci, powerOff: powerOff}
	p.timer = h.Clock.NewTimer(p.update)
	return p
}

func (p *PM) region() *memory.Region {
	return memory.NewIO("ich9-pm", pmLen, memory.OpsFuncs{ReadFunc: p.read, WriteFunc: p.write}, memory.Access{ValidMax: 4})
}

func (p *PM) reset() {
	p.sts, p.en, p.cnt, p.gpeEn = 0, 0, 0, [gpeLen / 2]uint8{}
	p.carries = p.halfPeriods()
	p.update()
}

// PowerButton presses the fixed power button.
func (p *PM) PowerButton() {
	p.sts |= pmPowerButton
	p.update()
}

func (p *PM) setSCIEnable(on bool) {
	p.cnt &^= cntSCIEnable
	if on {
		p.cnt |= cntSCIEnable
	}
	p.update()
}

// ticks is the timer's count since time 0.
func (p *PM) ticks() int64 {
	hi, lo := bits.Mul64(uint64(p.clock.Now()), pmTimerHz)
	q, _ := bits.Div64(hi, lo, 1e9)
	return int64(q)
}

// halfPeriods counts the changes of the timer's most significant bit.
func (p *PM) halfPeriods() int64 { return p.ticks() >> (pmTimerBits - 1) }

// update sets TMR_STS if it is due, drives the line, and sets the timer to
// its next change where that would raise it.
func (p *PM) update() {
	if n := p.halfPeriods(); n != p.carries {
		p.carries = n
		p.sts |= pmTimerSts
	}
	level := p.sts&p.en&pmEvents != 0
	if level != p.level {
		p.level = level
		p.sci(level)
	}
	p.timer.Stop()
	if p.en&pmTimerSts != 0 && p.sts&pmTimerSts == 0 {
		ticks := uint64(p.carries+1) << (pmTimerBits - 1)
		hi, lo := bits.Mul64(ticks, 1e9)
		at, rem := bits.Div64(hi, lo, pmTimerHz)
		if rem > 0 {
			at++
		}
		p.timer.Set(int64(at))
	}
}

// read gives size bytes, of one register or of neighbours.
func (p *PM) read(offset uint64, size int) uint64 {
	p.update()
	if offset == pmTmr && size == 4 {
		return uint64(p.ticks()) & (1<<pmTimerBits - 1)
	}
	var v uint64
	for i := range size {
		v |= uint64(p.byteAt(offset+uint64(i))) << (8 * i)
	}
	return v
}

func (p *PM) byteAt(offset uint64) uint8 {
	word := func(v uint16) uint8 { return uint8(v >> (8 * (offset & 1))) }
	switch {
	case offset < pm1En:
		return word(p.sts)
	case offset < pm1Cnt:
		return word(p.en)
	case offset < pm1Cnt+2:
		return word(p.cnt)
	case offset >= pmTmr && offset < pmTmr+4:
		return uint8(p.ticks() & (1<<pmTimerBits - 1) >> (8 * (offset - pmTmr)))
	case offset >= gpe0+gpeLen/2 && offset < gpe0+gpeLen:
		return p.gpeEn[offset-gpe0-gpeLen/2]
	}
	return 0
}

func (p *PM) write(offset, value uint64, size int) {
	for i := range size {
		p.writeByte(offset+uint64(i), uint8(value>>(8*i)))
	}
	p.update()
}

func (p *PM) writeByte(offset uint64, v uint8) {
	shift := 8 * (offset & 1)
	put := func(r *uint16) { *r = *r&^(0xff<<shift) | uint16(v)<<shift }
	switch {
	case offset < pm1En:
		p.update() // what is due before this write is cleared with it
		p.sts &^= uint16(v) << shift
	case offset < pm1Cnt:
		put(&p.en)
	case offset < pm1Cnt+2:
		put(&p.cnt)
		if p.cnt&cntSleepEnable != 0 {
			p.cnt &^= cntSleepEnable // reads as zero
			if p.cnt>>cntSleepShift&cntSleepMask == sleepS5 {
				p.powerOff()
			}
		}
	case offset >= gpe0+gpeLen/2 && offset < gpe0+gpeLen:
		p.gpeEn[offset-gpe0-gpeLen/2] = v
	}
}
