package system

import (
	"context"

	"github.com/gqemu/gqemu/qapi"
)

// none is for commands without arguments or result.
type none = struct{}

// register adds a command whose body needs only its arguments. It runs under
// the VM lock.
func register[Args, Ret any](v *VM, name string, body func(Args) (Ret, error), opts ...qapi.Option) {
	qapi.Register(v.commands, name, func(_ context.Context, _ *qapi.Call, a Args) (Ret, error) { return body(a) }, opts...)
}

func (v *VM) registerCommands() {
	v.registerControl()
	v.registerRunState()
	v.registerMachine()
	v.registerQOM()
	v.registerQdev()
	v.registerChar()
	v.registerMemory()
	v.registerCPUs()
	v.registerBlock()
	v.registerNet()
	v.registerUI()
	v.registerPCI()
	v.registerTrace()
	v.registerAction()
	v.registerMigration()
	v.registerObjects()
	v.registerMisc()
	v.registerDump()
	v.registerOptions()
	v.registerVirtio()
	v.registerStats()
	v.registerMachineTarget()
	v.registerHMP()
}

// registerControl adds commands of QAPI module control.
func (v *VM) registerControl() {
	register(v, "quit", func(none) (none, error) {
		v.quit()
		return none{}, nil
	}, qapi.AllowPreconfig())
}

// StatusInfo is the result of query-status.
type StatusInfo struct {
	Running    bool     `qapi:"running"`
	Singlestep bool     `qapi:"singlestep,deprecated"`
	Status     RunState `qapi:"status"`
}

// QAPIName is the name of the type in the QMP schema.
func (StatusInfo) QAPIName() string { return "StatusInfo" }

// registerRunState adds commands of the QAPI modules run-state and misc.
func (v *VM) registerRunState() {
	register(v, "query-status", func(none) (StatusInfo, error) {
		return StatusInfo{Running: v.run.Running(), Status: v.run.state}, nil
	}, qapi.AllowPreconfig())
	register(v, "stop", func(none) (none, error) { return none{}, v.stop(StatePaused) })
	register(v, "cont", func(none) (none, error) {
		if v.dump.active() {
			return none{}, errDumping
		}
		return none{}, v.start()
	})
	register(v, "system_reset", func(none) (none, error) {
		v.requestReset(CauseHostReset)
		return none{}, nil
	})
	register(v, "system_powerdown", func(none) (none, error) {
		v.requestPowerdown()
		return none{}, nil
	})
	register(v, "query-name", func(none) (NameInfo, error) {
		var n NameInfo
		if s := v.cfg.Name.Guest; s != "" {
			n.Name = &s
		}
		return n, nil
	}, qapi.AllowPreconfig())
}

// NameInfo is the result of query-name.
type NameInfo struct {
	Name *string `qapi:"name,optional"`
}

// QAPIName is the name of the type in the QMP schema.
func (NameInfo) QAPIName() string { return "NameInfo" }
