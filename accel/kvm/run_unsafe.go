package kvm

import (
	"encoding/binary"
	"os"
	"sync/atomic"
	"unsafe"
)

// runPage is the kvm_run structure that a vCPU shares with the kernel. All
// but the first word belongs to whoever runs the vCPU.
type runPage []byte

// Offsets in kvm_run.
const (
	runExitReason = 8
	runReady      = 12 // ready_for_interrupt_injection
	runIF         = 13 // if_flag
	runCR8        = 16
	runAPICBase   = 24
	runUnion      = 32
)

// Bits of kvm_run's first word.
const (
	wantWindow    = 1 << 0 // request_interrupt_window
	immediateExit = 1 << 8 // immediate_exit
)

// first is kvm_run's first word. The kernel only reads it.
func (r runPage) first() *uint32 { return (*uint32)(unsafe.Pointer(&r[0])) }

func (r runPage) set(bit uint32)   { atomic.OrUint32(r.first(), bit) }
func (r runPage) clear(bit uint32) { atomic.AndUint32(r.first(), ^bit) }

func (r runPage) exitReason() uint32 { return r.u32(runExitReason) }
func (r runPage) readyForINTR() bool { return r[runReady] != 0 }
func (r runPage) ifFlag() bool       { return r[runIF] != 0 }
func (r runPage) cr8() uint64        { return r.u64(runCR8) }
func (r runPage) setCR8(v uint64)    { binary.LittleEndian.PutUint64(r[runCR8:], v) }
func (r runPage) apicBase() uint64   { return r.u64(runAPICBase) }
func (r runPage) u32(off int) uint32 { return binary.LittleEndian.Uint32(r[off:]) }
func (r runPage) u64(off int) uint64 { return binary.LittleEndian.Uint64(r[off:]) }
func (r runPage) port() uint16       { return binary.LittleEndian.Uint16(r[runUnion+2:]) }
func (r runPage) hardware() uint64   { return r.u64(runUnion) }
func (r runPage) extra(i int) uint64 { return r.u64(runUnion + 8 + 8*i) }
func (r runPage) eoiVector() uint8   { return r[runUnion] }
func (r runPage) exception() uint32  { return r.u32(runUnion) }
func (r runPage) errorCode() uint32  { return r.u32(runUnion + 4) }
func (r runPage) suberror() uint32   { return r.u32(runUnion) }
func (r runPage) ndata() uint32      { return r.u32(runUnion + 4) }

// mmio is the access of a KVM_EXIT_MMIO; nil if its length makes no sense.
func (r runPage) mmio() (addr uint64, data []byte, write bool) {
	n := r.u32(runUnion + 16)
	if n == 0 || n > 8 {
		return 0, nil, false
	}
	return r.u64(runUnion), r[runUnion+8 : runUnion+8+int(n) : runUnion+16], r[runUnion+20] != 0
}

// pio is the access of a KVM_EXIT_IO: count elements of size bytes in data;
// nil if the numbers make no sense.
func (r runPage) pio() (port uint16, size int, data []byte, write bool) {
	size = int(r[runUnion+1])
	count := uint64(r.u32(runUnion + 4))
	off := r.u64(runUnion + 8)
	n := uint64(size) * count
	if (size != 1 && size != 2 && size != 4) || count == 0 || off > uint64(len(r)) || n > uint64(len(r))-off {
		return 0, 0, nil, false
	}
	return r.port(), size, r[off : off+n], r[runUnion] == 1
}

// Offsets in the ring of coalesced writes: struct kvm_coalesced_mmio_ring. All
// vCPUs' mappings show the same one.
const (
	ringFirst = 0 // oldest entry, ours to advance
	ringLast  = 4 // where the kernel puts the next one
)

// dropCoalesced empties the ring of coalesced writes at the given page. When
// two vCPUs do so at once the ring may stay half full, until the next time.
func (r runPage) dropCoalesced(page int) {
	ring := r[page*os.Getpagesize():]
	first := (*uint32)(unsafe.Pointer(&ring[ringFirst]))
	last := (*uint32)(unsafe.Pointer(&ring[ringLast]))
	if n := atomic.LoadUint32(last); n != atomic.LoadUint32(first) {
		atomic.StoreUint32(first, n)
	}
}
