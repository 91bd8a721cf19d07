package chardev

import (
	"context"
	"testing"
)

// muxModel is what a multiplexer with frontends that take all at once does.
type muxModel struct {
	in     [2][]byte
	focus  int
	escape bool
}

func (m *muxModel) key(b byte) {
	switch {
	case m.escape && b == 'c':
		m.focus = 1 - m.focus
	case m.escape == (b == escapeKey):
		m.in[m.focus] = append(m.in[m.focus], b)
	}
	m.escape = !m.escape && b == escapeKey
}

// Whatever is typed, in pieces of any size, for frontends that take any number of bytes at a time:
// each frontend gets its bytes in order. Input that does not fit is not taken.
func FuzzMuxInput(f *testing.F) {
	f.Add([]byte("abc\x01cdef\x01\x01\x01h\x01t\x01xg"), uint16(3), uint16(1))
	f.Add([]byte("\x01\x01\x01c\x01c\x01b\x01"), uint16(1), uint16(2))
	f.Fuzz(func(t *testing.T, input []byte, piece, room uint16) {
		if len(input) > 1<<14 {
			return
		}
		r := &Registry{}
		base, c := newChardev(context.Background(), r, "c-base"), newChardev(context.Background(), r, "c")
		base.open = true
		if err := newMux(c, base); err != nil {
			t.Fatal(err)
		}
		m := c.port.m
		// No goroutines here: the test is the dispatcher.
		work := func() {
			for base.stepMux() || base.step() {
			}
		}
		fes := [2]*recorder{newRecorder(t), newRecorder(t)}
		var places [2]*Chardev
		for i, fe := range fes {
			places[i] = m.newPort()
			if err := places[i].Attach(fe); err != nil {
				t.Fatal(err)
			}
		}
		m.release()
		work()
		model := muxModel{focus: 1}
		give := func() {
			for i, fe := range fes {
				fe.setRoom(places[i], int(room))
			}
			work()
		}
		for rest := input; len(rest) > 0; {
			p := rest[:min(len(rest), int(piece)%5000+1, m.CanReceive())]
			if len(p) > 0 {
				m.Receive(p)
			} else if room == 0 {
				break
			}
			for _, b := range p {
				model.key(b)
			}
			rest = rest[len(p):]
			give()
			if n := len(m.raw) + len(places[0].port.in) + len(places[1].port.in); n > 3*muxBuffer {
				t.Fatalf("%d bytes are kept", n)
			}
		}
		if room == 0 {
			room = 1000
		}
		for range len(input) + 1 {
			if give(); len(m.raw)+len(places[0].port.in)+len(places[1].port.in) == 0 {
				break
			}
		}
		for i, fe := range fes {
			if fe.input() != string(model.in[i]) {
				t.Errorf("frontend %d got %q, want %q", i, fe.input(), model.in[i])
			}
		}
	})
}
