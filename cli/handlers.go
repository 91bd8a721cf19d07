package cli

import (
	"strings"

	"github.com/gqemu/gqemu/internal/qjson"
)

// The second pass, option by option.

func (p *parser) help(Option) error {
	return &Error{Stdout: HelpText(p.cfg.Prog, p.env.Package), Code: 0}
}

func (p *parser) version(Option) error {
	return &Error{Stdout: VersionText(p.env.Package), Code: 0}
}

func (p *parser) machine(o Option) error {
	tree, help, err := ParseKeyval(o.Arg, "type")
	if err != nil {
		return err
	}
	if err := MergeKeyval(p.cfg.Machine.Props, tree); err != nil {
		return err
	}
	if help {
		p.ask("machine", p.cfg.Machine.stringProp("type"), o.Loc)
		return errHelp
	}
	return nil
}

// machineString is the handler of an option that sets a machine property.
func machineString(prop string) func(*parser, Option) error {
	return func(p *parser, o Option) error {
		p.cfg.Machine.Props[prop] = o.Arg
		return nil
	}
}

func (p *parser) nographic(Option) error {
	p.cfg.Nographic = true
	p.cfg.Display = "none"
	p.cfg.Machine.Props["graphics"] = "off"
	return nil
}

func (p *parser) smp(o Option) error {
	tree, help, err := ParseKeyval(o.Arg, smpSpec.Implied)
	if err != nil {
		return err
	}
	if help {
		return &Error{Stdout: smpSpec.HelpText(), Code: 0}
	}
	return MergeKeyval(p.cfg.Machine.Props, map[string]any{"smp": tree})
}

func (p *parser) accel(o Option) error {
	opts, err := p.parseOpts(p.group(&accelSpec), o.Arg, true)
	if err != nil {
		// QEMU reports the error and then, having no name, lists them all.
		p.cfg.Messages = append(p.cfg.Messages, p.message(SevError, err.Error(), hintOf(err)))
		p.ask("accel", "", o.Loc)
		return errHelp
	}
	if name, ok := opts.Get("accel"); !ok || IsHelp(name) {
		p.ask("accel", "", o.Loc)
		return errHelp
	}
	return nil
}

func hintOf(err error) string {
	if d, ok := err.(*DescError); ok {
		return d.Hint
	}
	return ""
}

func (p *parser) memory(o Option) error {
	_, err := p.parseOpts(p.group(&memorySpec), o.Arg, true)
	return err
}

func (p *parser) device(o Option) error {
	if !strings.HasPrefix(o.Arg, "{") {
		_, err := p.parseOpts(p.group(&deviceSpec), o.Arg, true)
		return err
	}
	m, err := parseJSONObject(o.Arg)
	if err != nil {
		return err
	}
	p.jsonDevices = append(p.jsonDevices, DeviceOpt{Loc: o.Loc, JSON: m})
	return nil
}

func parseJSONObject(s string) (map[string]any, error) {
	v, err := qjson.Parse([]byte(s))
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok { // what begins with '{' is an object
		return nil, errf("JSON parse error, expecting an object")
	}
	return m, nil
}

func (p *parser) object(o Option) error {
	obj := ObjectOpt{Loc: o.Loc}
	if strings.HasPrefix(o.Arg, "{") {
		m, err := parseJSONObject(o.Arg)
		if err != nil {
			return err
		}
		obj.IsJSON = true
		return p.addObject(obj, treeDialect{m: m})
	}
	opts, err := p.parseOpts(p.group(&objectSpec), o.Arg, true)
	if err != nil {
		return err
	}
	typ, ok := opts.Get("qom-type")
	if !ok {
		return errMissing("qom-type")
	}
	if _, known := p.env.Objects[typ]; IsHelp(typ) || opts.HasHelp() && known {
		if IsHelp(typ) {
			typ = ""
		}
		p.ask("object", typ, o.Loc)
		return errHelp
	}
	return p.addObject(obj, optsDialect{opts})
}

func (p *parser) addObject(obj ObjectOpt, d dialect) (err error) {
	obj.Type, obj.ID, obj.Props, err = p.env.Objects.check(d)
	if err == nil {
		p.cfg.Objects = append(p.cfg.Objects, obj)
	}
	return err
}

// globalPart is the most that DRIVER and PROPERTY of DRIVER.PROPERTY=VALUE may
// have; longer ones are not recognized as such.
const globalPart = 63

func (p *parser) global(o Option) error {
	// The driver ends at the first dot, the property at the first '='.
	driver, rest, dot := strings.Cut(o.Arg, ".")
	prop, value, eq := strings.Cut(rest, "=")
	if dot && eq && driver != "" && prop != "" && !strings.Contains(driver, "=") &&
		len(driver) <= globalPart && len(prop) <= globalPart {
		g, err := p.group(&globalSpec).create(o.Loc, "", false)
		if err != nil {
			return err
		}
		g.Set("driver", driver)
		g.Set("property", prop)
		g.Set("value", value)
		return nil
	}
	g, err := p.parseOpts(p.group(&globalSpec), o.Arg, false)
	if err != nil {
		return err
	}
	for _, n := range []string{"driver", "property", "value"} {
		if _, ok := g.Get(n); !ok {
			return errf("options 'driver', 'property', and 'value' are required")
		}
	}
	return nil
}

func (p *parser) chardev(o Option) error {
	opts, err := p.parseOpts(p.group(&chardevSpec), o.Arg, true)
	if err != nil {
		return err
	}
	p.cfg.Chardevs = append(p.cfg.Chardevs, ChardevOpt{Loc: o.Loc, ID: opts.ID, HasID: opts.HasID, Opts: opts})
	return nil
}

func (p *parser) mon(o Option) error {
	p.cfg.noDefaultMonitor = true
	_, err := p.parseOpts(p.group(&monSpec), o.Arg, true)
	return err
}

func (p *parser) monitor(o Option) error {
	p.cfg.noDefaultMonitor = true
	if strings.HasPrefix(o.Arg, "none") {
		return nil
	}
	return p.compatMonitor(o, "readline", false)
}

func (p *parser) qmp(o Option) error {
	p.cfg.noDefaultMonitor = true
	return p.compatMonitor(o, "control", false)
}

func (p *parser) qmpPretty(o Option) error {
	p.cfg.noDefaultMonitor = true
	return p.compatMonitor(o, "control", true)
}

// compatMonitor makes a monitor, and a chardev for it unless one is named.
func (p *parser) compatMonitor(o Option, mode string, pretty bool) error {
	label, named := strings.CutPrefix(o.Arg, "chardev:")
	if !named {
		label = compatLabel(p.cfg.compatMonitors)
		if err := p.compatChardev(label, o.Arg); err != nil {
			return err
		}
		p.cfg.Chardevs = append(p.cfg.Chardevs, ChardevOpt{Loc: o.Loc, ID: label, HasID: true, Filename: o.Arg})
	}
	// QEMU keeps the label in 32 bytes.
	if len(label) > 31 {
		label = label[:31]
	}
	m, err := p.group(&monSpec).create(o.Loc, label, true)
	if err != nil {
		return err
	}
	m.Set("mode", mode)
	m.Set("chardev", label)
	if mode == "control" {
		m.Set("pretty", map[bool]string{false: "off", true: "on"}[pretty])
	}
	p.cfg.compatMonitors++
	return nil
}

// compatChardev checks the chardev of compatMonitor and reserves its label.
func (p *parser) compatChardev(label, filename string) error {
	text, ok := "", true
	if _, err := p.group(&chardevSpec).create(p.loc, label, true); err != nil {
		text, ok = err.Error(), false
	} else {
		if p.env.CheckFilename != nil {
			text, ok = p.env.CheckFilename(filename, true)
		}
	}
	if ok {
		return nil
	}
	var ms []Message
	if text != "" {
		ms = append(ms, p.message(SevError, text, ""))
	}
	return &Error{Messages: append(ms, p.message(SevError, "parse error: "+filename, "")), Code: 1}
}

func (p *parser) serial(o Option) error {
	p.cfg.Serials = append(p.cfg.Serials, SerialOpt{Loc: o.Loc, Filename: o.Arg})
	if strings.HasPrefix(o.Arg, "mon:") {
		p.cfg.noDefaultMonitor = true
	}
	return nil
}

func (p *parser) name(o Option) error {
	opts, err := p.parseOpts(p.group(&nameSpec), o.Arg, true)
	if err == nil {
		// Messages may begin with it from here on.
		p.cfg.Name.Guest, _ = opts.Get("guest")
	}
	return err
}

// optBool is a boolean that the group's declaration has checked.
func optBool(o *Opts, name string) bool {
	s, _ := o.Get(name)
	b, err := ParseBool(name, s)
	return err == nil && b
}

func (p *parser) uuid(o Option) (err error) {
	p.cfg.UUID, err = ParseUUID(o.Arg)
	p.cfg.HasUUID = err == nil
	return err
}

func (p *parser) msg(o Option) error {
	opts, err := p.parseOpts(p.group(&msgSpec), o.Arg, false)
	if err != nil {
		return err
	}
	p.cfg.Msg = Msg{Timestamp: optBool(opts, "timestamp"), GuestName: optBool(opts, "guest-name")}
	return nil
}

func (p *parser) action(o Option) error {
	_, err := p.parseOpts(p.group(&actionSpec), o.Arg, false)
	return err
}

func (p *parser) noReboot(Option) error {
	_, err := p.parseOpts(p.group(&actionSpec), "reboot=shutdown", false)
	return err
}

func (p *parser) noShutdown(Option) error {
	_, err := p.parseOpts(p.group(&actionSpec), "shutdown=pause", false)
	return err
}

// debugcon is -debugcon: a chardev, and a device on it.
func (p *parser) debugcon(o Option) error {
	d, err := p.group(&deviceSpec).create(o.Loc, "debugcon", true)
	if err != nil {
		return errf("already have a debugcon device")
	}
	d.Set("driver", "isa-debugcon")
	d.Set("chardev", "debugcon")
	p.cfg.Debugcons = append(p.cfg.Debugcons, SerialOpt{Loc: o.Loc, Filename: o.Arg})
	return nil
}
