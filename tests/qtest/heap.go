package qtest

import (
	"fmt"
	"slices"
	"testing"
)

// Allocator hands out guest memory. Addresses are guest physical ones.
type Allocator interface {
	// Take gives n bytes at a multiple of align, which is a power of two.
	Take(n, align uint64) uint64
}

// Alloc hands out guest memory from an address upwards. Nothing is freed.
type Alloc struct{ Next uint64 }

// Take gives n bytes at a multiple of align, which is a power of two.
func (a *Alloc) Take(n, align uint64) uint64 {
	p := (a.Next + align - 1) &^ (align - 1)
	a.Next = p + n
	return p
}

// Heap hands out guest memory and takes it back. It fails its test where a
// driver asks for more than there is, or gives back what it does not have.
type Heap struct {
	t          testing.TB
	start, end uint64
	taken      []extent // in order of address
}

// extent is a piece of memory, end excluded.
type extent struct{ start, end uint64 }

// NewHeap makes a heap of the size bytes of guest memory from start on, which
// nothing else may use. Address 0 is never handed out.
func NewHeap(t testing.TB, start, size uint64) *Heap {
	return &Heap{t: t, start: max(start, 1), end: start + size}
}

// Take gives n bytes at a multiple of align, a power of two: the lowest that
// are free. What they contain is not defined.
func (h *Heap) Take(n, align uint64) uint64 {
	h.t.Helper()
	if align == 0 || align&(align-1) != 0 {
		h.t.Fatalf("heap: alignment %d is no power of two", align)
	}
	up := func(p uint64) uint64 { return (p + align - 1) &^ (align - 1) }
	n = max(n, 1)
	p := up(h.start)
	i := 0
	for ; i < len(h.taken); i++ {
		if e := h.taken[i]; p <= e.start && n <= e.start-p {
			break
		} else if e.end > p {
			p = up(e.end)
		}
	}
	if p > h.end || n > h.end-p {
		h.t.Fatalf("heap: no %d bytes left of %d", n, h.end-h.start)
	}
	h.taken = slices.Insert(h.taken, i, extent{p, p + n})
	return p
}

// Free takes back what Take gave.
func (h *Heap) Free(addr uint64) {
	h.t.Helper()
	i, ok := slices.BinarySearchFunc(h.taken, addr, func(e extent, a uint64) int {
		switch {
		case e.start < a:
			return -1
		case e.start > a:
			return 1
		}
		return 0
	})
	if !ok {
		h.t.Fatalf("heap: %#x was not taken", addr)
	}
	h.taken = slices.Delete(h.taken, i, i+1)
}

// Used is how many bytes are taken.
func (h *Heap) Used() uint64 {
	var n uint64
	for _, e := range h.taken {
		n += e.end - e.start
	}
	return n
}

// CheckEmpty fails the test unless everything was given back.
func (h *Heap) CheckEmpty() {
	h.t.Helper()
	if len(h.taken) > 0 {
		h.t.Errorf("heap: %d pieces, %d bytes, are still taken, the first at %#x", len(h.taken), h.Used(), h.taken[0].start)
	}
}

func (h *Heap) String() string {
	return fmt.Sprintf("heap %#x-%#x, %d bytes used", h.start, h.end, h.Used())
}
