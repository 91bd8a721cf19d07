package sys

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// Words in memory that someone outside Go's memory model writes at the same
// time, such as the indices of a virtqueue. All are little-endian, which is
// this processor's order. One whose address is not a multiple of its size is
// read and written byte by byte: nothing is promised of it, but nothing
// breaks.

// word finds the aligned 32 bits in which the first of b's bytes lie.
func word(b []byte, size uintptr) (w *uint32, shift uint, ok bool) {
	p := unsafe.Pointer(&b[0])
	off := uintptr(p) & 3
	if off%size != 0 {
		return nil, 0, false
	}
	return (*uint32)(unsafe.Add(p, -int(off))), uint(8 * off), true
}

// LoadShared16 reads the first two bytes of b as one.
func LoadShared16(b []byte) uint16 {
	w, shift, ok := word(b[:2], 2)
	if !ok {
		return binary.LittleEndian.Uint16(b)
	}
	return uint16(atomic.LoadUint32(w) >> shift)
}

// StoreShared16 writes the first two bytes of b as one. Nothing that this
// thread reads afterwards was read before.
func StoreShared16(b []byte, v uint16) {
	w, shift, ok := word(b[:2], 2)
	if !ok {
		binary.LittleEndian.PutUint16(b, v)
		return
	}
	// The other half of the word may be somebody else's.
	for {
		old := atomic.LoadUint32(w)
		if atomic.CompareAndSwapUint32(w, old, old&^(0xffff<<shift)|uint32(v)<<shift) {
			return
		}
	}
}

// StoreShared32 writes the first four bytes of b as one. Nothing that this
// thread reads afterwards was read before.
func StoreShared32(b []byte, v uint32) {
	w, _, ok := word(b[:4], 4)
	if !ok {
		binary.LittleEndian.PutUint32(b, v)
		return
	}
	atomic.StoreUint32(w, v)
}
