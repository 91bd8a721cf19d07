package entropy

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/qom"
)

// Requests that were called off, as a guest does that resets its machine again
// and again, do not pile up before a source that blocks.
func TestCancelledRequestsDoNotPileUp(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	m := hwtest.New(t, func(r *qom.Registry) {
		r.Register(qom.Type{Name: "user-creatable", Parent: "interface", Abstract: true})
		RegisterTypes(r)
	})
	o, err := m.Types.New("rng-random")
	if err != nil {
		t.Fatal(err)
	}
	s := o.(*Source)
	m.Do(func() {
		if err := qom.Set(s, "filename", qom.JSON(fifo)); err != nil {
			t.Fatal(err)
		}
		if err := s.Complete(m.Host); err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			s.Ask(8, func([]byte) { t.Error("bytes out of nothing") }).Cancel()
		}
		if n := len(s.waiting); n > 1 {
			t.Errorf("%d requests wait", n)
		}
		s.Release()
	})
}

// Two clients may delete the same source: the second comes while the first
// waits for the goroutine, without the VM lock.
func TestReleasedTwice(t *testing.T) {
	m := hwtest.New(t, func(r *qom.Registry) {
		r.Register(qom.Type{Name: "user-creatable", Parent: "interface", Abstract: true})
		RegisterTypes(r)
	})
	o, err := m.Types.New("rng-builtin")
	if err != nil {
		t.Fatal(err)
	}
	s := o.(*Source)
	m.Do(func() {
		if err := s.Complete(m.Host); err != nil {
			t.Fatal(err)
		}
		s.Release()
		s.Release()
		if s.Opened() {
			t.Error("open")
		}
	})
}
