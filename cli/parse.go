package cli

import (
	"errors"
	"slices"
)

// Env is what the grammar asks of the rest of the program. The zero Env knows
// QEMU's memory backends and leaves chardevs to be checked later.
type Env struct {
	// Package, if not "", follows the version in `-version` and `-help`.
	Package string
	// Objects are the types that -object accepts; nil is [DefaultObjectTypes].
	Objects ObjectTypes
	// CheckFilename reports whether the compatibility syntax for a chardev is
	// well-formed, mux saying whether `mon:` is allowed. It opens nothing. QEMU
	// checks -qmp, -qmp-pretty and -monitor while it parses the command line,
	// and -serial later. Where it is not, text is printed first, unless it is
	// "", and then `parse error: FILENAME`. nil accepts all.
	CheckFilename func(filename string, mux bool) (text string, ok bool)
	// ReadFile reads the files that options name: -readconfig, -trace events=,
	// -acpitable, -smbios file=. With nil there is no -readconfig, and the others
	// are not looked at.
	ReadFile func(name string) ([]byte, error)
	// Errno words an error of ReadFile; nil takes the error's own text.
	Errno func(error) string
	// LookupUser finds a user for -runas; with nil there are only numbers.
	LookupUser func(name string) (User, bool)
	// TraceEvents are the names that -trace knows.
	TraceEvents []string
}

func (e *Env) errno(err error) string {
	if e.Errno == nil {
		return err.Error()
	}
	return e.Errno(err)
}

// Parse reads a command line, argv[0] being the program's name. The Config is
// never nil: its Messages are to be printed even if there is an error, which is
// an [*Error]. If Config.Help is not empty, the questions in it are to be
// answered and the program is to end.
func Parse(argv []string) (*Config, error) { return Env{}.Parse(argv) }

// Parse is the function Parse with e to help it.
func (e Env) Parse(argv []string) (*Config, error) {
	if e.Objects == nil {
		e.Objects = DefaultObjectTypes()
	}
	p := &parser{
		env: e,
		cfg: &Config{
			Prog:    progName(argv),
			Machine: Machine{Props: map[string]any{}},
			Action:  DefaultAction(),
		},
		groups: newGroups(),
	}
	if len(argv) > 0 {
		argv = argv[1:]
	}
	return p.cfg, p.run(argv)
}

// parser is the state of one Parse.
type parser struct {
	env Env
	cfg *Config
	loc Loc // of the option in hand

	groups map[string]*optsGroup // by name

	jsonDevices []DeviceOpt
	logItems    string
	hasLogItems bool
}

func newGroups() map[string]*optsGroup {
	m := make(map[string]*optsGroup, len(optGroups))
	for _, s := range optGroups {
		m[s.Name] = &optsGroup{OptsSpec: s}
	}
	return m
}

// group is what the command line put into a group.
func (p *parser) group(s *OptsSpec) *optsGroup { return p.groups[s.Name] }

// into is the handler of an option that only adds to a group.
func into(s *OptsSpec, implied bool) func(*parser, Option) error {
	return func(p *parser, o Option) error {
		_, err := p.parseOpts(p.group(s), o.Arg, implied)
		return err
	}
}

// errHelp ends the second pass: a question has to be answered.
var errHelp = errors.New("help was asked for")

func (p *parser) run(args []string) error {
	opts := table()
	found, bad := newScanner(opts).scan(args)
	if bad != nil {
		return &Error{Messages: []Message{*bad}, Code: 1}
	}
	p.cfg.Options = found
	apply := make(map[string]func(*parser, Option) error, len(opts)+1)
	for _, o := range opts {
		apply[o.name] = o.apply
	}
	apply[imageArg] = drive(Opt{"media", "disk"})
	for _, o := range found {
		p.loc = o.Loc
		if err := apply[o.Name](p, o); err == errHelp {
			return nil
		} else if err != nil {
			return p.fail(err)
		}
	}
	p.loc = Loc{}
	return p.finish()
}

// finish is what follows the options: checks that need them all.
func (p *parser) finish() error {
	c := p.cfg
	if _, ok := c.Machine.Props["kernel"].(string); !ok {
		for _, name := range []string{"append", "initrd"} {
			if _, ok := c.Machine.Props[name].(string); ok {
				return p.fail(errf("-%s only allowed with -kernel option", name))
			}
		}
	}
	if c.HasLoadVM && c.HasIncoming {
		return p.fail(errf("'incoming' and 'loadvm' options are mutually exclusive"))
	}
	if c.HasIncoming && c.Preconfig && c.Incoming != "defer" {
		return p.fail(errf("'preconfig' supports '-incoming defer' only"))
	}
	if c.HasLoadVM && c.Preconfig {
		return p.fail(errf("'preconfig' and 'loadvm' options are mutually exclusive"))
	}
	for _, o := range p.group(&nameSpec).all {
		c.Name.Guest, _ = o.Get("guest")
		c.Name.Process, _ = o.Get("process")
		c.Name.DebugThreads = optBool(o, "debug-threads")
	}
	if err := p.sandbox(); err != nil {
		return p.fail(err)
	}
	for _, o := range p.group(&actionSpec).all {
		if err := c.Action.Set(o.Dict()); err != nil {
			p.loc = o.Loc
			return p.fail(err)
		}
	}
	if p.hasLogItems {
		items, trace, help, ok := ParseLogItems(p.logItems)
		for _, pattern := range trace {
			p.traceEvents(pattern)
		}
		if !ok {
			return &Error{Stdout: LogUsage(), Code: 1}
		}
		c.Log.Items = items
		if help {
			p.ask("trace", "", Loc{})
			return nil
		}
	}
	p.collect()
	p.deferredHelp()
	if len(c.Help) > 0 {
		return nil
	}

	mem := &Opts{}
	if len(p.group(&memorySpec).all) > 0 {
		mem = p.group(&memorySpec).all[0]
	}
	if err := MergeKeyval(c.Machine.Props, map[string]any{"memory": memoryTree(mem)}); err != nil {
		p.loc = mem.Loc
		return p.fail(err)
	}
	return nil
}

// collect moves what the groups hold into the Config.
func (p *parser) collect() {
	c := p.cfg
	for _, o := range p.group(&deviceSpec).all {
		c.Devices = append(c.Devices, DeviceOpt{Loc: o.Loc, Opts: o})
	}
	c.Devices = append(c.Devices, p.jsonDevices...)
	for _, o := range p.group(&accelSpec).all {
		name, _ := o.Get("accel")
		props := slices.DeleteFunc(slices.Clone(o.List()), func(e Opt) bool { return e.Name == "accel" })
		c.Accels = append(c.Accels, AccelOpt{Loc: o.Loc, Name: name, Props: props})
	}
	for _, o := range p.group(&globalSpec).all {
		g := Global{Loc: o.Loc}
		g.Driver, _ = o.Get("driver")
		g.Property, _ = o.Get("property")
		g.Value, _ = o.Get("value")
		c.Globals = append(c.Globals, g)
	}
	for _, o := range p.group(&numaSpec).all {
		c.NUMA = append(c.NUMA, NUMAOpt{o.Loc, o})
	}
	for _, o := range p.group(&fwCfgSpec).all {
		c.FwCfgs = append(c.FwCfgs, FwCfgOpt{o.Loc, o})
	}
	for _, o := range p.group(&driveSpec).all {
		c.Drives = append(c.Drives, DriveOpt{Loc: o.Loc, Opts: o})
	}
	if l := p.group(&rtcSpec).all; len(l) > 0 {
		c.rtc = l[0]
	}
	if l := p.group(&icountSpec).all; len(l) > 0 {
		c.icount = l[0]
	}
	p.addFDs()
	for _, o := range p.group(&monSpec).all {
		c.Monitors = append(c.Monitors, MonitorOpt{Loc: o.Loc, Opts: o})
	}
	if s, ok := c.Machine.Props["type"].(string); ok {
		c.Machine.Type, c.Machine.HasType = s, true
		delete(c.Machine.Props, "type")
	}
	c.Kernel, c.Initrd = c.Machine.stringProp("kernel"), c.Machine.stringProp("initrd")
	c.Append, c.Firmware = c.Machine.stringProp("append"), c.Machine.stringProp("firmware")
}

// deferredHelp notes the questions that QEMU answers only once all options are
// read.
func (p *parser) deferredHelp() {
	if p.cfg.HasCPU && IsHelp(p.cfg.CPU) {
		p.ask("cpu", "", Loc{})
		return
	}
	for _, o := range p.group(&deviceSpec).all {
		driver, ok := o.Get("driver")
		switch {
		case !ok:
		case IsHelp(driver):
			p.ask("device", "", o.Loc)
			return
		case o.HasHelp():
			p.ask("device", driver, o.Loc)
			return
		}
	}
}

func (p *parser) ask(topic, arg string, loc Loc) {
	p.cfg.Help = append(p.cfg.Help, HelpRequest{Topic: topic, Arg: arg, Loc: loc})
}

// message stamps a text with the location and the settings in force.
func (p *parser) message(s Severity, text, hint string) Message {
	m := Message{Severity: s, Loc: p.loc, Text: text, Hint: hint, Timestamp: p.cfg.Msg.Timestamp}
	if p.cfg.Msg.GuestName {
		m.Guest = p.cfg.Name.Guest
	}
	return m
}

func (p *parser) warn(text, hint string) {
	p.cfg.Messages = append(p.cfg.Messages, p.message(SevWarning, text, hint))
}

// fail makes the error that ends the program; one that is made already passes.
func (p *parser) fail(err error) error {
	var done *Error
	if errors.As(err, &done) {
		return done
	}
	var d *DescError
	hint := ""
	if errors.As(err, &d) {
		hint = d.Hint
	}
	return &Error{Messages: []Message{p.message(SevError, err.Error(), hint)}, Code: 1}
}

// parseOpts parses an argument into a group. A request for the list of
// sub-options ends the program, as in QEMU with status 1.
func (p *parser) parseOpts(g *optsGroup, arg string, implied bool) (*Opts, error) {
	o, help, err := g.parse(p.loc, arg, implied, p.warn)
	if help {
		return nil, &Error{Stdout: g.HelpText(), Code: 1}
	}
	return o, err
}
