package kvm

import (
	"fmt"

	"github.com/gqemu/gqemu/accel"
)

// SetBoot makes the boot CPU start where a loader wants it, upon the state
// that Reset left: interrupts off, segments flat, no IDT.
func (v *VCPU) SetBoot(b accel.BootState) error {
	if v.cfg.Index != 0 {
		return fmt.Errorf("kvm: vCPU %d is not the boot CPU", v.cfg.Index)
	}
	if b.Mode == accel.ModeReal {
		return nil
	}
	if err := v.atRest(); err != nil {
		return err
	}
	v.runMu.Lock()
	defer v.runMu.Unlock()
	if v.fd < 0 {
		return ErrClosed
	}
	s := powerOnSregs(true)
	data := segment{
		selector: b.DataSel, limit: limitFlat,
		typ: typeData, present: 1, s: 1, db: 1, g: 1,
	}
	code := data
	code.selector, code.typ = b.CodeSel, typeCode
	s.cr0 = cr0PE | cr0ET
	switch b.Mode {
	case accel.ModeProtected32:
	case accel.ModeLong64:
		code.db, code.l = 0, 1
		s.cr0 |= cr0PG
		s.cr3 = b.CR3
		s.cr4 = cr4PAE
		s.efer = eferLME | eferLMA
	default:
		return fmt.Errorf("kvm: no boot mode %d", b.Mode)
	}
	s.cs = code
	s.ds, s.es, s.fs, s.gs, s.ss = data, data, data, data, data
	s.gdt = dtable{base: b.GDTBase, limit: b.GDTLimit}
	s.idt = dtable{}
	if err := set(v, "KVM_SET_SREGS", kvmSetSregs, &s); err != nil {
		return err
	}
	r := regs{rip: b.RIP, rsi: b.RSI, rbx: b.RBX, rsp: b.RSP, rflags: rflagsFixed}
	return set(v, "KVM_SET_REGS", kvmSetRegs, &r)
}
