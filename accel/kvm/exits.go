package kvm

import (
	"fmt"
	"strings"
)

// handle does what the last exit asks for.
func (v *VCPU) handle() {
	h, run := v.vm.h, v.run
	switch reason := run.exitReason(); reason {
	case exitIO:
		port, size, data, write := run.pio()
		if data == nil {
			v.fail("KVM: malformed port access\n")
			return
		}
		for ; len(data) > 0; data = data[size:] {
			h.PIO(port, data[:size:size], write)
		}
	case exitMMIO:
		addr, data, write := run.mmio()
		if data == nil {
			v.fail("KVM: malformed memory access\n")
			return
		}
		if !v.accessAPIC(addr, data, write) {
			h.MMIO(addr, data, write)
		}
	case exitIOAPICEOI:
		h.EOI(run.eoiVector())
	case exitHLT:
		if v.cfg.APIC == nil {
			// It stays in the kernel with its local APIC.
			v.fail("KVM: unexpected halt\n")
			return
		}
		v.halted = true
	case exitIntr, exitIRQWindowOpen, exitSetTPR:
		// The loop looks for what is to be done.
	case exitShutdown:
		// The vCPU cannot go on as it is. Set first: the handler itself
		// may reset and resume.
		v.stopped.Store(true)
		h.Shutdown(v.cfg.Index)
	case exitFailEntry:
		v.fail(fmt.Sprintf("KVM: entry failed, hardware error 0x%x\n%s", run.hardware(), v.entryHint(run.hardware())))
	case exitException:
		v.fail(fmt.Sprintf("KVM: exception %d exit (error code 0x%x)\n", run.exception(), run.errorCode()))
	case exitInternalError:
		v.internalError()
	case exitUnknown:
		v.fail(fmt.Sprintf("KVM: unknown exit, hardware reason %x\n", run.hardware()))
	default:
		// The other reasons belong to features that are not switched on.
		v.fail(fmt.Sprintf("KVM: unknown exit reason %d\n", reason))
	}
}

// entryHint is what QEMU adds for Intel's "invalid guest state".
func (v *VCPU) entryHint(code uint64) string {
	const (
		vmxInvalidGuestState = 0x80000021
		ebxGenu              = 0x756e6547 // "GenuineIntel" begins so
	)
	intel := false
	for _, c := range v.vm.cpuid {
		intel = intel || c.Function == 0 && c.EBX == ebxGenu
	}
	if code != vmxInvalidGuestState || !intel {
		return ""
	}
	return "\nIf you're running a guest on an Intel machine without unrestricted mode\n" +
		"support, the failure can be most likely due to the guest entering an invalid\n" +
		"state for Intel VT. For example, the guest maybe running in big real mode\n" +
		"which is not supported on less recent Intel processors.\n\n"
}

func (v *VCPU) internalError() {
	var s strings.Builder
	fmt.Fprintf(&s, "KVM internal error. Suberror: %d\n", v.run.suberror())
	for i := range min(int(v.run.ndata()), 16) {
		fmt.Fprintf(&s, "extra data[%d]: 0x%016x\n", i, v.run.extra(i))
	}
	if v.run.suberror() == internalErrorEmulation {
		s.WriteString("emulation failure\n")
		// The kernel gave the guest's user space an exception; its
		// kernel decides what becomes of it.
		if st, err := v.state(); err == nil && st.sregs.cr0&cr0PE != 0 && st.sregs.cs.selector&3 == 3 {
			v.vm.log.Warn().Int("cpu", v.cfg.Index).Msg(s.String() + v.dump(dumpCode))
			return
		}
	}
	v.fail(s.String())
}

// fail stops the vCPU until the next Resume and reports why, with the
// registers.
func (v *VCPU) fail(text string) {
	v.stopped.Store(true)
	v.vm.h.Failed(v.cfg.Index, text+v.dump(dumpCode))
}
