package system

import (
	"fmt"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

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
