package system

import (
	"fmt"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/monitor"
	"github.com/gqemu/gqemu/qapi"
)

// QEMUVersion is the version of QEMU whose behaviour is the model, and which
// clients are told.
var QEMUVersion = monitor.Version{Major: 8, Minor: 2, Micro: 7}

// createMonitors makes the command registry and puts monitors on their
// chardevs.
func (v *VM) createMonitors() error {
	v.commands = &qapi.Registry{}
	version := QEMUVersion
	version.Package = v.env.Package
	v.monitors = monitor.NewSet(monitor.Config{
		Registry:  v.commands,
		Version:   version,
		Exec:      v.exec,
		Preconfig: v.preconfig,
		AfterFunc: v.eventTimers(),
		HMP:       func() monitor.Human { return v.newHuman() },
		Clients:   v.countClients,
		Log:       func(format string, args ...any) { v.env.Log.Debug().Msgf(format, args...) },
	})
	v.registerCommands()
	v.registerPreconfig()
	v.registerEvents()
	for i := range v.cfg.Monitors {
		m := &v.cfg.Monitors[i]
		o, err := m.Options()
		if err != nil {
			return at(m.Loc, err)
		}
		c, ok := v.chardevs.Get(o.Chardev)
		if !ok {
			return at(m.Loc, fmt.Errorf("chardev \"%s\" not found", o.Chardev))
		}
		opt := monitor.Options{Mode: monitor.Readline, Pretty: o.Pretty}
		if o.Control {
			opt.Mode = monitor.Control
			// Whoever types QMP at a terminal types lines.
			c.SetEcho(true)
		} else if o.Pretty {
			return at(m.Loc, cli.ErrPrettyHMP())
		}
		if err := v.monitors.Add(c, opt); err != nil {
			return at(m.Loc, err)
		}
	}
	return nil
}

// openMuxes lets the monitors and serial ports that share a chardev begin, now that the focus is
// where it stays.
func (v *VM) openMuxes() error {
	v.chardevs.OpenMuxes()
	return nil
}

// quitByKey ends the VM as the command quit does.
func (v *VM) quitByKey() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.quit()
}

func (v *VM) registerEvents() {
	r := v.commands
	qapi.RegisterEvent[ShutdownEvent](r, "SHUTDOWN")
	qapi.RegisterEvent[ShutdownEvent](r, "RESET")
	qapi.RegisterEvent[struct{}](r, "POWERDOWN")
	qapi.RegisterEvent[GuestPanickedEvent](r, "GUEST_PANICKED")
	qapi.RegisterEvent[GuestPanickedEvent](r, "GUEST_CRASHLOADED")
	qapi.RegisterEvent[RTCChangeEvent](r, "RTC_CHANGE")
	qapi.RegisterEvent[struct{}](r, "STOP")
	qapi.RegisterEvent[struct{}](r, "RESUME")
	qapi.RegisterEvent[DeviceDeletedEvent](r, "DEVICE_DELETED")
	registerVDPAEvent(r)
}

// DeviceDeletedEvent is the data of DEVICE_DELETED.
type DeviceDeletedEvent struct {
	Device *string `qapi:"device,optional"`
	Path   string  `qapi:"path"`
}
