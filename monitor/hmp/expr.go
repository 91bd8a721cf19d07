package hmp

import (
	"errors"
	"fmt"
	"strconv"
)

// maxDepth is how deep parentheses and signs may nest in an expression.
const maxDepth = 100

// expression reads an expression of 64-bit integers: + - over & | ^ over
// * / %, signs, parentheses, character constants, numbers in C notation and
// $registers. Overflow wraps around.
func (s *Shell) expression(p *scanner) (int64, error) {
	p.space()
	e := &evaluator{shell: s, scanner: p}
	n := e.sum()
	return n, e.err
}

// evaluator is the parser of one expression. After an error it goes on to its
// end without effect.
type evaluator struct {
	*scanner
	shell *Shell
	depth int
	err   error
}

func (e *evaluator) fail(format string, args ...any) int64 {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
	e.pos = len(e.text)
	return 0
}

// next goes to the byte after this one and the blanks behind it.
func (e *evaluator) next() {
	if !e.end() {
		e.pos++
		e.space()
	}
}

func (e *evaluator) sum() int64 {
	n := e.logic()
	for e.err == nil {
		switch e.peek() {
		case '+':
			e.next()
			n += e.logic()
		case '-':
			e.next()
			n -= e.logic()
		default:
			return n
		}
	}
	return n
}

func (e *evaluator) logic() int64 {
	n := e.product()
	for e.err == nil {
		switch e.peek() {
		case '&':
			e.next()
			n &= e.product()
		case '|':
			e.next()
			n |= e.product()
		case '^':
			e.next()
			n ^= e.product()
		default:
			return n
		}
	}
	return n
}

func (e *evaluator) product() int64 {
	n := e.unary()
	for e.err == nil {
		op := e.peek()
		if op != '*' && op != '/' && op != '%' {
			return n
		}
		e.next()
		m := e.unary()
		switch {
		case op == '*':
			n *= m
		case e.err != nil:
		case m == 0:
			return e.fail("division by zero")
		case op == '/':
			n /= m
		default:
			n %= m
		}
	}
	return n
}

func (e *evaluator) unary() int64 {
	e.depth++
	defer func() { e.depth-- }()
	if e.depth > maxDepth {
		return e.fail("expression too deep")
	}
	if e.end() {
		return e.fail("unexpected end of expression")
	}
	switch e.peek() {
	case '+':
		e.next()
		return e.unary()
	case '-':
		e.next()
		return -e.unary()
	case '~':
		e.next()
		return ^e.unary()
	case '(':
		e.next()
		n := e.sum()
		if e.peek() != ')' {
			return e.fail("')' expected")
		}
		e.next()
		return n
	case '\'':
		return e.character()
	case '$':
		return e.register()
	}
	return e.number()
}

func (e *evaluator) character() int64 {
	e.pos++
	if e.end() {
		return e.fail("character constant expected")
	}
	n := int64(int8(e.peek()))
	e.pos++
	if e.peek() != '\'' {
		return e.fail("missing terminating ' character")
	}
	e.next()
	return n
}

func (e *evaluator) register() int64 {
	e.pos++
	from := e.pos
	for c := e.peek(); isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '.'; c = e.peek() {
		e.pos++
	}
	name := e.text[from:e.pos]
	e.space()
	if e.shell.Register != nil {
		if n, ok := e.shell.Register(name); ok {
			return n
		}
	}
	return e.fail("unknown register")
}

// number reads what C's strtoull would: decimal, 0x hexadecimal, 0 octal.
func (e *evaluator) number() int64 {
	from, base := e.pos, 10
	if e.peek() == '0' {
		base = 8
		if e.pos+2 < len(e.text) && e.text[e.pos+1]|0x20 == 'x' && digit(e.text[e.pos+2]) < 16 {
			base = 16
			e.pos += 2
		}
	}
	start := e.pos
	for !e.end() && digit(e.peek()) < base {
		e.pos++
	}
	if e.pos == start {
		return e.fail("invalid char '%c' in expression", e.text[from])
	}
	n, err := strconv.ParseUint(e.text[start:e.pos], base, 64)
	if errors.Is(err, strconv.ErrRange) {
		return e.fail("number too large")
	}
	e.space()
	return int64(n)
}

// digit is the value of a digit in any base up to 16, or 16.
func digit(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return 16
}
