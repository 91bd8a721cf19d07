package kvm

import (
	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/sys"
)

// CoreState is part of accel.CoreDumper. Only while paused.
func (v *VCPU) CoreState() (accel.CoreState, error) {
	if err := v.atRest(); err != nil {
		return accel.CoreState{}, err
	}
	st, err := v.state()
	if err != nil {
		return accel.CoreState{}, err
	}
	r, s := &st.regs, &st.sregs
	return accel.CoreState{
		RAX: r.rax, RBX: r.rbx, RCX: r.rcx, RDX: r.rdx, RSI: r.rsi, RDI: r.rdi, RSP: r.rsp, RBP: r.rbp,
		R:   [8]uint64{r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15},
		RIP: r.rip, RFLAGS: r.rflags,
		CS: s.cs.core(), DS: s.ds.core(), ES: s.es.core(), FS: s.fs.core(), GS: s.gs.core(), SS: s.ss.core(),
		LDT: s.ldt.core(), TR: s.tr.core(),
		GDT: accel.Segment{Limit: uint32(s.gdt.limit), Base: s.gdt.base},
		IDT: accel.Segment{Limit: uint32(s.idt.limit), Base: s.idt.base},
		CR:  [5]uint64{0: s.cr0, 2: s.cr2, 3: s.cr3, 4: s.cr4},
	}, nil
}

// core is a segment with the flags as the second word of its descriptor has
// them (Intel SDM volume 3, section 3.4.5).
func (s *segment) core() accel.Segment {
	flags := uint32(s.typ)<<8 | uint32(s.s)<<12 | uint32(s.dpl)<<13 | uint32(s.present)<<15 |
		uint32(s.avl)<<20 | uint32(s.l)<<21 | uint32(s.db)<<22 | uint32(s.g)<<23
	return accel.Segment{Selector: uint32(s.selector), Limit: s.limit, Flags: flags, Base: s.base}
}

// PC is where the vCPU is. Only while paused.
func (v *VCPU) PC() (uint64, error) {
	c, err := v.CoreState()
	return c.RIP, err
}

// InjectNMI queues a non-maskable interrupt. Only while paused. A local APIC in
// this process passes it on if the guest has set up LINT1 for it.
func (v *VCPU) InjectNMI() error {
	if v.cfg.APIC != nil {
		v.cfg.APIC.PulseLINT1()
		return nil
	}
	v.runMu.Lock()
	defer v.runMu.Unlock()
	if v.fd < 0 {
		return ErrClosed
	}
	if _, err := sys.Ioctl(v.fd, kvmNMI, 0); err != nil {
		return v.failed("KVM_NMI", err)
	}
	return nil
}
