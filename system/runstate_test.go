package system

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/clock"
	"github.com/gqemu/gqemu/hw/machine"
	"github.com/gqemu/gqemu/qdev"
)

// fakeAccel counts what it is asked for.
type fakeAccel struct {
	accel.VM
	resumed atomic.Int32
	closed  atomic.Bool
}

func (*fakeAccel) RequestPause()  {}
func (*fakeAccel) WaitPaused()    {}
func (a *fakeAccel) Resume()      { a.resumed.Add(1) }
func (a *fakeAccel) Close() error { a.closed.Store(true); return nil }

// fakeMachine can be reset.
type fakeMachine struct{ machine.Machine }

func (fakeMachine) Reset() error { return nil }

func newTestVM(s RunState) (*VM, *fakeAccel) {
	a := new(fakeAccel)
	v := &VM{
		acc: a, machine: fakeMachine{}, chardevs: new(chardev.Registry),
		wake: make(chan struct{}, 1), pause: make(chan struct{}), started: make(chan struct{}),
		run: runControl{state: s}, action: cli.Action{Shutdown: "pause"},
	}
	v.changed.L = &v.mu
	v.host = &qdev.Host{Clock: clock.NewManual(v)}
	close(v.started)
	return v, a
}

// waiting runs op in a goroutine and lets it come to where it waits for the
// transition that the test has begun.
func waiting(v *VM, op func()) (done chan struct{}) {
	done = make(chan struct{})
	at := make(chan struct{})
	go func() {
		defer close(done)
		v.mu.Lock()
		defer v.mu.Unlock()
		close(at)
		op()
	}()
	<-at
	v.mu.Lock() // op has let go of the lock: it waits
	return done
}

// TestTransitionsThatWaited: whatever became of the VM while a transition
// waited for another one, it makes no illegal move: a VM that does not run is
// not stopped, one that needs a reset does not run, a reset VM is at its start.
func TestTransitionsThatWaited(t *testing.T) {
	states := []RunState{StatePrelaunch, StateRunning, StatePaused, StateShutdown, StateInternalError}
	for name, c := range map[string]struct {
		op   func(*VM) error
		want func(RunState) RunState
		fail func(RunState) bool
	}{
		"stop":     {func(v *VM) error { return v.stop(StatePaused) }, stopped(StatePaused), never},
		"shutdown": {func(v *VM) error { return v.stop(StateShutdown) }, stopped(StateShutdown), never},
		"failure":  {func(v *VM) error { return v.stop(StateInternalError) }, stopped(StateInternalError), never},
		"cont": {func(v *VM) error { return v.start() }, func(s RunState) RunState {
			if s == StateShutdown || s == StateInternalError {
				return s
			}
			return StateRunning
		}, func(s RunState) bool { return s == StateShutdown || s == StateInternalError }},
		"reset": {func(v *VM) error { v.reset(CauseHostReset); return nil }, func(s RunState) RunState {
			if s == StateRunning {
				return s
			}
			return StatePrelaunch
		}, never},
	} {
		for _, before := range states {
			for _, after := range states {
				v, _ := newTestVM(before)
				v.mu.Lock()
				v.begin()
				v.mu.Unlock()
				var err error
				done := waiting(v, func() { err = c.op(v) })
				v.run.state = after
				v.end()
				v.mu.Unlock()
				<-done
				if want := c.want(after); v.run.state != want {
					t.Errorf("%s: %s, meanwhile %s, became %s, want %s", name, before, after, v.run.state, want)
				}
				if (err != nil) != c.fail(after) {
					t.Errorf("%s: %s, meanwhile %s: error %v", name, before, after, err)
				}
			}
		}
	}
}

func stopped(to RunState) func(RunState) RunState {
	return func(s RunState) RunState {
		if s == StateRunning {
			return to
		}
		return s
	}
}

func never(RunState) bool { return false }

// TestCloseWaitsForTransition: Close lets a transition end, those that wait and
// commands that come later do nothing, and no vCPU runs again.
func TestCloseWaitsForTransition(t *testing.T) {
	v, a := newTestVM(StatePaused)
	v.mu.Lock()
	v.begin()
	v.mu.Unlock()
	cont := waiting(v, func() { _ = v.start() })
	v.mu.Unlock()
	closed := make(chan struct{})
	go func() {
		v.Close()
		close(closed)
	}()
	<-cont
	if a.closed.Load() {
		t.Fatal("closed amid a transition")
	}
	v.mu.Lock()
	v.end()
	v.mu.Unlock()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("Close hangs")
	}
	v.exec(context.Background(), func() { t.Error("a command ran after Close") })
	if n := a.resumed.Load(); n != 0 || v.run.state != StatePaused {
		t.Errorf("resumed %d times, state %s", n, v.run.state)
	}
}

// TestQuitBesideGuestPoweroff: with -no-shutdown, a quit that meets a power-off
// by the guest which has not been carried out yet ends the VM all the same.
func TestQuitBesideGuestPoweroff(t *testing.T) {
	v, _ := newTestVM(StateRunning)
	v.mu.Lock()
	v.GuestPoweroff()
	v.mu.Unlock()
	v.exec(context.Background(), v.quit)
	if !v.ending {
		t.Error("the VM lives on")
	}
	v, _ = newTestVM(StateRunning)
	v.mu.Lock()
	v.GuestPoweroff()
	v.mu.Unlock()
	v.exec(context.Background(), func() {})
	if v.ending || v.run.state != StateShutdown {
		t.Errorf("-no-shutdown: ending %v, state %s", v.ending, v.run.state)
	}
}

// TestPausedWaitsForTransition: a VM that is about to stop has another state
// already while its vCPUs still run; nobody looks at them before they rest.
func TestPausedWaitsForTransition(t *testing.T) {
	v := &VM{changing: true}
	v.changed.L = &v.mu
	v.run.state = StatePaused
	var rest atomic.Bool
	done := make(chan bool)
	go func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		_ = v.paused(func() error {
			done <- rest.Load()
			return nil
		})
	}()
	select {
	case <-done:
		t.Fatal("looked while the VM was stopping")
	case <-time.After(20 * time.Millisecond):
	}
	rest.Store(true)
	v.mu.Lock()
	v.end()
	v.mu.Unlock()
	if !<-done {
		t.Error("looked too early")
	}
}
