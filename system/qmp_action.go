package system

import "github.com/gqemu/gqemu/qapi"

type rebootAction string

func (rebootAction) QAPIName() string   { return "RebootAction" }
func (rebootAction) QAPIEnum() []string { return []string{"reset", "shutdown"} }

type shutdownAction string

func (shutdownAction) QAPIName() string   { return "ShutdownAction" }
func (shutdownAction) QAPIEnum() []string { return []string{"poweroff", "pause"} }

type panicAction string

func (panicAction) QAPIName() string   { return "PanicAction" }
func (panicAction) QAPIEnum() []string { return []string{"pause", "shutdown", "exit-failure", "none"} }

type watchdogAction string

func (watchdogAction) QAPIName() string { return "WatchdogAction" }
func (watchdogAction) QAPIEnum() []string {
	return []string{"reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi"}
}

type setActionArgs struct {
	Reboot   *rebootAction   `qapi:"reboot,optional"`
	Shutdown *shutdownAction `qapi:"shutdown,optional"`
	Panic    *panicAction    `qapi:"panic,optional"`
	Watchdog *watchdogAction `qapi:"watchdog,optional"`
}

type watchdogSetActionArgs struct {
	Action watchdogAction `qapi:"action"`
}

// registerAction adds the commands of QAPI module run-state that say what
// happens on a guest's events.
func (v *VM) registerAction() {
	register(v, "set-action", func(a setActionArgs) (none, error) {
		if a.Reboot != nil {
			v.action.Reboot = string(*a.Reboot)
		}
		if a.Shutdown != nil {
			v.action.Shutdown = string(*a.Shutdown)
		}
		if a.Panic != nil {
			v.action.Panic = string(*a.Panic)
		}
		if a.Watchdog != nil {
			v.action.Watchdog = string(*a.Watchdog)
		}
		return none{}, nil
	}, qapi.AllowPreconfig())
	register(v, "watchdog-set-action", func(a watchdogSetActionArgs) (none, error) {
		v.action.Watchdog = string(a.Action)
		return none{}, nil
	})
}
