package monitor

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/qapi"
)

const emptyReply = `{"return": {}}`

// Nothing follows the reply that ends the negotiation in the same write, and
// events come soon after it, in order and before later replies.
func TestEventsAfterNegotiation(t *testing.T) {
	_, set := newVM(t)
	w := newWire(t)
	if err := set.Add(w, Options{}); err != nil {
		t.Fatal(err)
	}
	w.open()
	set.Emit("STOP", nil) // too early: not for this client
	w.negotiate()
	start := time.Now()
	set.Emit("RESUME", nil)
	if got := w.text(); got != "" {
		t.Errorf("right behind the reply came %s", got)
	}
	if l := w.line(); !strings.Contains(l, `"event": "RESUME"}`) {
		t.Errorf("got %s", l)
	}
	if d := time.Since(start); d < settle/2 {
		t.Errorf("the event came after %v", d)
	}

	// A client that has sent more is not kept waiting.
	w.fe.Event(chardev.EventClosed)
	w.open()
	w.negotiate()
	w.send(`{"execute":"stop"}`)
	if l := w.line(); !strings.Contains(l, `"event": "STOP"}`) {
		t.Errorf("got %s", l)
	}
	w.expect(emptyReply)
}

// A new client starts anew: in negotiation, without input, output or file
// descriptors of the one before.
func TestReconnect(t *testing.T) {
	vm, set := newVM(t)
	w := connect(t, set)
	w.ask(`{"execute":"qmp_capabilities"}`,
		`{"error": {"class": "CommandNotFound", "desc": "Capabilities negotiation is already complete, command ignored"}}`)
	r, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pw.Close()
	fd, err := unix.Dup(int(r.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.send(`{"execute":"x-block","id":"old"} {"execute":"quit"} {"half`, fd)
	<-vm.blocked
	w.fe.Event(chardev.EventClosed)
	w.open()
	vm.block <- struct{}{} // the old command ends, its reply is for nobody
	w.ask(`{"execute":"query-name"}`,
		`{"error": {"class": "CommandNotFound", "desc": "Expecting capabilities negotiation with 'qmp_capabilities'"}}`)
	w.ask(`{"execute":"qmp_capabilities","id":1}`, `{"return": {}, "id": 1}`)
	w.ask(`{"execute":"query-name","id":2}`, `{"return": {}, "id": 2}`)
	if _, err := pw.Write([]byte("x")); err == nil {
		t.Error("the descriptor of the old client is still open")
	}
}

// Without oob, nothing overtakes: not even an error about exec-oob.
func TestInBandOrder(t *testing.T) {
	vm, set := newVM(t)
	w := connect(t, set)
	w.send(`{"execute":"x-block","id":1}{"exec-oob":"query-yank","id":2}}{"execute":"query-name","id":3}`)
	<-vm.blocked
	time.Sleep(20 * time.Millisecond)
	if s := w.text(); s != "" {
		t.Errorf("overtook: %s", s)
	}
	vm.block <- struct{}{}
	w.expect(`{"return": {}, "id": 1}`,
		`{"id": 2, "error": {"class": "GenericError", "desc": "QMP input member 'exec-oob' is unexpected"}}`,
		`{"error": {"class": "GenericError", "desc": "JSON parse error, expecting value"}}`,
		`{"return": {}, "id": 3}`)
}

// With oob, eight commands wait while one runs, then the session takes no
// more; what is allowed out of band overtakes, without the VM's lock.
func TestOutOfBand(t *testing.T) {
	vm, set := newVM(t)
	w := newWire(t)
	if err := set.Add(w, Options{}); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.ask(`{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}`, emptyReply)
	w.send(`{"execute":"x-block","id":"slow"}`)
	<-vm.blocked
	for i := range queueLen - 1 {
		w.send(fmt.Sprintf(`{"execute":"query-name","id":%d}`, i))
	}
	w.ask(`{"exec-oob":"query-yank","id":"fast"}`, `{"return": [], "id": "fast"}`)
	w.ask(`{"exec-oob":"query-name","id":"no"}`,
		`{"id": "no", "error": {"class": "GenericError", "desc": "The command query-name does not support OOB"}}`)
	w.send(`{"execute":"query-name","id":"last"} {"exec-oob":"query-yank","id":"late"}`)
	time.Sleep(20 * time.Millisecond)
	if s := w.text(); s != "" {
		t.Errorf("more than %d commands were taken: %s", queueLen, s)
	}
	flood := strings.Repeat(" ", 10*inputLen)
	if n := w.trySend(flood, 20*time.Millisecond); n > inputLen {
		t.Errorf("%d bytes of input are taken ahead", n)
	}
	vm.block <- struct{}{}
	var got []string
	for range queueLen + 2 {
		got = append(got, w.line())
	}
	all := strings.Join(got, "\n")
	for i, want := range []string{`"slow"`, `0`, `1`, `2`, `3`, `4`, `5`, `6`, `"last"`, `"late"`} {
		if !strings.Contains(all, `"id": `+want+`}`) {
			t.Errorf("reply %d (%s) is missing in\n%s", i, want, all)
		}
	}
}

// A client that does not read is not read from, misses events beyond a bound,
// and holds nobody up.
func TestSlowReader(t *testing.T) {
	vm, set := newVM(t)
	slow, quick := connect(t, set), connect(t, set)
	time.Sleep(settle + 10*time.Millisecond)
	slow.allow(0)
	if n := slow.trySend(strings.Repeat(`{"execute":"x-big"}`, 20)+strings.Repeat(" ", 10*inputLen), 100*time.Millisecond); n > 3*inputLen {
		t.Errorf("%d bytes of commands were taken", n)
	}
	const events = 12000
	for i := range events {
		set.Emit("SHUTDOWN", shutdownData{false, "host-qmp-quit"})
		if i%1000 == 0 {
			quick.send(`{"execute":"query-name","id":"x"}`)
			for l := quick.line(); l != `{"return": {}, "id": "x"}`; l = quick.line() {
			}
		}
	}
	s := set.monitors[0].(*session)
	s.out.mu.Lock()
	held := s.out.bytes
	s.out.mu.Unlock()
	if held < eventLimit || held > outputHigh+eventLimit+1<<20 {
		t.Errorf("%d bytes are held for the slow client", held)
	}
	select {
	case l := <-vm.logs:
		if !strings.Contains(l, "wire does not read") {
			t.Error(l)
		}
	default:
		t.Error("nothing is said about lost events")
	}
	// It starts to read, and is served again.
	slow.allow(-1)
	slow.send("\n\xff\n")
	slow.send(`{"execute":"query-name","id":"back"}`)
	for l := slow.line(); l != `{"return": {}, "id": "back"}`; l = slow.line() {
	}
	set.Emit("STOP", nil)
	if l := slow.line(); !strings.Contains(l, `"STOP"`) {
		t.Errorf("got %s", l)
	}
}

// Close writes what is queued, even for a client that takes it bit by bit, and
// does not wait for one that takes nothing.
func TestCloseFlushes(t *testing.T) {
	_, set := newVM(t)
	w, dead := connect(t, set), connect(t, set)
	time.Sleep(settle + 10*time.Millisecond)
	w.allow(0)
	dead.allow(0)
	w.send(`{"execute":"quit"}`)
	for refused := false; !refused; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		refused = w.refused
		w.mu.Unlock()
	}
	go func() {
		for range 300 {
			time.Sleep(time.Millisecond)
			w.allow(1)
		}
	}()
	start := time.Now()
	set.Close()
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("Close took %v", d)
	}
	if l := w.line(); !strings.Contains(l, `"SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}`) {
		t.Errorf("got %s", l)
	}
	w.expect(emptyReply)
	if err := set.Add(newWire(t), Options{}); err == nil {
		t.Error("a monitor was added to a closed set")
	}
	set.Emit("STOP", nil)
	set.Close()
}

// Twenty clients come, work and go at once; each gets its own replies in order
// and, while it is there, all events in the same order.
func TestManyClients(t *testing.T) {
	_, set := newVM(t)
	stop := make(chan struct{})
	var wg, emitter sync.WaitGroup
	emitter.Go(func() {
		for i := int64(0); ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
				set.Emit("SHUTDOWN", shutdownData{true, fmt.Sprint("n", i)})
			}
		}
	})
	for c := range 20 {
		wg.Go(func() {
			w := newWire(t)
			if err := set.Add(w, Options{}); err != nil {
				t.Error(err)
				return
			}
			for range 5 {
				w.fe.Event(chardev.EventOpened)
				last := -1
				read := func() string {
					for {
						l, ok := w.tryLine(patience)
						if !ok {
							t.Error("no reply")
							return ""
						}
						i := strings.Index(l, `"reason": "n`)
						if i < 0 {
							return l
						}
						var n int
						fmt.Sscanf(l[i:], `"reason": "n%d"`, &n)
						if n <= last || last >= 0 && n != last+1 {
							t.Errorf("event %d after %d", n, last)
						}
						last = n
					}
				}
				if l := read(); !strings.HasPrefix(l, `{"QMP"`) {
					t.Errorf("client %d: %s", c, l)
				}
				w.trySend(`{"execute":"qmp_capabilities"}`, patience)
				read()
				for i := range 20 {
					w.trySend(fmt.Sprintf(`{"execute":"query-name","id":[%d,%d]}`, c, i), patience)
					if i%3 == 0 {
						continue // pipelined
					}
					if i%3 == 2 {
						if l := read(); l != fmt.Sprintf(`{"return": {}, "id": [%d, %d]}`, c, i-2) {
							t.Errorf("client %d: %s", c, l)
						}
						if l := read(); l != fmt.Sprintf(`{"return": {}, "id": [%d, %d]}`, c, i-1) {
							t.Errorf("client %d: %s", c, l)
						}
						if l := read(); l != fmt.Sprintf(`{"return": {}, "id": [%d, %d]}`, c, i) {
							t.Errorf("client %d: %s", c, l)
						}
					}
				}
				w.fe.Event(chardev.EventClosed)
				w.mu.Lock()
				w.out = nil
				w.mu.Unlock()
			}
		})
	}
	wg.Wait()
	close(stop)
	emitter.Wait()
}

// Descriptors go to the command they came with, or the next one; those nobody
// takes are closed.
func TestFileDescriptors(t *testing.T) {
	_, set := newVM(t)
	w := connect(t, set)
	open := func() int {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	isOpen := func(fd int) bool {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		return err == nil
	}
	w.ask(`{"execute":"getfd","arguments":{"fdname":"a"}}`,
		`{"error": {"class": "GenericError", "desc": "No file descriptor supplied via SCM_RIGHTS"}}`)
	w.ask(`{"execute":"closefd","arguments":{"fdname":"a"}}`,
		`{"error": {"class": "GenericError", "desc": "File descriptor named 'a' not found"}}`)

	a, b, c := open(), open(), open()
	w.send(`{"execute":"getfd","arguments":{"fdname":"a"}}`, a)
	w.send(`{"execute":"getfd","arguments":{"fdname":"b"}}`, b, c)
	w.expect(emptyReply, emptyReply)
	if !isOpen(a) || !isOpen(b) || isOpen(c) {
		t.Errorf("open: %v %v %v", isOpen(a), isOpen(b), isOpen(c))
	}
	w.ask(`{"execute":"closefd","arguments":{"fdname":"a"}}`, emptyReply)
	if isOpen(a) {
		t.Error("closefd did not close")
	}
	d := open()
	w.send(`{"execute":"query-name"}`, d)
	w.expect(emptyReply)
	w.ask(`{"execute":"getfd","arguments":{"fdname":"b"}}`, emptyReply) // replaces
	if isOpen(b) || !isOpen(d) {
		t.Errorf("open: %v %v", isOpen(b), isOpen(d))
	}
	e := open()
	w.send(`{"execute":"getfd","arguments":{"fdname":"1"}}`, e)
	w.expect(`{"error": {"class": "GenericError", "desc": "Parameter 'fdname' expects a name not starting with a digit"}}`)
	f := open()
	w.send(`{"execute":"query-name"}`, f)
	w.expect(emptyReply)
	set.Close()
	if isOpen(d) || isOpen(e) || isOpen(f) {
		t.Errorf("left open: %v %v %v", isOpen(d), isOpen(e), isOpen(f))
	}
}

// A command without a success response is silent, and an error is not.
func TestNoSuccessResponse(t *testing.T) {
	_, set := newVM(t)
	w := connect(t, set)
	w.ask(`{"execute":"x-silent","id":1}{"execute":"query-name","id":2}`, `{"return": {}, "id": 2}`)
	w.ask(`{"execute":"x-silent","arguments":{"a":1}}`,
		`{"error": {"class": "GenericError", "desc": "Parameter 'a' is unexpected"}}`)
}

// Limited events: the first at once, of those in the second after it the last.
func TestRateLimit(t *testing.T) {
	r := new(qapi.Registry)
	qapi.RegisterEvent[rtcData](r, "RTC_CHANGE")
	qapi.RegisterEvent[portData](r, "VSERPORT_CHANGE")
	type timer struct {
		d time.Duration
		f func()
	}
	timers := make(chan timer, 10)
	set := NewSet(Config{Registry: r, AfterFunc: func(d time.Duration, f func()) func() bool {
		timers <- timer{d, f}
		return func() bool { return true }
	}})
	defer set.Close()
	w := connect(t, set)
	time.Sleep(settle + 10*time.Millisecond)
	offset := func(n int) {
		t.Helper()
		if l := w.line(); !strings.HasSuffix(l, fmt.Sprintf(`"event": "RTC_CHANGE", "data": {"offset": %d}}`, n)) {
			t.Errorf("got %s, want offset %d", l, n)
		}
	}
	for i := range 5 {
		set.Emit("RTC_CHANGE", rtcData{int64(i)})
	}
	offset(0)
	if s := w.text(); s != "" {
		t.Errorf("too early: %s", s)
	}
	fire := func() {
		tm := <-timers
		if tm.d != time.Second {
			t.Errorf("interval is %v", tm.d)
		}
		tm.f()
	}
	fire()
	offset(4)
	set.Emit("RTC_CHANGE", rtcData{5})
	fire()
	offset(5)
	fire() // nothing was pending: the limit ends
	set.Emit("RTC_CHANGE", rtcData{6})
	offset(6)
	// Ports are limited apart.
	set.Emit("VSERPORT_CHANGE", portData{"a", true})
	set.Emit("VSERPORT_CHANGE", portData{"b", true})
	set.Emit("VSERPORT_CHANGE", portData{"a", false})
	for _, id := range []string{"a", "b"} {
		if l := w.line(); !strings.Contains(l, `"id": "`+id+`"`) {
			t.Errorf("got %s, want port %s", l, id)
		}
	}
	if s := w.text(); s != "" {
		t.Errorf("too early: %s", s)
	}
}

// A mistake of the program is logged, and no client is told nonsense.
func TestEmitMistakes(t *testing.T) {
	vm, set := newVM(t)
	w := connect(t, set)
	set.Emit("UNHEARD_OF", nil)
	set.Emit("SHUTDOWN", nil)
	if len(vm.logs) != 2 {
		t.Errorf("%d messages", len(vm.logs))
	}
	w.ask(`{"execute":"query-name"}`, emptyReply)
}

// A port that is in use is refused with the port's words.
func TestPortInUse(t *testing.T) {
	_, set := newVM(t)
	w := connect(t, set)
	for _, m := range []Mode{Control, Readline} {
		if err := set.Add(w, Options{Mode: m}); err == nil || err.Error() != "Device 'wire' is in use" {
			t.Error(err)
		}
	}
}

// The human monitor echoes, edits and prompts as QEMU's does.
func TestHumanMonitor(t *testing.T) {
	_, set := newVM(t)
	w := newWire(t)
	if err := set.Add(w, Options{Mode: Readline}); err != nil {
		t.Fatal(err)
	}
	w.fe.Event(chardev.EventOpened)
	w.expect("QEMU 8.2.7 monitor - type 'help' for more information")
	w.send("ix\x7fn\x1b[A\r")
	w.expect("(qemu) i\x1b[K\x1b[Dix\x1b[K\x1b[D\x1b[Di\x1b[K\x1b[Din\x1b[K", "unknown command: 'in'")
	w.send("info version\n")
	if l := w.line(); !strings.HasSuffix(l, "info version\x1b[K") {
		t.Errorf("got %q", l)
	}
	w.expect("8.2.7")
	w.send("\x15\x08\n")
	if l := w.line(); !strings.HasPrefix(l, "(qemu) ") {
		t.Errorf("got %q", l)
	}
	set.Close()
	if s := w.text(); s != "(qemu) " {
		t.Errorf("at the end %q", s)
	}
}

// A line has a bound.
func TestReadlineBound(t *testing.T) {
	r := readline{buf: make([]byte, maxLine-1), cursor: maxLine - 1}
	r.key('a')
	r.key('b')
	if _, line, done := r.key('\r'); !done || len(line) != maxLine || line[maxLine-1] != 'a' {
		t.Errorf("line of %d bytes", len(line))
	}
}

// Someone who types but does not read the echo is not read from for ever.
func TestHumanSlowReader(t *testing.T) {
	_, set := newVM(t)
	w := newWire(t)
	if err := set.Add(w, Options{Mode: Readline}); err != nil {
		t.Fatal(err)
	}
	w.fe.Event(chardev.EventOpened)
	w.allow(0)
	w.trySend(strings.Repeat("y", 3*inputLen), 100*time.Millisecond)
	h := set.monitors[0].(*human)
	h.out.mu.Lock()
	held := h.out.bytes
	h.out.mu.Unlock()
	if held < outputHigh || held > outputHigh+5*maxLine {
		t.Errorf("%d bytes are held", held)
	}
	w.fe.Event(chardev.EventClosed)
	w.allow(-1)
	w.fe.Event(chardev.EventOpened)
	w.send("a\r")
	for !strings.HasSuffix(w.text(), "unknown command: 'a'\r\n(qemu) ") {
		<-w.news
	}
}
