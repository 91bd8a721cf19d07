package qjson

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
)

// Marshal writes v on one line in QEMU's form. Beside the types that the
// package reads, it takes [Object], any integer, floating-point, boolean and string type,
// slices and string-keyed maps of such, and pointers to such; any other type
// is a mistake of the caller, and panics.
func Marshal(v any) []byte {
	w := writer{}
	w.value(v)
	return w.buf
}

// MarshalPretty writes v over several lines, indented by four spaces, as
// -qmp-pretty does. Lines end in LF; the last has no end.
func MarshalPretty(v any) []byte {
	w := writer{pretty: true}
	w.value(v)
	return w.buf
}

type writer struct {
	buf    []byte
	pretty bool
	depth  int
}

func (w *writer) value(v any) {
	switch v := v.(type) {
	case nil:
		w.raw("null")
	case bool:
		w.buf = strconv.AppendBool(w.buf, v)
	case int64:
		w.buf = strconv.AppendInt(w.buf, v, 10)
	case int:
		w.buf = strconv.AppendInt(w.buf, int64(v), 10)
	case uint64:
		w.buf = strconv.AppendUint(w.buf, v, 10)
	case float64:
		w.float(v)
	case string:
		w.quote(v)
	case []any:
		w.raw("[")
		for i, e := range v {
			w.next(i)
			w.nested(e)
		}
		w.end("]")
	case map[string]any:
		w.raw("{")
		for i, k := range Keys(v) {
			w.next(i)
			w.quote(k)
			w.raw(": ")
			w.nested(v[k])
		}
		w.end("}")
	case Object:
		w.raw("{")
		for i, m := range v {
			w.next(i)
			w.quote(m.Key)
			w.raw(": ")
			w.nested(m.Value)
		}
		w.end("}")
	default:
		w.value(plain(v))
	}
}

func (w *writer) nested(v any) {
	w.depth++
	w.value(v)
	w.depth--
}

func (w *writer) raw(s string) { w.buf = append(w.buf, s...) }

// next separates element i of a container from what stands before it.
func (w *writer) next(i int) {
	if i > 0 {
		w.raw(",")
	}
	switch {
	case w.pretty:
		w.newline(w.depth + 1)
	case i > 0:
		w.raw(" ")
	}
}

func (w *writer) end(bracket string) {
	if w.pretty {
		w.newline(w.depth) // also in an empty container
	}
	w.raw(bracket)
}

func (w *writer) newline(depth int) {
	w.raw("\n")
	for range depth {
		w.raw("    ")
	}
}

// float is C's %.17g.
func (w *writer) float(f float64) {
	switch {
	case math.IsInf(f, 1):
		w.raw("inf")
	case math.IsInf(f, -1):
		w.raw("-inf")
	case math.IsNaN(f) && math.Signbit(f):
		w.raw("-nan")
	case math.IsNaN(f):
		w.raw("nan")
	default:
		w.buf = strconv.AppendFloat(w.buf, f, 'g', 17, 64)
	}
}

func (w *writer) quote(s string) {
	w.raw(`"`)
	for len(s) > 0 {
		if n := printable(s); n > 0 {
			w.raw(s[:n])
			s = s[n:]
			continue
		}
		cp, n := decodeRune(s)
		s = s[n:]
		switch {
		case cp == '"', cp == '\\':
			w.buf = append(w.buf, '\\', byte(cp))
		case cp == '\b':
			w.raw(`\b`)
		case cp == '\f':
			w.raw(`\f`)
		case cp == '\n':
			w.raw(`\n`)
		case cp == '\r':
			w.raw(`\r`)
		case cp == '\t':
			w.raw(`\t`)
		case cp < 0:
			w.unit(0xFFFD) // replacement character
		case cp > 0xFFFF:
			cp -= 0x10000
			w.unit(0xD800 + cp>>10)
			w.unit(0xDC00 + cp&0x3FF)
		default:
			w.unit(cp)
		}
	}
	w.raw(`"`)
}

// printable is how many bytes s begins with that stand for themselves.
func printable(s string) int {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7F || c == '"' || c == '\\' {
			return i
		}
	}
	return len(s)
}

// unit writes one UTF-16 code unit as an escape.
func (w *writer) unit(u rune) {
	const digits = "0123456789ABCDEF"
	w.buf = append(w.buf, '\\', 'u', digits[u>>12&15], digits[u>>8&15], digits[u>>4&15], digits[u&15])
}

// plain brings a value of another type to one that the package reads.
func plain(v any) any {
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Bool:
		return r.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return r.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return r.Uint()
	case reflect.Float32, reflect.Float64:
		return r.Float()
	case reflect.String:
		return r.String()
	case reflect.Pointer, reflect.Interface:
		if r.IsNil() {
			return nil
		}
		return r.Elem().Interface()
	case reflect.Slice, reflect.Array:
		list := make([]any, r.Len())
		for i := range list {
			list[i] = r.Index(i).Interface()
		}
		return list
	case reflect.Map:
		if r.Type().Key().Kind() == reflect.String {
			m := make(map[string]any, r.Len())
			for it := r.MapRange(); it.Next(); {
				m[it.Key().String()] = it.Value().Interface()
			}
			return m
		}
	}
	panic(fmt.Sprintf("qjson: cannot write a %T", v))
}
