package qtest

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// fakeQMP is a connection whose other end is the test.
func fakeQMP(t testing.TB) (*QMP, net.Conn) {
	t.Helper()
	l := listen(t, ShortDir(t)+"/q")
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return NewQMP(t, c), s
}

func send(t testing.TB, c io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// TestLineErr: a line that is not complete in time is not lost.
func TestLineErr(t *testing.T) {
	t.Parallel()
	q, s := fakeQMP(t)
	send(t, s, `{"ev`)
	if l, err := q.LineErr(20 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) || l != `{"ev` {
		t.Errorf("%q, %v", l, err)
	}
	send(t, s, "ent\": \"X\"}\r\n")
	if l := q.Line(); l != `{"event": "X"}` {
		t.Errorf("%q", l)
	}
}

// TestWaitEventWithin: the event that matches is taken, those before it stay,
// and the wait ends in time.
func TestWaitEventWithin(t *testing.T) {
	t.Parallel()
	q, s := fakeQMP(t)
	for _, e := range []string{`"A"}`, `"B", "data": {"n": 1}}`, `"B", "data": {"n": 2}}`} {
		send(t, s, `{"event": `+e+"\r\n")
	}
	second := func(e Event) bool { return strings.Contains(string(e.Data), "2") }
	if e, ok := q.WaitEventWithin(patience, "B", second); !ok || e.String() != `B {"n": 2}` {
		t.Errorf("%v, %v", e, ok)
	}
	if e, ok := q.WaitEventWithin(20*time.Millisecond, "B", second); ok {
		t.Errorf("a second time: %v", e)
	}
	q.ExpectEvents("A", `B {"n": 1}`)
	q.ExpectNoEvent(20 * time.Millisecond)
	if _, ok := q.EventWithin(0); ok {
		t.Error("an event out of nowhere")
	}
}

// TestExpectNoEvent: an event fails the test.
func TestExpectNoEvent(t *testing.T) {
	t.Parallel()
	err := Script(func(t testing.TB) {
		q, s := fakeQMP(t)
		send(t, s, "{\"event\": \"A\"}\r\n")
		q.ExpectNoEvent(patience)
	})
	if err == nil || err.Error() != "QMP: event A, want none" {
		t.Errorf("%v", err)
	}
}

// TestExecuteFDs: a descriptor reaches the emulator with its command.
func TestExecuteFDs(t *testing.T) {
	t.Parallel()
	m := Start(t, "-M", "none")
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := m.FDs()[os.DevNull]
	name := map[string]any{"fdname": "n"}
	if err := m.QMP.ExecuteFDs("getfd", name, nil, f); err != nil {
		t.Fatal(err)
	}
	if n := m.FDs()[os.DevNull]; n != before+1 {
		t.Errorf("%d descriptors of /dev/null, were %d", n, before)
	}
	m.QMP.Must("closefd", name, nil)
	if n := m.FDs()[os.DevNull]; n != before {
		t.Errorf("%d descriptors after closefd, were %d", n, before)
	}
	if err := m.QMP.Execute("getfd", name, nil); err == nil {
		t.Error("getfd without a descriptor succeeds")
	}
}

// TestNeedsKick: a device is notified when its flag or its event index asks
// for it (virtio 1.2 section 2.7.10).
func TestNeedsKick(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	b := Buffer{Addr: 0x100000, Len: 16}
	r := newVring(m, 4, &Alloc{0x200000})
	if r.NeedsKick() {
		t.Error("with nothing added")
	}
	r.Add(b)
	if !r.NeedsKick() || r.NeedsKick() {
		t.Error("once for what was added")
	}
	m.Writew(r.Used, usedNoNotify)
	if r.Add(b); r.NeedsKick() {
		t.Error("although the device said no")
	}
	r = newVring(m, 4, &Alloc{0x300000})
	r.EventIdx = true
	event := r.Used + 4 + 8*4
	for i, c := range []struct {
		event uint16 // the index after which it wants to know
		add   int
		want  bool
	}{{0, 1, true}, {0, 1, false}, {3, 1, false}, {3, 1, true}} {
		m.Writew(event, c.event)
		for range c.add {
			r.Add(b)
		}
		if r.NeedsKick() != c.want {
			t.Errorf("step %d: not %v", i, c.want)
		}
	}
	if n := r.InFlight(); n != 4 {
		t.Errorf("%d chains in flight", n)
	}
}

// TestVringMisuse: a driver that overfills its ring, and a device that uses what
// it was not given, fail the test.
func TestVringMisuse(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	for want, f := range map[string]func(r *Vring){
		"3 descriptors, of which 2 are free": func(r *Vring) { r.Add(make([]Buffer, 2)...); r.Add(make([]Buffer, 3)...) },
		"a chain of 0 descriptors":           func(r *Vring) { r.Add() },
		"used chain 7": func(r *Vring) {
			r.m.Writel(r.Used+4, 7)
			r.m.Writew(r.Used+2, 1)
			r.Take()
		},
	} {
		err := Script(func(t testing.TB) {
			own := *m
			own.t = t
			f(newVring(&own, 4, &Alloc{0x200000}))
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestClockUntil: the time that passed is told, and waiting in vain fails.
func TestClockUntil(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	n := 0
	if d := m.ClockUntil("three steps", 10, 100, func() bool { n++; return n > 3 }); d != 30 {
		t.Errorf("%d ns passed", d)
	}
	err := Script(func(t testing.TB) {
		own := *m
		own.t = t
		own.ClockUntil("nothing", 10, 100, func() bool { return false })
	})
	if err == nil || err.Error() != "nothing: not within 100 ns" {
		t.Errorf("%v", err)
	}
}
