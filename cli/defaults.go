package cli

// MachineDefaults says which default devices a machine never has.
type MachineDefaults struct {
	NoSerial, NoParallel bool
}

// DefaultDevices adds to c.Serials, c.Monitors and c.Chardevs the serial port
// and monitor that QEMU makes when none was asked for. To be called once, after
// the machine type is known and before any chardev is made.
//
// It is none with -nodefaults. With -nographic both go to the terminal, on one
// multiplexed chardev (`mon:stdio`) if both are defaults. Otherwise there is no
// display to put them on: the serial port has a null chardev, and no monitor.
func (c *Config) DefaultDevices(m MachineDefaults) error {
	if c.NoDefaults {
		return nil
	}
	serial := !m.NoSerial && len(c.Serials) == 0 && !c.mentions("isa-serial")
	parallel := !m.NoParallel && !c.mentions("isa-parallel")
	monitor := !c.noDefaultMonitor

	if c.Nographic && c.Daemonize && (serial || parallel || monitor) {
		return errf("-nographic cannot be used with -daemonize")
	}
	switch {
	case !c.Nographic:
		if serial {
			c.Serials = append(c.Serials, SerialOpt{Filename: "null"})
		}
	case serial && monitor:
		c.Serials = append(c.Serials, SerialOpt{Filename: "mon:stdio"})
	case serial:
		c.Serials = append(c.Serials, SerialOpt{Filename: "stdio"})
	case monitor:
		id := compatLabel(c.compatMonitors)
		c.compatMonitors++
		c.Chardevs = append(c.Chardevs, ChardevOpt{ID: id, HasID: true, Filename: "stdio"})
		o := &Opts{ID: id, HasID: true}
		o.Set("mode", "readline")
		o.Set("chardev", id)
		c.Monitors = append(c.Monitors, MonitorOpt{Opts: o})
	}
	return nil
}

// mentions reports whether a -device or a -global is about driver, which
// replaces the default device of that kind.
func (c *Config) mentions(driver string) bool {
	for i := range c.Devices {
		if d, _ := c.Devices[i].Driver(); d == driver {
			return true
		}
	}
	for _, g := range c.Globals {
		if g.Driver == driver {
			return true
		}
	}
	return false
}
