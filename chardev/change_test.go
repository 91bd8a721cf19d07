package chardev

import (
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// Chardevs that come and go leave no goroutine behind.
func TestCyclesLeaveNoGoroutines(t *testing.T) {
	var r Registry
	defer r.CloseAll()
	path := filepath.Join(t.TempDir(), "s")
	cycle := func() {
		for _, cfg := range []Config{NullConfig{}, RingbufConfig{}, SocketConfig{Path: path, Server: true}} {
			if _, err := r.Add("c", cfg); err != nil {
				t.Fatal(err)
			}
			if err := r.Remove("c"); err != nil {
				t.Fatal(err)
			}
		}
	}
	cycle()
	before := runtime.NumGoroutine()
	for range 100 {
		cycle()
	}
	for tries := 0; runtime.NumGoroutine() > before; tries++ {
		if tries == 100 {
			t.Fatalf("%d goroutines, there were %d", runtime.NumGoroutine(), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// hotswap is a frontend that goes on with another chardev.
type hotswap struct {
	c      *Chardev
	breaks chan struct{}
}

func (*hotswap) CanReceive() int { return 0 }
func (*hotswap) Receive([]byte)  {}
func (*hotswap) Writable()       {}
func (h *hotswap) Event(e Event) {
	if e == EventBreak {
		h.breaks <- struct{}{}
	}
}

func (h *hotswap) Rebind(c *Chardev) error {
	if err := c.Attach(h); err != nil {
		return err
	}
	h.c.Detach()
	h.c = c
	return nil
}

// A frontend that can is moved to the new backend; if that cannot be opened it
// stays where it is; others refuse.
func TestChange(t *testing.T) {
	var r Registry
	defer r.CloseAll()
	c, err := r.Add("c", NullConfig{})
	if err != nil {
		t.Fatal(err)
	}
	h := &hotswap{c: c, breaks: make(chan struct{}, 1)}
	if err := r.Change("c", NullConfig{}); err == nil {
		t.Error("a chardev without a frontend is changed")
	}
	if err := c.Attach(h); err != nil {
		t.Fatal(err)
	}
	if err := r.Change("c", FileConfig{Path: "/nonexistent/dir/x"}); err == nil || h.c != c {
		t.Errorf("moved to what cannot be opened: %v", err)
	}
	if err := r.Change("c", RingbufConfig{}); err != nil {
		t.Fatal(err)
	}
	if now, _ := r.Get("c"); now != h.c || now == c || now.Backend() != "ringbuf" {
		t.Error("the registry and the frontend have different chardevs")
	}
	h.c.Write([]byte("x"))
	h.c.SendBreak()
	<-h.breaks
	if p, err := h.c.ReadRing(9); err != nil || string(p) != "x" {
		t.Errorf("%q, %v", p, err)
	}
	if err := r.Change("nosuch", NullConfig{}); err == nil {
		t.Error("a chardev that does not exist is changed")
	}
}
