package kvm

import (
	"fmt"

	"github.com/gqemu/gqemu/internal/sys"
)

// changed brings attn up to date and wakes who waits; mu is held.
func (vm *VM) changed() {
	vm.attn.Store(!vm.running || vm.closing || vm.inhibit > 0)
	vm.cond.Broadcast()
}

// Resume lets all vCPUs run, including those that stopped for a triple fault
// or an error. Guest time goes on from where it stood.
func (vm *VM) Resume() {
	vm.ports.dead.update()
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.closing {
		return
	}
	for _, v := range vm.vcpus {
		v.stopped.Store(false)
	}
	if !vm.running {
		vm.restartClock()
		vm.running = true
	}
	vm.changed()
}

// RequestPause asks all vCPUs to leave guest code; it does not wait.
func (vm *VM) RequestPause() {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	vm.running = false
	vm.changed()
	for _, v := range vm.vcpus {
		v.kick()
	}
	vm.settle()
}

// WaitPaused returns when no vCPU is in guest code or in a Handler, and every
// instruction that reached a Handler has been finished. A vCPU that
// itself waits here counts as paused, so that two of them may ask for a pause
// at a time. It returns early if Resume or Close comes first: the caller
// looks at its run state once it has the VM lock again.
func (vm *VM) WaitPaused() {
	self := vm.current()
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if self != nil {
		self.waiting = true
		defer func() { self.waiting = false }()
		vm.settle()
		vm.cond.Broadcast()
	}
	for !vm.running && !vm.closing && !vm.quiet(self) {
		vm.cond.Wait()
	}
}

// quiet tells whether all vCPUs but except are at rest; mu is held.
func (vm *VM) quiet(except *VCPU) bool {
	for _, v := range vm.vcpus {
		if v != except && !v.parked && !v.waiting {
			return false
		}
	}
	return true
}

// settle stops guest time when the last vCPU has come to rest; mu is held.
func (vm *VM) settle() {
	if !vm.running && vm.quiet(nil) {
		vm.stopClock()
	}
}

// current is the vCPU whose goroutine this is, or nil. No other goroutine
// ever runs on a vCPU's thread.
func (vm *VM) current() *VCPU {
	tid := sys.Gettid()
	vm.mu.Lock()
	defer vm.mu.Unlock()
	for _, v := range vm.vcpus {
		if v.threadID == tid {
			return v
		}
	}
	return nil
}

// todo is what a vCPU's goroutine does next.
type todo int

const (
	enterGuest todo = iota
	finishOnly      // have KVM finish an instruction, without entering
	end
)

// service is where a vCPU's goroutine waits while it may not run.
func (v *VCPU) service() todo {
	vm := v.vm
	vm.mu.Lock()
	defer vm.mu.Unlock()
	for {
		switch {
		case vm.closing:
			return end
		case vm.inhibit > 0:
			vm.cond.Wait()
		case vm.running && !v.stopped.Load():
			v.parked = false
			return enterGuest
		case v.pending.Load():
			// The registers are not what they seem until KVM has
			// finished the instruction: enter, but not the guest.
			v.parked = false
			v.run.set(immediateExit)
			return finishOnly
		default:
			// Told once: vCPUs that told each other at each turn would keep
			// each other awake for as long as the VM is paused.
			if !v.parked {
				v.parked = true
				vm.settle()
				vm.cond.Broadcast()
			}
			vm.cond.Wait()
		}
	}
}

// atRest tells whether the vCPU's state may be looked at and changed, from
// this goroutine.
func (v *VCPU) atRest() error {
	self := v.vm.current()
	v.vm.mu.Lock()
	defer v.vm.mu.Unlock()
	if v.vm.closing {
		return ErrClosed
	}
	if self == v || !v.vm.running && (v.parked || v.waiting) {
		return nil
	}
	return fmt.Errorf("kvm: vCPU %d is running", v.cfg.Index)
}

// stopGuests keeps all vCPUs out of KVM_RUN until the returned function is
// called. Handlers go on. Called with the VM lock held, since a vCPU in
// KVM_RUN never holds it.
func (vm *VM) stopGuests() (release func()) {
	vm.mu.Lock()
	vm.inhibit++
	vm.changed()
	vcpus := vm.vcpus
	for _, v := range vcpus {
		v.kick()
	}
	vm.mu.Unlock()
	for _, v := range vcpus {
		v.runMu.Lock()
	}
	return func() {
		for _, v := range vcpus {
			v.runMu.Unlock()
		}
		vm.mu.Lock()
		vm.inhibit--
		vm.changed()
		vm.mu.Unlock()
	}
}
