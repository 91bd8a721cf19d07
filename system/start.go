package system

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/hw/i386/boot"
	"github.com/gqemu/gqemu/hw/machine"
	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/qom"
)

// New builds the VM that a command line describes, up to the point where
// it could run. The order of the steps is QEMU's, because it decides which of
// two mistakes is reported. What goes wrong is printed to env.Stderr; the
// error then only says that it failed. It is a *SignalError when a signal came
// first.
func New(cfg *cli.Config, env Env) (*VM, error) {
	v, err := newVM(cfg, env)
	if err != nil {
		return nil, err
	}
	aborted := v.abortOnSignal()
	err = v.build()
	if s := aborted(); s != nil {
		v.Close()
		return nil, &SignalError{s}
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
	steps := []func() error{
		v.createFDSets,
		v.configureRTC,
		v.createMachine,
		v.createChardevs,
		v.checkDrives,
		v.setMachineProperties,
		v.createAccelerator,
		v.checkICount,
		v.createQtest,
		v.checkNetworks,
		v.createObjects,
		v.createMonitors,
		v.createSerials,
		v.createParallels,
		v.parseCPU,
		v.useMemoryBackend,
		v.parseNUMA,
	}
	if !v.cfg.Preconfig {
		steps = append(steps, v.locked(v.initialize))
	}
	steps = append(steps, v.openMuxes, v.dropPrivileges)
	for _, step := range steps {
		if v.aborted.Load() {
			return errQuiet
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// initialize makes what --preconfig puts off until a client asks for it: the
// machine with its devices.
func (v *VM) initialize() error {
	for _, step := range []func() error{
		v.createRAM, v.completeNUMA, v.checkIdleCPU, v.initMachine, v.addFwCfg, v.refuseUSB, v.createDevices, v.complete, v.afterMachine,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	v.initialized.Store(true)
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
// further step is taken. stop ends the watch and returns the signal, nil for
// none.
func (v *VM) abortOnSignal() (stop func() os.Signal) {
	quit, done := make(chan struct{}), make(chan struct{})
	var got os.Signal
	go func() {
		defer close(done)
		select {
		case got = <-v.env.Signals:
			v.aborted.Store(true)
			v.chardevs.CloseAll()
		case <-quit:
		}
	}()
	return func() os.Signal {
		close(quit)
		<-done
		return got
	}
}

// SignalError says that the process was asked to end before the VM stood. QEMU
// does not catch signals until then: it dies of them without a word.
type SignalError struct{ Signal os.Signal }

func (e *SignalError) Error() string { return "the start was interrupted: " + e.Signal.String() }

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
	if !m.HasType {
		t = v.defaultMachine()
	}
	if t == nil {
		if !m.HasType {
			return &cli.DescError{Desc: "No machine specified, and there is no default",
				Hint: "Use -machine help to list supported machines\n"}
		}
		return &cli.DescError{Desc: "unsupported machine type", Hint: "Use -machine help to list supported machines\n"}
	}
	if err := v.addMachine(t); err != nil {
		return err
	}
	if err := v.cfg.DefaultDevices(cli.MachineDefaults{NoSerial: v.class.NoSerial, NoParallel: true}); err != nil {
		return err
	}
	if v.cfg.OpenGL {
		return errors.New("OpenGL support is disabled")
	}
	return v.checkVGA()
}

// checkVGA reads the argument of -vga, which no machine here has a use for.
func (v *VM) checkVGA() error {
	if !v.cfg.HasVGA {
		return nil
	}
	if cli.IsHelp(v.cfg.VGA) {
		fmt.Fprint(v.env.Stdout, cli.VGAHelp(cmp.Or(v.class.DefaultVGA, "cirrus")))
		return ErrHelp
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

// defaultMachine is the type that is taken when none was asked for.
func (v *VM) defaultMachine() *qom.Type {
	for _, t := range v.env.Types.List("machine", false) {
		if c := machine.ClassOf(t); c != nil && c.Default {
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
		case "memory-encryption":
			// No object is one.
			return fmt.Errorf("No such memory encryption object '%v'", val)
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

// initMachine builds the machine without the user's devices.
func (v *VM) initMachine() error {
	c := v.machine.Common()
	b := &machine.Board{
		Host: v.host, Accel: v.acc, SMP: c.SMP, Power: v, UUID: v.cfg.UUID, NoGraphic: v.cfg.Nographic,
		Paused: v.cfg.Paused, NoFDBootCheck: v.cfg.NoFDBootCheck, RTC: v.rtc, CPU: v.cpu,
	}
	if len(v.backends) > 0 && v.mainRAM != nil {
		b.RAM = v.mainRAM.RAM()
	}
	b.Serials = v.serials
	if err := v.host.Map.Update(func() error { return v.machine.Init(b) }); err != nil {
		return err
	}
	if len(v.machine.CPUs()) > 0 {
		v.warnOptionROMs()
	}
	return nil
}

func cpuModel(m cli.CPUModel) machine.CPUModel {
	out := machine.CPUModel{Name: m.Name}
	for _, p := range m.Props {
		out.Features = append(out.Features, machine.CPUFeature{Name: p.Name, Value: p.Value, Global: true})
	}
	for _, name := range m.Plus {
		out.Features = append(out.Features, machine.CPUFeature{Name: name, Value: "on"})
	}
	for _, name := range m.Minus {
		out.Features = append(out.Features, machine.CPUFeature{Name: name, Value: "off"})
	}
	return out
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
