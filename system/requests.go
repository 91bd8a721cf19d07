package system

import (
	"fmt"
	"strings"
)

// Cause is why a VM is reset or shut down, as events name it.
type Cause string

// The causes there are in gqemu.
const (
	CauseHostQuit      Cause = "host-qmp-quit"
	CauseHostReset     Cause = "host-qmp-system-reset"
	CauseHostSignal    Cause = "host-signal"
	CauseGuestShutdown Cause = "guest-shutdown"
	CauseGuestReset    Cause = "guest-reset"
	CauseGuestPanic    Cause = "guest-panic"
)

// QAPIName is the name of the type in the QMP schema.
func (Cause) QAPIName() string { return "ShutdownCause" }

// QAPIEnum lists the values in the QMP schema.
func (Cause) QAPIEnum() []string {
	return []string{"none", "host-error", "host-qmp-quit", "host-qmp-system-reset", "host-signal", "host-ui",
		"guest-shutdown", "guest-reset", "guest-panic", "subsystem-reset", "snapshot-load"}
}

// byGuest tells whether the guest itself asked.
func (c Cause) byGuest() bool { return strings.HasPrefix(string(c), "guest-") }

// requests are transitions asked for while a vCPU or a client is in the
// middle of something. The main loop carries them out, or a client's session
// after the command that asked. Guarded by the VM lock.
type requests struct {
	shutdown  Cause // "" for none
	reset     Cause
	powerdown bool
	failed    bool // a vCPU met an internal error
	panicked  bool // the guest did, and shall stop
	status    int  // what the process ends with
}

// ShutdownEvent is the data of SHUTDOWN and RESET.
type ShutdownEvent struct {
	Guest  bool  `qapi:"guest"`
	Reason Cause `qapi:"reason"`
}

func (v *VM) wakeMain() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// requestShutdown asks for the end of the VM, or that it pauses where
// -no-shutdown says so. The latest cause is the one that clients are told.
func (v *VM) requestShutdown(c Cause) {
	v.req.shutdown = c
	v.wakeMain()
}

// quit asks for the end of the VM whatever -no-shutdown says.
func (v *VM) quit() { v.terminate(CauseHostQuit) }

func (v *VM) terminate(c Cause) {
	v.action.Shutdown = "poweroff"
	v.requestShutdown(c)
}

func (v *VM) requestPowerdown() {
	v.req.powerdown = true
	v.wakeMain()
}

// requestReset asks for a system reset; with -no-reboot it is a shutdown.
func (v *VM) requestReset(c Cause) {
	if v.action.Reboot == "shutdown" {
		v.requestShutdown(c)
		return
	}
	if v.req.reset == "" {
		v.req.reset = c
		v.wakeMain()
	}
}

// GuestReset is part of machine.Power. The vCPUs stop before the guest's
// instruction stream goes on.
func (v *VM) GuestReset() {
	v.requestReset(CauseGuestReset)
	v.requestPause()
}

// GuestPoweroff is part of machine.Power.
func (v *VM) GuestPoweroff() {
	v.requestShutdown(CauseGuestShutdown)
	v.requestPause()
}

// serve carries out what was requested. The end of the VM is left to the main
// loop; see ending. Called with the VM lock held.
func (v *VM) serve() {
	if v.ending {
		return
	}
	if v.req.failed {
		v.req.failed = false
		v.check(v.stop(StateInternalError))
	}
	if v.req.panicked {
		v.req.panicked = false
		v.check(v.stop(StateGuestPanicked))
	}
	if c := v.req.shutdown; c != "" {
		v.req.shutdown = ""
		v.post("SHUTDOWN", &ShutdownEvent{Guest: c.byGuest(), Reason: c})
		if v.action.Shutdown != "pause" {
			if c == CauseGuestPanic && v.action.Panic == "exit-failure" {
				v.req.status = 1
			}
			v.finish()
			v.wakeMain()
			return
		}
		v.check(v.stop(StateShutdown))
	}
	if c := v.req.reset; c != "" {
		v.req.reset = ""
		v.reset(c)
	}
	if v.req.powerdown {
		v.req.powerdown = false
		v.post("POWERDOWN", nil)
		v.machine.Powerdown()
	}
}

// reset performs a system reset. A VM that does not run comes out in state
// prelaunch, one that runs goes on.
func (v *VM) reset(c Cause) {
	if !v.begin() {
		return
	}
	defer v.end()
	v.pauseVCPUs()
	err := v.machine.Reset()
	v.post("RESET", &ShutdownEvent{Guest: c.byGuest(), Reason: c})
	if err != nil {
		// Without a kernel in memory there is nothing to run.
		v.report(err.Error())
		if v.run.state == StateRunning {
			v.check(v.stopNow(StateInternalError))
		} else {
			v.run.set(StateInternalError)
		}
		return
	}
	if v.run.state == StateRunning {
		v.resumeVCPUs()
		return
	}
	v.run.set(StatePrelaunch)
}

// check reports what went wrong in a transition that is made all the same.
func (v *VM) check(err error) {
	if err != nil {
		v.report(fmt.Sprint(err))
	}
}
