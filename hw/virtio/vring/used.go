package vring

import (
	"encoding/binary"

	"github.com/gqemu/gqemu/internal/sys"
)

// noNotify is VIRTQ_USED_F_NO_NOTIFY, noInterrupt VIRTQ_AVAIL_F_NO_INTERRUPT.
const (
	noNotify    = 1
	noInterrupt = 1
)

// Push hands a chain back with the number of bytes written to it (virtio 1.2
// section 2.7.8). Chains may be handed back in any order.
func (q *Queue) Push(c *Chain, written uint32) error { return q.PushHead(c.Head, written) }

// PushHead is Push for a chain whose head was kept.
func (q *Queue) PushHead(head uint16, written uint32) error {
	if q.broken != nil {
		return q.broken
	}
	push := q.pushSplit
	if q.cfg.Packed {
		push = q.pushPacked
	}
	if err := push(head, written); err != nil {
		return err
	}
	if q.cfg.Count != nil {
		q.cfg.Count.Add(1)
	}
	return nil
}

func (q *Queue) pushSplit(head uint16, written uint32) error {
	at := q.cfg.Used + 4 + 8*uint64(q.used&(q.cfg.Num-1))
	var e [8]byte
	binary.LittleEndian.PutUint32(e[:], uint32(head))
	binary.LittleEndian.PutUint32(e[4:], written)
	if err := q.acc.write(e[:], at); err != nil {
		return q.fail(err, "used entry at %#x", at)
	}
	q.used++
	q.inUse--
	// The index comes after the entry.
	return q.storeUsed()
}

// storeUsed writes the used ring's flags and index, which are one word and
// the device's own.
func (q *Queue) storeUsed() error {
	b, err := q.acc.one(q.cfg.Used, 4, true)
	if err != nil {
		return q.fail(err, "used index at %#x", q.cfg.Used)
	}
	flags := uint32(0)
	if q.quiet {
		flags = noNotify
	}
	sys.StoreShared32(b, flags|uint32(q.used)<<16)
	return nil
}

// ShouldInterrupt tells whether the driver wants to be told of what was
// pushed since it was asked last (sections 2.7.7 and 2.7.10).
func (q *Queue) ShouldInterrupt() bool {
	if q.broken != nil {
		return false
	}
	if q.cfg.Packed {
		return q.shouldInterruptPacked()
	}
	old, valid := q.signalled, q.signalledValid
	if valid && old == q.used {
		return false
	}
	q.signalled, q.signalledValid = q.used, true
	if q.cfg.NotifyOnEmpty && q.inUse == 0 && q.Empty() && q.broken == nil {
		return true
	}
	at := q.cfg.Avail
	if q.cfg.EventIdx {
		at += 4 + 2*uint64(q.cfg.Num)
	}
	b, err := q.acc.one(at, 2, false)
	if err != nil {
		_ = q.fail(err, "the driver's notification suppression at %#x", at)
		return false
	}
	v := sys.LoadShared16(b)
	if !q.cfg.EventIdx {
		return v&noInterrupt == 0
	}
	// Did the index pass the one that the driver waits for?
	return !valid || q.used-v-1 < q.used-old
}

// SuppressKicks asks the driver not to notify. With the event index it need
// not be asked: it notifies only at the index that WantKicks names.
func (q *Queue) SuppressKicks() {
	if q.cfg.EventIdx || q.quiet || q.broken != nil {
		return
	}
	q.quiet = true
	// The queue is broken when that fails, which Pop tells.
	if q.cfg.Packed {
		_ = q.suppress(eventsOff, 0)
	} else {
		_ = q.storeUsed()
	}
}

// WantKicks asks the driver to notify of the next chain. more tells that one
// has come already, of which the driver may not have told.
func (q *Queue) WantKicks() (more bool, err error) {
	if q.broken != nil {
		return false, q.broken
	}
	switch {
	case q.cfg.Packed && q.cfg.EventIdx:
		err = q.suppress(eventsAt, position(q.next, q.nextWrap))
	case q.cfg.Packed:
		q.quiet = false
		err = q.suppress(eventsOn, 0)
	case q.cfg.EventIdx:
		at := q.cfg.Used + 4 + 8*uint64(q.cfg.Num)
		b, err := q.acc.one(at, 2, true)
		if err != nil {
			return false, q.fail(err, "the device's event index at %#x", at)
		}
		sys.StoreShared16(b, q.next)
	default:
		q.quiet = false
		err = q.storeUsed()
	}
	if err != nil {
		return false, err
	}
	return q.more()
}
