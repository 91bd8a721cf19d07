package qtest

import "encoding/binary"

// Flags of a packed ring's descriptors and of its event suppression (virtio 1.2
// sections 2.8.3 and 2.8.10).
const (
	packedAvail, packedUsed = 1 << 7, 1 << 15

	eventsOn, eventsOff, eventsAt = 0, 1, 2

	wrapCounter = 1 << 15
)

// packedVring is what the driver of a packed ring knows of it. Its indices are
// of descriptors; buffers are known by their ids.
type packedVring struct {
	next, used         int
	nextWrap, usedWrap bool
	free               int // descriptors
	added              int // descriptors made available since NeedsKick was asked
}

func newPackedVring(size int) *packedVring {
	return &packedVring{nextWrap: true, usedWrap: true, free: size}
}

// step moves an index over n descriptors.
func (r *Vring) step(index int, wrap bool, n int) (int, bool) {
	if index += n; index >= r.Size {
		return index - r.Size, !wrap
	}
	return index, wrap
}

func wrapped(index int, wrap bool) uint16 {
	if wrap {
		return uint16(index) | wrapCounter
	}
	return uint16(index)
}

// PutPacked writes the next descriptor of a packed ring as it is, but for its
// AVAIL and USED bits, and gives its address. No chain is noted: what comes of it
// is to be looked at elsewhere. The flags come last.
func (r *Vring) PutPacked(addr uint64, length uint32, id, flags uint16) uint64 {
	r.m.t.Helper()
	p := r.packed
	at := r.Desc + 16*uint64(p.next)
	d := binary.LittleEndian.AppendUint64(nil, addr)
	d = binary.LittleEndian.AppendUint32(d, length)
	r.m.Write(at, binary.LittleEndian.AppendUint16(d, id))
	if flags |= packedUsed; p.nextWrap {
		flags ^= packedAvail | packedUsed
	}
	r.m.Writew(at+14, flags)
	p.next, p.nextWrap = r.step(p.next, p.nextWrap, 1)
	p.added++
	return at
}

// addPacked makes a chain of descriptors available. The first one's flags come
// last.
func (r *Vring) addPacked(chain []Buffer, flags uint16) uint16 {
	r.m.t.Helper()
	p := r.packed
	if len(chain) == 0 || len(chain) > p.free || len(r.free) == 0 {
		r.m.t.Fatalf("virtqueue: a chain of %d descriptors, of which %d are free", len(chain), p.free)
	}
	id := r.free[0]
	r.free = r.free[1:]
	r.chains[id] = make([]int, len(chain))
	p.free -= len(chain)
	first, wrap := p.next, p.nextWrap
	end, endWrap := r.step(first, wrap, len(chain))
	for i := len(chain) - 1; i >= 0; i-- {
		f := flags
		if chain[i].Write {
			f |= descWrite
		}
		if i < len(chain)-1 {
			f |= descNext
		}
		p.next, p.nextWrap = r.step(first, wrap, i)
		r.PutPacked(chain[i].Addr, chain[i].Len, uint16(id), f)
	}
	p.next, p.nextWrap = end, endWrap
	return uint16(id)
}

// addPackedTable is addPacked by way of an indirect table, whose entries follow
// one another.
func (r *Vring) addPackedTable(table uint64, chain []Buffer) uint16 {
	r.m.t.Helper()
	for i, b := range chain {
		flags := uint16(0)
		if b.Write {
			flags = descWrite
		}
		// Where a split ring's entry has flags and next, there are id and flags.
		r.putDesc(table, i, b.Addr, b.Len, 0, int(flags))
	}
	return r.addPacked([]Buffer{{Addr: table, Len: uint32(16 * len(chain))}}, descIndirect)
}

// takePacked is Take.
func (r *Vring) takePacked() (id uint16, n uint32, ok bool) {
	r.m.t.Helper()
	p := r.packed
	b := r.m.Read(r.Desc+16*uint64(p.used), 16)
	flags := binary.LittleEndian.Uint16(b[14:])
	if flags&packedAvail != 0 != p.usedWrap || flags&packedUsed != 0 != p.usedWrap {
		return 0, 0, false
	}
	id, n = binary.LittleEndian.Uint16(b[12:]), binary.LittleEndian.Uint32(b[8:])
	l, ok := r.chains[int(id)]
	if !ok {
		r.m.t.Fatalf("virtqueue: the device used buffer %d, which it was not given", id)
	}
	if n > 0 != (flags&descWrite != 0) {
		r.m.t.Errorf("virtqueue: buffer %d was used with length %d and flags %#x", id, n, flags)
	}
	p.used, p.usedWrap = r.step(p.used, p.usedWrap, len(l))
	p.free += len(l)
	r.free = append(r.free, int(id))
	delete(r.chains, int(id))
	return id, n, true
}

// needsKickPacked is NeedsKick.
func (r *Vring) needsKickPacked() bool {
	r.m.t.Helper()
	p := r.packed
	added := p.added
	if p.added = 0; added == 0 {
		return false
	}
	event := r.m.Readl(r.Used)
	switch flags := event >> 16 & 3; {
	case flags == eventsOff:
		return false
	case flags != eventsAt || !r.EventIdx:
		return true
	}
	behind := p.next - int(event&^wrapCounter&0xffff)
	if event&wrapCounter != 0 != p.nextWrap {
		behind += r.Size
	}
	return behind > 0 && behind <= added
}

// setUsedEventPacked is SetUsedEvent.
func (r *Vring) setUsedEventPacked(n int) {
	r.m.t.Helper()
	r.m.Writew(r.Avail, wrapped(r.step(r.packed.used, r.packed.usedWrap, n)))
	r.m.Writew(r.Avail+2, eventsAt)
}
