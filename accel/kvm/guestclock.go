package kvm

import (
	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/sys"
)

// guestClock is kvmclock while the VM is stopped: time stands still for the
// guest, as QEMU has it.
type guestClock struct {
	saved bool
	now   uint64 // nanoseconds
}

// begin has guest time start at 0 with the first Resume.
func (c *guestClock) begin() { c.saved = true }

// stopClock notes the time once all vCPUs are at rest; mu is held.
func (vm *VM) stopClock() {
	if vm.clock.saved || !vm.caps.clock {
		return
	}
	var d clockData
	if _, err := ioctl(vm, "KVM_GET_CLOCK", kvmGetClock, &d); err != nil {
		vm.log.Error().Err(err).Msg("guest time will jump")
		return
	}
	vm.clock = guestClock{saved: true, now: d.clock}
}

// restartClock sets the time again. mu is held; if time was stopped, no vCPU
// has been in the guest since.
func (vm *VM) restartClock() {
	if !vm.clock.saved || !vm.caps.clock {
		return
	}
	vm.clock.saved = false
	d := clockData{clock: vm.clock.now}
	if _, err := ioctl(vm, "KVM_SET_CLOCK", kvmSetClock, &d); err != nil {
		vm.log.Error().Err(err).Msg("guest time jumps")
	}
	if !vm.caps.clockCtrl {
		return
	}
	for _, v := range vm.vcpus {
		// Tells the guest's soft lockup watchdog that the pause was not
		// its fault. EINVAL: the guest does not use kvmclock.
		if _, err := sys.Ioctl(v.fd, kvmKVMClockCtrl, 0); err != nil && err != unix.EINVAL {
			vm.log.Error().Err(err).Int("cpu", v.cfg.Index).Msg("KVM_KVMCLOCK_CTRL")
		}
	}
}
