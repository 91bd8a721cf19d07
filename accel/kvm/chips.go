package kvm

import (
	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/sys"
)

const (
	ioapicBase   = 0xfec00000
	ioapicMasked = 1 << 16 // of a redirection table entry
	pitMode3     = 3       // square wave
	pitBothBytes = 3       // access to the count
)

// ResetChips resets the kernel's interrupt controllers and timer, with
// IRQChipOn; elsewhere there are none. The PICs are left initialised and
// masked, as firmware does: a kernel on a hardware-reduced platform never
// touches them, and the boot CPU's local APIC lets them through. The levels
// of lines stay.
func (vm *VM) ResetChips() error {
	if vm.opts.IRQChip != accel.IRQChipOn {
		return nil
	}
	for id, base := range map[uint32]uint8{chipPICMaster: 0x08, chipPICSlave: 0x70} {
		err := updateChip(vm, id, func(s *picState) {
			*s = picState{lastIRR: s.lastIRR, elcrMask: s.elcrMask, imr: 0xff, base: base}
		})
		if err != nil {
			return err
		}
	}
	err := updateChip(vm, chipIOAPIC, func(s *ioapicState) {
		*s = ioapicState{base: ioapicBase, irr: s.irr}
		for i := range s.table {
			s.table[i] = ioapicMasked
		}
	})
	if err != nil {
		return err
	}
	var p pitState
	for i := range p.channels {
		c := &p.channels[i]
		c.mode, c.rwMode = pitMode3, pitBothBytes
		if i != 2 {
			c.gate = 1
		}
	}
	_, err = ioctl(vm, "KVM_SET_PIT2", kvmSetPIT2, &p)
	return err
}

// updateChip changes the state of one of the kernel's chips.
func updateChip[T any](vm *VM, id uint32, change func(*T)) error {
	c := irqchip{id: id}
	if _, err := ioctl(vm, "KVM_GET_IRQCHIP", kvmGetIRQChip, &c); err != nil {
		return err
	}
	var s T
	copy(sys.Bytes(&s), c.state[:])
	change(&s)
	copy(c.state[:], sys.Bytes(&s))
	_, err := ioctl(vm, "KVM_SET_IRQCHIP", kvmSetIRQChip, &c)
	return err
}
