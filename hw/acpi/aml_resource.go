package acpi

import "encoding/binary"

// Resource descriptor tags (ACPI 6.4 section 6.4.2 and 6.4.3). Small ones
// carry their length in the low three bits.
const (
	tagIRQNoFlags     = 0x22
	tagIO             = 0x47
	tagEnd            = 0x79
	tagMemory32Fixed  = 0x86
	tagExtendedIRQ    = 0x89
	tagQWordAddress   = 0x8a
	maxInterruptCount = 255
)

// Resource is one descriptor of a [ResourceTemplate].
type Resource interface {
	appendTo(e *encoder)
}

// ResourceTemplate is a buffer with resource descriptors, the value of _CRS.
// The end tag's checksum is zero, which means "not computed".
func ResourceTemplate(resources ...Resource) Term { return resourceTemplate(resources) }

type resourceTemplate []Resource

func (t resourceTemplate) encode(e *encoder) {
	sub := new(encoder)
	for _, r := range t {
		r.appendTo(sub)
	}
	if sub.err != nil {
		e.fail("%w", sub.err)
		return
	}
	Buffer(append(sub.buf, tagEnd, 0)).encode(e)
}

// IO is a range of Len ports that starts between Min and Max at a multiple of
// Align, with all 16 address lines decoded.
type IO struct {
	Min, Max   uint16
	Align, Len uint8
}

func (r IO) appendTo(e *encoder) {
	const decode16 = 1
	e.bytes(tagIO, decode16)
	e.buf = binary.LittleEndian.AppendUint16(e.buf, r.Min)
	e.buf = binary.LittleEndian.AppendUint16(e.buf, r.Max)
	e.bytes(r.Align, r.Len)
}

// IRQNoFlags is an ISA interrupt, 0 to 15: edge-triggered, active high.
type IRQNoFlags int

func (r IRQNoFlags) appendTo(e *encoder) {
	if r < 0 || r > 15 {
		e.fail("ISA interrupt %d does not exist", int(r))
		return
	}
	e.bytes(tagIRQNoFlags)
	e.buf = binary.LittleEndian.AppendUint16(e.buf, 1<<uint(r))
}

// Memory32Fixed is a range of Len bytes at the guest-physical address Base.
type Memory32Fixed struct {
	Base, Len uint32
	ReadOnly  bool
}

func (r Memory32Fixed) appendTo(e *encoder) {
	e.bytes(tagMemory32Fixed, 9, 0)
	if r.ReadOnly {
		e.bytes(0)
	} else {
		e.bytes(1)
	}
	e.buf = binary.LittleEndian.AppendUint32(e.buf, r.Base)
	e.buf = binary.LittleEndian.AppendUint32(e.buf, r.Len)
}

// Interrupt is an extended interrupt descriptor: 1 to 255 global system
// interrupts that share the same properties. The zero value's properties are
// those of a producer, level-triggered, active high and exclusive.
type Interrupt struct {
	Consumer  bool // the device uses the interrupt rather than hands it on
	Edge      bool
	ActiveLow bool
	Shared    bool
	GSIs      []uint32
}

func (r Interrupt) appendTo(e *encoder) {
	if len(r.GSIs) == 0 || len(r.GSIs) > maxInterruptCount {
		e.fail("interrupt descriptor with %d interrupts", len(r.GSIs))
		return
	}
	var flags byte
	for bit, set := range []bool{r.Consumer, r.Edge, r.ActiveLow, r.Shared} {
		if set {
			flags |= 1 << bit
		}
	}
	e.bytes(tagExtendedIRQ)
	e.buf = binary.LittleEndian.AppendUint16(e.buf, uint16(2+4*len(r.GSIs)))
	e.bytes(flags, byte(len(r.GSIs)))
	for _, gsi := range r.GSIs {
		e.buf = binary.LittleEndian.AppendUint32(e.buf, gsi)
	}
}

// QWordMemory is a window of Len bytes of guest-physical memory at Base, as a
// bus hands it on to its devices: read-write, fixed at both ends.
type QWordMemory struct {
	Base, Len    uint64
	Translation  uint64
	Cacheable    bool
	Prefetchable bool
}

func (r QWordMemory) appendTo(e *encoder) {
	if r.Len == 0 || r.Base+(r.Len-1) < r.Base {
		e.fail("memory window of %#x bytes at %#x", r.Len, r.Base)
		return
	}
	const (
		typeMemory = 0
		minFixed   = 1 << 2
		maxFixed   = 1 << 3
		readWrite  = 1
	)
	flags := byte(readWrite)
	switch {
	case r.Prefetchable:
		flags |= 3 << 1
	case r.Cacheable:
		flags |= 1 << 1
	}
	e.bytes(tagQWordAddress, 0x2b, 0, typeMemory, minFixed|maxFixed, flags)
	for _, v := range []uint64{0, r.Base, r.Base + r.Len - 1, r.Translation, r.Len} {
		e.buf = binary.LittleEndian.AppendUint64(e.buf, v)
	}
}
