package system

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/monitor/hmp"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

func (h *human) deviceAdd(c *hmp.Call) error {
	opts := c.Args.Options("device")
	driver := opts["driver"]
	switch {
	case cli.IsHelp(driver):
		return deviceHelp(c, h.v.env.Types, "")
	case driver != "" && isHelp(opts):
		if err := deviceHelp(c, h.v.env.Types, driver); err != nil {
			c.Printf("%v\n", err)
		}
		return nil
	}
	args := map[string]any{}
	for name, value := range opts {
		args[name] = value
	}
	_, err := h.qmp(c, "device_add", args)
	return err
}

func (h *human) deviceTypes([]string) []string {
	var out []string
	for _, t := range h.v.env.Types.List("device", false) {
		if !qdev.ClassOf(t).NotUserCreatable {
			out = append(out, t.Name)
		}
	}
	return out
}

func (h *human) deviceIDs([]string) []string {
	var out []string
	for _, o := range qom.Children(h.v.host.Peripheral) {
		if d, ok := o.(qdev.Device); ok && d.Qdev().Hotpluggable() {
			out = append(out, o.QOM().Name())
		}
	}
	return out
}

func (h *human) objectAdd(c *hmp.Call) error {
	o, help, err := cli.ParseObject(c.Args.Str("object"), nil)
	if err != nil {
		return err
	}
	if help {
		objectHelp(c, h.v.env.Types, o.Type)
		return nil
	}
	if !cli.WellFormedID(o.ID) {
		return cli.ErrBadID()
	}
	if qom.FindProperty(h.v.objects, o.ID) != nil {
		return fmt.Errorf("attempt to add duplicate property '%s' to object (type 'container')", o.ID)
	}
	return h.v.createObject(o)
}

func (h *human) objectTypes([]string) []string {
	var out []string
	for _, t := range h.v.env.Types.List("user-creatable", false) {
		out = append(out, t.Name)
	}
	return out
}

func (h *human) objectIDs([]string) []string {
	var out []string
	for _, o := range qom.Children(h.v.objects) {
		out = append(out, o.QOM().Name())
	}
	return out
}

// chardevConfig parses the options of a chardev; the id may be absent.
func (h *human) chardevConfig(c *hmp.Call, text string) (*cli.Opts, error) {
	opts, err := chardevOpts(c, text)
	if err != nil {
		return nil, errors.New("Parsing chardev args failed")
	}
	if backend, _ := opts.Get("backend"); opts.HasHelp() || cli.IsHelp(backend) {
		return nil, cli.PrintNames(c, "Available chardev backend types: ", "  ", chardev.Backends())
	}
	return opts, nil
}

// chardevOpts tells the user what is wrong with options, as QEMU does before
// the command's own error.
func chardevOpts(c *hmp.Call, text string) (*cli.Opts, error) {
	warn := func(text, hint string) { c.Printf("warning: %s\n%s", text, hint) }
	opts, err := cli.ParseOpts("chardev", text, warn)
	if err != nil {
		c.Printf("%v\n", err)
		var d *cli.DescError
		if errors.As(err, &d) {
			c.Print(d.Hint)
		}
	}
	return opts, err
}

func (h *human) chardevAdd(c *hmp.Call) error {
	opts, err := h.chardevConfig(c, c.Args.Str("args"))
	if opts == nil {
		return err
	}
	id, cfg, err := chardev.ParseOpts(opts.WithID())
	if err != nil {
		return err
	}
	if _, taken := h.v.chardevs.Get(id); taken {
		return fmt.Errorf("attempt to add duplicate property '%s' to object (type 'container')", id)
	}
	if cfg.Multiplexed() {
		return h.v.addChardev(id, cfg)
	}
	return h.v.openChardev(c.Context, id, cfg)
}

// chardevChange is for the same options as chardev-add, but for the id.
func (h *human) chardevChange(c *hmp.Call) error {
	id := c.Args.Str("id")
	opts, err := h.chardevConfig(c, c.Args.Str("args"))
	if opts == nil {
		return err
	}
	cfg, err := chardev.ParseBackend(opts)
	if err == nil {
		err = h.v.checkChange(id)
	}
	if err != nil {
		return err
	}
	return h.v.changeChardev(c.Context, id, cfg)
}

func (h *human) chardevBackends([]string) []string { return chardev.Backends() }

func (h *human) chardevIDs([]string) []string {
	var out []string
	for _, c := range h.v.chardevs.List() {
		out = append(out, c.ID())
	}
	return out
}

// ringbufRead shows text with a dot in place of what a terminal might obey.
func (h *human) ringbufRead(c *hmp.Call) error {
	r, err := h.qmp(c, "ringbuf-read", map[string]any{"device": c.Args.Str("device"), "size": c.Args.Int("size")})
	if err != nil {
		return err
	}
	text, _ := r.(string)
	var out bytes.Buffer
	for _, b := range []byte(text) {
		switch {
		case b == '\\':
			out.WriteString(`\\`)
		case (b < 0x20 && b != '\n' && b != '\t') || b == 0x7F:
			fmt.Fprintf(&out, "\\u%04X", b)
		default:
			out.WriteByte(b)
		}
	}
	c.Print(out.String() + "\n")
	return nil
}

func (h *human) netdevAdd(c *hmp.Call) error {
	args := map[string]any{}
	for name, value := range c.Args.Options("netdev") {
		args[name] = value
	}
	if _, ok := args["id"]; !ok {
		return fmt.Errorf("Parameter 'id' is missing")
	}
	_, err := h.qmp(c, "netdev_add", args)
	return err
}

func (h *human) traceEvent(c *hmp.Call) error {
	args := map[string]any{"name": c.Args.Str("name"), "enable": c.Args.Bool("option"), "ignore-unavailable": true}
	if c.Args.Has("vcpu") {
		args["vcpu"] = c.Args.Int("vcpu")
	}
	if _, err := h.qmp(c, "trace-event-set-state", args); err != nil {
		c.Printf("%v\n", err)
	}
	return nil
}

// watchdogAction says what to do when a watchdog fires.
func (h *human) watchdogAction(c *hmp.Call) error {
	if action := c.Args.Str("action"); !slices.Contains(watchdogActions(nil), action) {
		return fmt.Errorf("invalid parameter value: %s", action)
	}
	_, err := h.qmp(c, "watchdog-set-action", c.Args)
	return err
}
