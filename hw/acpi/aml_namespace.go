package acpi

// Opcodes that modify the namespace (ACPI 6.4 section 20.2.5.1 and 20.2.5.2).
const (
	opName      = 0x08
	opScope     = 0x10
	opMethod    = 0x14
	opExt       = 0x5b
	extOpRegion = 0x80
	extField    = 0x81
	extDevice   = 0x82
)

// named is an opcode, a PkgLength, a name, fixed bytes and a body: the shape
// of scopes, devices, methods and fields.
type named struct {
	op    []byte
	name  string
	fixed []byte
	body  []Term
}

func (n named) encode(e *encoder) {
	e.block(n.op, func() {
		e.nameString(n.name)
		e.bytes(n.fixed...)
		e.terms(n.body)
	})
}

// Scope opens the existing object name and puts terms below it.
func Scope(name string, terms ...Term) Term {
	return named{op: []byte{opScope}, name: name, body: terms}
}

// Device declares a device with the objects in terms.
func Device(name string, terms ...Term) Term {
	return named{op: []byte{opExt, extDevice}, name: name, body: terms}
}

// Method declares a control method with args arguments, 0 to 7. A serialized
// method runs in one thread at a time, which a method that creates named
// objects or reads a clear-on-read register must be.
func Method(name string, args int, serialized bool, terms ...Term) Term {
	return method{name, args, serialized, terms}
}

type method struct {
	name       string
	args       int
	serialized bool
	body       []Term
}

func (m method) encode(e *encoder) {
	if m.args < 0 || m.args > 7 {
		e.fail("method %s with %d arguments", m.name, m.args)
		return
	}
	flags := byte(m.args)
	if m.serialized {
		flags |= 1 << 3
	}
	named{op: []byte{opMethod}, name: m.name, fixed: []byte{flags}, body: m.body}.encode(e)
}

// Name declares name with the value object.
func Name(name string, object Term) Term { return nameDecl{name, object} }

type nameDecl struct {
	name   string
	object Term
}

func (n nameDecl) encode(e *encoder) {
	e.bytes(opName)
	e.nameString(n.name)
	e.terms([]Term{n.object})
}

// RegionSpace says which address space an operation region or a
// [GenericAddress] lies in (ACPI 6.4 table 5.1).
type RegionSpace byte

const (
	SystemMemory RegionSpace = 0 // guest-physical memory, byte addresses
	SystemIO     RegionSpace = 1 // x86 ports
)

// OperationRegion declares a window of size bytes at offset in space, whose
// contents a [Field] gives names to.
func OperationRegion(name string, space RegionSpace, offset, size uint64) Term {
	return opRegion{name, space, offset, size}
}

type opRegion struct {
	name         string
	space        RegionSpace
	offset, size uint64
}

func (r opRegion) encode(e *encoder) {
	e.bytes(opExt, extOpRegion)
	e.nameString(r.name)
	e.bytes(byte(r.space))
	Integer(r.offset).encode(e)
	Integer(r.size).encode(e)
}

// FieldFlags is how the units of a [Field] are accessed: an access width, a
// lock rule and an update rule, combined with OR.
type FieldFlags byte

const (
	AnyAcc        FieldFlags = 0
	ByteAcc       FieldFlags = 1
	WordAcc       FieldFlags = 2
	DWordAcc      FieldFlags = 3
	QWordAcc      FieldFlags = 4
	FieldLock     FieldFlags = 1 << 4
	WriteAsOnes   FieldFlags = 1 << 5
	WriteAsZeros  FieldFlags = 2 << 5
	PreserveWrite FieldFlags = 0
)

// FieldUnit is Bits bits of an operation region under Name, or a gap when
// Name is empty.
type FieldUnit struct {
	Name string
	Bits uint64
}

func (u FieldUnit) encode(e *encoder) {
	if u.Name == "" {
		e.bytes(0)
	} else {
		e.nameSeg(u.Name)
	}
	b, err := appendPkgLength(e.buf, u.Bits)
	if err != nil {
		e.fail("field %s: %w", u.Name, err)
		return
	}
	e.buf = b
}

// Field names the bits of the operation region, from its start upwards.
func Field(region string, flags FieldFlags, units ...FieldUnit) Term {
	body := make([]Term, len(units))
	for i, u := range units {
		body[i] = u
	}
	return named{op: []byte{opExt, extField}, name: region, fixed: []byte{byte(flags)}, body: body}
}
