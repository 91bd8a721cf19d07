package kvm

import (
	"encoding/binary"
	"strconv"

	"github.com/gqemu/gqemu/internal/sys"
)

// Processor state at power-on (Intel SDM volume 3, table 10-1).
const (
	cr0PE = 1 << 0
	cr0ET = 1 << 4
	cr0NW = 1 << 29
	cr0CD = 1 << 30
	cr0PG = 1 << 31

	cr4PAE = 1 << 5

	eferLME = 1 << 8
	eferLMA = 1 << 10

	rflagsFixed = 1 << 1

	apicBase       = 0xfee00000
	apicBaseBSP    = 1 << 8
	apicBaseEnable = 1 << 11

	fcwReset   = 0x37f
	mxcsrReset = 0x1f80
	dr6Reset   = 0xffff0ff0
	dr7Reset   = 0x400
)

// Segment types.
const (
	typeLDT       = 2
	typeData      = 3  // read, write, accessed
	typeCode      = 11 // execute, read, accessed
	typeTSS32Busy = 11
	limitRealMode = 0xffff
	limitFlat     = 0xffffffff
	resetCSBase   = 0xffff0000
	resetCSSel    = 0xf000
	resetIP       = 0xfff0
	xstateHeader  = 512 // offset of XSTATE_BV in an XSAVE area
	xstateX87SSE  = 3
	xsaveMXCSR    = 24
	xsaveST       = 32
	xsaveXMM      = 160
)

func hex(n uint64) string { return strconv.FormatUint(n, 16) }

// Reset puts the vCPU in its power-on state: the boot CPU ready to run at the
// reset vector, the others waiting for INIT and SIPI.
func (v *VCPU) Reset() error {
	if err := v.atRest(); err != nil {
		return err
	}
	v.runMu.Lock()
	defer v.runMu.Unlock()
	if v.fd < 0 {
		return ErrClosed
	}
	v.abandon()
	return v.reset()
}

// abandon has the kernel finish an instruction whose handler is still at
// work, so that it does not finish it upon the new state. Further parts of it
// go to nobody. runMu is held.
func (v *VCPU) abandon() {
	const parts = 4096 // more than KVM makes of one instruction
	for i := 0; v.pending.Load() && i < parts; i++ {
		v.run.set(immediateExit)
		_, err := sys.Ioctl(v.fd, kvmRun, 0)
		v.pending.Store(err == nil)
	}
	v.run[runReady] = 0
}

func (v *VCPU) reset() error {
	if err := v.setMSRs(v.powerOnMSRs()); err != nil {
		return err
	}
	boot := v.cfg.Index == 0
	s := powerOnSregs(boot)
	if err := set(v, "KVM_SET_SREGS", kvmSetSregs, &s); err != nil {
		return err
	}
	r := regs{
		rip:    resetIP,
		rflags: rflagsFixed,
		rdx:    uint64(v.leaf(leafFeatures).EAX),
	}
	if err := set(v, "KVM_SET_REGS", kvmSetRegs, &r); err != nil {
		return err
	}
	if err := v.resetFPU(); err != nil {
		return err
	}
	d := debugRegs{dr6: dr6Reset, dr7: dr7Reset}
	if err := set(v, "KVM_SET_DEBUGREGS", kvmSetDebugRegs, &d); err != nil {
		return err
	}
	if err := v.clearEvents(); err != nil {
		return err
	}
	if v.cfg.APIC != nil {
		v.resetAPIC(boot)
		return nil
	}
	if err := v.resetLAPIC(boot); err != nil {
		return err
	}
	state := uint32(mpUninitialized)
	if boot {
		state = mpRunnable
	}
	return set(v, "KVM_SET_MP_STATE", kvmSetMPState, &state)
}

// clearEvents forgets pending interrupts and exceptions.
func (v *VCPU) clearEvents() error {
	e := vcpuEvents{flags: eventsNMIPending | eventsSIPI | eventsShadow}
	if v.vm.caps.smm {
		e.flags |= eventsSMM
	}
	return set(v, "KVM_SET_VCPU_EVENTS", kvmSetVCPUEvents, &e)
}

// set makes a vCPU ioctl on a structure; runMu is held.
func set[T any](v *VCPU, name string, req uintptr, arg *T) error {
	if _, err := sys.IoctlPtr(v.fd, req, arg); err != nil {
		return v.failed(name, err)
	}
	return nil
}

func powerOnSregs(boot bool) sregs {
	data := segment{limit: limitRealMode, typ: typeData, present: 1, s: 1}
	code := segment{base: resetCSBase, limit: limitRealMode, selector: resetCSSel, typ: typeCode, present: 1, s: 1}
	table := dtable{limit: limitRealMode}
	s := sregs{
		cs: code, ds: data, es: data, fs: data, gs: data, ss: data,
		tr:       segment{limit: limitRealMode, typ: typeTSS32Busy, present: 1},
		ldt:      segment{limit: limitRealMode, typ: typeLDT, present: 1},
		gdt:      table,
		idt:      table,
		cr0:      cr0ET | cr0NW | cr0CD,
		apicBase: apicBase | apicBaseEnable,
	}
	if boot {
		s.apicBase |= apicBaseBSP
	}
	return s
}

func (v *VCPU) resetFPU() error {
	if n := v.vm.caps.xsaveSize; n > 0 {
		area := make([]byte, n)
		binary.LittleEndian.PutUint16(area, fcwReset)
		binary.LittleEndian.PutUint32(area[xsaveMXCSR:], mxcsrReset)
		binary.LittleEndian.PutUint64(area[xstateHeader:], xstateX87SSE)
		if _, err := sys.IoctlBytes(v.fd, kvmSetXsave, area); err != nil {
			return v.failed("KVM_SET_XSAVE", err)
		}
	} else {
		f := fpu{fcw: fcwReset, mxcsr: mxcsrReset}
		if err := set(v, "KVM_SET_FPU", kvmSetFPU, &f); err != nil {
			return err
		}
	}
	if !v.vm.caps.xcrs {
		return nil
	}
	x := xcrs{n: 1}
	x.xcrs[0] = xcr{value: 1} // XCR0: x87 only
	return set(v, "KVM_SET_XCRS", kvmSetXCRs, &x)
}

// Registers of a local APIC, by their offset in its page (Intel SDM volume 3,
// table 11-1).
const (
	apicID      = 0x20
	apicVersion = 0x30
	apicDFR     = 0xe0
	apicSVR     = 0xf0
	apicLVTCMCI = 0x2f0
	apicLVTT    = 0x320
	apicLVTTHMR = 0x330
	apicLVTPC   = 0x340
	apicLVT0    = 0x350
	apicLVT1    = 0x360
	apicLVTERR  = 0x370

	lvtMasked   = 1 << 16
	lvtExtINT   = 7 << 8
	svrReset    = 0xff
	versionLVTs = 16 // shift of the highest LVT entry's number
	lvtsCMCI    = 6
)

// resetLAPIC is the APIC's own reset, and virtual wire mode on the boot CPU:
// without firmware nobody else would let the PIC's interrupts through.
func (v *VCPU) resetLAPIC(boot bool) error {
	var old, fresh lapicState
	if err := set(v, "KVM_GET_LAPIC", kvmGetLAPIC, &old); err != nil {
		return err
	}
	put := func(reg int, val uint32) { binary.LittleEndian.PutUint32(fresh.regs[reg:], val) }
	version := binary.LittleEndian.Uint32(old.regs[apicVersion:])
	put(apicID, v.cfg.APICID<<24)
	put(apicVersion, version)
	put(apicDFR, 0xffffffff)
	put(apicSVR, svrReset)
	for _, reg := range []int{apicLVTT, apicLVTTHMR, apicLVTPC, apicLVT0, apicLVT1, apicLVTERR} {
		put(reg, lvtMasked)
	}
	if version>>versionLVTs&0xff >= lvtsCMCI {
		put(apicLVTCMCI, lvtMasked)
	}
	if boot {
		put(apicLVT0, lvtExtINT)
	}
	return set(v, "KVM_SET_LAPIC", kvmSetLAPIC, &fresh)
}
