package cli

import (
	"math"
	"slices"
	"strconv"

	"github.com/gqemu/gqemu/internal/qjson"
)

// Kind is the type of a member of a structured option.
type Kind int

const (
	KindString  Kind = iota // string
	KindBool                // bool
	KindInt                 // int64
	KindUint64              // uint64
	KindUint8               // uint64, at most 8 bits
	KindUint16              // uint64, at most 16 bits
	KindUint32              // uint64, at most 32 bits
	KindSize                // uint64, bytes
	KindEnum                // string, one of Enum
	KindUint16s             // []uint64, each at most 16 bits; ranges a-b allowed in QemuOpts form
)

// Member declares one member of a structured option. Optional members that are
// absent are absent from the result.
type Member struct {
	Name     string
	Kind     Kind
	Optional bool
	Enum     []string
}

// dialect is where the values come from; it decides how they are written and
// what QEMU says of a wrong one.
type dialect interface {
	// has reports whether name was given.
	has(name string) bool
	// scalar converts the value of a member that is present.
	scalar(m *Member) (any, error)
	// list converts the value of a KindUint16s member that is present.
	list(m *Member) (any, error)
	// extra is the error for members that nobody declared, if there are any.
	extra(known func(name string) bool) error
	// path is how errors call name.
	path(name string) string
}

// visit converts what d holds according to members, in their order.
func visit(d dialect, members []Member) (map[string]any, error) {
	out := map[string]any{}
	for i := range members {
		m := &members[i]
		if !d.has(m.Name) {
			if m.Optional {
				continue
			}
			return nil, errMissing(d.path(m.Name))
		}
		v, err := visitMember(d, m)
		if err != nil {
			return nil, err
		}
		out[m.Name] = v
	}
	known := func(name string) bool {
		return slices.ContainsFunc(members, func(m Member) bool { return m.Name == name })
	}
	if err := d.extra(known); err != nil {
		return nil, err
	}
	return out, nil
}

func visitMember(d dialect, m *Member) (any, error) {
	if m.Kind == KindUint16s {
		return d.list(m)
	}
	v, err := d.scalar(m)
	if err != nil {
		return nil, err
	}
	switch m.Kind {
	case KindUint8, KindUint16, KindUint32:
		if bits := m.Kind.bits(); v.(uint64)>>bits != 0 {
			return nil, errExpects(d.path(m.Name), "uint"+strconv.Itoa(bits)+"_t")
		}
	case KindEnum:
		if !slices.Contains(m.Enum, v.(string)) {
			return nil, errEnum(d.path(m.Name), v.(string))
		}
	}
	return v, nil
}

// bits is the width of an unsigned kind that is narrower than 64 bits.
func (k Kind) bits() int {
	return map[Kind]int{KindUint8: 8, KindUint16: 16, KindUint32: 32}[k]
}

// optsDialect reads QemuOpts.
type optsDialect struct{ o *Opts }

func (d optsDialect) path(name string) string { return name }

func (d optsDialect) has(name string) bool {
	_, ok := d.get(name)
	return ok
}

func (d optsDialect) get(name string) (string, bool) {
	if name == "id" {
		return d.o.ID, d.o.HasID
	}
	return d.o.Get(name)
}

func (d optsDialect) scalar(m *Member) (any, error) {
	s, _ := d.get(m.Name)
	switch m.Kind {
	case KindBool:
		return ParseBool(m.Name, s)
	case KindInt:
		v, err := parseInt64(s)
		if err != nil {
			return nil, errExpects(m.Name, "an int64 value")
		}
		return v, nil
	case KindUint64, KindUint32, KindUint16, KindUint8:
		v, ok := plainUint(s)
		if !ok {
			return nil, errExpects(m.Name, "a uint64 value")
		}
		return v, nil
	case KindSize:
		v, err := ParseSize(s)
		if err != nil {
			return nil, errExpects(m.Name, "a size value")
		}
		return v, nil
	}
	return s, nil
}

// plainUint is parseUint64 without negative numbers.
func plainUint(s string) (uint64, bool) {
	r := scanUint(s, 0)
	return r.value, r.ok && r.rest == "" && !r.overflow && !r.negative
}

// maxRange bounds how many numbers one a-b may stand for.
const maxRange = 65536

func (d optsDialect) list(m *Member) (any, error) {
	out := []uint64{}
	for _, s := range d.o.All(m.Name) {
		lo := scanUint(s, 0)
		hi := lo
		if lo.ok && len(lo.rest) > 1 && lo.rest[0] == '-' {
			hi = scanUint(lo.rest[1:], 0)
		}
		if !lo.ok || !hi.ok || lo.overflow || hi.overflow || lo.negative || hi.negative ||
			hi.rest != "" || hi.value < lo.value || hi.value-lo.value >= maxRange {
			return nil, errExpects(m.Name, "a uint64 value or range")
		}
		for v := lo.value; ; v++ {
			if v > math.MaxUint16 {
				return nil, errExpects(m.Name, "uint16_t")
			}
			out = append(out, v)
			if v == hi.value {
				break
			}
		}
	}
	return out, nil
}

func (d optsDialect) extra(known func(string) bool) error {
	for _, n := range d.o.Names() {
		if !known(n) {
			return errInvalid(n)
		}
	}
	if d.o.HasID && !known("id") {
		return errInvalid("id")
	}
	return nil
}

// treeDialect reads a dictionary: JSON, or with keyval set a tree of strings.
type treeDialect struct {
	m      map[string]any
	prefix string // dotted, with its final dot
	keyval bool
}

func (d treeDialect) path(name string) string { return d.prefix + name }

func (d treeDialect) has(name string) bool {
	_, ok := d.m[name]
	return ok
}

func (d treeDialect) extra(known func(string) bool) error {
	for _, k := range qjson.Keys(d.m) {
		if !known(k) {
			return errUnexpected(d.path(k))
		}
	}
	return nil
}

func (d treeDialect) scalar(m *Member) (any, error) {
	return d.convert(m.Kind, d.path(m.Name), d.m[m.Name])
}

func (d treeDialect) list(m *Member) (any, error) {
	l, ok := d.m[m.Name].([]any)
	if !ok {
		return nil, errType(d.path(m.Name), "array")
	}
	out := []uint64{}
	for i, e := range l {
		path := d.path(m.Name) + "[" + strconv.Itoa(i) + "]"
		if d.keyval {
			path = d.path(m.Name) + "." + strconv.Itoa(i)
		}
		v, err := d.convert(KindUint64, path, e)
		if err != nil {
			return nil, err
		}
		if v.(uint64) > math.MaxUint16 {
			return nil, errExpects(path, "uint16_t")
		}
		out = append(out, v.(uint64))
	}
	return out, nil
}

func (d treeDialect) convert(k Kind, path string, v any) (any, error) {
	if d.keyval {
		return convertString(k, path, v)
	}
	return convertJSON(k, path, v)
}

func convertString(k Kind, path string, v any) (any, error) {
	s, ok := v.(string)
	if !ok {
		return nil, errf("Parameters '%s.*' are unexpected", path)
	}
	switch k {
	case KindBool:
		return ParseBool(path, s)
	case KindInt:
		n, err := parseInt64(s)
		if err != nil {
			return nil, errExpects(path, "integer")
		}
		return n, nil
	case KindUint64, KindUint32, KindUint16, KindUint8:
		n, err := parseUint64(s)
		if err != nil {
			return nil, errExpects(path, "integer")
		}
		return n, nil
	case KindSize:
		n, err := ParseSize(s)
		if err != nil {
			return nil, errExpects(path, "size")
		}
		return n, nil
	}
	return s, nil
}

func convertJSON(k Kind, path string, v any) (any, error) {
	switch k {
	case KindBool:
		if b, ok := v.(bool); ok {
			return b, nil
		}
		return nil, errType(path, "boolean")
	case KindInt:
		if n, ok := v.(int64); ok {
			return n, nil
		}
		return nil, errType(path, "integer")
	case KindUint64, KindUint32, KindUint16, KindUint8, KindSize:
		switch n := v.(type) {
		case uint64:
			return n, nil
		case int64: // negative numbers wrap, as they do in QEMU
			return uint64(n), nil
		}
		return nil, errExpects(path, "uint64")
	}
	if s, ok := v.(string); ok {
		return s, nil
	}
	return nil, errType(path, "string")
}
