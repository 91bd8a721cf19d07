package qom

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// syntax says in which language a client wrote a value. The same mistake
// has different words in each, and QEMU's clients match them.
type syntax int

const (
	syntaxJSON   syntax = iota // QMP, -device '{...}'
	syntaxKeyval               // -device a=b: all scalars are strings
	syntaxString               // -global a.b=c
)

// Value is what a client gave for a property.
type Value struct {
	raw    any
	syntax syntax
}

// JSON wraps a decoded JSON value: nil, bool, int64, uint64, float64, string,
// []any or map[string]any.
func JSON(v any) Value { return Value{v, syntaxJSON} }

// Keyval wraps a value of the a=b,c=d syntax; its numbers and booleans are
// strings, nested ones map[string]any and []any.
func Keyval(v any) Value { return Value{v, syntaxKeyval} }

// String wraps the value of a -global.
func String(s string) Value { return Value{s, syntaxString} }

// Raw is the value as it was given.
func (v Value) Raw() any { return v.raw }

func badType(name, want string) error {
	return fmt.Errorf("Invalid parameter type for '%s', expected: %s", name, want)
}

func badValue(name, want string) error {
	return fmt.Errorf("Parameter '%s' expects %s", name, want)
}

// Str takes the value as a string.
func (v Value) Str(name string) (string, error) {
	if s, ok := v.raw.(string); ok {
		return s, nil
	}
	if v.nested() {
		return "", unexpected(name)
	}
	return "", badType(name, "string")
}

// nested tells that the value is a dictionary or a list of the dotted keys of a
// command line, which a scalar cannot be.
func (v Value) nested() bool {
	if v.syntax == syntaxJSON {
		return false
	}
	switch v.raw.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

func unexpected(name string) error { return fmt.Errorf("Parameters '%s.*' are unexpected", name) }

// Bool takes the value as a boolean: true and false in JSON, otherwise on,
// yes, true, y and off, no, false, n.
func (v Value) Bool(name string) (bool, error) {
	if v.syntax == syntaxJSON {
		if b, ok := v.raw.(bool); ok {
			return b, nil
		}
		return false, badType(name, "boolean")
	}
	s, ok := v.raw.(string)
	if v.nested() {
		return false, unexpected(name)
	}
	if !ok {
		return false, badType(name, "string")
	}
	b, ok := ParseBool(s)
	if !ok {
		return false, badValue(name, "'on' or 'off'")
	}
	return b, nil
}

// ParseBool reads QEMU's spellings of a boolean.
func ParseBool(s string) (value, ok bool) {
	switch s {
	case "on", "yes", "true", "y":
		return true, true
	case "off", "no", "false", "n":
		return false, true
	}
	return false, false
}

// Int takes the value as a signed integer of bits bits.
func (v Value) Int(name string, bits int) (int64, error) {
	var n int64
	if s, ok := v.raw.(string); ok && v.syntax != syntaxJSON {
		var err error
		if n, err = strconv.ParseInt(strings.TrimLeft(s, " \t\n\v\f\r"), 0, 64); err != nil || hasDigitSeparator(s) {
			if v.syntax == syntaxString {
				return 0, badValue(name, "an int64 value or range")
			}
			return 0, badValue(name, "integer")
		}
	} else {
		switch x := v.raw.(type) {
		case int64:
			n = x
		case float64:
			if x != math.Trunc(x) || math.Abs(x) > 1<<53 {
				return 0, badType(name, "integer")
			}
			n = int64(x)
		default:
			return 0, badType(name, "integer")
		}
	}
	if !fits(n, bits) {
		return 0, badValue(name, fmt.Sprintf("int%d_t", bits))
	}
	return n, nil
}

// Uint takes the value as an unsigned integer of bits bits. As in QEMU,
// negative numbers are taken as their two's complement when bits is 64.
func (v Value) Uint(name string, bits int) (uint64, error) {
	var n uint64
	if s, ok := v.raw.(string); ok && v.syntax != syntaxJSON {
		var ok bool
		if n, ok = parseUint(s); !ok {
			if v.syntax == syntaxString {
				return 0, badValue(name, "uint64")
			}
			return 0, badValue(name, "integer")
		}
	} else {
		switch x := v.raw.(type) {
		case int64:
			n = uint64(x)
		case uint64:
			n = x
		default:
			return 0, badValue(name, "uint64")
		}
	}
	if bits < 64 && n>>bits != 0 {
		return 0, badValue(name, fmt.Sprintf("uint%d_t", bits))
	}
	return n, nil
}

func parseUint(s string) (uint64, bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	if hasDigitSeparator(s) {
		return 0, false
	}
	if neg, ok := strings.CutPrefix(s, "-"); ok {
		n, err := strconv.ParseUint(neg, 0, 64)
		return -n, err == nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "+"), 0, 64)
	return n, err == nil
}

// hasDigitSeparator spots what Go's base-0 numbers allow and C's do not.
func hasDigitSeparator(s string) bool {
	return strings.ContainsAny(s, "_oObB") && !strings.HasPrefix(strings.ToLower(strings.TrimLeft(s, "+-")), "0x")
}

// Size takes the value as a number of bytes. Outside JSON it may have one of
// the suffixes B, K, M, G, T, P and E.
func (v Value) Size(name string) (uint64, error) {
	s, ok := v.raw.(string)
	if !ok || v.syntax == syntaxJSON {
		return v.Uint(name, 64)
	}
	n, err := ParseSize(s)
	if err != nil {
		return 0, badValue(name, "a size value")
	}
	return n, nil
}

// ParseSize reads a size in bytes with an optional binary suffix; a fraction
// is allowed before a suffix other than B.
func ParseSize(s string) (uint64, error) {
	if s == "" {
		return 0, strconv.ErrSyntax
	}
	shift, digits := 0, s
	suffix := strings.IndexByte("BKMGTPE", upper(s[len(s)-1]))
	if isDigit := isHex(s) && (suffix == 0 || suffix == 6); suffix >= 0 && !isDigit {
		shift, digits = 10*suffix, s[:len(s)-1]
	}
	if strings.ContainsAny(digits, "+-") {
		return 0, strconv.ErrSyntax
	}
	if n, ok := parseUint(digits); ok {
		if n<<shift>>shift != n {
			return 0, strconv.ErrRange
		}
		return n << shift, nil
	}
	if shift == 0 || strings.ContainsAny(digits, "eEpPxX_") {
		return 0, strconv.ErrSyntax
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || f*float64(uint64(1)<<shift) >= 1<<64 {
		return 0, strconv.ErrSyntax
	}
	return uint64(f * float64(uint64(1)<<shift)), nil
}

func isHex(s string) bool { return strings.HasPrefix(strings.ToLower(s), "0x") }

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// Enum takes the value as one of a set of strings.
func (v Value) Enum(name string, values []string) (string, error) {
	s, err := v.Str(name)
	if err != nil {
		return "", err
	}
	if !slices.Contains(values, s) {
		return "", fmt.Errorf("Parameter '%s' does not accept value '%s'", name, s)
	}
	return s, nil
}

// Dict takes the value as an object.
func (v Value) Dict(name string) (map[string]any, error) {
	if m, ok := v.raw.(map[string]any); ok {
		return m, nil
	}
	return nil, badType(name, "object")
}

// With is x in v's syntax, for the members of a nested value.
func (v Value) With(x any) Value { return Value{x, v.syntax} }
