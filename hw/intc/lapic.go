package intc

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/qdev"
)

// LAPIC is the "apic" device, a processor's local APIC in xAPIC mode (Intel
// SDM volume 3, chapter 11), without the TSC-deadline timer and without
// suppression of EOI broadcasts. It implements accel.LocalAPIC.
//
// Where no guest code runs it has no bus and is no more than its object.
type LAPIC struct {
	apicObject
	// Bus is what connects it to other APICs. Set before realize.
	Bus *APICBus

	// For the vCPU to look at without a lock; written under Bus.mu.
	interrupt atomic.Bool
	signalled atomic.Bool
	tpr       atomic.Uint32

	timer lapicTimer // guarded by the VM lock

	// Guarded by Bus.mu.
	wake        func()
	signals     accel.APICSignals
	disabled    bool // by IA32_APIC_BASE
	id          uint8
	logical     uint8 // LDR
	model       uint8 // DFR: 0xf flat, 0 cluster
	svr         uint32
	isr         vectors
	tmr         vectors
	irr         vectors
	errors, esr uint32 // found since the last write of ESR, and shown there
	icr         [2]uint32
	lvt         [lvtCount]uint32
	lint        [2]bool // levels of the pins
}

var _ accel.LocalAPIC = (*LAPIC)(nil)

// Registers, by their offset over 16 (SDM table 11-1).
const (
	lapicID      = 0x02
	lapicVersion = 0x03
	lapicTPR     = 0x08
	lapicAPR     = 0x09
	lapicPPR     = 0x0a
	lapicEOI     = 0x0b
	lapicRRD     = 0x0c
	lapicLDR     = 0x0d
	lapicDFR     = 0x0e
	lapicSVR     = 0x0f
	lapicISR     = 0x10 // eight of each
	lapicTMR     = 0x18
	lapicIRR     = 0x20
	lapicESR     = 0x28
	lapicICR     = 0x30 // two
	lapicLVT     = 0x32 // lvtCount
	lapicInitial = 0x38
	lapicCurrent = 0x39
	lapicDivide  = 0x3e
)

const (
	lapicVersionValue = 0x14 // QEMU's

	svrReset   = 0xff
	svrEnable  = 1 << 8
	svrDefined = 0x1ff
	modelFlat  = 0xf
)

// Realize makes the timer. The vCPU resets the APIC before it runs.
func (a *LAPIC) Realize(h *qdev.Host) error {
	if a.Bus == nil {
		return nil
	}
	a.timer.init(a, h.Clock)
	a.Reset(false)
	a.Bus.add(a)
	a.Defer(func() {
		a.Bus.remove(a)
		a.timer.alarm.Stop()
	})
	return nil
}

// Attach names who is told of interrupts and signals.
func (a *LAPIC) Attach(wake func()) {
	a.Bus.mu.Lock()
	defer a.Bus.mu.Unlock()
	a.wake = wake
}

// Reset is power-on, with LINT0 as firmware leaves it.
func (a *LAPIC) Reset(boot bool) {
	a.Bus.mu.Lock()
	defer a.Bus.mu.Unlock()
	a.id = uint8(a.ID)
	a.disabled = false
	a.signals = accel.APICSignals{}
	a.signalled.Store(false)
	a.clear()
	if boot {
		a.lvt[lvtLINT0] = modeExtINT << 8
	}
	a.update()
}

// Init is an INIT's effect: all is as after power-on, but for the id (SDM
// section 11.4.7.3).
func (a *LAPIC) Init() {
	a.Bus.mu.Lock()
	defer a.Bus.mu.Unlock()
	a.clear()
	a.update()
}

// clear sets the registers that Reset and INIT treat alike. The levels of
// pins stay.
func (a *LAPIC) clear() {
	a.tpr.Store(0)
	a.logical, a.model, a.svr = 0, modelFlat, svrReset
	a.isr, a.tmr, a.irr = vectors{}, vectors{}, vectors{}
	a.errors, a.esr, a.icr = 0, 0, [2]uint32{}
	for i := range a.lvt {
		a.lvt[i] = lvtMasked
	}
	a.timer.reset()
}

// SetBase follows IA32_APIC_BASE. A disabled APIC takes no messages, and the
// PIC goes past it; enabled again it is as after power-on (SDM section
// 11.4.3).
func (a *LAPIC) SetBase(base uint64) {
	const enable = 1 << 11
	a.Bus.mu.Lock()
	defer a.Bus.mu.Unlock()
	if off := base&enable == 0; off != a.disabled {
		a.disabled = off
		a.clear()
		a.update()
	}
}

// TPR is the task priority.
func (a *LAPIC) TPR() uint8 { return uint8(a.tpr.Load()) }

// SetTPR sets the task priority.
func (a *LAPIC) SetTPR(v uint8) {
	a.Bus.mu.Lock()
	defer a.Bus.mu.Unlock()
	a.tpr.Store(uint32(v))
	a.update()
}

// Interrupt tells whether the vCPU has an interrupt to take.
func (a *LAPIC) Interrupt() bool { return a.interrupt.Load() }

// Signals takes what has come besides interrupts.
func (a *LAPIC) Signals() accel.APICSignals {
	if !a.signalled.Load() {
		return accel.APICSignals{}
	}
	a.Bus.mu.Lock()
	defer a.Bus.mu.Unlock()
	s := a.signals
	a.signals = accel.APICSignals{}
	a.signalled.Store(false)
	return s
}

// Acknowledge takes the vector of the most urgent interrupt. The PIC's goes
// first: it has no priority among the APIC's (SDM section 11.8.2).
func (a *LAPIC) Acknowledge() (vector uint8, ok bool) {
	a.Bus.mu.Lock()
	if a.extINT() {
		ack := a.Bus.ack
		a.Bus.mu.Unlock()
		return ack(), true
	}
	defer a.Bus.mu.Unlock()
	n := a.deliverable()
	if n < 0 {
		return 0, false
	}
	a.irr.set(n, false)
	a.isr.set(n, true)
	a.update()
	return uint8(n), true
}

// ppr is the processor priority (SDM section 11.8.3.1).
func (a *LAPIC) ppr() uint8 {
	tpr := a.TPR()
	if n := a.isr.highest(); n >= 0 && n>>4 > int(tpr>>4) {
		return uint8(n) & 0xf0
	}
	return tpr
}

// deliverable is the vector that the processor priority lets through, -1 for
// none.
func (a *LAPIC) deliverable() int {
	if n := a.irr.highest(); n >= 0 && n>>4 > int(a.ppr()>>4) {
		return n
	}
	return -1
}

// update looks anew whether there is an interrupt to take; mu is held.
func (a *LAPIC) update() {
	now := a.extINT() || !a.disabled && a.deliverable() >= 0
	if a.interrupt.Swap(now) != now && now {
		a.notify()
	}
}

func (a *LAPIC) notify() {
	if a.wake != nil {
		a.wake()
	}
}

// Access is the processor's access to a register. Registers are 32 bits wide,
// on multiples of 16, and written as a whole.
func (a *LAPIC) Access(offset uint64, data []byte, write bool) {
	reg, at := int(offset>>4)&0xff, int(offset&0xf)
	if write {
		if len(data) == 4 && at == 0 {
			a.write(reg, binary.LittleEndian.Uint32(data))
		}
		return
	}
	clear(data)
	if at+len(data) <= 4 {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], a.read(reg))
		copy(data, b[at:])
	}
}

func (a *LAPIC) read(reg int) uint32 {
	a.Bus.mu.Lock()
	defer a.Bus.mu.Unlock()
	switch {
	case reg >= lapicISR && reg < lapicISR+8:
		return a.isr[reg-lapicISR]
	case reg >= lapicTMR && reg < lapicTMR+8:
		return a.tmr[reg-lapicTMR]
	case reg >= lapicIRR && reg < lapicIRR+8:
		return a.irr[reg-lapicIRR]
	case reg >= lapicLVT && reg < lapicLVT+lvtCount:
		return a.lvt[reg-lapicLVT]
	}
	switch reg {
	case lapicID:
		return uint32(a.id) << 24
	case lapicVersion:
		return lapicVersionValue | (lvtCount-1)<<16
	case lapicTPR:
		return a.tpr.Load()
	case lapicPPR:
		return uint32(a.ppr())
	case lapicLDR:
		return uint32(a.logical) << 24
	case lapicDFR:
		return uint32(a.model)<<28 | 0x0fffffff
	case lapicSVR:
		return a.svr
	case lapicESR:
		return a.esr
	case lapicICR, lapicICR + 1:
		return a.icr[reg-lapicICR]
	case lapicInitial:
		return a.timer.initial
	case lapicCurrent:
		return a.timer.current()
	case lapicDivide:
		return a.timer.divide
	case lapicAPR, lapicEOI, lapicRRD:
		return 0
	}
	a.fault(errIllegalRegister)
	return 0
}

func (a *LAPIC) write(reg int, v uint32) {
	level := -1 // vector of a level-triggered interrupt that ends
	a.Bus.mu.Lock()
	switch reg {
	case lapicID:
		a.id = uint8(v >> 24)
	case lapicTPR:
		a.tpr.Store(v & 0xff)
	case lapicEOI:
		level = a.endOfInterrupt()
	case lapicLDR:
		a.logical = uint8(v >> 24)
	case lapicDFR:
		a.model = uint8(v >> 28)
	case lapicSVR:
		a.writeSVR(v)
	case lapicESR:
		a.esr, a.errors = a.errors, 0
	case lapicICR:
		a.icr[0] = v & icrDefined
		a.Bus.sendIPI(a)
	case lapicICR + 1:
		a.icr[1] = v & 0xff000000
	case lapicInitial:
		a.timer.load(v)
	case lapicDivide:
		a.timer.setDivide(v)
	default:
		a.writeOther(reg, v)
	}
	a.update()
	a.Bus.mu.Unlock()
	if level >= 0 && a.Bus.EOI != nil {
		a.Bus.EOI(uint8(level))
	}
}

func (a *LAPIC) writeOther(reg int, v uint32) {
	switch {
	case reg >= lapicLVT && reg < lapicLVT+lvtCount:
		a.writeLVT(reg-lapicLVT, v)
	case reg == lapicVersion, reg == lapicAPR, reg == lapicPPR, reg == lapicRRD, reg == lapicCurrent,
		reg >= lapicISR && reg < lapicIRR+8:
		// Read-only.
	default:
		a.fault(errIllegalRegister)
	}
}

func (a *LAPIC) writeSVR(v uint32) {
	a.svr = v & svrDefined
	if a.svr&svrEnable != 0 {
		return
	}
	for i := range a.lvt {
		a.lvt[i] |= lvtMasked
	}
	a.timer.arm()
}

// endOfInterrupt takes the most urgent interrupt out of service. The IOAPICs
// are to be told of the vector that it returns, unless that is -1.
func (a *LAPIC) endOfInterrupt() int {
	n := a.isr.highest()
	if n < 0 {
		return -1
	}
	a.isr.set(n, false)
	if !a.tmr.has(n) {
		return -1
	}
	a.endLINT0(uint8(n))
	return n
}
