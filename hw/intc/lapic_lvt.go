package intc

import "github.com/gqemu/gqemu/accel"

// Entries of the local vector table, in the registers' order (SDM section
// 11.5.1).
const (
	lvtTimer = iota
	lvtThermal
	lvtPerf
	lvtLINT0
	lvtLINT1
	lvtError
	lvtCount
)

// Bits of an entry.
const (
	lvtMode      = 7 << 8
	lvtPolarity  = 1 << 13
	lvtRemoteIRR = 1 << 14 // read-only
	lvtLevel     = 1 << 15
	lvtMasked    = 1 << 16
	lvtPeriodic  = 1 << 17
)

// Delivery modes (SDM sections 11.5.1 and 11.6.1).
const (
	modeFixed  = 0
	modeLowest = 1
	modeNMI    = 4
	modeINIT   = 5
	modeSIPI   = 6
	modeExtINT = 7
)

// lvtDefined are the bits that software can write, by entry.
var lvtDefined = [lvtCount]uint32{
	lvtTimer:   0xff | lvtMasked | lvtPeriodic,
	lvtThermal: 0xff | lvtMasked | lvtMode,
	lvtPerf:    0xff | lvtMasked | lvtMode,
	lvtLINT0:   0xff | lvtMasked | lvtMode | lvtPolarity | lvtLevel,
	lvtLINT1:   0xff | lvtMasked | lvtMode | lvtPolarity | lvtLevel,
	lvtError:   0xff | lvtMasked,
}

// Bits of the error status register (SDM section 11.5.3).
const (
	errSendIllegal     = 1 << 5
	errReceiveIllegal  = 1 << 6
	errIllegalRegister = 1 << 7
)

// firstVector is the lowest legal interrupt vector.
const firstVector = 16

func (a *LAPIC) writeLVT(n int, v uint32) {
	v &= lvtDefined[n]
	if a.svr&svrEnable == 0 {
		v |= lvtMasked
	}
	if n == lvtTimer {
		a.timer.change(func() { a.lvt[n] = v })
		return
	}
	a.lvt[n] = v | a.lvt[n]&lvtRemoteIRR
	if n == lvtLINT0 && v&lvtLevel == 0 {
		a.lvt[n] &^= lvtRemoteIRR
	}
	if n == lvtLINT0 && a.lint[0] && a.levelLINT0() {
		a.local(lvtLINT0)
	}
}

// local is an event of the local vector table.
func (a *LAPIC) local(n int) {
	e := a.lvt[n]
	if e&lvtMasked != 0 {
		return
	}
	switch mode := int(e & lvtMode >> 8); mode {
	case modeFixed:
		level := n == lvtLINT0 && a.levelLINT0()
		if level {
			if e&lvtRemoteIRR != 0 || a.svr&svrEnable == 0 {
				return
			}
			a.lvt[n] |= lvtRemoteIRR
		}
		a.accept(modeFixed, uint8(e), level)
	case modeNMI, modeINIT:
		a.accept(mode, 0, false)
	}
	// ExtINT follows the level, and there is no system management mode.
}

// levelLINT0 tells whether LINT0 is a level-triggered interrupt of the
// APIC's own. LINT1 is always edge-triggered (SDM section 11.5.1).
func (a *LAPIC) levelLINT0() bool { return a.lvt[lvtLINT0]&(lvtMode|lvtLevel) == lvtLevel }

// setLINT drives a pin; mu is held.
func (a *LAPIC) setLINT(n int, level bool) {
	rising := level && !a.lint[n]
	a.lint[n] = level
	if n == 0 && !level && a.levelLINT0() {
		// What has not been taken yet is taken back.
		e := &a.lvt[lvtLINT0]
		if v := int(*e & 0xff); *e&lvtRemoteIRR != 0 && a.irr.has(v) {
			a.irr.set(v, false)
			*e &^= lvtRemoteIRR
		}
	}
	if rising {
		a.local(lvtLINT0 + n)
	}
	a.update()
}

// PulseLINT1 drives LINT1 for a moment, as a button for an NMI does.
func (a *LAPIC) PulseLINT1() {
	a.Bus.mu.Lock()
	defer a.Bus.mu.Unlock()
	a.setLINT(1, true)
	a.setLINT(1, false)
}

// endLINT0 is the EOI of a vector for LINT0, which may still be high.
func (a *LAPIC) endLINT0(vector uint8) {
	e := &a.lvt[lvtLINT0]
	if *e&lvtRemoteIRR == 0 || uint8(*e) != vector {
		return
	}
	*e &^= lvtRemoteIRR
	if a.lint[0] {
		a.local(lvtLINT0)
	}
}

// extINT tells whether the PIC has an interrupt that this APIC lets through.
// It does when it is disabled (SDM section 11.4.3).
func (a *LAPIC) extINT() bool {
	return a.lint[0] && (a.disabled || a.lvt[lvtLINT0]&(lvtMode|lvtMasked) == modeExtINT<<8)
}

// accept takes a message or a local event; mu is held.
func (a *LAPIC) accept(mode int, vector uint8, level bool) {
	if a.disabled {
		return
	}
	s := &a.signals
	switch mode {
	case modeFixed, modeLowest:
		switch {
		case a.svr&svrEnable == 0:
		case vector < firstVector:
			a.fault(errReceiveIllegal)
		default:
			a.irr.set(int(vector), true)
			a.tmr.set(int(vector), level)
			a.update()
		}
		return
	case modeNMI:
		// Between INIT and SIPI the processor is not there for it.
		s.NMI = !s.INIT || s.SIPI
	case modeINIT:
		*s = accel.APICSignals{INIT: true}
	case modeSIPI:
		s.SIPI, s.Page = true, vector
	default:
		// There is no system management mode, and a PIC that would
		// answer an ExtINT message has its own line.
		return
	}
	a.signalled.Store(true)
	a.notify()
}

// fault notes an error and interrupts, once for each kind until the guest
// writes ESR.
func (a *LAPIC) fault(err uint32) {
	if a.errors&err != 0 {
		return
	}
	a.errors |= err
	a.local(lvtError)
}
