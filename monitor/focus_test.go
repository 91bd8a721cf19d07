package monitor

import (
	"strings"
	"testing"
	"time"

	"github.com/gqemu/gqemu/chardev"
)

// awaitText waits until the monitor has written exactly want since the last time.
func (w *wire) awaitText(want string) {
	w.t.Helper()
	stop := time.NewTimer(patience)
	defer stop.Stop()
	for {
		w.mu.Lock()
		got := string(w.out)
		if got == want {
			w.out = nil
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		select {
		case <-w.news:
		case <-stop.C:
			w.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func newHumanWire(t *testing.T) *wire {
	_, set := newVM(t)
	w := newWire(t)
	if err := set.Add(w, Options{Mode: Readline}); err != nil {
		t.Fatal(err)
	}
	return w
}

const banner = "QEMU 8.2.7 monitor - type 'help' for more information\r\n"

// A monitor that lost a multiplexer's focus before anyone was there greets when it gets it. Later
// it ends its line when it loses the focus, and begins a new one with the prompt.
func TestHumanFocus(t *testing.T) {
	w := newHumanWire(t)
	for _, e := range []chardev.Event{chardev.EventMuxIn, chardev.EventMuxOut, chardev.EventOpened} {
		w.fe.Event(e)
	}
	if s := w.text(); s != "" {
		t.Errorf("without the focus it wrote %q", s)
	}
	w.fe.Event(chardev.EventMuxIn)
	w.awaitText(banner + prompt)
	w.send("ab")
	w.awaitText("a\x1b[K\x1b[Dab\x1b[K")
	w.fe.Event(chardev.EventMuxOut)
	w.awaitText("\r\n")
	w.fe.Event(chardev.EventMuxIn)
	w.awaitText(prompt)
	w.send("c")
	w.awaitText("c\x1b[K") // what was typed before is gone
}

// A change of the focus takes effect behind the input before it: a pasted command is answered.
func TestHumanFocusAfterInput(t *testing.T) {
	w := newHumanWire(t)
	w.fe.Event(chardev.EventOpened)
	w.awaitText(banner + prompt)
	for range 50 {
		w.send("x\r")
		w.fe.Event(chardev.EventMuxOut)
		w.fe.Event(chardev.EventMuxIn)
		w.awaitText("x\x1b[K\r\nunknown command: 'x'\r\n" + prompt + "\r\n" + prompt)
	}
	w.send("x\r")
	w.fe.Event(chardev.EventMuxOut)
	w.awaitText("x\x1b[K\r\nunknown command: 'x'\r\n" + prompt + "\r\n")
}

// Changes of the focus behind a client that does not read do not pile up.
func TestHumanFocusBound(t *testing.T) {
	w := newHumanWire(t)
	w.fe.Event(chardev.EventOpened)
	w.allow(0)
	w.trySend(strings.Repeat("y", 3*inputLen), 50*time.Millisecond)
	for range 1000 {
		w.fe.Event(chardev.EventMuxOut)
		w.fe.Event(chardev.EventMuxIn)
	}
	w.mu.Lock()
	w.out = nil
	w.mu.Unlock()
	w.allow(-1)
	for !strings.HasSuffix(w.text(), prompt) {
		<-w.news
	}
	if n := strings.Count(w.text(), prompt); n > maxSwitches {
		t.Errorf("%d prompts", n)
	}
}

// The end of the VM does not wait for output that nobody sees.
func TestHumanCloseWithoutFocus(t *testing.T) {
	_, set := newVM(t)
	w := newWire(t)
	if err := set.Add(w, Options{Mode: Readline}); err != nil {
		t.Fatal(err)
	}
	w.fe.Event(chardev.EventMuxOut)
	w.fe.Event(chardev.EventOpened)
	start := time.Now()
	set.Close()
	if d := time.Since(start); d > closePatience/2 || w.text() != "" {
		t.Errorf("Close took %v and wrote %q", d, w.text())
	}
}
