package monitor

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

const (
	// maxLine is how many bytes a line of the human monitor may have, as in QEMU.
	maxLine = 4095
	// maxHistory is how many lines are remembered, as in QEMU.
	maxHistory = 64
	// screenWidth is the width in columns of a list of completions.
	screenWidth = 80
)

// readline edits one line, for a terminal that does not echo. What it sends to
// the terminal is what QEMU sends: a changed line is drawn whole, from the
// prompt on.
type readline struct {
	buf    []byte
	cursor int // index in buf

	// What the terminal shows behind the prompt.
	shown       []byte
	shownCursor int

	escape escapeState
	param  int // of an escape sequence

	history [][]byte // the latest last
	recall  int      // index in history of what the user looks at; -1 for none

	// complete tells how the text before the cursor may go on; nil for not at
	// all. See [Human].
	complete func(line string) (prefix string, words []string)

	out []byte // for the terminal, collected by key
}

// escapeState says how much of an escape sequence there was.
type escapeState int

const (
	escapeNone escapeState = iota
	escapeBegun
	escapeCSI // ESC [
	escapeSS3 // ESC O
)

// Keys that edit, besides the cursor keys.
const (
	ctrlA     = 0x01
	ctrlD     = 0x04
	ctrlE     = 0x05
	backspace = 0x08
	tab       = 0x09
	ctrlL     = 0x0C
	ctrlN     = 0x0E
	ctrlP     = 0x10
	ctrlU     = 0x15
	ctrlW     = 0x17
	escapeKey = 0x1B
	deleteKey = 0x7F
	csiKey    = 0x9B // ESC [ in one byte
)

// maxParam bounds the number in an escape sequence.
const maxParam = 1000

// newReadline makes an editor without history.
func newReadline(complete func(string) (string, []string)) readline {
	return readline{recall: -1, complete: complete}
}

// restart forgets the line, as when the prompt is written anew. The history
// stays.
func (r *readline) restart() {
	r.buf, r.cursor = nil, 0
	r.shown, r.shownCursor = nil, 0
	r.escape = escapeNone
}

// lines lists the history, the oldest first.
func (r *readline) lines() []string {
	var out []string
	for _, l := range r.history {
		out = append(out, string(l))
	}
	return out
}

// key takes one byte of input. It returns what the terminal is to be sent, and
// the line when the byte has ended it.
func (r *readline) key(c byte) (echo, line string, done bool) {
	r.out = r.out[:0]
	if r.escape == escapeNone && (c == '\r' || c == '\n') {
		line = string(r.buf)
		r.remember(r.buf)
		r.restart()
		return "\r\n", line, true
	}
	switch r.escape {
	case escapeNone:
		r.plain(c)
	case escapeBegun:
		r.escape, r.param = escapeNone, 0
		switch c {
		case '[':
			r.escape = escapeCSI
		case 'O':
			r.escape = escapeSS3
		}
	case escapeCSI:
		if c >= '0' && c <= '9' {
			r.param = min(r.param*10+int(c-'0'), maxParam)
			break
		}
		r.escape = escapeNone
		r.csi(c)
	case escapeSS3:
		r.escape = escapeNone
		switch c {
		case 'F':
			r.cursor = len(r.buf)
		case 'H':
			r.cursor = 0
		}
	}
	r.draw()
	return string(r.out), "", false
}

// plain takes a key outside escape sequences.
func (r *readline) plain(c byte) {
	switch c {
	case ctrlA:
		r.cursor = 0
	case ctrlD:
		r.remove(r.cursor, r.cursor+1)
	case ctrlE:
		r.cursor = len(r.buf)
	case tab:
		r.completion()
	case ctrlL:
		r.out = append(r.out, "\x1b[2J\x1b[1;1H"...)
		r.prompt()
	case ctrlN:
		r.later()
	case ctrlP:
		r.earlier()
	case ctrlU:
		r.remove(0, r.cursor)
	case ctrlW:
		r.remove(r.wordStart(), r.cursor)
	case escapeKey:
		r.escape = escapeBegun
	case csiKey:
		r.escape, r.param = escapeCSI, 0
	case backspace, deleteKey:
		r.remove(r.cursor-1, r.cursor)
	default:
		if c >= ' ' {
			r.insert(c)
		}
	}
}

// csi takes the byte that ends an escape sequence.
func (r *readline) csi(c byte) {
	switch c {
	case 'A':
		r.earlier()
	case 'B':
		r.later()
	case 'C':
		r.cursor = min(r.cursor+1, len(r.buf))
	case 'D':
		r.cursor = max(r.cursor-1, 0)
	case '~':
		switch r.param {
		case 1:
			r.cursor = 0
		case 3:
			r.remove(r.cursor, r.cursor+1)
		case 4:
			r.cursor = len(r.buf)
		}
	}
}

func (r *readline) insert(c byte) {
	if len(r.buf) < maxLine {
		r.buf = slices.Insert(r.buf, r.cursor, c)
		r.cursor++
	}
}

// remove takes the bytes from..to out of the line and leaves the cursor where
// they were. Bounds outside of the line mean that there is nothing to remove.
func (r *readline) remove(from, to int) {
	if from < 0 || to > len(r.buf) {
		return
	}
	r.buf = slices.Delete(r.buf, from, to)
	r.cursor = from
}

// wordStart is where the word before the cursor begins.
func (r *readline) wordStart() int {
	i := r.cursor
	for i > 0 && r.buf[i-1] == ' ' {
		i--
	}
	for i > 0 && r.buf[i-1] != ' ' {
		i--
	}
	return i
}

// remember puts a line at the end of the history, from where it may have come.
func (r *readline) remember(line []byte) {
	r.recall = -1
	if len(line) == 0 {
		return
	}
	r.history = slices.DeleteFunc(r.history, func(old []byte) bool { return bytes.Equal(old, line) })
	if len(r.history) == maxHistory {
		r.history = slices.Delete(r.history, 0, 1)
	}
	r.history = append(r.history, bytes.Clone(line))
}

func (r *readline) earlier() {
	at := r.recall
	if at < 0 {
		at = len(r.history)
	}
	if at > 0 {
		r.show(at - 1)
	}
}

func (r *readline) later() {
	switch {
	case r.recall < 0:
	case r.recall+1 < len(r.history):
		r.show(r.recall + 1)
	default:
		r.recall = -1
		r.buf, r.cursor = nil, 0
	}
}

func (r *readline) show(at int) {
	r.recall = at
	r.buf = bytes.Clone(r.history[at])
	r.cursor = len(r.buf)
}

// completion completes the word before the cursor as far as it is certain, and
// lists what it may become if that is more than one.
func (r *readline) completion() {
	if r.complete == nil {
		return
	}
	prefix, words := r.complete(string(r.buf[:r.cursor]))
	if len(words) == 0 {
		return
	}
	common := words[0]
	width := 0
	for _, w := range words {
		n := 0
		for n < min(len(common), len(w)) && common[n] == w[n] {
			n++
		}
		common = common[:n]
		width = max(width, len(w))
	}
	for i := len(prefix); i < len(common); i++ {
		r.insert(common[i])
	}
	if len(words) == 1 {
		if !strings.HasSuffix(common, "/") {
			r.insert(' ')
		}
		return
	}
	width = min(max(width+2, 10), screenWidth)
	r.out = append(r.out, "\r\n"...)
	for i, w := range words {
		r.out = fmt.Appendf(r.out, "%-*s", width, w)
		if (i+1)%(screenWidth/width) == 0 || i == len(words)-1 {
			r.out = append(r.out, "\r\n"...)
		}
	}
	r.prompt()
}

// prompt begins a new line on the terminal. draw shows what was typed there.
func (r *readline) prompt() {
	r.out = append(r.out, prompt...)
	r.shown, r.shownCursor = nil, 0
}

// draw brings the terminal to what the line is.
func (r *readline) draw() {
	if !bytes.Equal(r.buf, r.shown) {
		r.out = append(r.out, strings.Repeat("\x1b[D", r.shownCursor)...)
		r.out = append(r.out, r.buf...)
		r.out = append(r.out, "\x1b[K"...)
		r.shown = append(r.shown[:0], r.buf...)
		r.shownCursor = len(r.buf)
	}
	for ; r.shownCursor < r.cursor; r.shownCursor++ {
		r.out = append(r.out, "\x1b[C"...)
	}
	for ; r.shownCursor > r.cursor; r.shownCursor-- {
		r.out = append(r.out, "\x1b[D"...)
	}
}
