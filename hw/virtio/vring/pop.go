package vring

import "github.com/gqemu/gqemu/internal/sys"

// Chain is one request: buffers that the device reads, then buffers that it
// writes (virtio 1.2 section 2.7.4.2). The memory is the guest's and changes
// under the reader.
type Chain struct {
	// Head names the chain to the driver: the index of its first descriptor, or
	// a packed ring's buffer id.
	Head uint16
	// Out is what the device reads, In what it writes. Empty buffers are
	// left out.
	Out, In [][]byte
	// Descriptors is how many the chain has.
	Descriptors int
	// Where it begins and where the next one does. A packed ring's have a wrap
	// counter.
	position, after uint16
}

// Pop takes the next available chain; nil when there is none. The chain and
// its lists are the queue's and are valid until the next Pop.
func (q *Queue) Pop() (*Chain, error) {
	if q.broken != nil {
		return nil, q.broken
	}
	if q.cfg.Packed {
		return q.popPacked()
	}
	idx, err := q.availIdx()
	if err != nil || idx == q.next {
		return nil, err
	}
	at := q.cfg.Avail + 4 + 2*uint64(q.next&(q.cfg.Num-1))
	b, err := q.acc.one(at, 2, false)
	if err != nil {
		return nil, q.fail(err, "available entry at %#x", at)
	}
	c := &q.chain
	*c = Chain{Head: sys.LoadShared16(b), Out: q.out[:0], In: q.in[:0], position: q.next, after: q.next + 1}
	if c.Head >= q.cfg.Num {
		return nil, q.fail(nil, "head %d in a ring of %d", c.Head, q.cfg.Num)
	}
	if err := q.gather(c); err != nil {
		return nil, err
	}
	q.out, q.in = c.Out, c.In // users shorten theirs
	q.next++
	q.inUse++
	return c, nil
}

// Unpop gives the chain that Pop gave last back to the driver's side of the
// ring, to be taken again. Nothing was handed back since.
func (q *Queue) Unpop(c *Chain) {
	if q.broken != nil || q.inUse == 0 {
		return
	}
	switch {
	case q.cfg.Packed && c.after == position(q.next, q.nextWrap):
		q.next, q.nextWrap = c.position&^wrapBit, c.position&wrapBit != 0
		q.flying = q.flying[:len(q.flying)-1]
	case !q.cfg.Packed && c.after == q.next:
		q.next--
	default:
		return
	}
	q.inUse--
}

// gather walks a chain.
func (q *Queue) gather(c *Chain) error {
	var b [descSize]byte
	for i := c.Head; ; {
		at := q.cfg.Desc + descSize*uint64(i)
		if err := q.acc.read(b[:], at); err != nil {
			return q.fail(err, "descriptor at %#x", at)
		}
		d := decode(b[:])
		if d.flags&descIndirect != 0 {
			if d.flags&descNext != 0 {
				return q.fail(nil, "descriptor %d is indirect and has a next", i)
			}
			return q.gatherTable(c, d)
		}
		if err := q.add(c, d, int(q.cfg.Num)); err != nil {
			return err
		}
		if d.flags&descNext == 0 {
			return nil
		}
		if i = d.next; i >= q.cfg.Num {
			return q.fail(nil, "next descriptor %d in a ring of %d", i, q.cfg.Num)
		}
	}
}

// indirectTable copies an indirect table.
func (q *Queue) indirectTable(d descriptor) ([]byte, error) {
	if !q.cfg.Indirect {
		return nil, q.fail(nil, "indirect descriptor that was not negotiated")
	}
	n := int(d.len / descSize)
	if d.len == 0 || d.len%descSize != 0 || n > MaxChain {
		return nil, q.fail(nil, "indirect table of %d bytes", d.len)
	}
	if cap(q.table) < int(d.len) {
		q.table = make([]byte, d.len)
	}
	table := q.table[:d.len]
	if err := q.acc.read(table, d.addr); err != nil {
		return nil, q.fail(err, "indirect table at %#x", d.addr)
	}
	return table, nil
}

// gatherTable walks an indirect table (section 2.7.5.3).
func (q *Queue) gatherTable(c *Chain, d descriptor) error {
	table, err := q.indirectTable(d)
	if err != nil {
		return err
	}
	n := len(table) / descSize
	// No entry is met twice, so a chain in the table has at most n.
	most := c.Descriptors + n
	for i := 0; ; {
		e := decode(table[descSize*i:])
		if e.flags&descIndirect != 0 {
			return q.fail(nil, "indirect descriptor in an indirect table")
		}
		if err := q.add(c, e, most); err != nil {
			return err
		}
		if e.flags&descNext == 0 {
			return nil
		}
		if i = int(e.next); i >= n {
			return q.fail(nil, "next descriptor %d in an indirect table of %d", i, n)
		}
	}
}

// add appends one buffer. most is how many descriptors the chain may have.
func (q *Queue) add(c *Chain, d descriptor, most int) error {
	if c.Descriptors++; c.Descriptors > min(most, MaxChain) {
		return q.fail(nil, "chain of more than %d descriptors", min(most, MaxChain))
	}
	write := d.flags&descWrite != 0
	if d.len == 0 {
		return nil
	}
	list := &c.Out
	if write {
		list = &c.In
	} else if len(c.In) > 0 {
		return q.fail(nil, "readable buffer after a writable one")
	}
	grown, err := q.acc.mem.Pieces(*list, d.addr, uint64(d.len), write)
	if err != nil {
		return q.fail(err, "buffer at %#x, size %#x", d.addr, d.len)
	}
	if *list = grown; len(c.Out)+len(c.In) > maxPieces {
		return q.fail(nil, "chain in more than %d pieces", maxPieces)
	}
	return nil
}
