package sys

import (
	"bytes"
	"testing"
	"unsafe"
)

func TestSharedWordsTouchNoOther(t *testing.T) {
	store := make([]uint64, 2) // aligned
	mem := unsafe.Slice((*byte)(unsafe.Pointer(&store[0])), 16)
	for at := range 12 {
		for i := range mem {
			mem[i] = byte(i)
		}
		want := bytes.Clone(mem)
		if got := LoadShared16(mem[at:]); got != uint16(at)|uint16(at+1)<<8 {
			t.Errorf("at %d: read %#x", at, got)
		}
		StoreShared16(mem[at:], 0xaabb)
		want[at], want[at+1] = 0xbb, 0xaa
		if !bytes.Equal(mem, want) {
			t.Errorf("16 bits at %d: %x, want %x", at, mem, want)
		}
		StoreShared32(mem[at:], 0x11223344)
		copy(want[at:], []byte{0x44, 0x33, 0x22, 0x11})
		if !bytes.Equal(mem, want) {
			t.Errorf("32 bits at %d: %x, want %x", at, mem, want)
		}
	}
}
