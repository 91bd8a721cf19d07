package acpi

// Opcodes of statements and expressions (ACPI 6.4 section 20.2.5.3 and
// 20.2.5.4), and of method arguments and locals (20.2.6).
const (
	opLocal0   = 0x60
	opArg0     = 0x68
	opStore    = 0x70
	opAdd      = 0x72
	opSubtract = 0x74
	opAnd      = 0x7b
	opOr       = 0x7d
	opNotify   = 0x86
	opLAnd     = 0x90
	opLOr      = 0x91
	opLNot     = 0x92
	opLEqual   = 0x93
	opLGreater = 0x94
	opLLess    = 0x95
	opIf       = 0xa0
	opElse     = 0xa1
	opWhile    = 0xa2
	opReturn   = 0xa4
)

// Local is one of a method's variables, 0 to 7.
type Local int

func (l Local) encode(e *encoder) {
	if l < 0 || l > 7 {
		e.fail("Local%d does not exist", int(l))
		return
	}
	e.bytes(opLocal0 + byte(l))
}

// Arg is one of a method's arguments, 0 to 6.
type Arg int

func (a Arg) encode(e *encoder) {
	if a < 0 || a > 6 {
		e.fail("Arg%d does not exist", int(a))
		return
	}
	e.bytes(opArg0 + byte(a))
}

// Discard is the target of an operator whose result is only used as a value.
var Discard Term = discard{}

type discard struct{}

func (discard) encode(e *encoder) { e.bytes(nullName) }

type operator struct {
	op   byte
	args []Term
}

func (o operator) encode(e *encoder) {
	e.bytes(o.op)
	e.terms(o.args)
}

// Store evaluates src and writes it to dst.
func Store(src, dst Term) Term { return operator{opStore, []Term{src, dst}} }

// And is the bitwise AND of a and b, also stored in dst unless it is [Discard].
func And(a, b, dst Term) Term { return operator{opAnd, []Term{a, b, dst}} }

// Or is the bitwise OR of a and b, also stored in dst unless it is [Discard].
func Or(a, b, dst Term) Term { return operator{opOr, []Term{a, b, dst}} }

// Add is a + b, also stored in dst unless it is [Discard].
func Add(a, b, dst Term) Term { return operator{opAdd, []Term{a, b, dst}} }

// Subtract is a - b, also stored in dst unless it is [Discard].
func Subtract(a, b, dst Term) Term { return operator{opSubtract, []Term{a, b, dst}} }

// LAnd is true when both a and b are not zero.
func LAnd(a, b Term) Term { return operator{opLAnd, []Term{a, b}} }

// LOr is true when a or b is not zero.
func LOr(a, b Term) Term { return operator{opLOr, []Term{a, b}} }

// LNot is true when a is zero.
func LNot(a Term) Term { return operator{opLNot, []Term{a}} }

// LEqual is true when a and b are the same.
func LEqual(a, b Term) Term { return operator{opLEqual, []Term{a, b}} }

// LGreater is true when a is greater than b.
func LGreater(a, b Term) Term { return operator{opLGreater, []Term{a, b}} }

// LLess is true when a is less than b.
func LLess(a, b Term) Term { return operator{opLLess, []Term{a, b}} }

// Notify tells the operating system of an event, such as 0x80, on a device.
func Notify(device, value Term) Term { return operator{opNotify, []Term{device, value}} }

// Return ends the method with a value.
func Return(value Term) Term { return operator{opReturn, []Term{value}} }

type conditional struct {
	op        byte
	predicate Term // nil for Else
	body      []Term
}

func (c conditional) encode(e *encoder) {
	e.block([]byte{c.op}, func() {
		if c.predicate != nil {
			c.predicate.encode(e)
		} else if c.op != opElse {
			e.fail("condition missing")
		}
		e.terms(c.body)
	})
}

// If runs body when predicate is not zero.
func If(predicate Term, body ...Term) Term { return conditional{opIf, predicate, body} }

// Else runs body when the [If] right before it did not.
func Else(body ...Term) Term { return conditional{opElse, nil, body} }

// While repeats body as long as predicate is not zero.
func While(predicate Term, body ...Term) Term { return conditional{opWhile, predicate, body} }
