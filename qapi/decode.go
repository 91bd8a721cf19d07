package qapi

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"

	"github.com/gqemu/gqemu/internal/qjson"
)

// place is where in the arguments a value stands, for error texts. The
// arguments as a whole are at nil.
type place struct {
	up    *place
	name  string // of a member
	index int    // of an element of a list, if name is empty
}

// full is the name from the arguments down: "a.b[2].c".
func (p *place) full() string {
	if p == nil {
		return "<anonymous>"
	}
	var s string
	for ; p != nil; p = p.up {
		switch {
		case p.name == "":
			s = "[" + strconv.Itoa(p.index) + "]" + s
		case p.up != nil:
			s = "." + p.name + s
		default:
			s = p.name + s
		}
	}
	return s
}

// last is what QEMU says where it does not know the way: the member's own
// name, and "null" for an element of a list.
func (p *place) last() string {
	if p == nil || p.name == "" {
		return "null"
	}
	return p.name
}

func (p *place) wrongType(want string) error {
	return Errorf("Invalid parameter type for '%s', expected: %s", p.full(), want)
}

// decodeArgs makes args, an object as package qjson reads it, into a value of type
// t, which is a struct type. Its errors have the texts of QEMU's.
func (t *Type) decodeArgs(args map[string]any, dst reflect.Value) error {
	return t.object(args, nil, dst)
}

func (t *Type) decode(v any, at *place, dst reflect.Value) error {
	if dst.Kind() == reflect.Pointer {
		dst.Set(reflect.New(dst.Type().Elem()))
		dst = dst.Elem()
	}
	switch t.Kind {
	case KindAny:
		if v != nil {
			dst.Set(reflect.ValueOf(v))
		}
	case KindNull:
		if v != nil {
			return at.wrongType("null")
		}
	case KindBool:
		b, ok := v.(bool)
		if !ok {
			return at.wrongType("boolean")
		}
		dst.SetBool(b)
	case KindInt:
		i, ok := v.(int64)
		if !ok {
			return at.wrongType("integer")
		}
		if dst.OverflowInt(i) {
			return Errorf("Parameter '%s' expects int%d_t", at.last(), t.Bits)
		}
		dst.SetInt(i)
	case KindUint:
		return t.decodeUint(v, at, dst)
	case KindNumber:
		switch n := v.(type) {
		case int64:
			dst.SetFloat(float64(n))
		case uint64:
			dst.SetFloat(float64(n))
		case float64:
			dst.SetFloat(n)
		default:
			return at.wrongType("number")
		}
	case KindString:
		s, ok := v.(string)
		if !ok {
			return at.wrongType("string")
		}
		dst.SetString(s)
	case KindEnum:
		s, ok := v.(string)
		if !ok {
			return at.wrongType("string")
		}
		if !slices.Contains(t.Values, s) {
			return Errorf("Parameter '%s' does not accept value '%s'", at.last(), s)
		}
		dst.SetString(s)
	case KindArray:
		list, ok := v.([]any)
		if !ok {
			return at.wrongType("array")
		}
		dst.Set(reflect.MakeSlice(dst.Type(), len(list), len(list)))
		for i, e := range list {
			if err := t.Elem.decode(e, &place{up: at, index: i}, dst.Index(i)); err != nil {
				return err
			}
		}
	case KindDict:
		m, ok := v.(map[string]any)
		if !ok {
			return at.wrongType("object")
		}
		dst.Set(reflect.ValueOf(m))
	case KindObject:
		m, ok := v.(map[string]any)
		if !ok {
			return at.wrongType("object")
		}
		return t.object(m, at, dst)
	case KindAlternate:
		return t.decodeAlternate(v, at, dst)
	default:
		panic(fmt.Sprintf("qapi: kind %d", t.Kind))
	}
	return nil
}

// decodeUint takes negative numbers too, as two's complement: QEMU does, for
// compatibility with clients that print a 64-bit value as signed.
func (t *Type) decodeUint(v any, at *place, dst reflect.Value) error {
	var u uint64
	switch n := v.(type) {
	case int64:
		u = uint64(n)
	case uint64:
		u = n
	default:
		return Errorf("Parameter '%s' expects uint64", at.full())
	}
	if dst.OverflowUint(u) {
		return Errorf("Parameter '%s' expects uint%d_t", at.last(), t.Bits)
	}
	dst.SetUint(u)
	return nil
}

// object decodes the members in the order of declaration, so that of several
// mistakes the same one is reported as by QEMU, and then looks for members
// that do not belong.
func (t *Type) object(m map[string]any, at *place, dst reflect.Value) error {
	known, err := t.members(m, at, dst)
	if err != nil || known == len(m) {
		return err
	}
	if field, ok := t.restOf(dst); ok {
		rest := make(map[string]any, len(m)-known)
		for k, v := range m {
			if !t.has(k, dst) {
				rest[k] = v
			}
		}
		field.Set(reflect.ValueOf(rest))
		return nil
	}
	stray := firstStray(m, func(name string) bool { return t.has(name, dst) })
	return Errorf("Parameter '%s' is unexpected", (&place{up: at, name: stray}).full())
}

// members decodes those members of m that t declares, and counts them.
func (t *Type) members(m map[string]any, at *place, dst reflect.Value) (known int, err error) {
	for i := range t.Members {
		mem := &t.Members[i]
		v, ok := m[mem.Name]
		here := &place{up: at, name: mem.Name}
		if !ok {
			if mem.Optional {
				continue
			}
			return known, Errorf("Parameter '%s' is missing", here.full())
		}
		known++
		if err := mem.Type.decode(v, here, dst.FieldByIndex(mem.field)); err != nil {
			return known, err
		}
	}
	if v := t.variantOf(dst); v != nil {
		inner := dst.FieldByIndex(v.field)
		inner.Set(reflect.New(v.Type.Go))
		n, err := v.Type.members(m, at, inner.Elem())
		return known + n, err
	}
	return known, nil
}

// has tells whether the object v has a member of that name, by its type and
// the variants it has chosen.
func (t *Type) has(name string, v reflect.Value) bool {
	if t.member(name) != nil {
		return true
	}
	variant := t.variantOf(v)
	return variant != nil && variant.Type.has(name, v.FieldByIndex(variant.field).Elem())
}

// restOf is the field of the object v that takes what it does not declare.
func (t *Type) restOf(v reflect.Value) (field reflect.Value, ok bool) {
	if t.rest != nil {
		return v.FieldByIndex(t.rest), true
	}
	if variant := t.variantOf(v); variant != nil {
		return variant.Type.restOf(v.FieldByIndex(variant.field).Elem())
	}
	return reflect.Value{}, false
}

// variantOf is the variant that the discriminator of v selects, or nil.
func (t *Type) variantOf(v reflect.Value) *Variant {
	if t.tag < 0 {
		return nil
	}
	return t.variant(v.FieldByIndex(t.Members[t.tag].field).String())
}

// encode makes a value of type t into one that package qjson writes.
func (t *Type) encode(v reflect.Value) any {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch t.Kind {
	case KindBool:
		return v.Bool()
	case KindInt:
		return v.Int()
	case KindUint:
		if u := v.Uint(); u > math.MaxInt64 {
			return u
		}
		return int64(v.Uint())
	case KindNumber:
		return v.Float()
	case KindString, KindEnum:
		return v.String()
	case KindArray:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = t.Elem.encode(v.Index(i))
		}
		return list
	case KindObject:
		return t.encodeObject(v)
	case KindDict:
		if v.IsNil() {
			return map[string]any{}
		}
		return v.Interface()
	case KindAny:
		x := v.Interface()
		if x == (Null{}) {
			return nil // a null that is not absent
		}
		return x
	case KindAlternate:
		return t.encodeAlternate(v)
	}
	return nil // KindNull
}

func (t *Type) encodeObject(v reflect.Value) qjson.Object {
	o := make(qjson.Object, 0, len(t.Members))
	if variant := t.variantOf(v); variant == nil || v.FieldByIndex(variant.field).IsNil() {
		for _, i := range t.walk {
			o = t.appendMember(o, i, v)
		}
		return o
	}
	o = t.appendAll(o, v)
	o.Sort()
	return o
}

// appendAll adds the members of v, those of its variants included, in the
// order of declaration.
func (t *Type) appendAll(o qjson.Object, v reflect.Value) qjson.Object {
	for i := range t.Members {
		o = t.appendMember(o, i, v)
	}
	if variant := t.variantOf(v); variant != nil {
		if inner := v.FieldByIndex(variant.field); !inner.IsNil() {
			o = variant.Type.appendAll(o, inner.Elem())
		}
	}
	return o
}

func (t *Type) appendMember(o qjson.Object, i int, v reflect.Value) qjson.Object {
	m := &t.Members[i]
	f := v.FieldByIndex(m.field)
	if m.Optional && f.IsNil() {
		return o
	}
	return append(o, qjson.Member{Key: m.Name, Value: m.Type.encode(f)})
}
