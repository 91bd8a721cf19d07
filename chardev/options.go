package chardev

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Opts is a list of options as the command line's parser made it: "-chardev socket,id=c,path=x" is
// backend=socket, id=c, path=x.
type Opts interface {
	// Get returns the last value of the option name.
	Get(name string) (value string, ok bool)
	// Names returns the names that were given, in their order.
	Names() []string
}

type optKind int

const (
	optString optKind = iota
	optBool
	optNumber
	optSize
)

// optKinds are the options of -chardev and their types. QEMU checks names and types for all
// backends alike, so that options without a meaning here are known, too.
var optKinds = map[string]optKind{
	"backend": optString, "path": optString, "input-path": optString, "host": optString,
	"port": optString, "fd": optString, "localaddr": optString, "localport": optString,
	"to": optNumber, "ipv4": optBool, "ipv6": optBool, "wait": optBool, "server": optBool,
	"delay": optBool, "nodelay": optBool, "reconnect": optNumber, "telnet": optBool,
	"tn3270": optBool, "tls-creds": optString, "tls-authz": optString, "websocket": optBool,
	"width": optNumber, "height": optNumber, "cols": optNumber, "rows": optNumber, "mux": optBool,
	"signal": optBool, "name": optString, "debug": optNumber, "size": optSize, "chardev": optString,
	"append": optBool, "logfile": optString, "logappend": optBool, "mouse": optBool,
	"clipboard": optBool, "tight": optBool, "abstract": optBool,
}

// checkOpts refuses unknown options and values of the wrong type.
func checkOpts(o Opts) error {
	for _, name := range o.Names() {
		if name == "id" {
			continue
		}
		kind, ok := optKinds[name]
		if !ok {
			return errorf("Invalid parameter '%s'", name)
		}
		v, _ := o.Get(name)
		var err error
		switch kind {
		case optBool:
			_, err = parseBool(name, v)
		case optNumber:
			_, err = parseNumber(name, v)
		case optSize:
			_, err = parseSize(name, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// optReader reads options that checkOpts has passed.
type optReader struct{ o Opts }

func (r optReader) has(name string) bool {
	_, ok := r.o.Get(name)
	return ok
}

func (r optReader) str(name string) string {
	v, _ := r.o.Get(name)
	return v
}

func (r optReader) bool(name string, def bool) bool {
	if v, ok := r.o.Get(name); ok {
		if b, err := parseBool(name, v); err == nil {
			return b
		}
	}
	return def
}

func (r optReader) optBool(name string) *bool {
	if !r.has(name) {
		return nil
	}
	b := r.bool(name, false)
	return &b
}

func (r optReader) number(name string) uint64 {
	if v, ok := r.o.Get(name); ok {
		if n, err := parseNumber(name, v); err == nil {
			return n
		}
	}
	return 0
}

func parseBool(name, v string) (bool, error) {
	switch v {
	case "on", "yes", "true", "y":
		return true, nil
	case "off", "no", "false", "n":
		return false, nil
	}
	return false, errorf("Parameter '%s' expects 'on' or 'off'", name)
}

// parseNumber reads a 64-bit number as C's strtoull does: decimal, octal after 0, hexadecimal
// after 0x, and with a sign it wraps around.
func parseNumber(name, v string) (uint64, error) {
	s := strings.TrimLeft(v, " \t\n\v\f\r")
	neg := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		neg = s[0] == '-'
		s = s[1:]
	}
	base, digits := 10, s
	switch {
	case strings.HasPrefix(s, "0x"), strings.HasPrefix(s, "0X"):
		base, digits = 16, s[2:]
	case len(s) > 1 && s[0] == '0':
		base, digits = 8, s[1:]
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil {
		if ne, ok := err.(*strconv.NumError); ok && ne.Err == strconv.ErrRange {
			return 0, errorf("Value '%s' is too large for parameter '%s'", v, name)
		}
		return 0, errorf("Parameter '%s' expects a number", name)
	}
	if neg {
		n = -n
	}
	return n, nil
}

// parseSize reads a size: a decimal number, which may have a fraction, or a hexadecimal one, and a
// suffix B, K, M, G, T, P or E of either case.
func parseSize(name, v string) (uint64, error) {
	bad := &Error{
		Desc: fmt.Sprintf("Parameter '%s' expects a non-negative number below 2^64", name),
		Hint: "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.\n",
	}
	s := strings.TrimLeft(v, " \t\n\v\f\r")
	if s == "" || len(s) > 64 {
		return 0, bad
	}
	hex := strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X")
	suffixes := "bkmgtpe"
	if hex {
		suffixes = "\x00kmgtp" // b and e are digits there
	}
	shift := uint(0)
	if i := strings.IndexByte(suffixes, s[len(s)-1]|0x20); i >= 0 {
		shift = 10 * uint(i)
		s = s[:len(s)-1]
	}
	var r *big.Rat
	if hex {
		n, err := strconv.ParseUint(s[2:], 16, 64)
		if err != nil {
			return 0, bad
		}
		r = new(big.Rat).SetFrac(new(big.Int).SetUint64(n), big.NewInt(1))
	} else {
		if s == "" || strings.Trim(s, "0123456789.") != "" || strings.Count(s, ".") > 1 || s[0] == '.' {
			return 0, bad
		}
		var ok bool
		if r, ok = new(big.Rat).SetString(strings.TrimSuffix(s, ".")); !ok {
			return 0, bad
		}
	}
	r.Mul(r, new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), shift)))
	n := new(big.Int).Quo(r.Num(), r.Denom())
	if !n.IsUint64() {
		return 0, errorf("Value '%s' is out of range for parameter '%s'", v, name)
	}
	return n.Uint64(), nil
}

// wellFormedID says whether id is an identifier in QEMU's sense.
func wellFormedID(id string) bool {
	for i := range len(id) {
		c := id[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || c == '-' || c == '.' || c == '_')) {
			return false
		}
	}
	return id != ""
}
