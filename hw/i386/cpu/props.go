package cpu

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// RegisterTypes adds the processors and their local APICs.
func RegisterTypes(r *qom.Registry) {
	r.Register(qom.Type{Name: "cpu", Parent: "device", Abstract: true})
	r.Register(qom.Type{
		Name: "x86_64-cpu", Parent: "cpu", Abstract: true,
		Class:      &qdev.Class{Category: "CPU"},
		Properties: append(scalarProperties(), featureProperties()...),
	})
	for _, m := range models() {
		t := qom.Type{
			Name: m.name + typeSuffix, Parent: "x86_64-cpu", Description: m.desc,
			New: func() qom.Object { return &CPU{settings: newSettings(m)} },
		}
		if m.max {
			t.Properties = []*qom.Property{
				boolean("migratable", func(s *settings) *bool { return &s.migratable }),
				boolean("host-cache-info", func(s *settings) *bool { return &s.hostCache }),
			}
		}
		r.Register(t)
	}
	intc.RegisterAPICs(r)
}

// property declares a property that can be set only before realize, and
// whose being set is noted.
func property[V any](name, typ string, get func(*CPU) V, set func(*CPU, qom.Value) error) *qom.Property {
	var setter func(*CPU, qom.Value) error
	if set != nil {
		setter = func(c *CPU, v qom.Value) error {
			if c.Realized() {
				who := "anonymous device"
				if c.ID() != "" {
					who = fmt.Sprintf("device '%s'", c.ID())
				}
				return fmt.Errorf("Attempt to set property '%s' on %s (type '%s') after it was realized",
					name, who, c.TypeName())
			}
			err := set(c, v)
			if err == nil {
				c.given[name] = true
			}
			return err
		}
	}
	return qom.NewProperty(name, typ, nil, func(c *CPU) any { return get(c) }, setter, nil)
}

func boolean(name string, field func(*settings) *bool) *qom.Property {
	return property(name, "bool",
		func(c *CPU) bool { return *field(&c.settings) },
		func(c *CPU, v qom.Value) (err error) {
			b, err := v.Bool(name)
			if err == nil {
				*field(&c.settings) = b
			}
			return err
		})
}

func number(name string, field func(*settings) *uint32) *qom.Property {
	return property(name, "uint32",
		func(c *CPU) uint64 { return uint64(*field(&c.settings)) },
		func(c *CPU, v qom.Value) error {
			n, err := v.Uint(name, 32)
			if err == nil {
				*field(&c.settings) = uint32(n)
			}
			return err
		})
}

// version is a part of the signature in leaf 1.
func version(name string, limit int64, field func(*settings) *uint32) *qom.Property {
	return property(name, "int",
		func(c *CPU) int64 { return int64(*field(&c.settings)) },
		func(c *CPU, v qom.Value) error {
			n, err := v.Int(name, 64)
			if err != nil {
				return err
			}
			if n < 0 || n > limit {
				return fmt.Errorf("Property .%s doesn't take value %d (minimum: 0, maximum: %d)", name, n, limit)
			}
			*field(&c.settings) = uint32(n)
			return nil
		})
}

func id(name string, field func(*CPU) *int32) *qom.Property {
	return property(name, "int32",
		func(c *CPU) int64 { return int64(*field(c)) },
		func(c *CPU, v qom.Value) error {
			n, err := v.Int(name, 32)
			if err == nil {
				*field(c) = int32(n)
			}
			return err
		})
}

// vendorLen and brandLen are the lengths of CPUID's strings, in bytes.
const (
	vendorLen = 12
	brandLen  = 48
)

func scalarProperties() []*qom.Property {
	return []*qom.Property{
		property("vendor", "string", func(c *CPU) string { return c.vendor }, func(c *CPU, v qom.Value) error {
			s, err := v.Str("vendor")
			if err == nil && len(s) != vendorLen {
				err = fmt.Errorf("Property '.vendor' doesn't take value '%s'", s)
			}
			if err == nil {
				c.vendor = s
			}
			return err
		}),
		property("model-id", "string", func(c *CPU) string { return c.settings.id }, func(c *CPU, v qom.Value) error {
			s, err := v.Str("model-id")
			if err == nil {
				c.settings.id = s[:min(len(s), brandLen)]
			}
			return err
		}),
		version("family", 0xff+0xf, func(s *settings) *uint32 { return &s.family }),
		version("model", 0xff, func(s *settings) *uint32 { return &s.number }),
		version("stepping", 0xf, func(s *settings) *uint32 { return &s.stepping }),
		number("level", func(s *settings) *uint32 { return &s.level }),
		number("xlevel", func(s *settings) *uint32 { return &s.xlevel }),
		number("xlevel2", func(s *settings) *uint32 { return &s.xlevel2 }),
		number("level-func7", func(s *settings) *uint32 { return &s.func7 }),
		number("min-level", func(s *settings) *uint32 { return &s.minLevel }),
		number("min-xlevel", func(s *settings) *uint32 { return &s.minXlevel }),
		number("min-xlevel2", func(s *settings) *uint32 { return &s.minXlevel2 }),
		number("phys-bits", func(s *settings) *uint32 { return &s.physBits }),
		property("host-phys-bits-limit", "uint8",
			func(c *CPU) uint64 { return uint64(c.hostPhysBitsLimit) },
			func(c *CPU, v qom.Value) error {
				n, err := v.Uint("host-phys-bits-limit", 8)
				if err == nil {
					c.hostPhysBitsLimit = uint8(n)
				}
				return err
			}),
		boolean("host-phys-bits", func(s *settings) *bool { return &s.hostPhysBits }),
		boolean("kvm", func(s *settings) *bool { return &s.exposeKVM }),
		boolean("check", func(s *settings) *bool { return &s.check }),
		boolean("enforce", func(s *settings) *bool { return &s.enforce }),
		boolean("x-force-features", func(s *settings) *bool { return &s.force }),
		boolean("l3-cache", func(s *settings) *bool { return &s.l3 }),
		boolean("legacy-cache", func(s *settings) *bool { return &s.legacyCache }),
		boolean("cpuid-0xb", func(s *settings) *bool { return &s.leaf0B }),
		boolean("x-vendor-cpuid-only", func(s *settings) *bool { return &s.vendorOnly }),
		boolean("full-cpuid-auto-level", func(s *settings) *bool { return &s.autoLevel }),
		boolean("pmu", func(s *settings) *bool { return &s.pmu }),
		property("apic-id", "uint32", func(c *CPU) uint64 { return uint64(c.apicID) }, func(c *CPU, v qom.Value) error {
			n, err := v.Uint("apic-id", 32)
			if err == nil {
				c.apicID = uint32(n)
			}
			return err
		}),
		id("socket-id", func(c *CPU) *int32 { return &c.socket }),
		id("die-id", func(c *CPU) *int32 { return &c.die }),
		id("core-id", func(c *CPU) *int32 { return &c.core }),
		id("thread-id", func(c *CPU) *int32 { return &c.thread }),
		property("feature-words", "X86CPUFeatureWordInfo",
			func(c *CPU) []any { return c.features.info() }, nil),
		property("filtered-features", "X86CPUFeatureWordInfo",
			func(c *CPU) []any { return c.filtered.info() }, nil),
		property("unavailable-features", "strList", func(c *CPU) []any {
			list := []any{}
			for _, n := range c.filtered.names() {
				list = append(list, n)
			}
			return list
		}, nil),
	}
}

// info is QAPI's X86CPUFeatureWordInfo, last word first as QEMU lists them.
func (f *features) info() []any {
	list := []any{}
	for w, i := range slices.Backward(words[:]) {
		m := map[string]any{
			"cpuid-register": i.reg.String(), "cpuid-input-eax": uint64(i.function), "features": uint64(f[w]),
		}
		if i.indexed {
			m["cpuid-input-ecx"] = uint64(i.index)
		}
		list = append(list, m)
	}
	return list
}

// names lists the properties behind the bits; a bit without one is left out.
func (f *features) names() []string {
	var list []string
	for w, i := range words {
		for n, name := range i.names {
			if f[w]>>n&1 != 0 && name != "" && !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	return list
}

// featureProperties are one per feature and per alias.
func featureProperties() []*qom.Property {
	var list []*qom.Property
	for _, i := range words {
		for _, name := range i.names {
			if name != "" && !slices.ContainsFunc(list, func(p *qom.Property) bool { return p.Name == name }) {
				list = append(list, featureProperty(name, featureBits[name]))
			}
		}
	}
	first := len(list)
	for alias, name := range aliases {
		list = append(list, featureProperty(alias, featureBits[name]))
	}
	slices.SortFunc(list[first:], func(a, b *qom.Property) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func featureProperty(name string, b featureBit) *qom.Property {
	return property(name, "bool",
		func(c *CPU) bool { return c.features[b.word]&b.mask == b.mask },
		func(c *CPU, v qom.Value) error {
			on, err := v.Bool(name)
			if err != nil {
				return err
			}
			c.user[b.word] |= b.mask
			if on {
				c.features[b.word] |= b.mask
			} else {
				c.features[b.word] &^= b.mask
			}
			return nil
		})
}
