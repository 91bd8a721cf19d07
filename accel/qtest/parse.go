package qtest

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	// maxBlock bounds the data of one command, in bytes.
	maxBlock = 64 << 20
	// maxFill bounds what one memset fills, in bytes.
	maxFill = 4 << 30
)

// errMissing is the answer where QEMU ends on an assertion.
var errMissing = errors.New("missing argument")

// args are the words after a command's name. As in QEMU those beyond what the
// command takes are ignored.
type args []string

// word gives argument i.
func (a args) word(i int) (string, error) {
	if i >= len(a) {
		return "", errMissing
	}
	return a[i], nil
}

// number reads argument i as C's strtoull with base 0: hexadecimal with 0x,
// octal with a leading 0, or decimal. A minus sign gives the two's complement.
func (a args) number(i int) (uint64, error) {
	s, err := a.word(i)
	if err != nil {
		return 0, err
	}
	digits := strings.TrimPrefix(s, "+")
	digits, negative := strings.CutPrefix(digits, "-")
	if negative && strings.HasPrefix(s, "+") {
		return 0, fmt.Errorf("'%s' is not a number", clip(s))
	}
	base := 10
	if rest, ok := cutHex(digits); ok {
		digits, base = rest, 16
	} else if len(digits) > 1 && digits[0] == '0' {
		digits, base = digits[1:], 8
	}
	// A second sign is not Go's to accept.
	if strings.HasPrefix(digits, "+") || strings.HasPrefix(digits, "-") {
		return 0, fmt.Errorf("'%s' is not a number", clip(s))
	}
	n, err := strconv.ParseUint(digits, base, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("'%s' is out of range", clip(s))
	case err != nil:
		return 0, fmt.Errorf("'%s' is not a number", clip(s))
	case negative:
		n = -n
	}
	return n, nil
}

// signed reads argument i as C's strtoll with base 0.
func (a args) signed(i int) (int64, error) {
	n, err := a.number(i)
	if err != nil {
		return 0, err
	}
	negative := strings.HasPrefix(a[i], "-")
	if !negative && n > math.MaxInt64 || negative && -n > 1<<63 {
		return 0, fmt.Errorf("'%s' is out of range", clip(a[i]))
	}
	return int64(n), nil
}

// port reads argument i as the number of an I/O port.
func (a args) port(i int) (uint16, error) {
	n, err := a.number(i)
	if err == nil && n > 0xffff {
		err = fmt.Errorf("port %#x is out of range", n)
	}
	return uint16(n), err
}

// extent reads arguments 0 and 1: an address, and a number of bytes up to most.
func (a args) extent(most uint64) (addr, n uint64, err error) {
	if addr, err = a.number(0); err != nil {
		return 0, 0, err
	}
	if n, err = a.number(1); err != nil {
		return 0, 0, err
	}
	if n > most {
		return 0, 0, fmt.Errorf("size %d is out of range", n)
	}
	return addr, n, nil
}

// data reads arguments 0 to 2: an address, a number of bytes, and the bytes
// themselves, cut to that number or filled up with zeroes.
func (a args) data(decode func(string) ([]byte, error)) (addr uint64, data []byte, err error) {
	addr, n, err := a.extent(maxBlock)
	if err != nil {
		return 0, nil, err
	}
	s, err := a.word(2)
	if err != nil {
		return 0, nil, err
	}
	if len(s) < 3 {
		return 0, nil, errShort
	}
	if data, err = decode(s); err != nil {
		return 0, nil, err
	}
	if uint64(len(data)) >= n {
		return addr, data[:n], nil
	}
	full := make([]byte, n)
	copy(full, data)
	return addr, full, nil
}

// errShort is answered with QEMU's ERR instead of FAIL.
var errShort = errors.New("invalid argument size")

func decodeHex(s string) ([]byte, error) {
	digits, ok := cutHex(s)
	if !ok {
		return nil, errors.New("data does not begin with 0x")
	}
	return hex.DecodeString(digits[:len(digits)&^1])
}

func decodeBase64(s string) ([]byte, error) { return base64.StdEncoding.DecodeString(s) }

func cutHex(s string) (digits string, ok bool) {
	if len(s) > 1 && s[0] == '0' && s[1]|0x20 == 'x' {
		return s[2:], true
	}
	return s, false
}

// clip keeps a client's mistake from coming back at full length.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
