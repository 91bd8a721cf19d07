package qjson

import (
	"strings"
	"unicode/utf8"
)

// decodeRune takes the first code point off s, which must not be empty. It
// accepts UTF-8 and C0 80 for U+0000; any other overlong form, surrogates and
// noncharacters are invalid. An invalid sequence has code point -1, and its
// size is the lead byte and as many continuation bytes as it asked for and got.
func decodeRune[T string | []byte](s T) (cp rune, size int) {
	c := s[0]
	var want int // continuation bytes
	switch {
	case c < 0x80:
		return rune(c), 1
	case c < 0xC0 || c >= 0xFE:
		return -1, 1
	case c < 0xE0:
		want, cp = 1, rune(c&0x1F)
	case c < 0xF0:
		want, cp = 2, rune(c&0x0F)
	case c < 0xF8:
		want, cp = 3, rune(c&0x07)
	case c < 0xFC:
		want, cp = 4, rune(c&0x03)
	default:
		want, cp = 5, rune(c&0x01)
	}
	for i := 1; i <= want; i++ {
		if i >= len(s) || s[i]&0xC0 != 0x80 {
			return -1, i
		}
		cp = cp<<6 | rune(s[i]&0x3F)
	}
	size = want + 1
	if cp == 0 && size == 2 {
		return 0, 2
	}
	if !validRune(cp) || utf8.RuneLen(cp) != size {
		return -1, size
	}
	return cp, size
}

// validRune says whether QEMU lets cp into a string.
func validRune(cp rune) bool {
	nonchar := cp&0xFFFE == 0xFFFE || cp >= 0xFDD0 && cp <= 0xFDEF
	return utf8.ValidRune(cp) && !nonchar
}

// unquote decodes the text of a string token, quotes included.
func unquote(text []byte) (any, error) {
	end := len(text) - 1
	var out strings.Builder
	out.Grow(end - 1)
	for i := 1; i < end; {
		if text[i] != '\\' {
			cp, n := decodeRune(text[i:end])
			if cp < 0 {
				return nil, parseError("invalid UTF-8 sequence in string")
			}
			out.WriteRune(cp)
			i += n
			continue
		}
		esc := i
		c := text[i+1]
		i += 2
		switch c {
		case '"', '\'', '\\', '/':
			out.WriteByte(c)
		case 'b':
			out.WriteByte('\b')
		case 'f':
			out.WriteByte('\f')
		case 'n':
			out.WriteByte('\n')
		case 'r':
			out.WriteByte('\r')
		case 't':
			out.WriteByte('\t')
		case 'u':
			cp, n := escapedRune(text[i:end])
			if cp < 0 {
				// QEMU quotes the escape, up to the end of the token.
				bad := text[esc:min(i+4, len(text))]
				return nil, parseError(string(bad) + " is not a valid Unicode character")
			}
			out.WriteRune(cp)
			i += n
		default:
			return nil, parseError("invalid escape sequence in string")
		}
	}
	return out.String(), nil
}

// isPlain says whether s is ASCII without escapes.
func isPlain(s []byte) bool {
	for _, c := range s {
		if c == '\\' || c >= 0x80 {
			return false
		}
	}
	return true
}

// escapedRune decodes what follows \u: four hexadecimal digits, and for a
// leading surrogate a second escape with the trailing one. It returns -1 if
// that is no valid character.
func escapedRune(s []byte) (cp rune, size int) {
	cp = hex4(s)
	size = 4
	if cp >= 0xD800 && cp <= 0xDBFF && len(s) >= 6 && s[4] == '\\' && s[5] == 'u' {
		low := hex4(s[6:])
		if low < 0xDC00 || low > 0xDFFF {
			return -1, 0
		}
		cp = 0x10000 + (cp-0xD800)<<10 + (low - 0xDC00)
		size = 10
	}
	if cp < 0 || !validRune(cp) {
		return -1, 0
	}
	return cp, size
}

func hex4(s []byte) rune {
	if len(s) < 4 {
		return -1
	}
	var v rune
	for _, c := range s[:4] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		v = v<<4 | rune(c)
	}
	return v
}
