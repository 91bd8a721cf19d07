package cli

import (
	"fmt"
	"slices"
	"strings"
)

func (p *parser) boot(o Option) error {
	tree, help, err := ParseKeyval(o.Arg, bootSpec.Implied)
	if err != nil {
		return err
	}
	if help {
		return &Error{Stdout: bootSpec.HelpText(), Code: 0}
	}
	return MergeKeyval(p.cfg.Machine.Props, map[string]any{"boot": tree})
}

func (p *parser) watchdogAction(o Option) error {
	opts, err := p.group(&actionSpec).create(o.Loc, "", false)
	if err == nil {
		opts.Set("watchdog", o.Arg)
	}
	return err
}

var compatMembers = []Member{
	{Name: "deprecated-input", Kind: KindEnum, Optional: true, Enum: []string{"accept", "reject", "crash"}},
	{Name: "deprecated-output", Kind: KindEnum, Optional: true, Enum: []string{"accept", "hide"}},
	{Name: "unstable-input", Kind: KindEnum, Optional: true, Enum: []string{"accept", "reject", "crash"}},
	{Name: "unstable-output", Kind: KindEnum, Optional: true, Enum: []string{"accept", "hide"}},
}

// compat is checked and has no effect: what is deprecated in QEMU's interface
// is not part of this one.
func (p *parser) compat(o Option) error {
	_, err := visitText(o.Arg, "", compatMembers)
	return err
}

func (p *parser) optionROM(o Option) error {
	opts, err := p.parseOpts(p.group(&optionROMSpec), o.Arg, true)
	if err != nil {
		return err
	}
	name, ok := opts.Get("romfile")
	if !ok {
		return errf("Option ROM file is not specified")
	}
	p.cfg.OptionROMs = append(p.cfg.OptionROMs, name)
	return nil
}

func (p *parser) seed(o Option) error {
	if _, err := parseUint64(o.Arg); err != nil {
		return errf("Invalid seed number: %s", o.Arg)
	}
	return nil
}

func (p *parser) rotate(o Option) error {
	switch n, _, ok := scanInt(o.Arg); {
	case ok && (n == 0 || n == 90 || n == 180 || n == 270), !ok:
		return nil
	}
	return errf("only 90, 180, 270 deg rotation is available")
}

func (p *parser) echr(o Option) error {
	n := scanUint(o.Arg, 0)
	if !n.ok {
		p.cfg.Output += "Bad argument to echr\n"
		return nil
	}
	p.cfg.EscapeChar = new(byte(n.value)) // cut to its size, as in QEMU
	return nil
}

// otherTarget is the handler of an option that QEMU has for other processors.
func otherTarget(*parser, Option) error { return errf("Option not supported for this target") }

// notBuilt is the handler of an option that QEMU can be built without.
func notBuilt(*parser, Option) error { return errf("Option not supported in this build") }

// none is the handler of an option that has nothing to act on.
func none(*parser, Option) error { return nil }

// lacking is the handler of an option for what this program does not have.
func lacking(what string) func(*parser, Option) error {
	return func(*parser, Option) error { return errf("%s", lacks(what)) }
}

func lacks(what string) string { return fmt.Sprintf("%s are not supported", what) }

// sugar is the handler of an option that stands for a machine property.
func sugar(prop, value, warning string) func(*parser, Option) error {
	return func(p *parser, _ Option) error {
		if warning != "" {
			p.warn(warning, "")
		}
		p.cfg.Machine.Props[prop] = value
		return nil
	}
}

// audiodevMembers are those of the drivers that make no sound.
var audiodevMembers = slices.Concat([]Member{{Name: "id", Kind: KindString}, {Name: "driver", Kind: KindEnum, Enum: []string{"none", "wav"}}},
	optional(KindUint32, "timer-period"), optional(KindString, "path"))

// audiodev is checked and has no effect: there is no sound device.
func (p *parser) audiodev(o Option) error {
	if IsHelp(o.Arg) {
		return &Error{Stdout: "Available audio drivers:\nnone\nwav\n", Code: 0}
	}
	_, err := visitText(o.Arg, "driver", audiodevMembers)
	return err
}

func (p *parser) parallel(o Option) error {
	p.cfg.Parallels = append(p.cfg.Parallels, SerialOpt{Loc: o.Loc, Filename: o.Arg})
	if strings.HasPrefix(o.Arg, "mon:") {
		p.cfg.noDefaultMonitor = true
	}
	return nil
}

// usbDevice is -usbdevice.
func (p *parser) usbDevice(o Option) error {
	p.cfg.Machine.Props["usb"] = "on"
	p.cfg.USBDevices = append(p.cfg.USBDevices, USBDeviceOpt{o.Loc, o.Arg})
	return nil
}

// gdb is -gdb and -s.
func (p *parser) gdb(o Option) error {
	p.cfg.GDB = append(p.cfg.GDB, SerialOpt{o.Loc, o.Arg})
	return nil
}

// maxICountShift bounds -icount shift=.
const maxICountShift = 10

// ICount checks -icount, and tells at which place it asks for instructions to be
// counted, which takes a processor in software. To be called when the
// accelerator is chosen.
func (c *Config) ICount() (loc Loc, on bool, err error) {
	shift, given := c.icount.Get("shift")
	if c.icount == nil {
		return Loc{}, false, nil
	}
	loc = c.icount.Loc
	align, hasAlign := c.icount.Get("align")
	aligned := optBool(c.icount, "align")
	sleep := true
	if _, ok := c.icount.Get("sleep"); ok {
		sleep = optBool(c.icount, "sleep")
	}
	n, numErr := parseInt64(shift)
	switch {
	case !given && hasAlign && align != "":
		err = errf("Please specify shift option when using align")
	case !given:
	case aligned && !sleep:
		err = errf("align=on and sleep=off are incompatible")
	case shift != "auto":
		if numErr != nil || n < 0 || n > maxICountShift {
			err = errf("icount: Invalid shift value")
		}
	case !sleep:
		err = errf("shift=auto and sleep=off are incompatible")
	}
	return loc, given, err
}
