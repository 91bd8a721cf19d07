package qom

import (
	"fmt"
	"math"
)

// Property is a named, typed value of an object. Those in Type.Properties
// serve every instance, so Get and Set are handed the object.
type Property struct {
	Name        string
	Type        string // as clients see it: "uint16", "bool", "child<irq>"
	Description string
	// Default is what device-list-properties and -device TYPE,help show;
	// nil where there is none to show.
	Default any
	// Get gives the value as QMP shows it: bool, int64, uint64, string,
	// []any or map[string]any. Nil: not readable.
	Get func(Object) (any, error)
	// Set takes a client's value. Nil: not writable.
	Set func(Object, Value) error
	// Instance tells that QEMU has the property not in the class but adds it
	// to each instance: such ones are listed last.
	Instance bool

	setDefault func(Object)
	child      Object
	link       func(Object) Object
}

// Option adjusts a property while it is declared.
type Option func(*Property)

// Description sets the text that help shows.
func Description(text string) Option { return func(p *Property) { p.Description = text } }

// TypeName overrides the type's name.
func TypeName(name string) Option { return func(p *Property) { p.Type = name } }

// HideDefault keeps the default out of help and introspection.
func HideDefault() Option { return func(p *Property) { p.Default = nil } }

// Scalar is what Field can declare.
type Scalar interface {
	bool | string | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}

// Field declares a property that is a field of T, found by field, with a
// default.
func Field[T Object, V Scalar](name string, field func(T) *V, def V, opts ...Option) *Property {
	p := &Property{
		Name:       name,
		Type:       scalarType[V](),
		Default:    plain(def),
		Get:        func(o Object) (any, error) { return plain(*field(o.(T))), nil },
		setDefault: func(o Object) { *field(o.(T)) = def },
	}
	p.Set = func(o Object, v Value) error { return set(field(o.(T)), v, name) }
	if s, ok := p.Default.(string); ok && s == "" {
		p.Default = nil
	}
	for _, o := range opts {
		o(p)
	}
	return p
}

// Enum declares a string property limited to values. typ is the QAPI name of
// the enumeration.
func Enum[T Object](name, typ string, values []string, field func(T) *string, def string, opts ...Option) *Property {
	p := Field(name, field, def, opts...)
	p.Type = typ
	p.Set = func(o Object, v Value) error {
		s, err := v.Enum(name, values)
		if err == nil {
			*field(o.(T)) = s
		}
		return err
	}
	return p
}

// OnOffAuto are the values of QEMU's OnOffAuto enumeration.
var OnOffAuto = []string{"auto", "on", "off"}

func scalarType[V Scalar]() string {
	var v V
	switch any(plain(v)).(type) {
	case bool:
		return "bool"
	case string:
		return "str"
	}
	bits, signed := width[V]()
	if signed {
		return fmt.Sprintf("int%d", bits)
	}
	return fmt.Sprintf("uint%d", bits)
}

// plain turns a field's value into the type QMP values have.
func plain[V Scalar](v V) any {
	switch x := any(v).(type) {
	case bool:
		return x
	case string:
		return x
	case int8:
		return int64(x)
	case int16:
		return int64(x)
	case int32:
		return int64(x)
	case int64:
		return x
	case uint8:
		return uint64(x)
	case uint16:
		return uint64(x)
	case uint32:
		return uint64(x)
	case uint64:
		return x
	}
	panic("qom: unreachable: Scalar lists no other type")
}

func width[V Scalar]() (bits int, signed bool) {
	var v V
	switch any(v).(type) {
	case int8:
		return 8, true
	case int16:
		return 16, true
	case int32:
		return 32, true
	case int64:
		return 64, true
	case uint8:
		return 8, false
	case uint16:
		return 16, false
	case uint32:
		return 32, false
	}
	return 64, false
}

func set[V Scalar](field *V, v Value, name string) error {
	switch f := any(field).(type) {
	case *bool:
		b, err := v.Bool(name)
		if err == nil {
			*f = b
		}
		return err
	case *string:
		s, err := v.Str(name)
		if err == nil {
			*f = s
		}
		return err
	}
	bits, signed := width[V]()
	if signed {
		n, err := v.Int(name, bits)
		if err == nil {
			storeInt(field, n)
		}
		return err
	}
	n, err := v.Uint(name, bits)
	if err == nil {
		storeUint(field, n)
	}
	return err
}

func storeInt(field any, n int64) {
	switch f := field.(type) {
	case *int8:
		*f = int8(n)
	case *int16:
		*f = int16(n)
	case *int32:
		*f = int32(n)
	case *int64:
		*f = n
	}
}

func storeUint(field any, n uint64) {
	switch f := field.(type) {
	case *uint8:
		*f = uint8(n)
	case *uint16:
		*f = uint16(n)
	case *uint32:
		*f = uint32(n)
	case *uint64:
		*f = n
	}
}

// typeProperty is the "type" every object has.
func typeProperty() *Property {
	return &Property{
		Name: "type",
		Type: "string",
		Get:  func(o Object) (any, error) { return o.QOM().typ.Name, nil },
	}
}

// NotFoundError is a property that an object lacks.
type NotFoundError struct{ Type, Name string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("Property '%s.%s' not found", e.Type, e.Name)
}

// Get reads a property as QMP shows it.
func Get(o Object, name string) (any, error) {
	s := o.QOM()
	p := s.findProperty(name)
	if p == nil {
		return nil, &NotFoundError{s.typ.Name, name}
	}
	if p.Get == nil {
		return nil, fmt.Errorf("Property '%s.%s' is not readable", s.typ.Name, name)
	}
	return p.Get(o)
}

// Set writes a property.
func Set(o Object, name string, v Value) error {
	s := o.QOM()
	p := s.findProperty(name)
	if p == nil {
		return &NotFoundError{s.typ.Name, name}
	}
	if p.Set == nil {
		return fmt.Errorf("Property '%s.%s' is not writable", s.typ.Name, name)
	}
	return p.Set(o, v)
}

// IsChild tells whether the property holds a child, and which.
func (p *Property) IsChild() (Object, bool) { return p.child, p.child != nil }

// IsLink tells whether the property leads to another object.
func (p *Property) IsLink() bool { return p.link != nil }

// fits tells whether n is in the range of a signed integer of bits bits.
func fits(n int64, bits int) bool {
	limit := int64(math.MaxInt64) >> (64 - bits)
	return n <= limit && n >= -limit-1
}

// NewProperty declares a property with typed accessors. set may be nil for a
// read-only one; init gives a new object its default and may be nil.
func NewProperty[T Object](name, typ string, def any, get func(T) any, set func(T, Value) error, init func(T)) *Property {
	p := &Property{Name: name, Type: typ, Default: def}
	p.Get = func(o Object) (any, error) { return get(o.(T)), nil }
	if set != nil {
		p.Set = func(o Object, v Value) error { return set(o.(T), v) }
	}
	if init != nil {
		p.setDefault = func(o Object) { init(o.(T)) }
	}
	return p
}
