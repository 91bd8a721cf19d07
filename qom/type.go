// Package qom is QEMU's object model: types with single inheritance,
// interfaces and typed properties, and objects that hang in a composition
// tree, where clients find them by path. Devices, machines, memory backends
// and character devices are all objects.
//
// Types live in a Registry that the program hands down; objects and trees
// are changed under the VM lock.
package qom

import (
	"fmt"
	"slices"
	"sort"
	"sync"
)

// Type describes one type. It is immutable once registered.
type Type struct {
	Name     string
	Parent   string // "" only for the root types "object" and "interface"
	Abstract bool
	// Interfaces are names of interface types that this type and those
	// derived from it implement.
	Interfaces  []string
	Description string
	// New makes the Go value of an instance. Nil: the parent's.
	New func() Object
	// Properties are those this type adds to its parent's, in the order in
	// which QEMU's type declares them: listings follow from it.
	Properties []*Property
	// Class is what packages above attach to a type, such as
	// *qdev.Class. Nil: the parent's.
	Class any

	parent     *Type
	interfaces []*Type
	listed     func() []*Property // Properties as clients see them
}

// ParentType is the resolved parent, nil for root types.
func (t *Type) ParentType() *Type { return t.parent }

// IsA tells whether t is name, derives from it or implements it.
func (t *Type) IsA(name string) bool {
	for ; t != nil; t = t.parent {
		if t.Name == name {
			return true
		}
		for _, i := range t.interfaces {
			if i.IsA(name) {
				return true
			}
		}
	}
	return false
}

// ClassData is the nearest Class up the chain, nil where there is none.
func (t *Type) ClassData() any {
	for ; t != nil; t = t.parent {
		if t.Class != nil {
			return t.Class
		}
	}
	return nil
}

// AllProperties lists the class properties, the root type's first, in the
// order in which QEMU's clients see them.
func (t *Type) AllProperties() []*Property {
	if t == nil {
		return nil
	}
	return append(t.parent.AllProperties(), t.Listed()...)
}

// Listed is Properties in the order in which QEMU's clients see them. The
// caller must not change it.
func (t *Type) Listed() []*Property { return t.listed() }

// list orders properties as QEMU's hash tables do: those of the class, then
// those that QEMU's instances add.
func list(props []*Property) []*Property {
	var class, instance nameTable
	byName := map[string]*Property{}
	for _, p := range props {
		byName[p.Name] = p
		if p.Instance {
			instance.add(p.Name)
		} else {
			class.add(p.Name)
		}
	}
	out := make([]*Property, 0, len(props))
	for _, table := range []*nameTable{&class, &instance} {
		for _, name := range slices.Backward(table.order()) {
			out = append(out, byName[name])
		}
	}
	return out
}

// Property finds a class property, the most derived first.
func (t *Type) Property(name string) *Property {
	for ; t != nil; t = t.parent {
		for _, p := range t.Properties {
			if p.Name == name {
				return p
			}
		}
	}
	return nil
}

func (t *Type) maker() func() Object {
	for ; t != nil; t = t.parent {
		if t.New != nil {
			return t.New
		}
	}
	return nil
}

// Registry is a set of types. It is filled at start-up and read-only after,
// so any number of VMs share one.
type Registry struct {
	types map[string]*Type
}

// NewRegistry makes a registry that holds the root types and "container".
func NewRegistry() *Registry {
	r := &Registry{types: map[string]*Type{}}
	r.Register(Type{Name: "object", Abstract: true, Properties: []*Property{typeProperty()}})
	r.Register(Type{Name: "interface", Abstract: true})
	r.Register(Type{Name: "container", Parent: "object", New: func() Object { return new(Container) }})
	return r
}

// Register adds a type whose parent and interfaces are registered already.
// A mistake in the declaration is a bug and panics.
func (r *Registry) Register(t Type) *Type {
	if _, dup := r.types[t.Name]; dup {
		panic(fmt.Sprintf("qom: type %q is registered twice", t.Name))
	}
	if t.Parent != "" {
		if t.parent = r.types[t.Parent]; t.parent == nil {
			panic(fmt.Sprintf("qom: parent %q of type %q is unknown", t.Parent, t.Name))
		}
	}
	for _, name := range t.Interfaces {
		i := r.types[name]
		if i == nil {
			panic(fmt.Sprintf("qom: interface %q of type %q is unknown", name, t.Name))
		}
		t.interfaces = append(t.interfaces, i)
	}
	t.listed = sync.OnceValue(func() []*Property { return list(t.Properties) })
	r.types[t.Name] = &t
	return &t
}

// Lookup finds a type by name, nil when there is none.
func (r *Registry) Lookup(name string) *Type { return r.types[name] }

// List gives the types that are a implements, sorted by name. An empty
// implements means all; abstract types come only on demand.
func (r *Registry) List(implements string, abstract bool) []*Type {
	var out []*Type
	for _, t := range r.types {
		if (abstract || !t.Abstract) && (implements == "" || t.IsA(implements)) {
			out = append(out, t)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// New makes an instance with its properties at their defaults. The object
// has no parent yet.
func (r *Registry) New(name string) (Object, error) {
	t := r.types[name]
	if t == nil {
		return nil, fmt.Errorf("invalid object type: %s", name)
	}
	mk := t.maker()
	if t.Abstract || mk == nil {
		return nil, fmt.Errorf("object type '%s' is abstract", name)
	}
	o := mk()
	o.QOM().init(t, o)
	t.setDefaults(o)
	if i, ok := o.(Initializer); ok {
		i.InitInstance()
	}
	return o, nil
}

// setDefaults gives a new object the values of its class properties, the root
// type's first.
func (t *Type) setDefaults(o Object) {
	if t == nil {
		return
	}
	t.parent.setDefaults(o)
	for _, p := range t.Properties {
		if p.setDefault != nil {
			p.setDefault(o)
		}
	}
}

// Initializer is implemented by objects that have more to set up than their
// properties' defaults. InitInstance runs once, after the defaults.
type Initializer interface{ InitInstance() }
