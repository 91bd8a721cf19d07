package monitor

import "strings"

// maxLine is how many bytes a line of the human monitor may have, as in QEMU.
const maxLine = 4095

// readline edits one line, for a terminal that does not echo. What it sends to
// the terminal is what QEMU sends.
type readline struct {
	buf    []byte
	escape int // bytes of an escape sequence seen: 0, 1 (ESC) or 2 (ESC [)
}

// key takes one byte of input. It returns what the terminal is to be sent, and
// the line when the byte has ended it.
func (r *readline) key(c byte) (echo, line string, done bool) {
	old := len(r.buf)
	switch {
	case r.escape == 1:
		r.escape = 0
		if c == '[' || c == 'O' {
			r.escape = 2
		}
		return "", "", false
	case r.escape == 2:
		// Parameters of the sequence, then the byte that ends it. Cursor keys
		// and history are not here yet.
		if c < '0' || c > '9' {
			r.escape = 0
		}
		return "", "", false
	case c == 0x1B:
		r.escape = 1
		return "", "", false
	case c == '\r' || c == '\n':
		line = string(r.buf)
		r.buf = r.buf[:0]
		return "\r\n", line, true
	case c == 0x08 || c == 0x7F:
		if old == 0 {
			return "", "", false
		}
		r.buf = r.buf[:old-1]
	case c == 0x15: // Ctrl-U
		r.buf = r.buf[:0]
	case c >= 0x20:
		if old >= maxLine {
			return "", "", false
		}
		r.buf = append(r.buf, c)
	default:
		return "", "", false
	}
	return strings.Repeat("\x1b[D", old) + string(r.buf) + "\x1b[K", "", false
}
