package qdev

import (
	"fmt"

	"github.com/gqemu/gqemu/qom"
)

// Global is one -global driver.property=value.
type Global struct {
	Driver, Property, Value string
	// Used is set when a device took it.
	Used bool
}

// New makes a device of the named type with its defaults and the globals
// that apply to it, not yet on a bus.
func (h *Host) New(typ string) (Device, error) {
	t := h.Types.Lookup(typ)
	if t == nil || !t.IsA("device") {
		return nil, fmt.Errorf("unknown type '%s'", typ)
	}
	o, err := h.Types.New(typ)
	if err != nil {
		return nil, err
	}
	d := o.(Device)
	return d, h.adopt(d)
}

// adopt makes a new device belong to the machine, and before it the devices
// that are part of it from the start.
func (h *Host) adopt(d Device) error {
	for _, o := range qom.Children(d) {
		if c, ok := o.(Device); ok {
			if err := h.adopt(c); err != nil {
				return err
			}
		}
	}
	s := d.Qdev()
	s.self, s.host, s.hotplugged = d, h, h.Ready
	return h.applyGlobals(d)
}

// applyGlobals sets what -global says of the device's type or one it derives
// from, base types first.
func (h *Host) applyGlobals(d Device) error {
	var chain []*qom.Type
	for t := d.QOM().Type(); t != nil; t = t.ParentType() {
		chain = append([]*qom.Type{t}, chain...)
	}
	for _, t := range chain {
		for _, g := range h.Globals {
			if g.Driver != t.Name {
				continue
			}
			g.Used = true
			if err := qom.Set(d, g.Property, qom.String(g.Value)); err != nil {
				return fmt.Errorf("can't apply global %s.%s=%s: %w", g.Driver, g.Property, g.Value, err)
			}
		}
	}
	return nil
}

// Realize makes a device work. A device without a parent gets one in
// /machine/unattached. On failure all is undone and the device is as before.
func Realize(d Device) error {
	s := d.Qdev()
	if s.realized {
		return nil
	}
	h := s.host
	if h.OnlyMigratable && ClassOf(s.Type()).Unmigratable {
		return fmt.Errorf("Device %s is not migratable, but --only-migratable was specified", s.TypeName())
	}
	if s.Parent() == nil && h.Unattached != nil {
		if err := qom.AddChild(h.Unattached, "device[*]", d); err != nil {
			return err
		}
		s.Defer(func() { qom.Unparent(d) })
	}
	if r, ok := d.(Realizer); ok {
		if err := r.Realize(h); err != nil {
			s.unwind()
			return err
		}
	}
	s.realized = true
	if s.bus != nil && s.bus.hotplug != nil {
		if err := s.bus.hotplug.Plug(d); err != nil {
			s.realized = false
			s.unwind()
			return err
		}
	}
	if s.hotplugged {
		Reset(d)
	}
	return nil
}

// Unrealize takes a device out of work, those on its buses first.
func Unrealize(d Device) {
	s := d.Qdev()
	if !s.realized {
		return
	}
	for _, b := range s.buses {
		for _, c := range b.Devices() {
			Unrealize(c)
		}
	}
	s.realized = false
	s.unwind()
}

// Delete unrealizes a device and takes it off its bus and out of the tree.
func Delete(d Device) {
	s := d.Qdev()
	for _, b := range s.buses {
		for _, c := range b.Devices() {
			Delete(c)
		}
	}
	Unrealize(d)
	if s.bus != nil {
		s.bus.remove(d)
	}
	qom.Unparent(d)
}

// Reset resets a device and everything below it, the lowest first.
func Reset(d Device) {
	for _, b := range d.Qdev().buses {
		b.Reset()
	}
	if r, ok := d.(Resetter); ok && d.Qdev().realized {
		r.Reset()
	}
}

// property wraps a qom property so that it can be set only before realize,
// which is qdev's rule for everything that shapes a device.
func property(p *qom.Property) *qom.Property {
	set := p.Set
	p.Set = func(o qom.Object, v qom.Value) error {
		if s := o.(Device).Qdev(); s.realized {
			who := "anonymous device"
			if s.id != "" {
				who = fmt.Sprintf("device '%s'", s.id)
			}
			return fmt.Errorf("Attempt to set property '%s' on %s (type '%s') after it was realized",
				p.Name, who, s.TypeName())
		}
		return set(o, v)
	}
	return p
}

// Field is qom.Field for a device: it can be set only before realize.
func Field[T Device, V qom.Scalar](name string, field func(T) *V, def V, opts ...qom.Option) *qom.Property {
	return property(qom.Field(name, field, def, opts...))
}

// Enum is qom.Enum for a device: it can be set only before realize.
func Enum[T Device](name, typ string, values []string, field func(T) *string, def string, opts ...qom.Option) *qom.Property {
	return property(qom.Enum(name, typ, values, field, def, opts...))
}

// Bit declares an on/off property that is one bit of a word of T. Its help
// says so, as QEMU's bit properties do.
func Bit[T Device](name string, word func(T) *uint64, bit uint, def bool, opts ...qom.Option) *qom.Property {
	p := qom.NewProperty(name, "bool", def,
		func(o T) any { return *word(o)>>bit&1 == 1 },
		func(o T, v qom.Value) error {
			on, err := v.Bool(name)
			if err == nil {
				setBit(word(o), bit, on)
			}
			return err
		},
		func(o T) { setBit(word(o), bit, def) })
	p.Description = "on/off"
	for _, o := range opts {
		o(p)
	}
	return property(p)
}

func setBit(word *uint64, bit uint, on bool) {
	if on {
		*word |= 1 << bit
	} else {
		*word &^= 1 << bit
	}
}
