package chardev

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// muxOnSocket makes the multiplexer "c" on a connected socket, and returns the peer's end.
func muxOnSocket(t *testing.T, r *Registry) net.Conn {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[1]), "peer")
	peer, err := net.FileConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	mustAdd(t, r, "c", SocketConfig{Common: Common{Mux: true}, FD: &fds[0]})
	return peer
}

// join attaches a new recorder at a place of its own.
func join(t *testing.T, r *Registry, id string) (*Chardev, *recorder) {
	t.Helper()
	c, ok := r.Get(id)
	if !ok {
		t.Fatalf("no chardev %s", id)
	}
	return c, attach(t, c)
}

// calls lists the calls of Receive and Event in their order.
func (r *recorder) calls() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.log, " ")
}

func send(t *testing.T, peer net.Conn, s string) {
	t.Helper()
	peer.SetWriteDeadline(time.Now().Add(5 * time.Second))
	if _, err := peer.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

// Input goes to the frontend that has the focus: at first the one attached last. Ctrl-A c moves it
// on in a circle, and both are told.
func TestMuxFocus(t *testing.T) {
	r, _ := newRegistry(t)
	peer := muxOnSocket(t, r)
	_, a := join(t, r, "c")
	a.waitEvents(EventMuxIn, EventOpened)
	_, b := join(t, r, "c")
	b.waitEvents(EventMuxIn, EventOpened)
	a.waitEvents(EventMuxIn, EventOpened, EventMuxOut)

	send(t, peer, "to b\x01cto a\x01")
	b.waitInput("to b")
	a.waitInput("to a")
	a.waitEvents(EventMuxIn, EventOpened, EventMuxOut, EventMuxIn)
	b.waitEvents(EventMuxIn, EventOpened, EventMuxOut)
	send(t, peer, "cagain b")
	b.waitInput("to bagain b")
	if got := b.calls(); got != "MUX_IN OPENED data MUX_OUT MUX_IN data" {
		t.Errorf("order at b: %s", got)
	}
	if a.input() != "to a" {
		t.Errorf("a got %q", a.input())
	}
}

// With one frontend the focus leaves it and comes back, as in QEMU: a monitor shows its prompt.
func TestMuxFocusOfOne(t *testing.T) {
	r, _ := newRegistry(t)
	peer := muxOnSocket(t, r)
	_, a := join(t, r, "c")
	send(t, peer, "\x01c")
	a.waitEvents(EventMuxIn, EventOpened, EventMuxOut, EventMuxIn)
}

// The other keys: break for the focused one only, the escape itself, and what means nothing.
func TestMuxKeys(t *testing.T) {
	r, _ := newRegistry(t)
	peer := muxOnSocket(t, r)
	_, a := join(t, r, "c")
	a.waitEvents(EventMuxIn, EventOpened)
	_, b := join(t, r, "c")
	b.waitEvents(EventMuxIn, EventOpened)
	send(t, peer, "1\x01\x012\x01z3\x01s4\x01b5")
	b.waitInput("1\x012345")
	b.waitEvents(EventMuxIn, EventOpened, EventBreak)
	if a.input() != "" || len(a.got()) != 3 {
		t.Errorf("the other got %q, %v", a.input(), a.got())
	}
	if got := b.calls(); !strings.HasSuffix(got, "data BREAK data") {
		t.Errorf("order: %s", got)
	}
}

// The escape key may be another one; then Ctrl-A is for the frontend. The help names it as QEMU does.
func TestMuxEscapeKey(t *testing.T) {
	for key, c := range map[byte]struct{ head, name string }{
		0x14: {"\n\r", "C-t"},
		' ':  {"\n\rEscape-Char set to Ascii: 0x20\n\r\n\r", "Escape-Char"},
		0:    {"\n\rEscape-Char set to Ascii: 0x00\n\r\n\r", "Escape-Char"},
	} {
		t.Run(fmt.Sprint(key), func(t *testing.T) {
			r, _ := newRegistry(t)
			r.EscapeKey = &key
			peer := muxOnSocket(t, r)
			_, a := join(t, r, "c")
			k := string(key)
			send(t, peer, "1\x01h"+k+k+"2"+k+"h")
			a.waitInput("1\x01h" + k + "2")
			want := c.head + c.name + " h    print this help\n\r"
			if got := readString(t, peer, len(want)); got != want {
				t.Errorf("key %#x: %q", key, got)
			}
		})
	}
}

// Help and exit print QEMU's texts; output of all frontends comes out, whoever has the focus.
func TestMuxHelpExitAndOutput(t *testing.T) {
	r, _ := newRegistry(t)
	var quits atomic.Int32
	r.Quit = func() { quits.Add(1) }
	peer := muxOnSocket(t, r)
	a, _ := join(t, r, "c")
	b, _ := join(t, r, "c")
	for _, c := range []*Chardev{a, b} {
		if n := c.Write([]byte("hello")); n != 5 {
			t.Errorf("Write = %d", n)
		}
	}
	if got := readString(t, peer, 10); got != "hellohello" {
		t.Errorf("output %q", got)
	}
	const help = "\n\rC-a h    print this help\n\rC-a x    exit emulator\n\r" +
		"C-a s    save disk data back to file (if -snapshot)\n\rC-a t    toggle console timestamps\n\r" +
		"C-a b    send break (magic sysrq)\n\rC-a c    switch between console and monitor\n\rC-a C-a  sends C-a\n\r"
	for _, key := range "h?" {
		send(t, peer, "\x01"+string(key))
		if got := readString(t, peer, len(help)); got != help {
			t.Errorf("help %q", got)
		}
	}
	if quits.Load() != 0 {
		t.Error("Quit was called")
	}
	send(t, peer, "\x01x")
	if got := readString(t, peer, 18); got != "QEMU: Terminated\n\r" {
		t.Errorf("exit %q", got)
	}
	waitFor(t, "Quit", func() bool { return quits.Load() == 1 })
}

// Between HoldMuxes and OpenMuxes frontends come and the focus moves, but nobody greets and no
// input is taken.
func TestMuxHeld(t *testing.T) {
	r, _ := newRegistry(t)
	r.HoldMuxes()
	peer := muxOnSocket(t, r)
	_, a := join(t, r, "c")
	_, b := join(t, r, "c")
	send(t, peer, "early")
	a.waitEvents(EventMuxIn, EventMuxOut)
	b.waitEvents(EventMuxIn)
	time.Sleep(20 * time.Millisecond)
	if b.input() != "" || len(b.got()) != 1 {
		t.Errorf("while held: %q, %v", b.input(), b.got())
	}
	r.OpenMuxes()
	a.waitEvents(EventMuxIn, EventMuxOut, EventOpened)
	b.waitEvents(EventMuxIn, EventOpened)
	b.waitInput("early")
	r.OpenMuxes() // no effect
	_, late := join(t, r, "c")
	late.waitEvents(EventMuxIn, EventOpened)
}

// Input waits for a frontend that takes none, and the keys work meanwhile.
func TestMuxInputWaits(t *testing.T) {
	r, _ := newRegistry(t)
	peer := muxOnSocket(t, r)
	_, a := join(t, r, "c")
	c, b := join(t, r, "c")
	b.setRoom(c, 3)
	waiting := strings.Repeat("0123456789", 100)
	send(t, peer, waiting)
	b.waitInput("012")
	send(t, peer, "\x01cfor a")
	a.waitInput("for a")
	if b.input() != "012" {
		t.Errorf("b took %q", b.input())
	}
	for b.input() != waiting {
		n := len(b.input())
		b.setRoom(c, 7)
		waitFor(t, "more input", func() bool { return len(b.input()) == min(n+7, len(waiting)) })
		if !strings.HasPrefix(waiting, b.input()) {
			t.Fatalf("b has %q", b.input())
		}
	}
}

// A peer that sends more than fits is stopped, and nothing is lost or out of order.
func TestMuxInputIsBounded(t *testing.T) {
	r, _ := newRegistry(t)
	peer := muxOnSocket(t, r)
	c, b := join(t, r, "c")
	b.setRoom(c, 0)
	var all bytes.Buffer
	for i := 0; all.Len() < 1<<20; i++ {
		fmt.Fprintf(&all, "%d,", i)
	}
	done := make(chan error, 1)
	go func() {
		_, err := peer.Write(all.Bytes())
		done <- err
	}()
	time.Sleep(30 * time.Millisecond)
	select {
	case err := <-done:
		t.Fatalf("1 MiB was taken: %v", err)
	default:
	}
	m := c.port.m
	m.mu.Lock()
	kept := len(m.raw) + len(c.port.in)
	m.mu.Unlock()
	if kept > 2*muxBuffer {
		t.Errorf("%d bytes are kept", kept)
	}
	b.setRoom(c, -1)
	waitFor(t, "all input", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.in) == all.Len()
	})
	if b.input() != all.String() {
		t.Error("the input is not what was sent")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Everyone whose Write was cut short gets Writable, and nobody else. What the multiplexer itself
// has to say is not cut.
func TestMuxOutputWaits(t *testing.T) {
	r, _ := newRegistry(t)
	peer := muxOnSocket(t, r)
	ac, a := join(t, r, "c")
	bc, b := join(t, r, "c")
	_, idle := join(t, r, "c")
	sent := 0
	for _, c := range []*Chardev{ac, bc} {
		for short := 0; short < 2; {
			n := c.Write(bytes.Repeat([]byte{'.'}, 4096))
			if n < 4096 {
				short++
				time.Sleep(5 * time.Millisecond)
			}
			sent += n
		}
	}
	send(t, peer, "\x01h")
	idle.waitInput("")
	base, _ := r.Get("c-base")
	waitFor(t, "the help key", func() bool {
		m := ac.port.m
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.own) > 0
	})
	if n := bc.Write([]byte("x")); n != 0 {
		t.Errorf("Write went ahead of the help: %d", n)
	}
	out := readString(t, peer, sent+len(muxHelp(escapeKey)))
	if strings.Trim(out[:sent], ".") != "" || out[sent:] != muxHelp(escapeKey) {
		t.Errorf("output ends in %q", out[sent:])
	}
	for _, fe := range []*recorder{a, b} {
		waitFor(t, "Writable", func() bool {
			fe.mu.Lock()
			defer fe.mu.Unlock()
			return fe.writes > 0
		})
	}
	flush(t, base)
	idle.mu.Lock()
	defer idle.mu.Unlock()
	if idle.writes != 0 {
		t.Error("Writable without a short Write")
	}
}

// With time stamps on, each line gets one at its beginning, first at the next line.
func TestMuxTimestamps(t *testing.T) {
	r, _ := newRegistry(t)
	peer := muxOnSocket(t, r)
	c, fe := join(t, r, "c")
	c.Write([]byte("plain\nbegun "))
	send(t, peer, "\x01t.")
	fe.waitInput(".")
	c.Write([]byte("line\r\nnext"))
	c.Write([]byte(" one\n"))
	c.Write([]byte("\nlast"))
	const stamp = `\[00:00:0\d\.\d\d\d\] `
	want := regexp.MustCompile(`^plain\nbegun line\r\n` + stamp + `next one\n` + stamp + `\n` + stamp + `last$`)
	got := readString(t, peer, len("plain\nbegun line\r\nnext one\n\nlast")+3*len("[00:00:00.000] "))
	if !want.MatchString(got) {
		t.Errorf("output %q", got)
	}
	send(t, peer, "\x01t.")
	fe.waitInput("..")
	c.Write([]byte("\noff\n"))
	if got := readString(t, peer, 5); got != "\noff\n" {
		t.Errorf("afterwards %q", got)
	}
}

// Four frontends are the limit; their places are free again after Detach, in any order. The
// multiplexer is busy while one is there, the base while there is a multiplexer.
func TestMuxPlaces(t *testing.T) {
	r, _ := newRegistry(t)
	mustAdd(t, r, "c", NullConfig{Common{Mux: true}})
	base, _ := r.Get("c-base")
	c, _ := r.Get("c")
	if c.ID() != "c" || c.Filename() != "mux" || base.Filename() != "null" {
		t.Errorf("%s %s %s", c.ID(), c.Filename(), base.Filename())
	}
	if c.FrontendOpen() || base.FrontendOpen() {
		t.Error("open without a frontend")
	}
	var places []*Chardev
	for range 4 {
		p, _ := join(t, r, "c")
		places = append(places, p)
	}
	if !c.FrontendOpen() || !base.FrontendOpen() {
		t.Error("not open")
	}
	if err := c.Attach(newRecorder(t)); err == nil || err.Error() != "Device 'c' is in use" {
		t.Errorf("a fifth: %v", err)
	}
	if err := places[0].Attach(newRecorder(t)); err == nil {
		t.Error("two frontends at one place")
	}
	for range 10 {
		places[1].Detach()
		places[1].Detach()
		attach(t, places[1])
	}
	for id, want := range map[string]string{"c": "Chardev 'c' is busy", "c-base": "Chardev 'c-base' is busy"} {
		if err := r.Remove(id); err == nil || err.Error() != want {
			t.Errorf("Remove(%s): %v", id, err)
		}
	}
	for _, p := range places {
		p.Detach()
	}
	if err := r.Remove("c"); err != nil {
		t.Error(err)
	}
	if err := c.Attach(newRecorder(t)); err == nil {
		t.Error("Attach to a removed multiplexer")
	}
	if n := c.Write([]byte("x")); n != 1 {
		t.Errorf("Write to a removed multiplexer: %d", n)
	}
	attach(t, base).waitEvents(EventOpened)
	base.Detach()
	if err := r.Remove("c-base"); err != nil {
		t.Error(err)
	}
}

// A multiplexer can be put on a chardev that exists, once.
func TestMuxOnExisting(t *testing.T) {
	r, _ := newRegistry(t)
	mustAdd(t, r, "b", NullConfig{})
	mustAdd(t, r, "m", MuxConfig{Chardev: "b"})
	for _, tc := range []struct {
		id, want string
		cfg      Config
	}{
		{"n", "Device 'b' is in use", MuxConfig{Chardev: "b"}},
		{"n", "mux: base chardev m is a multiplexer, which is not supported", MuxConfig{Chardev: "m"}},
		{"m", "Duplicate ID 'm' for chardev", NullConfig{Common{Mux: true}}},
	} {
		if _, err := r.Add(tc.id, tc.cfg); err == nil || err.Error() != tc.want {
			t.Errorf("%#v: %v", tc.cfg, err)
		}
	}
	mustAdd(t, r, "c-base", NullConfig{})
	const want = "attempt to add duplicate property 'c-base' to object (type 'container')"
	if _, err := r.Add("c", NullConfig{Common{Mux: true}}); err == nil || err.Error() != want {
		t.Errorf("the base's id is taken: %v", err)
	}
	if _, ok := r.Get("c"); ok {
		t.Error("the id is taken")
	}
	_, fe := join(t, r, "m")
	fe.waitEvents(EventMuxIn, EventOpened)
}

// The focus stays at the place of a frontend that goes, so that no other one reports at the end of
// a VM; what is typed then is for nobody, and the keys work.
func TestMuxFocusedDetaches(t *testing.T) {
	r, _ := newRegistry(t)
	peer := muxOnSocket(t, r)
	_, a := join(t, r, "c")
	a.waitEvents(EventMuxIn, EventOpened)
	c, b := join(t, r, "c")
	b.waitEvents(EventMuxIn, EventOpened)
	c.Detach()
	send(t, peer, strings.Repeat("lost", 3000)+"\x01cfor a")
	a.waitInput("for a")
	if got := fmt.Sprint(a.got()); got != "[MUX_IN OPENED MUX_OUT MUX_IN]" {
		t.Errorf("events of a: %v", got)
	}
	if b.input() != "" {
		t.Errorf("b got %q", b.input())
	}
}

// All frontends learn that a client went and the next one came. What the first one typed is not
// part of the second one's session.
func TestMuxClients(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	mustAdd(t, r, "c", SocketConfig{Common: Common{Mux: true}, Path: path, Server: true})
	_, a := join(t, r, "c")
	c, b := join(t, r, "c")
	b.setRoom(c, 0)
	first := dial(t, "unix", path)
	send(t, first, "typed\x01")
	b.waitEvents(EventMuxIn, EventOpened)
	first.Close()
	a.waitEvents(EventMuxIn, EventMuxOut, EventOpened, EventClosed)
	b.waitEvents(EventMuxIn, EventOpened, EventClosed)
	second := dial(t, "unix", path)
	b.waitEvents(EventMuxIn, EventOpened, EventClosed, EventOpened)
	send(t, second, "c")
	b.setRoom(c, -1)
	b.waitInput("c")
	r.CloseAll()
	a.waitEvents(EventMuxIn, EventMuxOut, EventOpened, EventClosed, EventOpened, EventClosed)
}

// On standard input and output: the end of the input is not the end of the output, and the
// frontends are told of neither before Close.
func TestMuxOnStdio(t *testing.T) {
	inR, inW := pipe(t)
	outR, outW := pipe(t)
	r, _ := newRegistry(t)
	r.Stdin, r.Stdout = inR, outW
	r.HoldMuxes()
	mustAdd(t, r, "serial0", StdioConfig{Common: Common{Mux: true}})
	_, a := join(t, r, "serial0")
	c, b := join(t, r, "serial0")
	inW.Write([]byte("one\x01ctwo"))
	inW.Close()
	r.OpenMuxes()
	b.waitInput("one")
	a.waitInput("two")
	time.Sleep(20 * time.Millisecond)
	b.waitEvents(EventMuxIn, EventOpened, EventMuxOut)
	if n := c.Write([]byte("still here")); n != 10 {
		t.Errorf("Write = %d", n)
	}
	if got := readString(t, outR, 10); got != "still here" {
		t.Errorf("output %q", got)
	}
	r.CloseAll()
	b.waitEvents(EventMuxIn, EventOpened, EventMuxOut, EventClosed)
}

// The logfile has the base's output; one of a multiplexer made for itself has its frontends'.
func TestMuxLogfile(t *testing.T) {
	dir := t.TempDir()
	r, _ := newRegistry(t)
	mustAdd(t, r, "c", NullConfig{Common{Mux: true, Logfile: dir + "/c"}})
	mustAdd(t, r, "b", NullConfig{})
	mustAdd(t, r, "m", MuxConfig{Common{Logfile: dir + "/m"}, "b"})
	for _, id := range []string{"c", "m"} {
		c, _ := join(t, r, id)
		c.Write([]byte("out of " + id))
		if b, _ := os.ReadFile(dir + "/" + id); string(b) != "out of "+id {
			t.Errorf("%s: %q", id, b)
		}
	}
}
