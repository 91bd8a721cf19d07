package qjson

import (
	"errors"
	"strconv"
)

// parseTokens turns the tokens of one value, balanced or not, into the value.
func parseTokens(tokens []token, text *text) (any, error) {
	d := decoder{tokens: tokens, text: text}
	return d.value()
}

// decoder is a recursive descent over tokens. Its depth is bounded by
// [MaxNesting], since the tokens were.
type decoder struct {
	tokens []token
	text   *text
}

func parseError(msg string) error {
	const limit = 1023 // of QEMU's message buffer
	if len(msg) > limit {
		msg = msg[:limit]
	}
	return Error("JSON parse error, " + msg)
}

func (d *decoder) peek() (state, error) {
	if len(d.tokens) == 0 {
		return lexError, parseError("premature EOI")
	}
	return d.tokens[0].kind, nil
}

func (d *decoder) pop() (state, []byte, error) {
	kind, err := d.peek()
	if err != nil {
		return kind, nil, err
	}
	t := d.tokens[0]
	d.tokens = d.tokens[1:]
	return kind, d.text.slice(int(t.start), int(t.end)), nil
}

func (d *decoder) value() (any, error) {
	kind, err := d.peek()
	if err != nil {
		return nil, err
	}
	switch kind {
	case tokLCurly:
		return d.object()
	case tokLSquare:
		return d.array()
	case tokString, tokInteger, tokFloat, tokKeyword:
	default:
		return nil, parseError("expecting value")
	}
	if kind == tokString {
		t := d.tokens[0]
		if s, ok := d.text.plain(int(t.start)+1, int(t.end)-1); ok {
			d.tokens = d.tokens[1:]
			return s, nil
		}
	}
	kind, text, _ := d.pop()
	switch kind {
	case tokString:
		return unquote(text)
	case tokInteger:
		return integer(string(text)), nil
	case tokFloat:
		return float(string(text)), nil
	}
	switch string(text) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	}
	return nil, parseError("invalid keyword '" + string(text) + "'")
}

func (d *decoder) object() (any, error) {
	d.pop() // '{'
	m := map[string]any{}
	kind, err := d.peek()
	if err != nil {
		return nil, err
	}
	if kind == tokRCurly {
		d.pop()
		return m, nil
	}
	for {
		if err := d.pair(m); err != nil {
			return nil, err
		}
		kind, _, err := d.pop()
		switch {
		case err != nil:
			return nil, err
		case kind == tokRCurly:
			return m, nil
		case kind != tokComma:
			return nil, parseError("expected separator in dict")
		}
	}
}

func (d *decoder) pair(m map[string]any) error {
	k, err := d.value()
	if err != nil {
		return err
	}
	key, ok := k.(string)
	if !ok {
		return parseError("key is not a string in object")
	}
	kind, _, err := d.pop()
	if err != nil {
		return err
	}
	if kind != tokColon {
		return parseError("missing : in object pair")
	}
	v, err := d.value()
	if err != nil {
		return err
	}
	if _, dup := m[key]; dup {
		return parseError("duplicate key")
	}
	m[key] = v
	return nil
}

func (d *decoder) array() (any, error) {
	d.pop() // '['
	list := []any{}
	kind, err := d.peek()
	if err != nil {
		return nil, err
	}
	if kind == tokRSquare {
		d.pop()
		return list, nil
	}
	for {
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		kind, _, err := d.pop()
		switch {
		case err != nil:
			return nil, err
		case kind == tokRSquare:
			return list, nil
		case kind != tokComma:
			return nil, parseError("expected separator in list")
		}
	}
}

// integer keeps what fits 64 bits, signed or unsigned, exact. The rest becomes
// a floating-point number, as in QEMU.
func integer(s string) any {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i
	}
	if s[0] != '-' {
		if u, err := strconv.ParseUint(s, 10, 64); err == nil {
			return u
		}
	}
	return float(s)
}

// float is strtod: what is too large becomes infinite.
func float(s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		panic("qjson: the lexer passed a malformed number: " + s)
	}
	return f
}
