package qapi

import (
	"reflect"
	"slices"
	"strconv"
)

// Schema describes all commands and events, and then the types they use, in
// the order in which they are first used. As in QEMU, types but the built-in
// ones have numbers for names, so that clients look at commands and events
// and from there at types; integers are one type whatever their width, and
// all objects without members are one type.
func (r *Registry) Schema() []SchemaInfo {
	s := schema{numbers: map[*Type]int{}, used: map[string]bool{}, empty: r.typeOf(reflect.TypeFor[struct{}]())}
	for _, c := range r.order {
		info := SchemaInfo{Name: c.Name, MetaType: "command", Features: c.Features,
			Command: &SchemaInfoCommand{ArgType: s.use(c.Args()), RetType: s.use(c.Ret())}}
		if c.AllowOOB {
			info.Command.AllowOOB = &c.AllowOOB
		}
		s.out = append(s.out, info)
	}
	for _, e := range r.evOrder {
		s.out = append(s.out, SchemaInfo{Name: e.Name, MetaType: "event", Features: e.Features,
			Event: &SchemaInfoEvent{ArgType: s.use(e.Data())}})
	}
	for len(s.pending) > 0 {
		t := s.pending[0]
		s.pending = s.pending[1:]
		s.out = append(s.out, s.describe(t))
	}
	return s.out
}

// schema is one description on its way.
type schema struct {
	out     []SchemaInfo
	pending []*Type         // used, and not described
	numbers map[*Type]int   // of types whose names are masked
	used    map[string]bool // names that are described or pending
	empty   *Type
}

// builtinJSON gives the JSON type of the built-in types by name.
var builtinJSON = map[string]JSONType{
	"any": "value", "null": "null", "bool": "boolean", "int": "int", "number": "number", "str": "string",
}

// builtin is the name in the schema of a built-in type, "" if t is none.
func (t *Type) builtin() string {
	switch t.Kind {
	case KindAny, KindDict:
		return "any"
	case KindNull:
		return "null"
	case KindBool:
		return "bool"
	case KindInt, KindUint:
		return "int"
	case KindNumber:
		return "number"
	case KindString:
		return "str"
	}
	return ""
}

// use returns the name of t and sees to it that it gets described.
func (s *schema) use(t *Type) string {
	if t.Kind == KindObject && len(t.Members) == 0 && len(t.Variants) == 0 && len(t.Features) == 0 {
		t = s.empty
	}
	if t.Kind == KindArray {
		// It precedes its element, as is QEMU's order.
		at := len(s.pending)
		s.pending = append(s.pending, t)
		name := "[" + s.use(t.Elem) + "]"
		if s.used[name] {
			s.pending = slices.Delete(s.pending, at, at+1)
		}
		s.used[name] = true
		return name
	}
	name := t.builtin()
	if name == "" {
		n, ok := s.numbers[t]
		if !ok {
			n = len(s.numbers)
			s.numbers[t] = n
		}
		name = strconv.Itoa(n)
	}
	if !s.used[name] {
		s.used[name] = true
		s.pending = append(s.pending, t)
	}
	return name
}

// describe makes the entry of a type.
func (s *schema) describe(t *Type) SchemaInfo {
	info := SchemaInfo{Name: s.use(t)}
	switch {
	case t.builtin() != "":
		info.MetaType = "builtin"
		info.Builtin = &SchemaInfoBuiltin{builtinJSON[info.Name]}
	case t.Kind == KindArray:
		info.MetaType = "array"
		info.Array = &SchemaInfoArray{s.use(t.Elem)}
	case t.Kind == KindEnum:
		info.MetaType = "enum"
		info.Enum = &SchemaInfoEnum{Values: t.Values}
		for _, v := range t.Values {
			info.Enum.Members = append(info.Enum.Members, SchemaInfoEnumMember{v, t.ValueFeatures[v]})
		}
	case t.Kind == KindAlternate:
		info.MetaType = "alternate"
		info.Alternate = &SchemaInfoAlternate{}
		for _, m := range t.Members {
			info.Alternate.Members = append(info.Alternate.Members, SchemaInfoAlternateMember{s.use(m.Type)})
		}
	default:
		info.MetaType, info.Features = "object", t.Features
		info.Object = s.object(t)
	}
	return info
}

func (s *schema) object(t *Type) *SchemaInfoObject {
	o := &SchemaInfoObject{}
	for _, m := range t.Members {
		som := SchemaInfoObjectMember{Name: m.Name, Type: s.use(m.Type), Features: m.Features}
		if m.Optional {
			som.Default = Null{}
		}
		o.Members = append(o.Members, som)
	}
	if len(t.Variants) == 0 {
		return o
	}
	o.Tag = &t.Discriminator
	for _, v := range t.Variants {
		for _, c := range v.Cases {
			o.Variants = append(o.Variants, SchemaInfoObjectVariant{c, s.use(v.Type)})
		}
	}
	// Every value has a variant; those that QAPI does not mention add nothing.
	for _, c := range t.Members[t.tag].Type.Values {
		if t.variant(c) == nil {
			o.Variants = append(o.Variants, SchemaInfoObjectVariant{c, s.use(s.empty)})
		}
	}
	return o
}
