package kvm

import (
	"sync/atomic"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/sys"
)

// extint is the output of an emulated PIC, wired to LINT0 of the boot CPU.
type extint struct {
	level atomic.Bool
	ack   func() uint8 // guarded by the VM lock
}

// SetExtINT tells that the PIC's output changed.
func (vm *VM) SetExtINT(level bool, ack func() uint8) {
	if vm.opts.IRQChip == accel.IRQChipOff {
		if vm.apics != nil {
			vm.apics.SetExtINT(level, ack)
		}
		return
	}
	vm.extint.ack = ack
	if vm.extint.level.Swap(level) == level || !level {
		return
	}
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if len(vm.vcpus) > 0 {
		vm.vcpus[0].kick()
	}
}

// offerExtINT injects the PIC's interrupt if the guest can take one now, and
// asks KVM to say when it can if not. Called by the boot CPU's goroutine
// before it enters the guest.
func (v *VCPU) offerExtINT() error {
	x := &v.vm.extint
	if x.level.Load() && v.run.readyForINTR() {
		// KVM tells anew at the next exit.
		v.run[runReady] = 0
		v.vm.lock.Lock()
		var vector uint32
		take := x.level.Load() && x.ack != nil
		if take {
			vector = uint32(x.ack())
		}
		v.vm.lock.Unlock()
		if take {
			if _, err := sys.IoctlPtr(v.fd, kvmInterrupt, &vector); err != nil {
				return err
			}
		}
	}
	if x.level.Load() {
		v.run.set(wantWindow)
	} else {
		v.run.clear(wantWindow)
	}
	return nil
}
