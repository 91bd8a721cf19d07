package entropy_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gqemu/gqemu/entropy"
	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/qom"
)

func register(r *qom.Registry) {
	r.Register(qom.Type{Name: "user-creatable", Parent: "interface", Abstract: true})
	entropy.RegisterTypes(r)
}

// open makes a source. filename is for rng-random.
func open(t *testing.T, m *hwtest.Machine, typ, filename string) (*entropy.Source, error) {
	t.Helper()
	o, err := m.Types.New(typ)
	if err != nil {
		t.Fatal(err)
	}
	if filename != "" {
		if err := qom.Set(o, "filename", qom.JSON(filename)); err != nil {
			t.Fatal(err)
		}
	}
	s := o.(*entropy.Source)
	m.Do(func() { err = s.Complete(m.Host) })
	return s, err
}

const patience = 10 * time.Second

// take waits for a value.
func take[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatal("nothing comes")
	}
	return v
}

// More requests than the goroutine has room for are all answered, in order.
func TestRequestsAreAnsweredInOrder(t *testing.T) {
	m := hwtest.New(t, register)
	s, err := open(t, m, "rng-builtin", "")
	if err != nil {
		t.Fatal(err)
	}
	const count = 100
	got := make(chan int, count)
	m.Do(func() {
		for i := range count {
			s.Ask(i+1, func(data []byte) {
				if len(data) < 1 || len(data) > i+1 {
					t.Errorf("%d bytes for %d", len(data), i+1)
				}
				got <- i
			})
		}
	})
	for i := range count {
		if n := take(t, got); n != i {
			t.Fatalf("request %d answered when it was %d's turn", n, i)
		}
	}
	m.Do(s.Release)
}

// A request that was cancelled is not answered, the next one is.
func TestCancel(t *testing.T) {
	m := hwtest.New(t, register)
	s, err := open(t, m, "rng-random", "")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 2)
	m.Do(func() {
		s.Ask(8, func([]byte) { got <- "cancelled" }).Cancel()
		s.Ask(8, func([]byte) { got <- "next" })
	})
	if v := take(t, got); v != "next" {
		t.Error("a cancelled request was answered")
	}
	m.Do(s.Release)
}

// A source that has nothing to give can be closed, and one that has it later
// gives it then.
func TestSourceThatBlocks(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	m := hwtest.New(t, register)
	s, err := open(t, m, "rng-random", fifo)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	m.Do(func() { s.Ask(100, func(data []byte) { got <- string(data) }) })
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString("bytes"); err != nil {
		t.Fatal(err)
	}
	if v := take(t, got); v != "bytes" {
		t.Errorf("%q", v)
	}
	done := make(chan struct{})
	m.Do(func() {
		s.Ask(100, func([]byte) { t.Error("bytes out of nothing") })
		s.Release()
		close(done)
	})
	take(t, done)
}

// A source lives as long as somebody holds it.
func TestHold(t *testing.T) {
	m := hwtest.New(t, register)
	s, err := open(t, m, "rng-builtin", "")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan int, 1)
	m.Do(func() {
		s.Hold()
		s.Release()
		if !s.Opened() {
			t.Error("closed while held")
		}
		s.Ask(8, func(data []byte) { got <- len(data) })
	})
	take(t, got)
	m.Do(func() {
		s.Release()
		if s.Opened() {
			t.Error("open when nobody holds it")
		}
	})
}

// Errors and what cannot be changed any more are in QEMU's words.
func TestErrors(t *testing.T) {
	m := hwtest.New(t, register)
	if _, err := open(t, m, "rng-random", "/nonexistent/file"); err == nil ||
		err.Error() != "Could not open '/nonexistent/file': No such file or directory" {
		t.Errorf("%v", err)
	}
	s, err := open(t, m, "rng-random", "/dev/urandom")
	if err != nil {
		t.Fatal(err)
	}
	if err := qom.Set(s, "filename", qom.JSON("/dev/zero")); err == nil ||
		err.Error() != "Insufficient permission to perform this operation" {
		t.Errorf("%v", err)
	}
	if v, err := qom.Get(s, "opened"); v != true || err != nil {
		t.Errorf("opened %v, %v", v, err)
	}
	if err := qom.Set(s, "opened", qom.JSON(false)); err == nil {
		t.Error("a client closes the source")
	}
	m.Do(s.Release)
}
