package vdpa

import "fmt"

// state is what a device does.
type state int

const (
	// stateInactive: the driver is not ready; nothing is mapped.
	stateInactive state = iota
	// stateStarting: a goroutine sets the device up and pins memory.
	stateStarting
	// stateRunning: the device processes its queues.
	stateRunning
	// stateSuspended: the driver is ready and the VM stopped; nothing is
	// mapped, and where the queues stand is kept.
	stateSuspended
	// stateBroken: a call failed; nothing is mapped that could be taken back,
	// and only a reset helps.
	stateBroken
)

func (s state) String() string {
	return [...]string{"inactive", "starting", "running", "suspended", "broken"}[s]
}

// event is what moves a device from state to state.
type event int

const (
	evReady       event = iota // the driver set DRIVER_OK and the VM runs
	evReadyPaused              // the driver set DRIVER_OK and the VM does not run
	evStarted                  // the start succeeded
	evCanceled                 // the start was called off and undone
	evFailed                   // a call failed
	evVMStop                   // the VM stopped
	evVMRun                    // the VM goes on
	evReset                    // the driver or the machine reset the device
)

func (e event) String() string {
	return [...]string{"ready", "ready-paused", "started", "canceled", "failed", "vm-stop", "vm-run", "reset"}[e]
}

// transitions is every move there is. One that is missing is a bug.
var transitions = map[state]map[event]state{
	stateInactive: {
		evReady: stateStarting, evReadyPaused: stateSuspended,
		evVMStop: stateInactive, evVMRun: stateInactive, evReset: stateInactive, evFailed: stateBroken,
	},
	stateStarting: {
		evStarted: stateRunning, evCanceled: stateSuspended, evFailed: stateBroken,
		// The VM may stop and go on before the device has heard of the stop.
		evVMRun: stateStarting,
	},
	stateRunning: {
		evVMStop: stateSuspended, evVMRun: stateRunning, evReset: stateInactive, evFailed: stateBroken,
	},
	stateSuspended: {
		evVMRun: stateStarting, evVMStop: stateSuspended, evReset: stateInactive, evFailed: stateBroken,
	},
	stateBroken: {
		evReset: stateInactive, evFailed: stateBroken,
		evReady: stateBroken, evReadyPaused: stateBroken, evVMStop: stateBroken, evVMRun: stateBroken,
	},
}

// after gives the state that follows s.
func (s state) after(e event) state {
	n, ok := transitions[s][e]
	if !ok {
		panic(fmt.Sprintf("vdpa: event %s in state %s", e, s))
	}
	return n
}
