package qapi

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gqemu/gqemu/internal/qjson"
)

// Kind says what sort of type a [Type] is.
type Kind uint8

// The kinds.
const (
	KindAny       Kind = iota // any value
	KindNull                  // null
	KindBool                  // true or false
	KindInt                   // a signed integer of Bits bits
	KindUint                  // an unsigned integer of Bits bits
	KindNumber                // a floating-point number
	KindString                // a string
	KindEnum                  // a string, one of Values
	KindArray                 // a list of Elem
	KindObject                // an object with Members
	KindDict                  // an object with any members
	KindAlternate             // a value of the type of one of Members
)

// Size is a number of bytes; QAPI's "size".
type Size uint64

// Null is the type whose only value is null.
type Null struct{}

// Type describes a QAPI type. It is not changed once made.
type Type struct {
	Kind Kind
	Name string // "str", "RunState"; "" if anonymous. The schema shows it of builtin types only
	Go   reflect.Type

	Bits    int      // KindInt, KindUint
	Values  []string // KindEnum
	Elem    *Type    // KindArray
	Members []Member // KindObject, in the order of declaration, the base's first; KindAlternate

	Features      []string            // of an object: for clients that look for them in the schema
	ValueFeatures map[string][]string // KindEnum: the same of single values

	Discriminator string    // of a union: the member that selects the variant
	Variants      []Variant // of a union

	rest []int // index path of the field that takes members not declared, or nil
	walk []int // indices of Members in the order in which QEMU's output has them
	tag  int   // index of the discriminator in Members
}

// Member is one member of an object.
type Member struct {
	Name     string
	Type     *Type
	Optional bool
	Features []string // "deprecated", "unstable"

	field []int // index path of the Go field
}

// Variant holds the members that an object of a union has when the
// discriminator has one of the values in Cases.
type Variant struct {
	Cases []string
	Type  *Type // KindObject

	field []int
}

type (
	enumeration   interface{ QAPIEnum() []string }
	named         interface{ QAPIName() string }
	featured      interface{ QAPIFeatures() []string }
	valueFeatured interface {
		QAPIValueFeatures() map[string][]string
	}
)

// types makes and remembers the Type of Go types.
type types map[reflect.Type]*Type

// of returns the Type of t. It panics if t is not fit for QAPI, which is a
// mistake in the program and found when it starts.
func (ts types) of(t reflect.Type) *Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if qt := ts[t]; qt != nil {
		return qt
	}
	qt := &Type{Go: t}
	ts[t] = qt // before its parts, which may refer back to it
	zero := reflect.Zero(t).Interface()
	switch t.Kind() {
	case reflect.Bool:
		qt.Kind, qt.Name = KindBool, "bool"
	case reflect.Int, reflect.Int64:
		qt.Kind, qt.Name, qt.Bits = KindInt, "int", 64
	case reflect.Int8, reflect.Int16, reflect.Int32:
		qt.Kind, qt.Name, qt.Bits = KindInt, t.Kind().String(), t.Bits()
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		qt.Kind, qt.Name, qt.Bits = KindUint, t.Kind().String(), t.Bits()
		if t == reflect.TypeFor[Size]() {
			qt.Name = "size"
		}
	case reflect.Float64:
		qt.Kind, qt.Name = KindNumber, "number"
	case reflect.String:
		qt.Kind, qt.Name = KindString, "str"
		if e, ok := zero.(enumeration); ok {
			qt.Kind, qt.Name, qt.Values = KindEnum, t.Name(), e.QAPIEnum()
			if f, ok := zero.(valueFeatured); ok {
				qt.ValueFeatures = f.QAPIValueFeatures()
			}
		}
	case reflect.Interface:
		if t.NumMethod() > 0 {
			panic(fmt.Sprintf("qapi: %v is not a QAPI type", t))
		}
		qt.Kind, qt.Name = KindAny, "any"
	case reflect.Slice:
		qt.Kind, qt.Elem = KindArray, ts.of(t.Elem())
	case reflect.Map:
		if t != reflect.TypeFor[map[string]any]() {
			panic(fmt.Sprintf("qapi: %v is not a QAPI type", t))
		}
		qt.Kind = KindDict
	case reflect.Struct:
		if t == reflect.TypeFor[Null]() {
			qt.Kind, qt.Name = KindNull, "null"
			break
		}
		qt.Kind, qt.Name = KindObject, t.Name()
		ts.members(qt, t, nil)
		qt.finish()
		if f, ok := zero.(featured); ok {
			qt.Features = f.QAPIFeatures()
		}
	default:
		panic(fmt.Sprintf("qapi: %v is not a QAPI type", t))
	}
	if n, ok := zero.(named); ok {
		qt.Name = n.QAPIName()
	}
	return qt
}

// members adds the fields of struct t, found at path in qt.Go, to qt.
func (ts types) members(qt *Type, t reflect.Type, path []int) {
	branches := 0
	for i := range t.NumField() {
		f := t.Field(i)
		field := append(slices.Clone(path), i)
		tag, ok := f.Tag.Lookup("qapi")
		if !ok && f.Anonymous && f.Type.Kind() == reflect.Struct {
			ts.members(qt, f.Type, field)
			continue
		}
		if !ok || !f.IsExported() {
			panic(fmt.Sprintf("qapi: field %s of %v has no tag or is not exported", f.Name, t))
		}
		name, rest, _ := strings.Cut(tag, ",")
		m := Member{Name: name, field: field}
		for word := range strings.SplitSeq(rest, ",") {
			cases, isCase := strings.CutPrefix(word, "case=")
			switch {
			case word == "":
			case word == "optional":
				m.Optional = true
			case word == "rest" && name == "" && f.Type == reflect.TypeFor[map[string]any]():
				qt.rest = field
			case word == "alternate":
				qt.Kind = KindAlternate
				branches++
			case word == "deprecated" || word == "unstable":
				m.Features = append(m.Features, word)
			case strings.HasPrefix(word, "feature="):
				m.Features = append(m.Features, strings.TrimPrefix(word, "feature="))
			case word == "discriminator":
				qt.Discriminator = name
			case isCase && name == "" && f.Type.Kind() == reflect.Pointer:
				vt := ts.of(f.Type)
				if vt.Kind != KindObject {
					panic(fmt.Sprintf("qapi: field %s of %v must point to a struct", f.Name, t))
				}
				qt.Variants = append(qt.Variants, Variant{strings.Split(cases, "|"), vt, field})
			default:
				panic(fmt.Sprintf("qapi: field %s of %v has a bad tag %q", f.Name, t, tag))
			}
		}
		if strings.Contains(rest, "case=") || rest == "rest" {
			continue
		}
		if m.Optional || qt.Kind == KindAlternate {
			switch f.Type.Kind() {
			case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
			default:
				panic(fmt.Sprintf("qapi: optional field %s of %v cannot be nil", f.Name, t))
			}
		}
		m.Type = ts.of(f.Type)
		if name == "" || slices.ContainsFunc(qt.Members, func(o Member) bool { return o.Name == name }) {
			panic(fmt.Sprintf("qapi: field %s of %v has no name of its own", f.Name, t))
		}
		qt.Members = append(qt.Members, m)
	}
	if qt.Kind == KindAlternate && branches != len(qt.Members) {
		panic(fmt.Sprintf("qapi: alternate %v has a field that is no branch", t))
	}
}

// finish works out what follows from all members together.
func (t *Type) finish() {
	var o qjson.Object
	t.tag = -1
	for i, m := range t.Members {
		o = append(o, qjson.Member{Key: m.Name, Value: i})
		if t.Discriminator != "" && m.Name == t.Discriminator {
			t.tag = i
		}
	}
	o.Sort()
	if t.Kind == KindAlternate {
		t.checkBranches()
	}
	for _, m := range o {
		t.walk = append(t.walk, m.Value.(int))
	}
	if len(t.Variants) == 0 {
		return
	}
	if t.tag < 0 || t.Members[t.tag].Type.Kind != KindEnum || t.Members[t.tag].Optional {
		panic(fmt.Sprintf("qapi: union %v has no enumeration as discriminator", t.Go))
	}
	for _, v := range t.Variants {
		for _, c := range v.Cases {
			if !slices.Contains(t.Members[t.tag].Type.Values, c) {
				panic(fmt.Sprintf("qapi: union %v: %q is not a value of the discriminator", t.Go, c))
			}
		}
	}
}

// variant is the one that goes with the discriminator value, or nil.
func (t *Type) variant(value string) *Variant {
	for i := range t.Variants {
		if slices.Contains(t.Variants[i].Cases, value) {
			return &t.Variants[i]
		}
	}
	return nil
}

// member finds a member by name, or nil.
func (t *Type) member(name string) *Member {
	for i := range t.Members {
		if t.Members[i].Name == name {
			return &t.Members[i]
		}
	}
	return nil
}
