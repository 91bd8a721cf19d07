package system

import "github.com/gqemu/gqemu/qapi"

// registerPreconfig adds the command that ends what --preconfig began.
func (v *VM) registerPreconfig() {
	register(v, "x-exit-preconfig", func(none) (none, error) { return none{}, v.exitPreconfig() },
		qapi.AllowPreconfig(), qapi.Unstable())
}

// preconfig tells whether the machine waits for a client to have it made, so
// that only commands for that time are allowed. It may be called without the
// VM lock.
func (v *VM) preconfig() bool { return !v.initialized.Load() }

// exitPreconfig makes the machine and starts it, unless it was to begin
// paused. If that fails the process ends, as it does where there was no
// --preconfig.
func (v *VM) exitPreconfig() error {
	if !v.preconfig() {
		return qapi.Errorf("The command is permitted only before machine initialization")
	}
	if err := v.initialize(); err != nil {
		v.printStartError(err)
		v.GuestExit(1)
		return err
	}
	if v.cfg.Paused {
		return nil
	}
	return v.start()
}
