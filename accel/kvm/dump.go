package kvm

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// dumpPart says what follows the registers proper in a dump.
type dumpPart int

const (
	dumpFPU  dumpPart = iota // `info registers`
	dumpCode                 // the report of a failure
)

// state is what a dump is made of.
type state struct {
	regs   regs
	sregs  sregs
	debug  debugRegs
	events vcpuEvents
	fpu    fpu
	mp     uint32
}

func (v *VCPU) state() (*state, error) {
	v.runMu.Lock()
	defer v.runMu.Unlock()
	if v.fd < 0 {
		return nil, ErrClosed
	}
	st := new(state)
	if err := set(v, "KVM_GET_REGS", kvmGetRegs, &st.regs); err != nil {
		return nil, err
	}
	if err := set(v, "KVM_GET_SREGS", kvmGetSregs, &st.sregs); err != nil {
		return nil, err
	}
	if err := set(v, "KVM_GET_DEBUGREGS", kvmGetDebugRegs, &st.debug); err != nil {
		return nil, err
	}
	if err := set(v, "KVM_GET_VCPU_EVENTS", kvmGetVCPUEvents, &st.events); err != nil {
		return nil, err
	}
	if err := v.getFPU(&st.fpu); err != nil {
		return nil, err
	}
	if v.cfg.APIC != nil {
		st.mp = v.mpState()
		return st, nil
	}
	return st, set(v, "KVM_GET_MP_STATE", kvmGetMPState, &st.mp)
}

// getFPU reads the x87 and SSE state; runMu is held. KVM_GET_FPU leaves MXCSR
// out, so the XSAVE area's legacy part (Intel SDM volume 1, table 10-2) is
// preferred.
func (v *VCPU) getFPU(f *fpu) error {
	if v.vm.caps.xsaveSize == 0 {
		return set(v, "KVM_GET_FPU", kvmGetFPU, f)
	}
	var area [4096]byte
	if err := set(v, "KVM_GET_XSAVE", kvmGetXsave, &area); err != nil {
		return err
	}
	le := binary.LittleEndian
	f.fcw, f.fsw, f.ftwx = le.Uint16(area[0:]), le.Uint16(area[2:]), area[4]
	f.lastOpcode, f.lastIP, f.lastDP = le.Uint16(area[6:]), le.Uint64(area[8:]), le.Uint64(area[16:])
	f.mxcsr = le.Uint32(area[xsaveMXCSR:])
	for i := range f.fpr {
		copy(f.fpr[i][:], area[xsaveST+16*i:])
	}
	for i := range f.xmm {
		copy(f.xmm[i][:], area[xsaveXMM+16*i:])
	}
	return nil
}

// Registers is the vCPU's state in the layout of QEMU's `info registers`.
func (v *VCPU) Registers() (string, error) {
	if err := v.atRest(); err != nil {
		return "", err
	}
	st, err := v.state()
	if err != nil {
		return "", err
	}
	return st.format() + st.formatFPU(), nil
}

// dump is Registers for a report: it does its best.
func (v *VCPU) dump(part dumpPart) string {
	st, err := v.state()
	if err != nil {
		return err.Error() + "\n"
	}
	if part == dumpFPU {
		return st.format() + st.formatFPU()
	}
	return st.format() + v.code(st)
}

func (st *state) long() bool   { return st.sregs.efer&eferLMA != 0 }
func (st *state) code64() bool { return st.long() && st.sregs.cs.l != 0 }

func (st *state) format() string {
	var s strings.Builder
	r, sr := &st.regs, &st.sregs
	flags := st.flags()
	if st.code64() {
		fmt.Fprintf(&s, "RAX=%016x RBX=%016x RCX=%016x RDX=%016x\n", r.rax, r.rbx, r.rcx, r.rdx)
		fmt.Fprintf(&s, "RSI=%016x RDI=%016x RBP=%016x RSP=%016x\n", r.rsi, r.rdi, r.rbp, r.rsp)
		fmt.Fprintf(&s, "R8 =%016x R9 =%016x R10=%016x R11=%016x\n", r.r8, r.r9, r.r10, r.r11)
		fmt.Fprintf(&s, "R12=%016x R13=%016x R14=%016x R15=%016x\n", r.r12, r.r13, r.r14, r.r15)
		fmt.Fprintf(&s, "RIP=%016x RFL=%08x %s\n", r.rip, uint32(r.rflags), flags)
	} else {
		fmt.Fprintf(&s, "EAX=%08x EBX=%08x ECX=%08x EDX=%08x\n", uint32(r.rax), uint32(r.rbx), uint32(r.rcx), uint32(r.rdx))
		fmt.Fprintf(&s, "ESI=%08x EDI=%08x EBP=%08x ESP=%08x\n", uint32(r.rsi), uint32(r.rdi), uint32(r.rbp), uint32(r.rsp))
		fmt.Fprintf(&s, "EIP=%08x EFL=%08x %s\n", uint32(r.rip), uint32(r.rflags), flags)
	}
	for _, x := range []struct {
		name string
		seg  *segment
	}{
		{"ES", &sr.es}, {"CS", &sr.cs}, {"SS", &sr.ss}, {"DS", &sr.ds},
		{"FS", &sr.fs}, {"GS", &sr.gs}, {"LDT", &sr.ldt}, {"TR", &sr.tr},
	} {
		s.WriteString(st.segment(x.name, x.seg))
	}
	d := &st.debug
	if st.long() {
		fmt.Fprintf(&s, "GDT=     %016x %08x\n", sr.gdt.base, sr.gdt.limit)
		fmt.Fprintf(&s, "IDT=     %016x %08x\n", sr.idt.base, sr.idt.limit)
		fmt.Fprintf(&s, "CR0=%08x CR2=%016x CR3=%016x CR4=%08x\n", uint32(sr.cr0), sr.cr2, sr.cr3, uint32(sr.cr4))
	} else {
		fmt.Fprintf(&s, "GDT=     %08x %08x\n", uint32(sr.gdt.base), sr.gdt.limit)
		fmt.Fprintf(&s, "IDT=     %08x %08x\n", uint32(sr.idt.base), sr.idt.limit)
		fmt.Fprintf(&s, "CR0=%08x CR2=%08x CR3=%08x CR4=%08x\n", uint32(sr.cr0), uint32(sr.cr2), uint32(sr.cr3), uint32(sr.cr4))
	}
	for i, db := range d.db {
		fmt.Fprintf(&s, "DR%d=%016x ", i, db)
	}
	fmt.Fprintf(&s, "\nDR6=%016x DR7=%016x\n", d.dr6, d.dr7)
	fmt.Fprintf(&s, "EFER=%016x\n", sr.efer)
	return s.String()
}

// flags is the rest of the RIP line: the arithmetic flags and the modes.
func (st *state) flags() string {
	letter := func(bit uint, c byte) byte {
		if st.regs.rflags>>bit&1 != 0 {
			return c
		}
		return '-'
	}
	halted := 0
	if st.mp == mpHalted {
		halted = 1
	}
	ii := 0
	if st.events.interrupt.shadow != 0 {
		ii = 1
	}
	return fmt.Sprintf("[%c%c%c%c%c%c%c] CPL=%d II=%d A20=1 SMM=%d HLT=%d",
		letter(10, 'D'), letter(11, 'O'), letter(7, 'S'), letter(6, 'Z'),
		letter(4, 'A'), letter(2, 'P'), letter(0, 'C'), st.sregs.ss.dpl, ii, st.events.smi.smm, halted)
}

// systemTypes names descriptors that are neither code nor data, in 32-bit
// and in 64-bit mode.
var systemTypes = [2][16]string{
	{"Reserved", "TSS16-avl", "LDT", "TSS16-busy", "CallGate16", "TaskGate", "IntGate16", "TrapGate16",
		"Reserved", "TSS32-avl", "Reserved", "TSS32-busy", "CallGate32", "Reserved", "IntGate32", "TrapGate32"},
	{"<hiword>", "Reserved", "LDT", "Reserved", "Reserved", "Reserved", "Reserved", "Reserved",
		"Reserved", "TSS64-avl", "Reserved", "TSS64-busy", "CallGate64", "Reserved", "IntGate64", "TrapGate64"},
}

// segment is one line for a segment register. The last number is the upper
// half of its descriptor, without the base.
func (st *state) segment(name string, g *segment) string {
	present := g.present != 0 && g.unusable == 0
	flags := uint32(g.typ)<<8 | uint32(g.s)<<12 | uint32(g.dpl)<<13 |
		uint32(g.avl)<<20 | uint32(g.l)<<21 | uint32(g.db)<<22 | uint32(g.g)<<23
	if present {
		flags |= 1 << 15
	}
	var line string
	if st.code64() {
		line = fmt.Sprintf("%-3s=%04x %016x %08x %08x", name, g.selector, g.base, g.limit, flags)
	} else {
		line = fmt.Sprintf("%-3s=%04x %08x %08x %08x", name, g.selector, uint32(g.base), g.limit, flags)
	}
	if st.sregs.cr0&cr0PE == 0 || !present {
		return line + "\n"
	}
	line += fmt.Sprintf(" DPL=%d ", g.dpl)
	bit := func(n uint, c byte) byte {
		if g.typ>>n&1 != 0 {
			return c
		}
		return '-'
	}
	switch {
	case g.s == 0:
		mode := 0
		if st.long() {
			mode = 1
		}
		return line + systemTypes[mode][g.typ&15] + "\n"
	case g.typ&8 != 0:
		kind := "CS16"
		if g.l != 0 {
			kind = "CS64"
		} else if g.db != 0 {
			kind = "CS32"
		}
		return line + fmt.Sprintf("%s [%c%c%c]\n", kind, bit(2, 'C'), bit(1, 'R'), bit(0, 'A'))
	default:
		kind := "DS16"
		if g.db != 0 || st.long() {
			kind = "DS  "
		}
		return line + fmt.Sprintf("%s [%c%c%c]\n", kind, bit(2, 'E'), bit(1, 'W'), bit(0, 'A'))
	}
}

func (st *state) formatFPU() string {
	var s strings.Builder
	f := &st.fpu
	fmt.Fprintf(&s, "FCW=%04x FSW=%04x [ST=%d] FTW=%02x MXCSR=%08x\n", f.fcw, f.fsw, f.fsw>>11&7, f.ftwx, f.mxcsr)
	end := func(i int) string {
		if i&1 == 1 {
			return "\n"
		}
		return " "
	}
	for i, r := range f.fpr {
		fmt.Fprintf(&s, "FPR%d=%016x %04x%s", i, binary.LittleEndian.Uint64(r[:]), binary.LittleEndian.Uint16(r[8:]), end(i))
	}
	n := 8
	if st.code64() {
		n = 16
	}
	for i, r := range f.xmm[:n] {
		fmt.Fprintf(&s, "XMM%02d=%016x %016x%s", i, binary.LittleEndian.Uint64(r[8:]), binary.LittleEndian.Uint64(r[:]), end(i))
	}
	return s.String()
}

// code is the bytes around the instruction pointer, as the guest's page
// tables show them.
func (v *VCPU) code(st *state) string {
	const total, backward = 50, 20
	back := min(st.regs.rip, backward)
	var s strings.Builder
	s.WriteString("Code=")
	for i := range uint64(total) {
		text := "??"
		var b [1]byte
		if v.readVirtual(b[:], st.sregs.cs.base+st.regs.rip-back+i) {
			text = fmt.Sprintf("%02x", b[0])
		}
		if i == back {
			text = "<" + text + ">"
		}
		if i > 0 {
			s.WriteByte(' ')
		}
		s.WriteString(text)
	}
	s.WriteByte('\n')
	return s.String()
}

func (v *VCPU) readVirtual(p []byte, addr uint64) bool {
	v.runMu.Lock()
	t := translation{linear: addr}
	err := set(v, "KVM_TRANSLATE", kvmTranslate, &t)
	v.runMu.Unlock()
	return err == nil && t.valid != 0 && v.vm.slots.read(p, t.physical)
}
