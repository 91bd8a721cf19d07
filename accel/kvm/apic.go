package kvm

import (
	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/sys"
)

// apicState is what KVM keeps of a vCPU when it has the local APICs, and leaves
// to us with IRQChipOff. It belongs to the vCPU's goroutine, or to whoever
// finds it at rest.
type apicState struct {
	halted   bool   // in HLT
	waitSIPI bool   // has had an INIT, or power-on, and runs from a SIPI on
	base     uint64 // IA32_APIC_BASE
	wake     chan struct{}
}

const apicPage = 0x1000

// ConnectAPICs names the bus of the local APICs in this process.
func (vm *VM) ConnectAPICs(b accel.APICBus) { vm.apics = b }

// wakeUp ends a wait outside of KVM_RUN.
func (v *VCPU) wakeUp() {
	if v.wake == nil {
		return
	}
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// mpState is the vCPU's state in KVM's terms.
func (v *VCPU) mpState() uint32 {
	switch {
	case v.waitSIPI:
		return mpUninitialized
	case v.halted:
		return mpHalted
	default:
		return mpRunnable
	}
}

// resetAPIC is the power-on of the APIC and of what belongs to it. The VM lock
// is held.
func (v *VCPU) resetAPIC(boot bool) {
	v.cfg.APIC.Reset(boot)
	v.halted, v.waitSIPI = false, !boot
	v.base = powerOnSregs(boot).apicBase
	v.run[runReady] = 0
}

// beforeRun gives KVM the task priority, which it shows the guest as CR8;
// runMu is held.
func (v *VCPU) beforeRun() {
	if a := v.cfg.APIC; a != nil {
		v.run.setCR8(uint64(a.TPR() >> 4))
	}
}

// afterRun takes over what the guest did to its APIC by means that KVM
// handles: CR8 and IA32_APIC_BASE.
func (v *VCPU) afterRun() {
	a := v.cfg.APIC
	if a == nil {
		return
	}
	// CR8 has but the upper half: what is the same there leaves the lower.
	if tpr := uint8(v.run.cr8() << 4); tpr != a.TPR()&0xf0 {
		a.SetTPR(tpr)
	}
	if base := v.run.apicBase(); base != v.base {
		v.base = base
		v.vm.lock.Lock()
		a.SetBase(base)
		v.vm.lock.Unlock()
	}
}

// accessAPIC takes an access to the page of the vCPU's own APIC and tells
// whether it was one. A write to the page's first register is none: it is a
// message for the APIC with the id 0, as everywhere in the window.
func (v *VCPU) accessAPIC(addr uint64, data []byte, write bool) bool {
	a := v.cfg.APIC
	if a == nil || v.base&apicBaseEnable == 0 {
		return false
	}
	offset := addr - v.base&^(apicPage-1)
	if offset >= apicPage || write && offset < 0x10 {
		return false
	}
	v.vm.lock.Lock()
	defer v.vm.lock.Unlock()
	a.Access(offset, data, write)
	return true
}

// attendAPIC does what the local APIC has for the vCPU, and tells whether it
// is to enter the guest or to wait until the APIC wakes it. Called by the
// vCPU's goroutine.
func (v *VCPU) attendAPIC() (enter bool, err error) {
	a := v.cfg.APIC
	if s := a.Signals(); s.Any() {
		if err := v.takeSignals(s); err != nil {
			return false, err
		}
	}
	if v.waitSIPI {
		return false, nil
	}
	if v.halted && !(a.Interrupt() && v.run.ifFlag()) {
		return false, nil
	}
	v.halted = false
	if a.Interrupt() && v.run.readyForINTR() && v.run.ifFlag() {
		// KVM tells anew at the next exit.
		v.run[runReady] = 0
		v.vm.lock.Lock()
		n, ok := a.Acknowledge()
		v.vm.lock.Unlock()
		if ok {
			vector := uint32(n)
			if _, err := sys.IoctlPtr(v.fd, kvmInterrupt, &vector); err != nil {
				return false, err
			}
		}
	}
	if a.Interrupt() {
		v.run.set(wantWindow)
	} else {
		v.run.clear(wantWindow)
	}
	return true, nil
}

func (v *VCPU) takeSignals(s accel.APICSignals) error {
	if s.INIT {
		if err := v.takeINIT(); err != nil {
			return err
		}
	}
	if s.SIPI && v.waitSIPI {
		if err := v.start(s.Page); err != nil {
			return err
		}
	}
	if s.NMI && !v.waitSIPI {
		v.halted = false
		if _, err := sys.Ioctl(v.fd, kvmNMI, 0); err != nil {
			return err
		}
	}
	return nil
}

// takeINIT is the processor's part of an INIT (Intel SDM volume 3, table
// 10-1): as at power-on, but MSRs, the FPU and the caches stay. All but the
// boot CPU then wait for a SIPI.
func (v *VCPU) takeINIT() error {
	v.vm.lock.Lock()
	v.cfg.APIC.Init()
	v.vm.lock.Unlock()
	v.runMu.Lock()
	defer v.runMu.Unlock()
	v.abandon()
	s := powerOnSregs(false)
	s.apicBase = v.base
	if err := set(v, "KVM_SET_SREGS", kvmSetSregs, &s); err != nil {
		return err
	}
	r := regs{rip: resetIP, rflags: rflagsFixed, rdx: uint64(v.leaf(leafFeatures).EAX)}
	if err := set(v, "KVM_SET_REGS", kvmSetRegs, &r); err != nil {
		return err
	}
	d := debugRegs{dr6: dr6Reset, dr7: dr7Reset}
	if err := set(v, "KVM_SET_DEBUGREGS", kvmSetDebugRegs, &d); err != nil {
		return err
	}
	if err := v.clearEvents(); err != nil {
		return err
	}
	v.halted, v.waitSIPI = false, v.base&apicBaseBSP == 0
	return nil
}

// start begins in real mode at a page below 1 MiB.
func (v *VCPU) start(page uint8) error {
	v.runMu.Lock()
	defer v.runMu.Unlock()
	var s sregs
	if err := set(v, "KVM_GET_SREGS", kvmGetSregs, &s); err != nil {
		return err
	}
	s.cs.selector, s.cs.base = uint16(page)<<8, uint64(page)<<12
	if err := set(v, "KVM_SET_SREGS", kvmSetSregs, &s); err != nil {
		return err
	}
	var r regs
	if err := set(v, "KVM_GET_REGS", kvmGetRegs, &r); err != nil {
		return err
	}
	r.rip = 0
	v.waitSIPI = false
	return set(v, "KVM_SET_REGS", kvmSetRegs, &r)
}
