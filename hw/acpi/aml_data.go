package acpi

import "encoding/binary"

// Opcodes of data objects (ACPI 6.4 section 20.2.3).
const (
	opZero        = 0x00
	opOne         = 0x01
	opByte        = 0x0a
	opWord        = 0x0b
	opDWord       = 0x0c
	opString      = 0x0d
	opQWord       = 0x0e
	opBuffer      = 0x11
	opPackage     = 0x12
	maxPackageLen = 255
)

// Integer is a constant, written in the shortest form that holds it.
type Integer uint64

func (i Integer) encode(e *encoder) {
	switch {
	case i == 0:
		e.bytes(opZero)
	case i == 1:
		e.bytes(opOne)
	case i < 1<<8:
		e.bytes(opByte, byte(i))
	case i < 1<<16:
		e.bytes(opWord)
		e.buf = binary.LittleEndian.AppendUint16(e.buf, uint16(i))
	case i < 1<<32:
		e.bytes(opDWord)
		e.buf = binary.LittleEndian.AppendUint32(e.buf, uint32(i))
	default:
		e.bytes(opQWord)
		e.buf = binary.LittleEndian.AppendUint64(e.buf, uint64(i))
	}
}

// String is an ASCII string object; NUL and bytes above 0x7f are errors.
type String string

func (s String) encode(e *encoder) {
	for i := range len(s) {
		if s[i] == 0 || s[i] > 0x7f {
			e.fail("string %q is not 7-bit ASCII", string(s))
			return
		}
	}
	e.bytes(opString)
	e.buf = append(e.buf, s...)
	e.bytes(0)
}

// Path is a reference to a named object, in ASL notation.
type Path string

func (p Path) encode(e *encoder) { e.nameString(string(p)) }

// Buffer is a buffer object with an initial value of the same length.
type Buffer []byte

func (b Buffer) encode(e *encoder) {
	e.block([]byte{opBuffer}, func() {
		Integer(len(b)).encode(e)
		e.buf = append(e.buf, b...)
	})
}

// Package is an array object of at most 255 elements.
func Package(elements ...Term) Term { return packageTerm(elements) }

type packageTerm []Term

func (p packageTerm) encode(e *encoder) {
	if len(p) > maxPackageLen {
		e.fail("package of %d elements, at most %d fit", len(p), maxPackageLen)
		return
	}
	e.block([]byte{opPackage}, func() {
		e.bytes(byte(len(p)))
		e.terms(p)
	})
}

// EISAID is a Plug and Play identifier such as "PNP0501": three capital
// letters and four hexadecimal digits, packed into a DWord (ACPI 6.4 section
// 19.3.4).
type EISAID string

func (id EISAID) encode(e *encoder) {
	if len(id) != 7 {
		e.fail("%q is not an EISA id", string(id))
		return
	}
	var vendor, product uint32
	for i := range 3 {
		c := id[i]
		if c < 'A' || c > 'Z' {
			e.fail("%q is not an EISA id", string(id))
			return
		}
		vendor = vendor<<5 | uint32(c-'A'+1)
	}
	for i := 3; i < 7; i++ {
		var digit byte
		switch c := id[i]; {
		case '0' <= c && c <= '9':
			digit = c - '0'
		case 'A' <= c && c <= 'F':
			digit = c - 'A' + 10
		default:
			e.fail("%q is not an EISA id", string(id))
			return
		}
		product = product<<4 | uint32(digit)
	}
	// The id is big-endian, an AML DWord little-endian; a DWord is used even
	// where a shorter constant would do, since that is what EISAID() yields.
	e.bytes(opDWord, byte(vendor>>8), byte(vendor), byte(product>>8), byte(product))
}
