package system

import (
	"fmt"
	"maps"
	"strings"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// createDevices makes the -device devices.
func (v *VM) createDevices() error {
	for i := range v.cfg.Devices {
		d := &v.cfg.Devices[i]
		args := d.Dict()
		if d.IsJSON() {
			args = plainJSONDevice(args)
		}
		r, err := deviceRequest(args, d.IsJSON())
		if err == nil {
			_, err = v.host.Add(r)
		}
		if err != nil {
			return at(d.Loc, err)
		}
	}
	return nil
}

// plainJSONDevice leaves out of -device's JSON form what QEMU does not look at:
// a driver, an id or a bus that is no string.
func plainJSONDevice(args map[string]any) map[string]any {
	out := maps.Clone(args)
	for _, name := range []string{"driver", "id", "bus"} {
		if _, ok := out[name].(string); !ok {
			delete(out, name)
		}
	}
	return out
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
	if _, ok := args["bus"]; ok && r.Bus == "" {
		return r, fmt.Errorf("Bus '' not found")
	}
	// In the JSON form of -device QEMU takes any id; one with a slash would be
	// no name in the tree.
	if _, ok := args["id"]; ok && (!json || r.ID == "" || strings.Contains(r.ID, "/")) {
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
