package chardev

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// muxHelp is what the help key prints, with QEMU's unusual order of CR and LF.
func muxHelp(escape byte) string {
	head, name := "\n\r", "Escape-Char"
	if escape > 0 && escape < 26 {
		name = "C-" + string('a'-1+rune(escape))
	} else {
		head = fmt.Sprintf("\n\rEscape-Char set to Ascii: 0x%02x\n\r\n\r", escape)
	}
	return head + strings.ReplaceAll(muxKeys, "C-a", name)
}

const muxKeys = "" +
	"C-a h    print this help\n\r" +
	"C-a x    exit emulator\n\r" +
	"C-a s    save disk data back to file (if -snapshot)\n\r" +
	"C-a t    toggle console timestamps\n\r" +
	"C-a b    send break (magic sysrq)\n\r" +
	"C-a c    switch between console and monitor\n\r" +
	"C-a C-a  sends C-a\n\r"

// maxOwn bounds in bytes what the multiplexer itself has to say to a terminal that takes nothing.
const maxOwn = 4096

// muxOutput is the output side of a multiplexer. Its mu guards it.
type muxOutput struct {
	own       []byte // the multiplexer's own output that the base had no room for; goes first
	stamps    bool   // each line begins with a time
	lineStart bool   // the next byte begins a line
	since     time.Time
}

// put writes output of a frontend and returns how much was taken. mu is held.
func (m *mux) put(b []byte) int {
	n := m.putStamped(b)
	if m.log != nil {
		logWrite(m.log, b[:n])
	}
	return n
}

// putStamped is put without the logfile.
func (m *mux) putStamped(b []byte) int {
	if !m.flushOwn() {
		return 0
	}
	if !m.stamps {
		return m.base.Write(b)
	}
	n := 0
	for n < len(b) {
		if m.lineStart {
			m.lineStart = false
			m.own = append(m.own, m.stamp()...)
			if !m.flushOwn() {
				return n
			}
		}
		line := b[n:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		w := m.base.Write(line)
		n += w
		if w < len(line) {
			return n
		}
		m.lineStart = line[len(line)-1] == '\n'
	}
	return n
}

// stamp returns the time since the first line that got one.
func (m *mux) stamp() string {
	now := time.Now()
	if m.since.IsZero() {
		m.since = now
	}
	ms := now.Sub(m.since).Milliseconds()
	s := ms / 1000
	return fmt.Sprintf("[%02d:%02d:%02d.%03d] ", s/3600, s/60%60, s%60, ms%1000)
}

func (m *mux) toggleStamps() {
	m.stamps = !m.stamps
	m.lineStart = false
	m.since = time.Time{}
}

// say writes what the multiplexer itself has to say. mu is held.
func (m *mux) say(text string) {
	rest := text[m.put([]byte(text)):]
	if len(m.own)+len(rest) <= maxOwn {
		m.own = append(m.own, rest...)
	}
}

// flushOwn writes the multiplexer's own output, and says whether all of it is written. Where it
// is not, the base owes a Writable. mu is held.
func (m *mux) flushOwn() bool {
	if len(m.own) == 0 {
		return true
	}
	m.own = m.own[m.base.Write(m.own):]
	return len(m.own) == 0
}

// Writable implements [Frontend] for the base: all who had a short write may go on.
func (m *mux) Writable() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.flushOwn() {
		return
	}
	for _, p := range m.ports {
		if p != nil && p.short {
			p.short, p.ready = false, true
		}
	}
}
