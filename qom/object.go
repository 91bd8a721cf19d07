package qom

import (
	"fmt"
	"slices"
	"strings"
)

// Object is anything of a registered type. Implementations embed State, or
// something that does.
type Object interface{ QOM() *State }

// State is an object's place in the model: its type, its parent and the
// properties of its own. All of it is guarded by the VM lock.
type State struct {
	typ    *Type
	self   Object
	parent Object
	name   string // the child property's name in parent

	props  []*Property // instance properties, children among them
	byName map[string]*Property
	names  nameTable // of props
}

// QOM makes State satisfy Object.
func (s *State) QOM() *State { return s }

func (s *State) init(t *Type, self Object) {
	s.typ, s.self = t, self
}

// Type is the object's most derived type.
func (s *State) Type() *Type { return s.typ }

// TypeName is the type's name.
func (s *State) TypeName() string { return s.typ.Name }

// Parent is the object that has this one as a child, nil at the root.
func (s *State) Parent() Object { return s.parent }

// Name is the last component of the object's path.
func (s *State) Name() string { return s.name }

// Container is an object that only holds children.
type Container struct{ State }

// IsA tells whether o is of the named type, or one derived from it or
// implementing it.
func IsA(o Object, name string) bool { return o.QOM().typ.IsA(name) }

// AddProperty gives one object a property beyond its class's.
func AddProperty(o Object, p *Property) error {
	s := o.QOM()
	if s.findProperty(p.Name) != nil {
		return fmt.Errorf("attempt to add duplicate property '%s' to object (type '%s')", p.Name, s.typ.Name)
	}
	if s.byName == nil {
		s.byName = map[string]*Property{}
	}
	s.byName[p.Name] = p
	s.props = append(s.props, p)
	s.names.add(p.Name)
	return nil
}

// RemoveProperty takes an instance property away, if it is there.
func RemoveProperty(o Object, name string) {
	s := o.QOM()
	if p := s.byName[name]; p != nil {
		delete(s.byName, name)
		s.names.remove(name)
		s.props = slices.DeleteFunc(s.props, func(q *Property) bool { return q == p })
	}
}

func (s *State) findProperty(name string) *Property {
	if p := s.byName[name]; p != nil {
		return p
	}
	return s.typ.Property(name)
}

// FindProperty finds a property of the object or its class, nil when there
// is none.
func FindProperty(o Object, name string) *Property { return o.QOM().findProperty(name) }

// Properties lists all properties: the class's, root type first, then the
// object's own, in the order in which QEMU's clients see them.
func Properties(o Object) []*Property {
	s := o.QOM()
	list := s.typ.AllProperties()
	for _, name := range slices.Backward(s.names.order()) {
		list = append(list, s.byName[name])
	}
	return list
}

// AddChild makes child part of parent. A name ending in "[*]" gets the first
// free index, as in "device[3]".
func AddChild(parent Object, name string, child Object) error {
	if base, ok := strings.CutSuffix(name, "[*]"); ok {
		for i := 0; ; i++ {
			name = fmt.Sprintf("%s[%d]", base, i)
			if parent.QOM().findProperty(name) == nil {
				break
			}
		}
	}
	c := child.QOM()
	if c.parent != nil {
		panic(fmt.Sprintf("qom: %s already has a parent", Path(child)))
	}
	err := AddProperty(parent, &Property{
		Name:  name,
		Type:  "child<" + c.typ.Name + ">",
		Get:   func(Object) (any, error) { return Path(child), nil },
		child: child,
	})
	if err != nil {
		return err
	}
	c.parent, c.name = parent, name
	return nil
}

// Unparent takes the object out of the tree.
func Unparent(o Object) {
	s := o.QOM()
	if s.parent != nil {
		RemoveProperty(s.parent, s.name)
		s.parent, s.name = nil, ""
	}
}

// AddLink gives o a property that leads to another object. get returns nil
// for a link that is not set; set may be nil for one that clients cannot
// change.
func AddLink(o Object, name, typ string, get func() Object) error {
	return AddProperty(o, &Property{
		Name: name,
		Type: "link<" + typ + ">",
		Get:  func(Object) (any, error) { return pathOrEmpty(get()), nil },
		link: func(Object) Object { return get() },
	})
}

func pathOrEmpty(o Object) string {
	if o == nil {
		return ""
	}
	return Path(o)
}

// Children lists the object's children in the order they were added.
func Children(o Object) []Object {
	var out []Object
	for _, p := range o.QOM().props {
		if p.child != nil {
			out = append(out, p.child)
		}
	}
	return out
}

// HashedChildren lists the object's children in the order in which QEMU goes
// through them, which shows in replies.
func HashedChildren(o Object) []Object {
	s := o.QOM()
	var out []Object
	for _, name := range s.names.order() {
		if p := s.byName[name]; p.child != nil {
			out = append(out, p.child)
		}
	}
	return out
}

// Child finds a child by name, nil when there is none.
func Child(o Object, name string) Object {
	if p := o.QOM().byName[name]; p != nil {
		return p.child
	}
	return nil
}

// Path is the object's canonical path, "/" for the root. An object outside
// the tree has the path it would have if its topmost parent were the root.
func Path(o Object) string {
	var parts []string
	for s := o.QOM(); s.parent != nil; s = s.parent.QOM() {
		parts = append(parts, s.name)
	}
	slices.Reverse(parts)
	return "/" + strings.Join(parts, "/")
}

// Resolve finds an object by path, following children and links. A path that
// does not begin with "/" is partial: it matches wherever its components
// stand in the tree below root, and is ambiguous when it does so twice.
// An empty typ accepts every type.
func Resolve(root Object, path, typ string) (o Object, ambiguous bool) {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if strings.HasPrefix(path, "/") {
		o = walk(root, parts)
		if o != nil && typ != "" && !IsA(o, typ) {
			o = nil
		}
		return o, false
	}
	if len(parts) == 0 {
		return nil, false
	}
	return resolvePartial(root, parts, typ)
}

func walk(o Object, parts []string) Object {
	for _, name := range parts {
		p := o.QOM().findProperty(name)
		switch {
		case p == nil:
			return nil
		case p.child != nil:
			o = p.child
		case p.link != nil:
			o = p.link(o)
		default:
			return nil
		}
		if o == nil {
			return nil
		}
	}
	return o
}

func resolvePartial(o Object, parts []string, typ string) (found Object, ambiguous bool) {
	if f := walk(o, parts); f != nil && (typ == "" || IsA(f, typ)) {
		found = f
	}
	for _, c := range Children(o) {
		f, amb := resolvePartial(c, parts, typ)
		if amb {
			return nil, true
		}
		if f != nil {
			if found != nil && found != f {
				return nil, true
			}
			found = f
		}
	}
	return found, false
}
