package qjson

// state is what the lexer is in the middle of. Values from tokLCurly up are
// not states but the kinds of finished tokens.
type state uint8

const (
	lexStart state = iota
	lexError
	lexRecovery
	lexDQString
	lexDQEscape
	lexSQString
	lexSQEscape
	lexZero
	lexDigits
	lexSign
	lexPoint
	lexFraction
	lexExp
	lexExpSign
	lexExpDigits
	lexKeyword

	tokLCurly
	tokRCurly
	tokLSquare
	tokRSquare
	tokColon
	tokComma
	tokInteger
	tokFloat
	tokKeyword
	tokString
)

// isToken says whether s is the kind of a finished token.
func (s state) isToken() bool { return s >= tokLCurly }

// step is one move of the lexer: from state s on byte c to state next. With
// look, c is not part of the token that ends here and must be looked at again.
func step(s state, c byte) (next state, look bool) {
	switch s {
	case lexStart:
		return start(c), false
	case lexRecovery:
		return resync(c)
	case lexDQString:
		return inString(c, '"', lexDQString, lexDQEscape), false
	case lexSQString:
		return inString(c, '\'', lexSQString, lexSQEscape), false
	case lexDQEscape:
		return escaped(c, lexDQString), false
	case lexSQEscape:
		return escaped(c, lexSQString), false
	case lexKeyword:
		if 'a' <= c && c <= 'z' {
			return lexKeyword, false
		}
		return tokKeyword, true
	}
	return number(s, c)
}

func start(c byte) state {
	switch c {
	case ' ', '\t', '\r', '\n':
		return lexStart
	case '"':
		return lexDQString
	case '\'':
		return lexSQString
	case '{':
		return tokLCurly
	case '}':
		return tokRCurly
	case '[':
		return tokLSquare
	case ']':
		return tokRSquare
	case ':':
		return tokColon
	case ',':
		return tokComma
	case '-':
		return lexSign
	case '0':
		return lexZero
	}
	switch {
	case isDigit(c):
		return lexDigits
	case 'a' <= c && c <= 'z':
		return lexKeyword
	}
	return lexError
}

// resync skips what follows an error until something that a sane stream can
// be picked up from: a structural character, a control character other than
// TAB, or a byte that no encoding of text contains.
func resync(c byte) (next state, look bool) {
	switch c {
	case '[', ']', '{', '}', ':', ',', 0xFE, 0xFF:
		return lexStart, true
	case '\t':
		return lexRecovery, false
	}
	if c < 0x20 {
		return lexStart, true
	}
	return lexRecovery, false
}

func inString(c, quote byte, self, escape state) state {
	switch {
	case c == quote:
		return tokString
	case c == '\\':
		return escape
	}
	return escaped(c, self)
}

// escaped accepts what may stand in a string at all. Whether it makes sense
// after a backslash, and whether it is UTF-8, is the parser's business.
func escaped(c byte, next state) state {
	if c < 0x20 || c > 0xFD {
		return lexError
	}
	return next
}

func number(s state, c byte) (next state, look bool) {
	digit := isDigit(c)
	exp := c == 'e' || c == 'E'
	switch s {
	case lexSign:
		switch {
		case c == '0':
			return lexZero, false
		case digit:
			return lexDigits, false
		}
	case lexZero:
		switch {
		case c == '.':
			return lexPoint, false
		case digit:
			return lexError, false
		}
		return tokInteger, true
	case lexDigits:
		switch {
		case digit:
			return lexDigits, false
		case c == '.':
			return lexPoint, false
		case exp:
			return lexExp, false
		}
		return tokInteger, true
	case lexPoint:
		if digit {
			return lexFraction, false
		}
	case lexFraction:
		switch {
		case digit:
			return lexFraction, false
		case exp:
			return lexExp, false
		}
		return tokFloat, true
	case lexExp:
		switch {
		case c == '+' || c == '-':
			return lexExpSign, false
		case digit:
			return lexExpDigits, false
		}
	case lexExpSign:
		if digit {
			return lexExpDigits, false
		}
	case lexExpDigits:
		if digit {
			return lexExpDigits, false
		}
		return tokFloat, true
	}
	return lexError, false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// plainRun is the number of leading bytes of data that leave a string quoted
// with quote where it is.
func plainRun(data []byte, quote byte) int {
	for i, c := range data {
		if c == quote || c == '\\' || c < 0x20 || c > 0xFD {
			return i
		}
	}
	return len(data)
}
