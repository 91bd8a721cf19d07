package hmp

import "strings"

// blanks are what C's isspace knows.
const blanks = " \t\n\v\f\r"

// maxWords is how many words a line for help and completion may have.
const maxWords = 16

// maxWord is how many bytes of a word count, as in QEMU.
const maxWord = 1023

// scanner walks along a command line.
type scanner struct {
	text string
	pos  int
}

func (p *scanner) end() bool { return p.pos >= len(p.text) }

// peek is the next byte, 0 at the end.
func (p *scanner) peek() byte {
	if p.end() {
		return 0
	}
	return p.text[p.pos]
}

// space skips blanks.
func (p *scanner) space() {
	for !p.end() && isBlank(p.text[p.pos]) {
		p.pos++
	}
}

func isBlank(c byte) bool { return strings.IndexByte(blanks, c) >= 0 }

// name reads the name of a command, which a blank or a slash ends: "x/10i".
func (p *scanner) name() string {
	p.space()
	from := p.pos
	for !p.end() && p.peek() != '/' && !isBlank(p.peek()) {
		p.pos++
	}
	return p.text[from:p.pos]
}

// word reads a word, or a text in double quotes. ok is false where there is
// none, or its quotes do not end.
func (p *scanner) word() (w string, ok bool) {
	p.space()
	if p.end() {
		return "", false
	}
	if p.peek() != '"' {
		from := p.pos
		for !p.end() && !isBlank(p.peek()) {
			p.pos++
		}
		return cutWord(p.text[from:p.pos]), true
	}
	p.pos++
	var b strings.Builder
	for !p.end() {
		c := p.text[p.pos]
		p.pos++
		switch c {
		case '"':
			return cutWord(b.String()), true
		case '\\':
			c = p.peek()
			p.pos++
			switch c {
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case '\\', '\'', '"':
			default:
				return "", false
			}
		}
		b.WriteByte(c)
	}
	return "", false
}

func cutWord(w string) string { return w[:min(len(w), maxWord)] }

// split takes a line apart into words. ok is false where it is malformed or too
// long.
func split(line string) (words []string, ok bool) {
	p := &scanner{text: line}
	for p.space(); !p.end(); p.space() {
		w, ok := p.word()
		if !ok || len(words) == maxWords {
			return nil, false
		}
		words = append(words, w)
	}
	return words, true
}
