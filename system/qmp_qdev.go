package system

import (
	"context"
	"strconv"

	"github.com/gqemu/gqemu/qapi"
)

// deviceAddSchema is what the QMP schema shows of device_add, which takes any
// further property.
type deviceAddSchema struct {
	Driver string  `qapi:"driver"`
	Bus    *string `qapi:"bus,optional"`
	ID     *string `qapi:"id,optional"`
}

type deviceDelArgs struct {
	ID string `qapi:"id"`
}

// registerQdev adds commands of QAPI module qdev.
func (v *VM) registerQdev() {
	qapi.Register(v.commands, "device_add", func(_ context.Context, c *qapi.Call, args map[string]any) (none, error) {
		r, err := deviceRequest(flatten(args), false)
		if err != nil {
			return none{}, err
		}
		// Devices take descriptors while they are realized, before anything
		// that lets go of the lock.
		v.caller = c.Session
		defer func() { v.caller = nil }()
		_, err = v.host.Add(r)
		return none{}, err
	}, qapi.RawArgs[deviceAddSchema](), qapi.Feature("json-cli"), qapi.Feature("json-cli-hotplug"))
	register(v, "device_del", func(a deviceDelArgs) (none, error) {
		d, err := v.host.Find(a.ID)
		if err != nil {
			return none{}, err
		}
		return none{}, v.host.Unplug(d)
	})
}

// flatten turns device_add's arguments into strings, as QEMU does by way of
// its option lists: lists, objects and null vanish. So a number may come as a
// string, and an id as a number.
func flatten(args map[string]any) map[string]any {
	out := map[string]any{}
	for k, a := range args {
		switch x := a.(type) {
		case string:
			out[k] = x
		case bool:
			out[k] = "off"
			if x {
				out[k] = "on"
			}
		case int64:
			out[k] = strconv.FormatInt(x, 10)
		case uint64:
			out[k] = strconv.FormatUint(x, 10)
		case float64:
			out[k] = strconv.FormatFloat(x, 'g', 17, 64)
		}
	}
	if id, ok := args["id"]; ok {
		if _, isString := id.(string); !isString {
			delete(out, "id")
		}
	}
	return out
}
