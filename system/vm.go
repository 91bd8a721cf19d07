// Package system is one running VM: the lock, the run state with its
// transitions, the wiring of machine, accelerator, devices and monitors, and
// the bodies of the QMP commands, one file per QAPI module.
package system

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/accel/qtest"
	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/clock"
	"github.com/gqemu/gqemu/hostmem"
	"github.com/gqemu/gqemu/hw/machine"
	"github.com/gqemu/gqemu/internal/crash"
	"github.com/gqemu/gqemu/internal/fdset"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/monitor"
	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Env is what the program gives a VM to work with.
type Env struct {
	Types          *qom.Registry
	Accelerators   []Accelerator
	Stdout, Stderr io.Writer
	Log            zerolog.Logger
	// LogControl changes what the log has and where it goes; nil where that
	// is fixed.
	LogControl LogControl
	// Package is the package part of the version that QMP reports.
	Package string
	// Signals delivers what asks the process to end.
	Signals <-chan os.Signal
}

// LogControl is the other end of Env.Log.
type LogControl interface {
	// SetFile sends the log to a file. Its errors have QEMU's texts.
	SetFile(path string) error
	// SetItems says what is logged: items of -d and patterns of trace
	// events, none of both for nothing.
	SetItems(items, trace []string)
}

// Accelerator makes a VM's accelerator. Its name is what -accel takes.
type Accelerator struct {
	Name  string
	Title string // in messages
	// IRQChip tells that the property kernel-irqchip exists.
	IRQChip bool
	New     func(AccelArgs) (accel.VM, error)
}

// AccelArgs is what an accelerator is made from.
type AccelArgs struct {
	IRQChip accel.IRQChip
	Pins    int // emulated IOAPIC pins
	Handler accel.Handler
	Lock    sync.Locker
	Log     zerolog.Logger
}

// VM is one virtual machine.
type VM struct {
	// mu is the VM lock. It guards everything here but atomic fields and
	// those that are set once by New.
	mu sync.Mutex

	env      Env
	cfg      *cli.Config
	rep      *cli.Reporter
	messages *messageWriter
	chardevs *chardev.Registry
	fdsets   fdset.Store
	commands *qapi.Registry
	monitors *monitor.Set
	acc      accel.VM
	host     *qdev.Host
	machine  machine.Machine
	class    *machine.Class
	legacy   cli.LegacyMachine
	backends []*hostmem.Backend // all that exist, for Close
	mainRAM  *hostmem.Backend   // behind -m, nil for none
	serials  []string           // chardev ids of -serial, "" for none

	rtc   func() int64     // see machine.Board; nil for the host's time
	cpu   machine.CPUModel // -cpu
	numa  numa
	sugar []*qdev.Global // what options other than -global set

	unusedVGA   bool        // -vga asks for a card
	initialized atomic.Bool // the machine is complete

	root, objects, chardevObjects qom.Object

	run       runControl
	caller    qapi.Session  // whose device_add is under way, nil for nobody's
	changing  bool          // a transition is under way
	changed   sync.Cond     // on mu: changing became false, or ending true
	ending    bool          // the VM goes down: no command or transition begins
	pausing   bool          // vCPUs were asked to pause
	pause     chan struct{} // closed while pausing
	req       requests
	action    cli.Action
	migration migrationState
	dump      dumpState
	wake      chan struct{} // capacity 1: serve has something to do
	started   chan struct{} // closed when Run has brought the VM to its first state
	aborted   atomic.Bool   // a signal came before that

	qtest   *qtest.Server // nil for none
	cleanup []func()
}

// Lock takes the VM lock; see qdev.Host.
func (v *VM) Lock() { v.mu.Lock() }

// Unlock releases the VM lock.
func (v *VM) Unlock() { v.mu.Unlock() }

// report prints one line after the program's name.
func (v *VM) report(text string) { v.rep.Error(cli.Loc{}, fmt.Errorf("%s", text)) }

// post sends an event to all clients.
func (v *VM) post(event string, data any) {
	if v.monitors != nil {
		v.monitors.Emit(event, data)
	}
}

// Post is part of qdev.EventSink.
func (v *VM) Post(event string, data any) { v.post(event, data) }

// startError is a failure to start that belongs to a place of the command
// line.
type startError struct {
	loc cli.Loc
	err error
}

func (e *startError) Error() string { return e.err.Error() }
func (e *startError) Unwrap() error { return e.err }

func at(loc cli.Loc, err error) error {
	if err == nil {
		return nil
	}
	return &startError{loc, err}
}

// newVM makes a VM with an empty tree.
func newVM(cfg *cli.Config, env Env) (*VM, error) {
	env.Stderr = &lockedWriter{w: env.Stderr}
	v := &VM{
		env: env, cfg: cfg, rep: cfg.Reporter(env.Stderr),
		action:  cfg.Action,
		wake:    make(chan struct{}, 1),
		pause:   make(chan struct{}),
		started: make(chan struct{}),
		run:     runControl{state: StatePrelaunch},
	}
	v.changed.L = &v.mu
	v.messages = &messageWriter{rep: v.rep}
	v.fdsets.Running = v.run.live.Load
	v.chardevs = &chardev.Registry{
		OpenFile:  v.openFile,
		Messages:  v.messages,
		Console:   env.Stdout,
		Daemonize: cfg.Daemonize,
		Quit:      v.quitByKey,
		EscapeKey: cfg.EscapeChar,
	}
	v.chardevs.HoldMuxes()
	var err error
	newContainer := func(parent qom.Object, name string) qom.Object {
		o, e := env.Types.New("container")
		if e == nil && parent != nil {
			e = qom.AddChild(parent, name, o)
		}
		if err == nil {
			err = e
		}
		return o
	}
	v.root = newContainer(nil, "")
	v.objects = newContainer(nil, "objects")
	if err != nil {
		return nil, err
	}
	return v, nil
}

// lockedWriter lets several goroutines print lines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// addMachine puts the machine, its containers and the main system bus into
// the tree and makes the host that devices see.
func (v *VM) addMachine(t *qom.Type) error {
	types := v.env.Types
	o, err := types.New(t.Name)
	if err != nil {
		return err
	}
	v.machine, v.class = o.(machine.Machine), machine.ClassOf(t)
	if err := qom.AddChild(v.root, "machine", o); err != nil {
		return err
	}
	if err := qom.AddChild(v.root, "objects", v.objects); err != nil {
		return err
	}
	container := func(name string) (qom.Object, error) {
		c, err := types.New("container")
		if err == nil {
			err = qom.AddChild(o, name, c)
		}
		return c, err
	}
	h := &qdev.Host{
		Lock: v, Log: v.env.Log, Chardevs: v.chardevs, Report: v.report, Events: v, Run: &v.run, Await: v.await, Guest: v,
		OpenFD: v.openFD, ReleaseFD: v.fdsets.Release, TakeFD: v.takeFD, OnlyMigratable: v.cfg.OnlyMigratable,
		Boot: &qdev.BootOrder{}, Types: types, Root: v.root,
		Map:    &memory.Map{},
		System: memory.NewContainer("system", memory.MaxSize),
		Ports:  memory.NewContainer("io", 0x10000),
	}
	for _, c := range []struct {
		name string
		to   *qom.Object
	}{{"unattached", &h.Unattached}, {"peripheral", &h.Peripheral}, {"peripheral-anon", &h.PeripheralAnon}} {
		if *c.to, err = container(c.name); err != nil {
			return err
		}
	}
	h.Memory = h.Map.NewSpace("memory", h.System, 0)
	h.IO = h.Map.NewSpace("I/O", h.Ports, 0xff)
	for _, r := range []*memory.Region{h.Ports, h.System} {
		if err := h.ExposeRegion(h.Unattached, r); err != nil {
			return err
		}
	}
	if h.SysBus, err = h.NewBus("System", "main-system-bus", nil, 0); err != nil {
		return err
	}
	if err := qom.AddChild(h.Unattached, "sysbus", h.SysBus); err != nil {
		return err
	}
	h.Globals = append(h.Globals, v.sugar...)
	for _, g := range v.cfg.Globals {
		h.Globals = append(h.Globals, &qdev.Global{Driver: g.Driver, Property: g.Property, Value: g.Value})
	}
	v.host = h
	v.chardevObjects, err = types.New("container")
	if err != nil {
		return err
	}
	return qom.AddChild(v.root, "chardevs", v.chardevObjects)
}

// newClock makes the machine's clock once the accelerator is known: it is
// stepped by the client where no code runs.
func (v *VM) newClock() {
	if v.acc.Name() == "qtest" {
		v.host.Clock = clock.NewManual(v)
		v.host.Clock.Pause() // until the VM runs
	} else {
		v.host.Clock = clock.New(v)
	}
}

// Run lets the VM run until it ends.
func (v *VM) Run() {
	defer crash.Handle()
	if !v.cfg.Paused && v.initialized.Load() {
		v.mu.Lock()
		err := v.launch()
		v.mu.Unlock()
		if err != nil {
			v.report(err.Error())
		}
	}
	close(v.started)
	if v.qtest != nil {
		v.qtest.Serve()
	}
	for {
		select {
		case s := <-v.env.Signals:
			v.report(signalText(s))
			v.mu.Lock()
			v.terminate(CauseHostSignal)
			v.mu.Unlock()
		case <-v.wake:
		}
		v.mu.Lock()
		v.serve()
		ending := v.ending
		v.mu.Unlock()
		if ending {
			v.Close()
			return
		}
	}
}

// unrealizeAll takes all devices off the main bus. Where the accelerator does
// not follow the address spaces, they are worked out once instead of for each
// region that goes.
func (v *VM) unrealizeAll() error {
	all := func() error {
		for _, d := range v.host.SysBus.Devices() {
			qdev.Unrealize(d)
		}
		return nil
	}
	if v.acc != nil && v.acc.Memory() == nil && v.acc.IO() == nil {
		return v.host.Map.Update(all)
	}
	return all()
}

// Close takes the VM down in the order that its parts depend on each other:
// no guest code, then no device (a vDPA device does DMA until it is closed),
// then clients, then the accelerator's memory slots, then RAM. It is called
// WITHOUT the VM lock, once, also for a VM that failed to start.
func (v *VM) Close() {
	v.stopDump()
	v.mu.Lock()
	v.finish()
	v.mu.Unlock()
	v.stopDump() // one that began since
	v.mu.Lock()
	for v.changing {
		v.changed.Wait()
	}
	if v.acc != nil {
		if v.run.state == StateRunning {
			v.run.set(StateShutdown)
			v.host.Clock.Pause()
			v.pauseVCPUs()
			v.check(v.run.notify(false))
		} else {
			v.pauseVCPUs()
		}
	}
	if v.host != nil && v.host.SysBus != nil {
		v.check(v.unrealizeAll())
	}
	v.releaseObjects()
	v.mu.Unlock()
	if v.qtest != nil {
		v.qtest.Close()
	}
	if v.monitors != nil {
		v.monitors.Close()
	}
	v.chardevs.CloseAll()
	if v.acc != nil {
		if v.host.Clock != nil {
			v.host.Clock.Close()
		}
		v.check(v.acc.Close())
	}
	for _, b := range v.backends {
		v.check(b.Release())
	}
	v.fdsets.Close()
	for i := len(v.cleanup) - 1; i >= 0; i-- {
		v.cleanup[i]()
	}
}

// exec runs a command's body under the VM lock. Commands that come early wait
// until the VM has started: no client sees it half made. Those that come when
// the VM is going down are dropped. What the command asked for is done before
// the client has its reply, as in QEMU: RESET, POWERDOWN and SHUTDOWN come first.
func (v *VM) exec(ctx context.Context, body func()) {
	select {
	case <-v.started:
	case <-ctx.Done():
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ending {
		return
	}
	body()
	v.serve()
}
