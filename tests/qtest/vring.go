package qtest

import "encoding/binary"

// Feature bits of virtqueues (virtio 1.2 section 6).
const (
	FeatureIndirectDesc = 1 << 28
	FeatureEventIdx     = 1 << 29
	FeatureRingPacked   = 1 << 34
	FeatureInOrder      = 1 << 35
)

// Flags of descriptors and rings (virtio 1.2 section 2.7).
const (
	descNext, descWrite, descIndirect = 1, 2, 4

	availNoInterrupt = 1
	usedNoNotify     = 1
)

// Vring is the driver's side of a virtqueue, split or packed (virtio 1.2 sections
// 2.7 and 2.8). It is made by [VirtioMMIO.Queue].
type Vring struct {
	// Desc, Avail and Used are where its parts are; they are laid out so that
	// they suit a legacy device. A packed ring's are the descriptors, the
	// driver's event suppression and the device's.
	Desc, Avail, Used uint64
	// Size is the number of entries.
	Size int
	// EventIdx says that VIRTIO_F_EVENT_IDX was negotiated.
	EventIdx bool

	m        *Machine
	packed   *packedVring  // nil for a split ring
	free     []int         // descriptors, in the order in which they are used next; a packed ring's ids
	chains   map[int][]int // descriptors of the chains in flight, by their heads or ids
	availIdx uint16
	usedIdx  uint16
	kicked   uint16 // availIdx when NeedsKick was last asked
}

// Buffer is a part of a request.
type Buffer struct {
	Addr  uint64
	Len   uint32
	Write bool // by the device
}

func newVring(m *Machine, size int, a Allocator) *Vring {
	n := uint64(size)
	availEnd := 16*n + 6 + 2*n
	used := (availEnd + 4095) &^ 4095
	total := used + 6 + 8*n
	base := a.Take(total, 4096)
	m.Memset(base, int(total), 0)
	r := &Vring{Desc: base, Avail: base + 16*n, Used: base + used, Size: size, m: m, chains: map[int][]int{}}
	for i := range size {
		r.free = append(r.free, i)
	}
	return r
}

// putDesc writes descriptor n of a table.
func (r *Vring) putDesc(table uint64, n int, addr uint64, length uint32, flags uint16, next int) {
	r.m.t.Helper()
	d := binary.LittleEndian.AppendUint64(nil, addr)
	d = binary.LittleEndian.AppendUint32(d, length)
	d = binary.LittleEndian.AppendUint16(d, flags)
	r.m.Write(table+16*uint64(n), binary.LittleEndian.AppendUint16(d, uint16(next)))
}

// link writes chain to the descriptors n of a table.
func (r *Vring) link(table uint64, n []int, chain []Buffer) {
	r.m.t.Helper()
	for i, b := range chain {
		flags, next := uint16(0), 0
		if b.Write {
			flags |= descWrite
		}
		if i < len(chain)-1 {
			flags |= descNext
			next = n[i+1]
		}
		r.putDesc(table, n[i], b.Addr, b.Len, flags, next)
	}
}

// claim takes n descriptors that are free.
func (r *Vring) claim(n int) []int {
	r.m.t.Helper()
	if n == 0 || n > len(r.free) {
		r.m.t.Fatalf("virtqueue: a chain of %d descriptors, of which %d are free", n, len(r.free))
	}
	l := r.free[:n:n]
	r.free = r.free[n:]
	r.chains[l[0]] = l
	return l
}

// publish makes the chain at head available.
func (r *Vring) publish(head int) uint16 {
	r.m.t.Helper()
	r.m.Writew(r.Avail+4+2*uint64(int(r.availIdx)%r.Size), uint16(head))
	r.availIdx++
	r.m.Writew(r.Avail+2, r.availIdx)
	return uint16(head)
}

// Add makes a chain of buffers available, those that the device reads first,
// and gives its head.
func (r *Vring) Add(chain ...Buffer) uint16 {
	r.m.t.Helper()
	if r.packed != nil {
		return r.addPacked(chain, 0)
	}
	l := r.claim(len(chain))
	r.link(r.Desc, l, chain)
	return r.publish(l[0])
}

// AddIndirect is Add by way of a table of its own in memory from a, which costs
// one descriptor of the ring. VIRTIO_F_INDIRECT_DESC must have been negotiated.
func (r *Vring) AddIndirect(a Allocator, chain ...Buffer) uint16 {
	r.m.t.Helper()
	table := a.Take(16*uint64(len(chain)), 16)
	if r.packed != nil {
		return r.addPackedTable(table, chain)
	}
	n := make([]int, len(chain))
	for i := range n {
		n[i] = i
	}
	r.link(table, n, chain)
	l := r.claim(1)
	r.putDesc(r.Desc, l[0], table, uint32(16*len(chain)), descIndirect, 0)
	return r.publish(l[0])
}

// Take gives the next used chain: its head and how many bytes were written. Its
// descriptors are free again.
func (r *Vring) Take() (head uint16, n uint32, ok bool) {
	r.m.t.Helper()
	if r.packed != nil {
		return r.takePacked()
	}
	if r.m.Readw(r.Used+2) == r.usedIdx {
		return 0, 0, false
	}
	e := r.m.Read(r.Used+4+8*uint64(int(r.usedIdx)%r.Size), 8)
	id, n := binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[4:])
	l, ok := r.chains[int(id)]
	if !ok {
		r.m.t.Fatalf("virtqueue: the device used chain %d, which it was not given", id)
	}
	r.usedIdx++
	r.free = append(r.free, l...)
	delete(r.chains, int(id))
	return uint16(id), n, true
}

// Wait waits for the next used chain.
func (r *Vring) Wait() (head uint16, n uint32) {
	r.m.t.Helper()
	r.m.Eventually("a used buffer", func() bool {
		var ok bool
		head, n, ok = r.Take()
		return ok
	})
	return head, n
}

// InFlight is how many chains the device has not used yet.
func (r *Vring) InFlight() int { return len(r.chains) }

// UsedIndex is how many chains the device has used, as it says, modulo 2^16. A
// packed ring does not tell.
func (r *Vring) UsedIndex() uint16 { r.m.t.Helper(); return r.m.Readw(r.Used + 2) }

// NeedsKick tells whether the device wants to be notified of what was added
// since the last call (virtio 1.2 sections 2.7.7.1, 2.7.10 and 2.8.10).
func (r *Vring) NeedsKick() bool {
	r.m.t.Helper()
	if r.packed != nil {
		return r.needsKickPacked()
	}
	old := r.kicked
	r.kicked = r.availIdx
	if old == r.availIdx {
		return false
	}
	if !r.EventIdx {
		return r.m.Readw(r.Used)&usedNoNotify == 0
	}
	event := r.m.Readw(r.Used + 4 + 8*uint64(r.Size))
	return r.availIdx-event-1 < r.availIdx-old
}

// SetUsedEvent asks for an interrupt when the device has used more than n
// further chains, of a packed ring descriptors, 0 for the next one.
// VIRTIO_F_EVENT_IDX must have been negotiated.
func (r *Vring) SetUsedEvent(n int) {
	r.m.t.Helper()
	if r.packed != nil {
		r.setUsedEventPacked(n)
		return
	}
	r.m.Writew(r.Avail+4+2*uint64(r.Size), r.usedIdx+uint16(n))
}

// SuppressInterrupts asks the device not to interrupt, or to do so again. It is
// a hint, and in a split ring only without VIRTIO_F_EVENT_IDX.
func (r *Vring) SuppressInterrupts(on bool) {
	r.m.t.Helper()
	flags := uint16(0)
	if on {
		flags = availNoInterrupt // eventsOff, the same
	}
	if r.packed != nil {
		r.m.Writew(r.Avail+2, flags)
		return
	}
	r.m.Writew(r.Avail, flags)
}
