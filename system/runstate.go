package system

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/gqemu/gqemu/hw/machine"
)

// RunState is a VM's state as QMP names it.
type RunState string

// The run states that gqemu reaches.
const (
	StatePrelaunch     RunState = "prelaunch"
	StateRunning       RunState = "running"
	StatePaused        RunState = "paused"
	StateShutdown      RunState = "shutdown"
	StateInternalError RunState = "internal-error"
	StateGuestPanicked RunState = "guest-panicked"
	StateSaveVM        RunState = "save-vm"
)

// QAPIName is the name of the type in the QMP schema.
func (RunState) QAPIName() string { return "RunState" }

// QAPIEnum lists the values in the QMP schema.
func (RunState) QAPIEnum() []string {
	return []string{"debug", "inmigrate", "internal-error", "io-error", "paused", "postmigrate", "prelaunch",
		"finish-migrate", "restore-vm", "running", "save-vm", "shutdown", "suspended", "watchdog",
		"guest-panicked", "colo"}
}

// transitions says which state may follow which.
var transitions = map[RunState][]RunState{
	StatePrelaunch:     {StateRunning, StateInternalError},
	StateRunning:       {StatePaused, StateShutdown, StateInternalError, StateGuestPanicked, StateSaveVM},
	StatePaused:        {StateRunning, StatePrelaunch, StateInternalError},
	StateShutdown:      {StatePrelaunch, StateInternalError},
	StateGuestPanicked: {StateRunning, StatePrelaunch, StateShutdown, StateInternalError},
	StateSaveVM:        {StateRunning, StatePrelaunch, StateInternalError},
	StateInternalError: {StatePrelaunch},
}

// runControl is the VM's run state. Guarded by the VM lock.
type runControl struct {
	state RunState
	live  atomic.Bool // state is StateRunning, for those without the lock
	hooks []*func(bool) error
}

// Running is part of qdev.RunState.
func (r *runControl) Running() bool { return r.state == StateRunning }

// OnChange is part of qdev.RunState.
func (r *runControl) OnChange(f func(bool) error) (cancel func()) {
	h := &f
	r.hooks = append(r.hooks, h)
	return func() { r.hooks = slices.DeleteFunc(r.hooks, func(x *func(bool) error) bool { return x == h }) }
}

func (r *runControl) notify(running bool) error {
	var errs []error
	for _, h := range slices.Clone(r.hooks) {
		errs = append(errs, (*h)(running))
	}
	return errors.Join(errs...)
}

// set moves to a state; a transition that is not in the table is a bug.
func (r *runControl) set(s RunState) {
	if r.state == s {
		return
	}
	if !slices.Contains(transitions[r.state], s) {
		panic("system: run state " + string(r.state) + " cannot become " + string(s))
	}
	r.state = s
	r.live.Store(s == StateRunning)
}

// needsReset tells whether the guest cannot go on from here.
func (r *runControl) needsReset() bool {
	return r.state == StateInternalError || r.state == StateShutdown
}

// begin waits until no other transition is under way and starts one. The VM
// lock is let go meanwhile, so the run state may be another one afterwards. It
// reports false when the VM is being taken down, which nothing may get in the
// way of.
func (v *VM) begin() bool {
	for v.changing && !v.ending {
		v.changed.Wait()
	}
	if v.ending {
		return false
	}
	v.changing = true
	return true
}

// end ends the transition that begin started.
func (v *VM) end() {
	v.changing = false
	v.changed.Broadcast()
}

// finish lets no further command or transition begin.
func (v *VM) finish() {
	v.ending = true
	v.changed.Broadcast()
}

// stop takes the VM out of StateRunning to another state: the clock stands,
// no vCPU is in guest code and the devices are told. A VM that does not run
// keeps its state. The VM lock is let go while vCPUs come to rest.
func (v *VM) stop(to RunState) error {
	if !v.begin() {
		return nil
	}
	defer v.end()
	return v.stopNow(to)
}

// stopNow is stop within a transition.
func (v *VM) stopNow(to RunState) error {
	if v.run.state != StateRunning {
		return nil
	}
	v.run.set(to)
	v.host.Clock.Pause()
	v.pauseVCPUs()
	err := v.run.notify(false)
	v.post("STOP", nil)
	return err
}

// start makes the VM run and tells clients. It fails for a guest that cannot
// go on.
func (v *VM) start() error { return v.resume(true) }

// launch makes the VM run for the first time. QEMU does so before it lets any
// client in, so that nobody sees the RESUME of it.
func (v *VM) launch() error { return v.resume(false) }

func (v *VM) resume(tell bool) error {
	if !v.begin() {
		return nil
	}
	defer v.end()
	if v.run.state == StateRunning {
		return nil
	}
	if v.run.needsReset() {
		return fmt.Errorf("Resetting the Virtual Machine is required")
	}
	if m, ok := v.machine.(machine.Runner); ok {
		if err := m.Runnable(); err != nil {
			return err
		}
	}
	v.run.set(StateRunning)
	if tell {
		v.post("RESUME", nil)
	}
	v.host.Clock.Resume()
	err := v.run.notify(true)
	v.resumeVCPUs()
	return err
}

// requestPause asks all vCPUs to leave guest code, those that wait in a device
// included. It does not wait.
func (v *VM) requestPause() {
	if !v.pausing {
		v.pausing = true
		close(v.pause)
	}
	v.acc.RequestPause()
}

// pauseVCPUs waits until no vCPU runs. The VM lock is released meanwhile: a
// vCPU may need it to leave a device.
func (v *VM) pauseVCPUs() {
	v.requestPause()
	v.mu.Unlock()
	v.acc.WaitPaused()
	v.mu.Lock()
}

func (v *VM) resumeVCPUs() {
	if v.pausing {
		v.pausing = false
		v.pause = make(chan struct{})
	}
	v.acc.Resume()
}

// await is qdev.Host.Await.
func (v *VM) await(done <-chan struct{}) {
	pause := v.pause
	v.mu.Unlock()
	select {
	case <-done:
	case <-pause:
	}
	v.mu.Lock()
}
