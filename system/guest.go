package system

// This file is what a guest asks of its machine by way of devices, beside
// reset and power off: qdev.GuestActions.

// GuestPanicAction is what is done about a guest that panicked.
type GuestPanicAction string

// QAPIName is the name of the type in the QMP schema.
func (GuestPanicAction) QAPIName() string { return "GuestPanicAction" }

// QAPIEnum lists the values in the QMP schema.
func (GuestPanicAction) QAPIEnum() []string { return []string{"pause", "poweroff", "run"} }

// GuestPanickedEvent is the data of GUEST_PANICKED and GUEST_CRASHLOADED. The
// device tells no more than that it happened.
type GuestPanickedEvent struct {
	Action GuestPanicAction `qapi:"action"`
}

// GuestPanicked is part of qdev.GuestActions. What happens is up to -action
// panic=.
func (v *VM) GuestPanicked() {
	action := GuestPanicAction("poweroff")
	switch v.action.Panic {
	case "pause":
		action = "pause"
	case "none":
		action = "run"
	}
	v.post("GUEST_PANICKED", &GuestPanickedEvent{action})
	if action == "run" {
		return
	}
	v.req.panicked = true
	v.wakeMain()
	if action == "poweroff" {
		v.requestShutdown(CauseGuestPanic)
	}
	v.requestPause()
}

// GuestCrashLoaded is part of qdev.GuestActions.
func (v *VM) GuestCrashLoaded() { v.post("GUEST_CRASHLOADED", &GuestPanickedEvent{"run"}) }

// GuestExit is part of qdev.GuestActions. As in QEMU clients get no event.
func (v *VM) GuestExit(status int) {
	v.req.status = status
	v.finish()
	v.wakeMain()
	v.requestPause()
}

// ExitStatus is the process's exit status once Run has returned.
func (v *VM) ExitStatus() int { return v.req.status }

// RTCChangeEvent is the data of RTC_CHANGE. Seconds is how far the time that
// the guest has set is from the one that the clock started with.
type RTCChangeEvent struct {
	Seconds int64  `qapi:"offset"`
	QOMPath string `qapi:"qom-path"`
}
