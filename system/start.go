package system

import (
	"errors"
	"fmt"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/hw/i386/boot"
	"github.com/gqemu/gqemu/hw/machine"
	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// New builds the VM that a command line describes, up to the point where
// it could run. The order of the steps is QEMU's, because it decides which of
// two mistakes is reported. What goes wrong is printed to env.Stderr; the
// error then only says that it failed.
func New(cfg *cli.Config, env Env) (*VM, error) {
	v, err := newVM(cfg, env)
	if err != nil {
		return nil, err
	}
	aborted := v.abortOnSignal()
	err = v.build()
	if aborted() {
		err = errQuiet
	}
	switch {
	case err == nil:
		return v, nil
	case errors.Is(err, ErrHelp):
		v.Close()
		return nil, ErrHelp
	case err != errQuiet:
		v.printStartError(err)
	}
	v.Close()
	return nil, ErrStart
}

// build takes the steps of New up to the first that fails, or to a signal that
// ends the process.
func (v *VM) build() error {
	for _, step := range []func() error{
		v.createMachine,
		v.createChardevs,
		v.setMachineProperties,
		v.createAccelerator,
		v.createRAM,
		v.createQtest,
		v.createObjects,
		v.createMonitors,
		v.locked(v.initMachine),
		v.locked(v.createDevices),
		v.locked(v.complete),
		v.openMuxes,
	} {
		if v.aborted.Load() {
			return errQuiet
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// locked runs a step under the VM lock: what it makes may be called from
// chardevs at once.
func (v *VM) locked(step func() error) func() error {
	return func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		return step()
	}
}

// abortOnSignal gives up the construction when the process is asked to end
// before the VM stands: the wait for a chardev's peer ends at once, and no
// further step is taken. stop ends the watch and tells whether that was so.
func (v *VM) abortOnSignal() (stop func() bool) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case s := <-v.env.Signals:
			v.report(signalText(s))
			v.aborted.Store(true)
			v.chardevs.CloseAll()
		case <-quit:
		}
	}()
	return func() bool {
		close(quit)
		<-done
		return v.aborted.Load()
	}
}

// ErrStart says that the reason has been printed.
var ErrStart = errors.New("the machine could not be started")

func (v *VM) printStartError(err error) {
	var be *boot.Error
	if errors.As(err, &be) && be.Verbatim {
		fmt.Fprintln(v.env.Stderr, be.Msg)
		return
	}
	var se *startError
	if errors.As(err, &se) {
		v.rep.Error(se.loc, se.err)
		return
	}
	v.rep.Error(cli.Loc{}, err)
}

// createMachine finds the machine type and makes its object.
func (v *VM) createMachine() error {
	m := &v.cfg.Machine
	t := v.machineType(m.Type)
	if t == nil {
		if !m.HasType {
			return fmt.Errorf("No machine specified, and there is no default")
		}
		return &cli.DescError{Desc: "unsupported machine type", Hint: "Use -machine help to list supported machines\n"}
	}
	if err := v.addMachine(t); err != nil {
		return err
	}
	if err := v.cfg.DefaultDevices(cli.MachineDefaults{NoSerial: v.class.NoSerial, NoParallel: true}); err != nil {
		return err
	}
	return v.checkVGA()
}

// checkVGA reads the argument of -vga, which no machine here has a use for.
func (v *VM) checkVGA() error {
	if !v.cfg.HasVGA {
		return nil
	}
	onPC := func(name string) bool { return name != "tcx" && name != "cg3" }
	card, err := cli.CheckVGA(v.cfg.VGA, onPC)
	v.unusedVGA = err == nil && card != "none"
	return err
}

func (v *VM) machineType(name string) *qom.Type {
	for _, t := range v.env.Types.List("machine", false) {
		if c := machine.ClassOf(t); c != nil && name != "" && (c.Name == name || c.Alias == name) {
			return t
		}
	}
	return nil
}

// setMachineProperties does what -machine, -smp, -m, -kernel and their like
// say.
func (v *VM) setMachineProperties() error {
	m := &v.cfg.Machine
	var err error
	if v.legacy, err = m.LegacyOptions(); err != nil {
		return err
	}
	common := v.machine.Common()
	topo := cli.SMPLimits{
		Machine: v.class.Name, Min: max(v.class.MinCPUs, 1), Max: v.class.MaxCPUs, Default: 1, Dies: v.class.Dies,
	}
	resolved := topo.DefaultTopology()
	for _, name := range qjson.Keys(m.Props) {
		val := m.Props[name]
		switch name {
		case "smp":
			smp, err := cli.ParseSMP(val)
			if err != nil {
				return err
			}
			var warning string
			if resolved, warning, err = topo.Resolve(smp); warning != "" {
				v.rep.Warn(cli.Loc{}, warning)
			}
			if err != nil {
				return err
			}
		case "memory":
			mem, err := cli.ParseMemory(val, v.class.DefaultRAM)
			if err != nil {
				return err
			}
			common.MemorySize, common.MaxMemory, common.MemorySlots = mem.Size, mem.MaxSize, mem.Slots
		default:
			if err := qom.Set(v.machine, name, qom.Keyval(val)); err != nil {
				return err
			}
		}
	}
	common.SMP = machine.SMP{
		CPUs: int(resolved.CPUs), MaxCPUs: int(resolved.MaxCPUs), Sockets: int(resolved.Sockets), Dies: int(resolved.Dies),
		Clusters: int(resolved.Clusters), Cores: int(resolved.Cores), Threads: int(resolved.Threads),
	}
	return nil
}

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
	failed := false
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
	if len(list) == 0 {
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

// initMachine builds the machine without the user's devices.
func (v *VM) initMachine() error {
	c := v.machine.Common()
	b := &machine.Board{
		Host: v.host, Accel: v.acc, SMP: c.SMP, Power: v, UUID: v.cfg.UUID, NoGraphic: v.cfg.Nographic,
	}
	if v.cfg.HasCPU {
		if v.cfg.CPU == "" {
			return fmt.Errorf("-cpu option cannot be empty")
		}
		m, warnings, err := cli.SplitCPU(v.cfg.CPU)
		for _, w := range warnings {
			v.rep.Warn(cli.Loc{}, w)
		}
		if err != nil {
			return err
		}
		b.CPU = cpuModel(m)
	}
	if len(v.backends) > 0 && v.mainRAM != nil {
		b.RAM = v.mainRAM.RAM()
	}
	b.Serials = v.serials
	return v.host.Map.Update(func() error { return v.machine.Init(b) })
}

func cpuModel(m cli.CPUModel) machine.CPUModel {
	out := machine.CPUModel{Name: m.Name}
	for _, p := range m.Props {
		out.Features = append(out.Features, machine.CPUFeature{Name: p.Name, Value: p.Value})
	}
	for _, name := range m.Plus {
		out.Features = append(out.Features, machine.CPUFeature{Name: name, Value: "on"})
	}
	for _, name := range m.Minus {
		out.Features = append(out.Features, machine.CPUFeature{Name: name, Value: "off"})
	}
	return out
}

// createDevices makes the -device devices.
func (v *VM) createDevices() error {
	for i := range v.cfg.Devices {
		d := &v.cfg.Devices[i]
		r, err := deviceRequest(d.Dict(), d.IsJSON())
		if err == nil {
			_, err = v.host.Add(r)
		}
		if err != nil {
			return at(d.Loc, err)
		}
	}
	return nil
}

// deviceRequest takes the arguments of -device or device_add apart.
func deviceRequest(args map[string]any, json bool) (qdev.Request, error) {
	var r qdev.Request
	text := func(name string) (string, error) {
		val, ok := args[name]
		if !ok {
			return "", nil
		}
		return qom.JSON(val).Str(name)
	}
	var err error
	if _, ok := args["driver"]; !ok {
		return r, fmt.Errorf("Parameter 'driver' is missing")
	}
	if r.Driver, err = text("driver"); err != nil {
		return r, err
	}
	if r.Driver == "" {
		return r, fmt.Errorf("'' is not a valid device model name")
	}
	if r.ID, err = text("id"); err != nil {
		return r, err
	}
	if r.Bus, err = text("bus"); err != nil {
		return r, err
	}
	if _, ok := args["id"]; ok {
		if err := qdev.CheckID(r.ID); err != nil {
			return r, err
		}
	}
	for _, name := range qjson.Keys(args) {
		switch name {
		case "driver", "id", "bus":
			continue
		}
		value := qom.Keyval(args[name])
		if json {
			value = qom.JSON(args[name])
		}
		r.Props = append(r.Props, qdev.Prop{Name: name, Value: value})
	}
	return r, nil
}

// complete ends the construction: from here devices are hotplugged.
func (v *VM) complete() error {
	v.warnGlobals()
	if v.unusedVGA {
		v.rep.Warn(cli.Loc{}, cli.UnusedVGAWarning)
	}
	v.host.Ready = true
	if err := v.machine.Complete(); err != nil {
		return err
	}
	return v.machine.Reset()
}

// warnGlobals reports each -global that no device could take.
func (v *VM) warnGlobals() {
	for _, g := range v.host.Globals {
		if g.Used {
			continue
		}
		t := v.env.Types.Lookup(g.Driver)
		switch {
		case t == nil || !t.IsA("device"):
			v.rep.Warn(cli.Loc{}, fmt.Sprintf("global %s.%s has invalid class name", g.Driver, g.Property))
		case qdev.ClassOf(t).NotUserCreatable && !t.Abstract && t.IsA("sys-bus-device"):
			v.rep.Warn(cli.Loc{}, fmt.Sprintf("global %s.%s=%s not used", g.Driver, g.Property, g.Value))
		}
	}
}
