package system

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// configureRTC understands -rtc. Times are fixed here, before anything takes
// long.
func (v *VM) configureRTC() error {
	r, err := v.cfg.RTC()
	if err != nil {
		return err
	}
	if r.Slew {
		v.sugar = append(v.sugar, &qdev.Global{Driver: "mc146818rtc", Property: "lost_tick_policy", Value: "slew", Used: true})
	}
	begin := time.Now()
	base := begin.UnixNano()
	switch r.Base {
	case "localtime":
		_, offset := begin.Zone()
		base += int64(offset) * int64(time.Second)
	case "":
		base = r.Start.UnixNano()
	}
	switch {
	case r.Clock == "vm":
		v.rtc = func() int64 { return base + v.host.Clock.Now() }
	case r.Clock == "rt":
		// time.Since goes by the monotonic clock.
		v.rtc = func() int64 { return base + int64(time.Since(begin)) }
	case r.Base != "utc":
		shift := base - begin.UnixNano()
		v.rtc = func() int64 { return time.Now().UnixNano() + shift }
	}
	return nil
}

// checkDrives refuses drives, which do not exist here, in QEMU's words where it
// would refuse them too.
func (v *VM) checkDrives() error {
	for i := range v.cfg.Drives {
		d := &v.cfg.Drives[i]
		err := d.Check()
		if err == nil && d.File != "" {
			if f, openErr := os.Open(d.File); openErr != nil {
				err = fmt.Errorf("Could not open '%s': %s", d.File, errno.Text(openErr))
			} else {
				f.Close()
				err = errors.New("block devices are not supported")
			}
		}
		if err != nil {
			return at(d.Loc, err)
		}
	}
	return nil
}

// checkNetworks refuses network backends, of which there are none.
func (v *VM) checkNetworks() error {
	for _, kind := range []string{"netdev", "nic", "net"} {
		for i := range v.cfg.Networks {
			n := &v.cfg.Networks[i]
			if n.Kind != kind {
				continue
			}
			help, err := n.Check()
			if err != nil {
				return at(n.Loc, err)
			}
			if help != "" {
				fmt.Fprint(v.env.Stdout, help)
				return ErrHelp
			}
		}
	}
	return nil
}

// checkICount refuses -icount: no processor here runs in software.
func (v *VM) checkICount() error {
	loc, on, err := v.cfg.ICount()
	if err != nil {
		return at(loc, err)
	}
	if on {
		return errors.New("-icount is not allowed with hardware virtualization")
	}
	return nil
}

// parseCPU understands -cpu, as far as that is possible without a CPU.
func (v *VM) parseCPU() error {
	if !v.cfg.HasCPU {
		return nil
	}
	if v.cfg.CPU == "" {
		return errors.New("-cpu option cannot be empty")
	}
	m, warnings, err := cli.SplitCPU(v.cfg.CPU)
	if v.env.Types.Lookup(m.Name+"-x86_64-cpu") == nil {
		return fmt.Errorf("unable to find CPU model '%s'", m.Name)
	}
	for _, w := range warnings {
		v.rep.Warn(cli.Loc{}, w)
	}
	v.cpu = cpuModel(m)
	return err
}

// errNoAPICID is what becomes of a CPU on a machine that gives it no place.
var errNoAPICID = errors.New("apic-id property was not initialized properly")

// checkIdleCPU checks -cpu on a machine that makes no CPU of it.
func (v *VM) checkIdleCPU() error {
	if v.cpu.Name == "" || v.class.DefaultCPU != "" {
		return nil
	}
	o, err := v.env.Types.New(v.cpu.Name + "-x86_64-cpu")
	if err != nil {
		return err
	}
	for _, f := range v.cpu.Features {
		if !f.Global {
			break // +NAME and -NAME come last, when the CPU is realized
		}
		if err := qom.Set(o, f.Name, qom.String(f.Value)); err != nil {
			return fmt.Errorf("can't apply global %s.%s=%s: %w", o.QOM().TypeName(), f.Name, f.Value, err)
		}
	}
	return errNoAPICID
}

// fwCfgFiles is a machine's fw_cfg device, as far as -fw_cfg goes.
type fwCfgFiles interface {
	AddFile(name string, data []byte) error
}

// maxFwCfgFile bounds a file that a guest reads through fw_cfg, in bytes.
const maxFwCfgFile = 256 << 20

// addFwCfg puts what -fw_cfg names into the machine's fw_cfg device.
func (v *VM) addFwCfg() error {
	for i := range v.cfg.FwCfgs {
		o := &v.cfg.FwCfgs[i]
		if err := v.addFwCfgFile(o); err != nil {
			return at(o.Loc, err)
		}
	}
	return nil
}

func (v *VM) addFwCfgFile(o *cli.FwCfgOpt) error {
	dev, ok := qom.Child(v.machine, "fw_cfg").(fwCfgFiles)
	if !ok {
		return errors.New("fw_cfg device not available")
	}
	f, err := o.FwCfg()
	if err != nil {
		return err
	}
	if f.Warning != "" {
		v.rep.Warn(o.Loc, f.Warning)
	}
	switch {
	case f.String != nil:
		return dev.AddFile(f.Name, []byte(*f.String))
	case f.GenID != nil:
		obj := qom.Child(v.objects, *f.GenID)
		if obj == nil {
			return fmt.Errorf("Cannot find object ID '%s'", *f.GenID)
		}
		return fmt.Errorf("Object ID '%s' is not a '%s' subclass", *f.GenID, "fw_cfg-data-generator")
	}
	data, err := readBounded(*f.File, maxFwCfgFile)
	if err != nil {
		return err
	}
	return dev.AddFile(f.Name, data)
}

// afterMachine is what QEMU does once all devices are there.
func (v *VM) afterMachine() error {
	for _, g := range v.cfg.GDB {
		if g.Filename == "none" {
			continue
		}
		err := chardev.CheckFilename(g.Filename, false)
		if err == nil {
			err = errors.New("gdbstub: debuggers are not supported")
		}
		return at(g.Loc, err)
	}
	if v.cfg.HasLoadVM {
		return errors.New("no block device can store vmstate for snapshot")
	}
	if v.cfg.HasIncoming {
		return at(cli.Loc{CmdLine: "-incoming " + v.cfg.Incoming}, incomingError(v.cfg.Incoming))
	}
	return nil
}

// incomingError refuses an incoming migration: there is none.
func incomingError(uri string) error {
	for _, p := range []string{"tcp:", "unix:", "fd:", "exec:", "rdma:", "file:", "vsock:"} {
		if uri == "defer" || strings.HasPrefix(uri, p) {
			return errors.New("incoming migrations are not supported")
		}
	}
	return fmt.Errorf("unknown migration protocol: %s", uri)
}

// warnOptionROMs says which option ROMs are not there. Those that are have no
// firmware to run them.
func (v *VM) warnOptionROMs() {
	for _, name := range v.cfg.OptionROMs {
		if f, err := os.Open(name); err != nil {
			fmt.Fprintf(v.env.Stderr, "Could not open option rom '%s': %s\n", name, errno.Text(err))
		} else {
			f.Close()
		}
	}
}

// refuseUSB refuses -usbdevice: there is no USB.
func (v *VM) refuseUSB() error {
	for _, d := range v.cfg.USBDevices {
		return at(d.Loc, fmt.Errorf("could not add USB device '%s'", d.Name))
	}
	return nil
}
