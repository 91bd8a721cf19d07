package acpi

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// Opcodes that PCI descriptions need besides (ACPI 6.4 section 20.2.5).
const opCreateDWordField = 0x8a

// PCIConfig is the address space of a PCI function's configuration registers.
const PCIConfig RegionSpace = 2

// CreateDWordField names the 32 bits at a byte offset of a buffer.
func CreateDWordField(buffer, offset Term, name string) Term {
	return dwordField{buffer, offset, name}
}

type dwordField struct {
	buffer, offset Term
	name           string
}

func (f dwordField) encode(e *encoder) {
	e.bytes(opCreateDWordField)
	e.terms([]Term{f.buffer, f.offset})
	e.nameString(f.name)
}

// UUID is a universally unique identifier in its usual notation, as a buffer of
// 16 bytes in the order that ACPI has them in (ACPI 6.4 section 19.6.142).
type UUID string

func (u UUID) encode(e *encoder) {
	b, err := hex.DecodeString(strings.ReplaceAll(string(u), "-", ""))
	if err != nil || len(b) != 16 || len(u) != 36 {
		e.fail("%q is not a UUID", string(u))
		return
	}
	le := binary.LittleEndian
	out := make([]byte, 16)
	le.PutUint32(out, binary.BigEndian.Uint32(b))
	le.PutUint16(out[4:], binary.BigEndian.Uint16(b[4:]))
	le.PutUint16(out[6:], binary.BigEndian.Uint16(b[6:]))
	copy(out[8:], b[8:])
	Buffer(out).encode(e)
}

// Address space descriptors (ACPI 6.4 section 6.4.3.5).
const (
	tagDWordAddress = 0x87
	tagWordAddress  = 0x88
	spaceMemory     = 0
	spaceIO         = 1
	spaceBus        = 2
	bothFixed       = 1<<2 | 1<<3
	entireRange     = 3
)

// Window is a range of what a bus hands on to its devices, both ends included
// and fixed.
type Window struct{ First, Last uint64 }

// WordBusNumber is the range of bus numbers below a bridge.
type WordBusNumber Window

func (r WordBusNumber) appendTo(e *encoder) { appendWord(e, Window(r), spaceBus, 0) }

// WordIO is a range of ports.
type WordIO Window

func (r WordIO) appendTo(e *encoder) { appendWord(e, Window(r), spaceIO, entireRange) }

func appendWord(e *encoder, w Window, space, flags byte) {
	if w.Last < w.First || w.Last > 0xffff {
		e.fail("window %#x of 16 bits", w)
		return
	}
	e.bytes(tagWordAddress, 13, 0, space, bothFixed, flags)
	for _, v := range []uint64{0, w.First, w.Last, 0, w.Last - w.First + 1} {
		e.buf = binary.LittleEndian.AppendUint16(e.buf, uint16(v))
	}
}

// DWordMemory is a range of memory below 4 GiB.
type DWordMemory struct {
	Window
	Cacheable bool
}

func (r DWordMemory) appendTo(e *encoder) {
	if r.Last < r.First || r.Last >= 1<<32 {
		e.fail("window %#x of 32 bits", r.Window)
		return
	}
	flags := byte(1) // can be written
	if r.Cacheable {
		flags |= 1 << 1
	}
	e.bytes(tagDWordAddress, 23, 0, spaceMemory, bothFixed, flags)
	for _, v := range []uint64{0, r.First, r.Last, 0, r.Last - r.First + 1} {
		e.buf = binary.LittleEndian.AppendUint32(e.buf, uint32(v))
	}
}
