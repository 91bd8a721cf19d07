package system

import (
	"slices"
	"strings"

	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// ObjectPropertyInfo describes a property.
type ObjectPropertyInfo struct {
	Name         string  `qapi:"name"`
	Type         string  `qapi:"type"`
	Description  *string `qapi:"description,optional"`
	DefaultValue any     `qapi:"default-value,optional"`
}

// QAPIName is the name of the type in the QMP schema.
func (ObjectPropertyInfo) QAPIName() string { return "ObjectPropertyInfo" }

// ObjectTypeInfo describes a type.
type ObjectTypeInfo struct {
	Name     string  `qapi:"name"`
	Abstract *bool   `qapi:"abstract,optional"`
	Parent   *string `qapi:"parent,optional"`
}

// QAPIName is the name of the type in the QMP schema.
func (ObjectTypeInfo) QAPIName() string { return "ObjectTypeInfo" }

type qomListArgs struct {
	Path string `qapi:"path"`
}

type qomGetArgs struct {
	Path     string `qapi:"path"`
	Property string `qapi:"property"`
}

type qomSetArgs struct {
	Path     string `qapi:"path"`
	Property string `qapi:"property"`
	Value    any    `qapi:"value"`
}

type qomListTypesArgs struct {
	Implements *string `qapi:"implements,optional"`
	Abstract   *bool   `qapi:"abstract,optional"`
}

type typenameArgs struct {
	Typename string `qapi:"typename"`
}

// resolve finds the object of a command.
func (v *VM) resolve(path string) (qom.Object, error) {
	o, ambiguous := qom.Resolve(v.root, path, "")
	if ambiguous {
		return nil, qapi.Errorf("Path '%s' is ambiguous", path)
	}
	if o == nil {
		return nil, &qdev.NotFoundError{ID: path}
	}
	return o, nil
}

// registerQOM adds commands of QAPI module qom.
func (v *VM) registerQOM() {
	register(v, "qom-list", func(a qomListArgs) ([]ObjectPropertyInfo, error) {
		o, err := v.resolve(a.Path)
		if err != nil {
			return nil, err
		}
		out := []ObjectPropertyInfo{}
		for _, p := range qom.Properties(o) {
			out = append(out, ObjectPropertyInfo{Name: p.Name, Type: p.Type}) // QEMU says no more here
		}
		return out, nil
	}, qapi.AllowPreconfig())
	register(v, "qom-get", func(a qomGetArgs) (any, error) {
		o, err := v.resolve(a.Path)
		if err != nil {
			return nil, err
		}
		return qom.Get(o, a.Property)
	}, qapi.AllowPreconfig())
	register(v, "qom-set", func(a qomSetArgs) (none, error) {
		o, err := v.resolve(a.Path)
		if err != nil {
			return none{}, err
		}
		return none{}, qom.Set(o, a.Property, qom.JSON(a.Value))
	}, qapi.AllowPreconfig())
	register(v, "qom-list-types", func(a qomListTypesArgs) ([]ObjectTypeInfo, error) {
		out := []ObjectTypeInfo{}
		implements := ""
		if a.Implements != nil {
			implements = *a.Implements
		}
		for _, t := range v.env.Types.List(implements, a.Abstract != nil && *a.Abstract) {
			info := ObjectTypeInfo{Name: t.Name, Parent: optional(t.Parent)}
			if t.Abstract {
				info.Abstract = ptr(true)
			}
			out = append(out, info)
		}
		return out, nil
	}, qapi.AllowPreconfig())
	register(v, "qom-list-properties", func(a typenameArgs) ([]ObjectPropertyInfo, error) {
		t := v.env.Types.Lookup(a.Typename)
		if t == nil {
			return nil, qapi.ClassErrorf(qapi.DeviceNotFound, "Class '%s' not found", a.Typename)
		}
		return propertyInfos(t.AllProperties(), false), nil
	}, qapi.AllowPreconfig())
	register(v, "device-list-properties", func(a typenameArgs) ([]ObjectPropertyInfo, error) {
		t := v.env.Types.Lookup(a.Typename)
		if t == nil {
			return nil, &qdev.NotFoundError{ID: a.Typename}
		}
		if !t.IsA("device") || t.Abstract {
			return nil, qapi.Errorf("Parameter 'typename' expects a non-abstract device type")
		}
		return propertyInfos(deviceProperties(t), true), nil
	})
}

// deviceProperties lists what a user may set on a device type: everything
// beyond what all devices have.
func deviceProperties(t *qom.Type) []*qom.Property {
	var out []*qom.Property
	for ; t != nil && t.Name != "device"; t = t.ParentType() {
		out = append(slices.Clone(t.Listed()), out...)
	}
	shown := out[:0]
	for _, p := range out {
		if !strings.HasPrefix(p.Name, "legacy-") {
			shown = append(shown, p)
		}
	}
	return shown
}

func propertyInfos(props []*qom.Property, defaults bool) []ObjectPropertyInfo {
	out := []ObjectPropertyInfo{}
	for _, p := range props {
		info := ObjectPropertyInfo{Name: p.Name, Type: p.Type, Description: optional(p.Description)}
		if defaults {
			info.DefaultValue = p.Default
		}
		out = append(out, info)
	}
	return out
}
