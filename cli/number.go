package cli

import (
	"errors"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// The two ways in which a number is refused; QEMU's texts tell them apart.
var (
	errSyntax = errors.New("not a number")
	errRange  = errors.New("number out of range")
)

// scanned is the longest number at the start of a string, as C's strtoull
// would take it.
type scanned struct {
	value    uint64 // magnitude; math.MaxUint64 after overflow
	negative bool
	overflow bool
	rest     string
	ok       bool // there was at least one digit
}

// scanUint accepts white space, a sign, and digits in the given base. Base 0
// is C's: 0x for hexadecimal, 0 for octal. Base 16 takes an optional 0x.
func scanUint(s string, base uint64) scanned {
	i := 0
	for i < len(s) && (s[i] == ' ' || '\t' <= s[i] && s[i] <= '\r') {
		i++
	}
	var r scanned
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		r.negative = s[i] == '-'
		i++
	}
	if base == 0 || base == 16 {
		if i+2 < len(s) && s[i] == '0' && s[i+1]|0x20 == 'x' {
			if _, ok := hexDigit(s[i+2]); ok {
				base = 16
				i += 2
			}
		}
		if base == 0 && i < len(s) && s[i] == '0' {
			base = 8
		}
		if base == 0 {
			base = 10
		}
	}
	for ; i < len(s); i++ {
		d, ok := hexDigit(s[i])
		if !ok || uint64(d) >= base {
			break
		}
		r.ok = true
		hi, lo := bits.Mul64(r.value, base)
		sum, carry := bits.Add64(lo, uint64(d), 0)
		if hi != 0 || carry != 0 || r.overflow {
			r.overflow, r.value = true, math.MaxUint64
			continue
		}
		r.value = sum
	}
	r.rest = s[i:]
	if !r.ok {
		r.rest = s
	}
	return r
}

// parseUint64 reads a whole string in C's notation. Negative numbers wrap, as
// they do in QEMU.
func parseUint64(s string) (uint64, error) {
	r := scanUint(s, 0)
	switch {
	case !r.ok || r.rest != "":
		return 0, errSyntax
	case r.overflow:
		return 0, errRange
	case r.negative:
		return -r.value, nil
	}
	return r.value, nil
}

// parseInt64 reads a whole string in C's notation.
func parseInt64(s string) (int64, error) {
	r := scanUint(s, 0)
	switch {
	case !r.ok || r.rest != "":
		return 0, errSyntax
	case r.overflow, !r.negative && r.value > math.MaxInt64, r.negative && r.value > 1<<63:
		return 0, errRange
	case r.negative:
		return -int64(r.value), nil
	}
	return int64(r.value), nil
}

// ParseBool reads QEMU's spellings of a boolean; name stands in the error.
func ParseBool(name, s string) (bool, error) {
	switch s {
	case "on", "yes", "true", "y":
		return true, nil
	case "off", "no", "false", "n":
		return false, nil
	}
	return false, errExpects(name, "'on' or 'off'")
}

// ParseSize reads a size in bytes: decimal with an optional suffix B, K, M, G,
// T, P or E (powers of 1024, either case) and fraction, or hexadecimal without
// a suffix. The error wraps nothing and tells only whether the text was no size
// or one beyond 64 bits; see [SizeOutOfRange].
func ParseSize(s string) (uint64, error) { return parseScaled(s, 1024) }

// SizeOutOfRange reports whether ParseSize refused a number for its value
// rather than its form.
func SizeOutOfRange(err error) bool { return errors.Is(err, errRange) }

// parseScaled is ParseSize with the unit to choose: 1000 for frequencies.
func parseScaled(s string, unit uint64) (uint64, error) {
	r := scanUint(s, 10)
	if r.ok && (r.negative || r.overflow) {
		return 0, rangeUnlessRest(r.rest)
	}
	if r.ok && r.value == 0 && len(r.rest) > 1 && r.rest[0]|0x20 == 'x' {
		h := scanUint(s, 16)
		switch {
		case !h.ok || h.rest != "":
			return 0, errSyntax
		case h.overflow:
			return 0, errRange
		}
		return h.value, nil
	}

	val, frac, rest := r.value, uint64(0), r.rest
	switch {
	case strings.HasPrefix(rest, ".") && r.ok:
		f, tail := scanFraction(rest)
		frac, rest = f.fixed, tail
		if f.one {
			if val == math.MaxUint64 {
				return 0, errRange
			}
			val++
		}
	case !r.ok:
		t := strings.TrimLeft(s, " \t\n\v\f\r")
		neg := strings.HasPrefix(t, "-")
		if neg || strings.HasPrefix(t, "+") {
			t = t[1:]
		}
		if len(t) < 2 || t[0] != '.' || !isDigit(t[1]) {
			return 0, errSyntax
		}
		f, tail := scanFraction(t)
		if neg {
			return 0, rangeUnlessRest(tail)
		}
		frac, rest = f.fixed, tail
		if f.one {
			val = 1
		}
	}

	mul := uint64(1)
	if rest != "" {
		n := strings.IndexByte("BKMGTPE", rest[0]&^0x20)
		if n < 0 || len(rest) > 1 {
			return 0, errSyntax
		}
		for ; n > 0; n-- {
			mul *= unit
		}
	}
	if mul == 1 {
		if frac != 0 {
			return 0, errSyntax
		}
		return val, nil
	}
	hi, lo := bits.Mul64(val, mul)
	fhi, flo := bits.Mul64(frac, mul)
	lo, carry := bits.Add64(lo, fhi, 0)
	lo, carry2 := bits.Add64(lo, flo>>63, 0)
	if hi+carry+carry2 != 0 {
		return 0, errRange
	}
	return lo, nil
}

// Trailing garbage is a worse fault than a bad value.
func rangeUnlessRest(rest string) error {
	if rest != "" {
		return errSyntax
	}
	return errRange
}

type fraction struct {
	fixed uint64 // 0.64 fixed point
	one   bool   // the digits round to 1.0
}

// scanFraction reads ".digits" from the start of s, which begins with '.'.
func scanFraction(s string) (fraction, string) {
	i := 1
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	f, err := strconv.ParseFloat("0"+s[:i], 64)
	if err != nil || f == 0 {
		return fraction{}, s[i:]
	}
	if f >= 1 {
		return fraction{one: true}, s[i:]
	}
	return fraction{fixed: uint64(math.Ldexp(f, 64))}, s[i:]
}
