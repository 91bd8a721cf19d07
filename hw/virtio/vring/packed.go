package vring

import (
	"encoding/binary"

	"github.com/gqemu/gqemu/internal/sys"
)

// Packed rings (virtio 1.2 section 2.8): driver and device write the same
// descriptors, whose flags tell whose they are.

// Flags of a packed ring's descriptors, beside those of a split ring's.
const (
	descAvail = 1 << 7
	descUsed  = 1 << 15
)

// wrapBit is the wrap counter beside an index (section 2.8.10, and the kernel's
// format of a base).
const wrapBit = 1 << 15

// Flags of event suppression (section 2.8.10). eventsAt is for the descriptor
// that is beside it; it needs VIRTIO_F_EVENT_IDX.
const (
	eventsOn  = 0
	eventsOff = 1
	eventsAt  = 2
)

// flight is a chain that was taken and not handed back.
type flight struct {
	id   uint16
	span uint16 // descriptors of the ring
}

func position(index uint16, wrap bool) uint16 {
	if wrap {
		return index | wrapBit
	}
	return index
}

// advance moves an index over n descriptors, at most a ring's.
func (q *Queue) advance(index uint16, wrap bool, n uint16) (uint16, bool) {
	if index += n; index >= q.cfg.Num { // both are at most 32768
		return index - q.cfg.Num, !wrap
	}
	return index, wrap
}

// packedDesc reads a descriptor of the ring and tells whether it is available
// with a wrap counter.
func (q *Queue) packedDesc(index uint16, wrap bool) (d descriptor, available bool, err error) {
	at := q.cfg.Desc + descSize*uint64(index)
	b, err := q.acc.one(at, descSize, false)
	if err != nil {
		return d, false, q.fail(err, "descriptor at %#x", at)
	}
	// The driver writes the flags last: what is read after them is whole.
	flags := sys.LoadShared16(b[14:])
	if avail, used := flags&descAvail != 0, flags&descUsed != 0; avail != wrap || used == wrap {
		return d, false, nil
	}
	le := binary.LittleEndian
	// Where a split ring's descriptor has flags and next, there are id and
	// flags.
	return descriptor{addr: le.Uint64(b), len: le.Uint32(b[8:]), flags: flags, next: le.Uint16(b[12:])}, true, nil
}

// head reads the first descriptor of the next chain, if there is one.
func (q *Queue) head() (descriptor, bool, error) { return q.packedDesc(q.next, q.nextWrap) }

// popPacked is Pop.
func (q *Queue) popPacked() (*Chain, error) {
	d, ok, err := q.head()
	if err != nil || !ok {
		return nil, err
	}
	c := &q.chain
	*c = Chain{Out: q.out[:0], In: q.in[:0], position: position(q.next, q.nextWrap)}
	span := uint16(1)
	index, wrap := q.next, q.nextWrap
	for {
		if d.flags&descIndirect != 0 {
			if d.flags&descNext != 0 {
				return nil, q.fail(nil, "descriptor %d is indirect and has a next", index)
			}
			if err := q.gatherPackedTable(c, d); err != nil {
				return nil, err
			}
			break
		}
		if err := q.add(c, d, int(q.cfg.Num)); err != nil {
			return nil, err
		}
		if d.flags&descNext == 0 {
			break
		}
		// No descriptor is met twice: those that were are available with the
		// other wrap counter, and add bounds the chain.
		if index, wrap = q.advance(index, wrap, 1); span == q.cfg.Num {
			return nil, q.fail(nil, "chain of more than %d descriptors", q.cfg.Num)
		}
		span++
		if d, ok, err = q.packedDesc(index, wrap); err != nil {
			return nil, err
		}
		if !ok {
			return nil, q.fail(nil, "descriptor %d of a chain is not available", index)
		}
	}
	// The last descriptor has the buffer's id (section 2.8.6).
	c.Head = d.next
	for _, f := range q.flying {
		if f.id == c.Head {
			return nil, q.fail(nil, "buffer %d is available twice", c.Head)
		}
	}
	if q.inUse == int(q.cfg.Num) {
		return nil, q.fail(nil, "more than %d buffers in a ring of %d", q.inUse, q.cfg.Num)
	}
	q.next, q.nextWrap = q.advance(q.next, q.nextWrap, span)
	c.after = position(q.next, q.nextWrap)
	q.out, q.in = c.Out, c.In
	q.flying = append(q.flying, flight{c.Head, span})
	q.inUse++
	return c, nil
}

// gatherPackedTable walks an indirect table, whose entries follow one another
// (section 2.8.7).
func (q *Queue) gatherPackedTable(c *Chain, d descriptor) error {
	table, err := q.indirectTable(d)
	if err != nil {
		return err
	}
	for most := c.Descriptors + len(table)/descSize; len(table) > 0; table = table[descSize:] {
		le := binary.LittleEndian
		e := descriptor{addr: le.Uint64(table), len: le.Uint32(table[8:]), flags: le.Uint16(table[14:])}
		if e.flags&descIndirect != 0 {
			return q.fail(nil, "indirect descriptor in an indirect table")
		}
		if err := q.add(c, e, most); err != nil {
			return err
		}
	}
	return nil
}

// pushPacked is PushHead.
func (q *Queue) pushPacked(id uint16, written uint32) error {
	i := 0
	for i < len(q.flying) && q.flying[i].id != id {
		i++
	}
	if i == len(q.flying) {
		return q.fail(nil, "buffer %d is handed back, which was not taken", id)
	}
	span := q.flying[i].span
	at := q.cfg.Desc + descSize*uint64(q.used)
	b, err := q.acc.one(at, descSize, true)
	if err != nil {
		return q.fail(err, "used descriptor at %#x", at)
	}
	flags := uint32(0)
	if q.usedWrap {
		flags = descAvail | descUsed
	}
	if written > 0 {
		flags |= descWrite
	}
	binary.LittleEndian.PutUint32(b[8:], written)
	// The flags come after the length, in one word with the id.
	sys.StoreShared32(b[12:], uint32(id)|flags<<16)
	q.flying = append(q.flying[:i], q.flying[i+1:]...)
	q.used, q.usedWrap = q.advance(q.used, q.usedWrap, span)
	q.since += uint32(span)
	q.inUse--
	return nil
}

// shouldInterruptPacked is ShouldInterrupt.
func (q *Queue) shouldInterruptPacked() bool {
	since, valid := q.since, q.signalledValid
	if since == 0 && valid {
		return false
	}
	q.since, q.signalledValid = 0, true
	b, err := q.acc.one(q.cfg.Avail, 4, false)
	if err != nil {
		_ = q.fail(err, "the driver's event suppression at %#x", q.cfg.Avail)
		return false
	}
	// The driver writes the descriptor's index before the flags.
	flags := sys.LoadShared16(b[2:])
	switch {
	case flags&3 == eventsOff:
		return false
	case flags&3 != eventsAt || !q.cfg.EventIdx || !valid:
		return true
	}
	event := sys.LoadShared16(b)
	at := event &^ wrapBit
	if at >= q.cfg.Num {
		return true // it names no descriptor, so it is no reason to be silent
	}
	// How far behind the next used descriptor is it? 0 is that one itself,
	// which is yet to be used.
	behind := int(q.used) - int(at)
	if event&wrapBit != 0 != q.usedWrap {
		behind += int(q.cfg.Num)
	}
	return behind > 0 && behind <= int(since)
}

// suppress writes the device's event suppression.
func (q *Queue) suppress(flags, descriptor uint16) error {
	b, err := q.acc.one(q.cfg.Used, 4, true)
	if err != nil {
		return q.fail(err, "the device's event suppression at %#x", q.cfg.Used)
	}
	sys.StoreShared32(b, uint32(descriptor)|uint32(flags)<<16)
	return nil
}
