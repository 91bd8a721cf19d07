package system

import (
	"errors"
	"fmt"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/internal/errno"
)

// createAccelerator takes the first accelerator of the list that works.
func (v *VM) createAccelerator() error {
	known := func(name string) bool { return v.accelerator(name) != nil }
	list, unknown, err := v.cfg.AccelList(v.legacy, defaultAccelerators, known)
	if err != nil {
		return err
	}
	for _, name := range unknown {
		v.report("invalid accelerator " + name)
	}
	failed := len(unknown) > 0
	for _, o := range list {
		a := v.accelerator(o.Name)
		if a == nil {
			return at(o.Loc, fmt.Errorf("invalid accelerator %s", o.Name))
		}
		args, err := v.accelArgs(a, o)
		if err != nil {
			return at(o.Loc, err)
		}
		acc, err := a.New(args)
		if err != nil {
			// The next on the list may do.
			var ie *accel.InitError
			if errors.As(err, &ie) {
				fmt.Fprintln(v.env.Stderr, ie.Detail)
			}
			v.rep.Error(o.Loc, fmt.Errorf("failed to initialize %s: %s", a.Name, errno.Text(err)))
			failed = true
			continue
		}
		if failed && v.cfg.Qtest == "" {
			v.report("falling back to " + a.Title)
		}
		v.acc = acc
		v.newClock()
		v.host.Interrupts = acc
		if l := acc.Memory(); l != nil {
			err = v.host.Memory.Listen(l)
		}
		if l := acc.IO(); l != nil && err == nil {
			err = v.host.IO.Listen(l)
		}
		return err
	}
	if len(list) == 0 && !failed {
		return fmt.Errorf("no accelerator found")
	}
	return errQuiet
}

// defaultAccelerators is what is tried without -accel. There is no TCG.
const defaultAccelerators = "kvm"

// errQuiet ends a start whose reason has been printed.
var errQuiet = quiet{}

type quiet struct{}

func (quiet) Error() string { return "" }

func (v *VM) accelerator(name string) *Accelerator {
	for i := range v.env.Accelerators {
		if v.env.Accelerators[i].Name == name {
			return &v.env.Accelerators[i]
		}
	}
	return nil
}

func (v *VM) accelArgs(a *Accelerator, o cli.AccelOpt) (AccelArgs, error) {
	args := AccelArgs{Handler: v, Lock: v, Log: v.env.Log, IRQChip: accel.IRQChipOn}
	if v.class.SplitIRQChip {
		args.IRQChip = accel.IRQChipSplit
	}
	if p, ok := v.machine.(interface{ IOAPICPins() int }); ok {
		args.Pins = p.IOAPICPins()
	}
	props := o.Props
	for _, g := range v.legacy.AccelProps {
		if g.Driver == a.Name+"-accel" {
			props = append(props, cli.Opt{Name: g.Property, Value: g.Value})
		}
	}
	for _, p := range props {
		if p.Name != "kernel-irqchip" || !a.IRQChip {
			return args, fmt.Errorf("Property '%s-accel.%s' not found", a.Name, p.Name)
		}
		switch p.Value {
		case "on":
			args.IRQChip = accel.IRQChipOn
		case "off":
			args.IRQChip = accel.IRQChipOff
		case "split":
			args.IRQChip = accel.IRQChipSplit
		default:
			return args, fmt.Errorf("Parameter 'kernel-irqchip' does not accept value '%s'", p.Value)
		}
	}
	return args, nil
}
