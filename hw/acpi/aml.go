package acpi

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Term is one piece of AML: a data object, an operator, a declaration or a
// whole block of declarations. Terms are immutable descriptions; they become
// bytes in [Assemble], which is also where mistakes in them are reported.
type Term interface {
	encode(*encoder)
}

// Assemble turns terms into the AML byte code of a definition block, without
// the table header. It fails when a term cannot be expressed: a name that is
// not a valid NameString, a string with bytes outside 7-bit ASCII, a block
// larger than a PkgLength can say.
func Assemble(terms ...Term) ([]byte, error) {
	e := new(encoder)
	e.terms(terms)
	if e.err != nil {
		return nil, fmt.Errorf("acpi: %w", e.err)
	}
	return e.buf, nil
}

// encoder accumulates byte code and remembers the first error, so that the
// encode methods can stay free of error paths.
type encoder struct {
	buf []byte
	err error
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

func (e *encoder) bytes(b ...byte) { e.buf = append(e.buf, b...) }

func (e *encoder) terms(terms []Term) {
	for _, t := range terms {
		if t == nil {
			e.fail("nil term")
			continue
		}
		t.encode(e)
	}
}

// maxPkgLength is the largest value four PkgLength bytes can hold: four bits
// in the lead byte and eight in each of the three that follow.
const maxPkgLength = 1<<28 - 1

var errTooLong = errors.New("package longer than 2^28-1 bytes")

// appendPkgLength appends the encoding of a length that does not count the
// encoding itself (ACPI 6.4 section 20.2.4), as in field lists.
func appendPkgLength(b []byte, n uint64) ([]byte, error) {
	switch {
	case n < 1<<6:
		return append(b, byte(n)), nil
	case n < 1<<12:
		return append(b, 1<<6|byte(n&0xf), byte(n>>4)), nil
	case n < 1<<20:
		return append(b, 2<<6|byte(n&0xf), byte(n>>4), byte(n>>12)), nil
	case n <= maxPkgLength:
		return append(b, 3<<6|byte(n&0xf), byte(n>>4), byte(n>>12), byte(n>>20)), nil
	}
	return b, errTooLong
}

// appendBlockLength appends the PkgLength of a block with n bytes of content.
// There the length counts its own encoding, so the encoding's size must be
// settled first.
func appendBlockLength(b []byte, n uint64) ([]byte, error) {
	for size := uint64(1); size <= 4; size++ {
		total := n + size
		limit := uint64(1) << 6
		if size > 1 {
			limit = 1 << (4 + 8*(size-1))
		}
		if total < limit {
			return appendPkgLength(b, total)
		}
	}
	return b, errTooLong
}

// block writes an opcode, the PkgLength and what body writes.
func (e *encoder) block(op []byte, body func()) {
	e.bytes(op...)
	start := len(e.buf)
	body()
	length, err := appendBlockLength(nil, uint64(len(e.buf)-start))
	if err != nil {
		e.fail("%w", err)
		return
	}
	e.buf = slices.Insert(e.buf, start, length...)
}

func leadNameChar(c byte) bool { return c == '_' || 'A' <= c && c <= 'Z' }
func nameChar(c byte) bool     { return leadNameChar(c) || '0' <= c && c <= '9' }

// nameSeg writes one name segment, padded with underscores to four bytes.
func (e *encoder) nameSeg(s string) {
	ok := 1 <= len(s) && len(s) <= 4 && leadNameChar(s[0])
	for i := 1; ok && i < len(s); i++ {
		ok = nameChar(s[i])
	}
	if !ok {
		e.fail("%q is not an ACPI name segment", s)
		return
	}
	e.buf = append(e.buf, s...)
	for i := len(s); i < 4; i++ {
		e.bytes('_')
	}
}

const (
	nullName        = 0x00
	dualNamePrefix  = 0x2e
	multiNamePrefix = 0x2f
)

// nameString writes a path in ASL notation, such as `\_SB.PWRB`, `^DEV` or
// `\` (ACPI 6.4 section 20.2.2).
func (e *encoder) nameString(path string) {
	rest := path
	switch {
	case strings.HasPrefix(rest, `\`):
		e.bytes('\\')
		rest = rest[1:]
	default:
		for strings.HasPrefix(rest, "^") {
			e.bytes('^')
			rest = rest[1:]
		}
	}
	if rest == "" {
		if path == "" {
			e.fail("empty ACPI name")
		}
		e.bytes(nullName)
		return
	}
	segs := strings.Split(rest, ".")
	switch {
	case len(segs) == 1:
	case len(segs) == 2:
		e.bytes(dualNamePrefix)
	case len(segs) <= 255:
		e.bytes(multiNamePrefix, byte(len(segs)))
	default:
		e.fail("%d segments in an ACPI name", len(segs))
	}
	for _, s := range segs {
		e.nameSeg(s)
	}
}
