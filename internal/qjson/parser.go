package qjson

import (
	"bytes"
	"cmp"
	"errors"
)

// QEMU's bounds on one value, which keep a client from taking all memory or
// all stack.
const (
	// MaxNesting is how deep objects and arrays may nest.
	MaxNesting = 1 << 10
	// MaxTokenSize is how many bytes one token, and all tokens of one value
	// together, may have.
	MaxTokenSize = 64 << 20
	// MaxTokenCount is how many tokens one value may have.
	MaxTokenCount = 2 << 20
)

// keepTokens is how many tokens there is room kept for.
const keepTokens = 8 << 10

// ErrIncomplete says that the bytes so far end within a value, or between two.
var ErrIncomplete = errors.New("incomplete JSON value")

// Error is a complaint about the input, in QEMU's words.
type Error string

// Error returns the text.
func (e Error) Error() string { return string(e) }

type token struct {
	kind       state
	start, end uint32 // of its bytes in Parser.text
}

// Parser takes a stream of bytes apart into JSON values. The zero value is
// ready for use. A Parser may be used by one goroutine at a time.
type Parser struct {
	state  state
	text   text // of all tokens of the value being read
	tok    int  // where the token being read begins in text
	tokens []token

	// As QEMU, the two kinds of brackets are counted apart, and a value ends
	// when neither count is positive. Whether they pair up is seen later.
	braces, brackets int

	tokenSize, tokenCount int // bounds; 0 stands for the usual ones
}

func (p *Parser) maxSize() int  { return cmp.Or(p.tokenSize, MaxTokenSize) }
func (p *Parser) maxCount() int { return cmp.Or(p.tokenCount, MaxTokenCount) }

// Next reads from data up to the end of one value, or up to the byte that
// makes it wrong, and returns the value or the [Error] with what remains of
// data. With all of data read and no value complete, it returns
// [ErrIncomplete] and keeps what it has for the next call.
//
// After an error the next call carries on in the same stream.
func (p *Parser) Next(data []byte) (v any, rest []byte, err error) {
	for len(data) > 0 {
		if p.state == lexDQString || p.state == lexSQString {
			quote := byte('"')
			if p.state == lexSQString {
				quote = '\''
			}
			// Bounded, so that a token is never more than this over its limit.
			n := plainRun(data[:min(len(data), chunkSize)], quote)
			if n > 0 {
				p.text.add(data[:n])
				data = data[n:]
				if err := p.checkToken(); err != nil {
					return nil, data, err
				}
				continue
			}
		}
		next, look := step(p.state, data[0])
		if !look {
			p.text.addByte(data[0])
			data = data[1:]
		}
		v, done, err := p.enter(next)
		if done {
			return v, data, err
		}
		if err := p.checkToken(); err != nil {
			return nil, data, err
		}
	}
	return nil, nil, ErrIncomplete
}

// Flush ends the stream and returns the value or error that the end completes,
// for instance a number, which has no end of its own. It returns
// [ErrIncomplete] if nothing was pending. The parser is then as new.
func (p *Parser) Flush() (v any, err error) {
	defer p.Reset()
	for p.state != lexStart {
		next, look := step(p.state, 0)
		if next == lexStart && look {
			break
		}
		if v, done, err := p.enter(next); done {
			return v, err
		}
	}
	if len(p.tokens) > 0 {
		return parseTokens(p.tokens, &p.text)
	}
	return nil, ErrIncomplete
}

// Reset forgets all input so far.
func (p *Parser) Reset() {
	p.drop()
	p.state = lexStart
}

// enter moves the lexer on to next, which may finish a token, and that a value.
func (p *Parser) enter(next state) (v any, done bool, err error) {
	switch {
	case next.isToken():
		p.state = lexStart
		return p.token(next)
	case next == lexError:
		stray := p.text.slice(p.tok, p.text.size)
		if i := bytes.IndexByte(stray, 0); i >= 0 {
			stray = stray[:i] // QEMU prints it as a C string
		}
		err := Error("JSON parse error, stray '" + string(stray) + "'")
		p.drop()
		p.state = lexRecovery
		return nil, true, err
	case next == lexStart || next == lexRecovery:
		p.text.cut(p.tok)
	}
	p.state = next
	return nil, false, nil
}

// token takes up the token of the given kind that ends at the end of text.
func (p *Parser) token(kind state) (v any, done bool, err error) {
	switch kind {
	case tokLCurly:
		p.braces++
	case tokRCurly:
		p.braces--
	case tokLSquare:
		p.brackets++
	case tokRSquare:
		p.brackets--
	}
	switch {
	case p.text.size+1 > p.maxSize():
		err = Error("JSON token size limit exceeded")
	case len(p.tokens)+1 > p.maxCount():
		err = Error("JSON token count limit exceeded")
	case p.braces+p.brackets > MaxNesting:
		err = Error("JSON nesting depth limit exceeded")
	}
	if err != nil {
		p.drop()
		return nil, true, err
	}
	p.tokens = append(p.tokens, token{kind, uint32(p.tok), uint32(p.text.size)})
	p.tok = p.text.size
	// QEMU does not look whether braces went negative here, so "[}" waits for
	// more where "{]" is an error at once.
	if (p.braces > 0 || p.brackets > 0) && p.brackets >= 0 {
		return nil, false, nil
	}
	v, err = parseTokens(p.tokens, &p.text)
	p.drop()
	return v, true, err
}

// checkToken bounds a token that has not ended yet.
func (p *Parser) checkToken() error {
	if p.text.size-p.tok <= p.maxSize() {
		return nil
	}
	p.Reset()
	return Error("JSON token size limit exceeded")
}

// drop forgets the value being read, but not what the lexer is doing.
func (p *Parser) drop() {
	p.braces, p.brackets, p.tok = 0, 0, 0
	p.text.reset()
	if cap(p.tokens) > keepTokens {
		p.tokens = nil
	}
	p.tokens = p.tokens[:0]
}

// Parse reads the one value that data must consist of.
func Parse(data []byte) (any, error) {
	var (
		p   Parser
		val any
		got bool
	)
	for {
		v, rest, err := p.Next(data)
		if err == ErrIncomplete {
			if v, err = p.Flush(); err == ErrIncomplete {
				break
			}
			rest = nil
		}
		switch {
		case got:
			return nil, Error("Expecting at most one JSON value")
		case err != nil:
			return nil, err
		}
		val, got, data = v, true, rest
	}
	if !got {
		return nil, Error("Expecting a JSON value")
	}
	return val, nil
}
