package qtest

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestHeap: pieces are aligned, do not overlap and stay inside; what was freed
// is used again.
func TestHeap(t *testing.T) {
	t.Parallel()
	h := NewHeap(t, 0x1000, 0x10000)
	rnd := rand.New(rand.NewPCG(1, 2))
	live := map[uint64]uint64{}
	for range 2000 {
		if len(live) > 20 {
			for a := range live {
				h.Free(a)
				delete(live, a)
				break
			}
			continue
		}
		n, align := uint64(rnd.IntN(1500)), uint64(1)<<rnd.IntN(9)
		a := h.Take(n, align)
		if a%align != 0 || a < 0x1000 || a+n > 0x11000 {
			t.Fatalf("%d bytes, aligned to %d, at %#x", n, align, a)
		}
		for b, m := range live {
			if a < b+m && b < a+n {
				t.Fatalf("%#x+%d overlaps %#x+%d", a, n, b, m)
			}
		}
		live[a] = n
	}
	for a := range live {
		h.Free(a)
	}
	h.CheckEmpty()
	if a := h.Take(0x10000, 1); a != 0x1000 {
		t.Errorf("all of it: %#x", a)
	}
}

// TestHeapErrors: misuse fails the test, with a reason.
func TestHeapErrors(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]func(h *Heap){
		"no 4097 bytes left of 4096": func(h *Heap) { h.Take(4097, 1) },
		"no 1 bytes left":            func(h *Heap) { h.Take(4096, 1); h.Take(0, 1) },
		"0x2000 was not taken":       func(h *Heap) { h.Free(0x2000) },
		"is no power of two":         func(h *Heap) { h.Take(1, 3) },
		"still taken":                func(h *Heap) { h.Take(1, 1); h.CheckEmpty() },
	} {
		err := Script(func(t testing.TB) { f(NewHeap(t, 0x1000, 0x1000)) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestScript: a script behaves as a test does.
func TestScript(t *testing.T) {
	t.Parallel()
	var order []string
	note := func(s string) { order = append(order, s) }
	err := Script(func(t testing.TB) {
		t.Cleanup(func() { note("first") })
		t.Cleanup(func() { note("second"); t.Fatal("in a cleanup") })
		t.Errorf("error %d", 1)
		note("goes on")
		t.Fatal("fatal", 2)
		note("never")
	})
	equal(t, "order", order, []string{"goes on", "second", "first"})
	if err == nil || err.Error() != "error 1\nfatal 2\nin a cleanup" {
		t.Errorf("%v", err)
	}
	if err := Script(func(testing.TB) {}); err != nil {
		t.Error(err)
	}
}
