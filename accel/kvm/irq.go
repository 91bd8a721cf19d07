package kvm

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/internal/sys"
)

// ioapicPins is the size of KVM's own IOAPIC.
const ioapicPins = 24

func (vm *VM) initIRQChip() error {
	if vm.opts.IRQChip == accel.IRQChipOff {
		return nil
	}
	if vm.opts.IRQChip == accel.IRQChipSplit {
		c := enableCap{cap: uint32(capSplitIRQChip)}
		c.args[0] = uint64(vm.opts.Pins)
		if _, err := sys.IoctlPtr(vm.fd, kvmEnableCap, &c); err != nil {
			return initFailed(err, "Could not enable split irqchip mode: %s", errno.Text(err))
		}
		return nil
	}
	if _, err := sys.Ioctl(vm.fd, kvmCreateIRQChip, 0); err != nil {
		return initFailed(err, "Create kernel irqchip failed: %s", errno.Text(err))
	}
	pit := pitConfig{flags: pitSpeakerDummy}
	if _, err := sys.IoctlPtr(vm.fd, kvmCreatePIT2, &pit); err != nil {
		return initFailed(err, "Create kernel PIC irqchip failed: %s", errno.Text(err))
	}
	vm.routes.defaults()
	if err := vm.routes.commit(); err != nil {
		return initFailed(err, "%s", err)
	}
	return nil
}

// IRQChip tells who has which interrupt controllers.
func (vm *VM) IRQChip() accel.IRQChip { return vm.opts.IRQChip }

// SetLine drives a line into KVM's interrupt controllers, GSI 0 to 23.
func (vm *VM) SetLine(gsi int, level bool) error {
	if vm.opts.IRQChip != accel.IRQChipOn {
		return fmt.Errorf("kvm: there is no kernel interrupt line %d with kernel-irqchip=%s", gsi, vm.opts.IRQChip)
	}
	if gsi < 0 || gsi >= ioapicPins {
		return fmt.Errorf("kvm: no interrupt line %d", gsi)
	}
	l := irqLevel{irq: uint32(gsi)}
	if level {
		l.level = 1
	}
	_, err := ioctl(vm, "KVM_IRQ_LINE", kvmIRQLine, &l)
	return err
}

// SendMSI delivers a message to the local APICs at once. A message that the
// guest's APICs do not take is no error. May be called from any goroutine.
func (vm *VM) SendMSI(m accel.MSI) error {
	if vm.opts.IRQChip == accel.IRQChipOff {
		if vm.apics != nil {
			vm.apics.SendMSI(m)
		}
		return nil
	}
	k := msi{addrLo: uint32(m.Addr), addrHi: uint32(m.Addr >> 32), data: m.Data}
	_, err := ioctl(vm, "KVM_SIGNAL_MSI", kvmSignalMSI, &k)
	// KVM answers EPERM (a plain -1 in its code) where no APIC is
	// addressed.
	if errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}
