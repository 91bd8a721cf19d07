package system

import "fmt"

// The methods of accel.Handler: what vCPUs cause. They come on the vCPUs' own
// goroutines without the VM lock.

// PIO is a guest's port access.
func (v *VM) PIO(port uint16, data []byte, write bool) {
	v.mu.Lock()
	v.host.IO.Access(uint64(port), data, write)
	v.mu.Unlock()
}

// MMIO is a guest's access to memory that is not RAM.
func (v *VM) MMIO(addr uint64, data []byte, write bool) {
	v.mu.Lock()
	v.host.Memory.Access(addr, data, write)
	v.mu.Unlock()
}

// EOI ends a level-triggered vector.
func (v *VM) EOI(vector uint8) {
	v.mu.Lock()
	v.machine.EOI(vector)
	v.mu.Unlock()
}

// Shutdown is a triple fault, which resets a PC.
func (v *VM) Shutdown(int) {
	v.mu.Lock()
	v.GuestReset()
	v.mu.Unlock()
}

// Failed is a vCPU that cannot go on. The VM stops in state internal-error
// and the process lives on for its clients.
func (v *VM) Failed(_ int, report string) {
	fmt.Fprint(v.rep.W, report)
	v.mu.Lock()
	v.req.failed = true
	v.requestPause()
	v.wakeMain()
	v.mu.Unlock()
}
