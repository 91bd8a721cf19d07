package cpu

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/qom"
)

// Definition is what clients are told of a CPU model.
type Definition struct {
	Name, Type string
	AliasOf    string // the version that an unversioned name stands for, or ""
	// Static tells that the model never changes, MigrationSafe that it is the
	// same on every host.
	Static, MigrationSafe bool
	// Unavailable names what keeps a CPU of this model from running: features
	// the accelerator lacks, or "kvm".
	Unavailable []string
}

// Definitions lists the CPU models in QEMU's order, seen from an accelerator.
func Definitions(a accel.VM) []Definition {
	var list []Definition
	all := models()
	for _, m := range all {
		d := Definition{
			Name: m.name, Type: m.name + typeSuffix, Static: m.name == "base", MigrationSafe: !m.max,
			Unavailable: m.unavailable(a),
		}
		if slices.ContainsFunc(all, func(o *model) bool { return o.name == m.name+"-v1" }) {
			d.AliasOf = m.name + "-v1"
		}
		list = append(list, d)
	}
	rank := func(d Definition) int { return slices.Index([]string{"base", "host", "max"}, d.Name) }
	slices.SortFunc(list, func(a, b Definition) int {
		if c := cmp.Compare(rank(b), rank(a)); c != 0 {
			return c
		}
		return strings.Compare(b.Name, a.Name)
	})
	return list
}

func (m *model) unavailable(a accel.VM) []string {
	kvm := a.Name() == "kvm"
	if m.host && !kvm {
		return []string{"kvm"}
	}
	s := newSettings(m)
	p, _, err := resolve(s, a.SupportedCPUID(), kvm, single)
	if err != nil {
		return []string{"type"} // as QEMU says of what it cannot say otherwise
	}
	list := []string{}
	if m.max && a.SupportedCPUID() == nil {
		// Every bit can be had, but Intel PT works with KVM alone.
		list = append(list, "intel-pt")
	}
	return append(list, p.filtered.names()...)
}

// single is the topology of a CPU that is looked at alone.
var single = topology{dies: 1, cores: 1, threads: 1}

// Expand works out what a CPU that no machine has made would be, as far as the
// accelerator allows: features and levels. o is a new object of a CPU model's
// type.
func Expand(o qom.Object, a accel.VM) error {
	c, ok := o.(*CPU)
	if !ok {
		return fmt.Errorf("'%s' is no CPU model", o.QOM().TypeName())
	}
	s := c.settings
	if s.model.host && a.Name() != "kvm" {
		// Clients may look at it all the same.
		m := *s.model
		m.host = false
		s.model = &m
	}
	p, _, err := resolve(s, a.SupportedCPUID(), a.Name() == "kvm", single)
	if err != nil {
		return err
	}
	physBits := c.physBits // it is chosen when the CPU is made
	c.settings, c.filtered = p.settings, p.filtered
	c.physBits = physBits
	return nil
}

// StaticProperties are those that, set on model "base", make the same CPU.
func StaticProperties() []string {
	list := []string{"min-level", "min-xlevel", "family", "model", "stepping", "model-id", "vendor"}
	for _, i := range words {
		for _, name := range i.names {
			if name != "" && !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	return list
}

// TypeOf is the type of a CPU model.
func TypeOf(r *qom.Registry, name string) *qom.Type {
	t := r.Lookup(name + typeSuffix)
	if t == nil || t.Abstract || !t.IsA("x86_64-cpu") {
		return nil
	}
	return t
}
