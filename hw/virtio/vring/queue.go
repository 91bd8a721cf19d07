package vring

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/gqemu/gqemu/internal/sys"
)

// MaxChain bounds the descriptors of one chain, those of an indirect table
// included. Drivers stay below a queue's size; this is also QEMU's limit.
const MaxChain = 1024

// maxPieces bounds the pieces of host memory that a chain may come in, which
// are more than its descriptors where one crosses the edge of a mapping.
const maxPieces = 8 * MaxChain

// maxNum is the largest ring (virtio 1.2 sections 2.7 and 2.8).
const maxNum = 32768

// Config is how a driver has set a queue up.
type Config struct {
	Num uint16 // entries; a power of two in a split ring
	// Desc, Avail and Used are the addresses of its areas. A packed ring's are
	// the descriptor ring, the driver's event suppression and the device's.
	Desc, Avail, Used uint64
	// Base is where the queue goes on, in the kernel's format
	// (VHOST_SET_VRING_BASE). A split ring's is the number of chains, modulo
	// 65536, that were taken from it before; as many have been used. 0 for a new
	// queue. A packed ring's has in each half an index of 15 bits below its wrap
	// counter, in the low half where chains are taken, in the high one where they
	// are handed back; FreshPacked for a new queue.
	Base uint32
	// What was negotiated: VIRTIO_F_RING_PACKED, VIRTIO_F_INDIRECT_DESC,
	// VIRTIO_F_EVENT_IDX and VIRTIO_F_NOTIFY_ON_EMPTY. VIRTIO_F_IN_ORDER asks
	// nothing of the queue, but of its user, who hands chains back in the order
	// in which they were taken.
	Packed, Indirect, EventIdx, NotifyOnEmpty bool
	// Count, if there is one, counts the chains that are handed back.
	Count *atomic.Uint64
}

// FreshPacked is the Base of a packed ring that was never used: both wrap
// counters start at 1 (section 2.8.1).
const FreshPacked = 0x80008000

// Queue is the device's side of one virtqueue.
type Queue struct {
	cfg Config
	acc accessor
	// next is the next available chain to take, used the next used entry to
	// write; in a packed ring they are the indices of descriptors, with wrap
	// counters.
	next, used         uint16
	nextWrap, usedWrap bool
	flying             []flight // packed: chains taken and not handed back
	// signalled is used as it was when ShouldInterrupt was asked last; valid
	// once it was. since is how many descriptors of a packed ring were used
	// since then.
	signalled      uint16
	signalledValid bool
	since          uint32
	quiet          bool // kicks are suppressed by the flag
	inUse          int  // chains taken and not handed back
	broken         *Error
	table          []byte   // scratch for an indirect table
	chain          Chain    // what Pop gave last
	out, in        [][]byte // scratch for its lists
}

// New makes a queue. It touches no memory yet.
func New(mem Memory, c Config) (*Queue, error) {
	if c.Num == 0 || c.Num > maxNum || !c.Packed && c.Num&(c.Num-1) != 0 {
		return nil, fmt.Errorf("virtqueue of %d entries", c.Num)
	}
	num := uint64(c.Num)
	areas := [][2]uint64{{c.Desc, descSize * num}, {c.Avail, 6 + 2*num}, {c.Used, 6 + 8*num}}
	q := &Queue{cfg: c, acc: accessor{mem: mem}}
	if c.Packed {
		// Words of 4 bytes are stored as one.
		if c.Desc%descSize != 0 || c.Avail%4 != 0 || c.Used%4 != 0 {
			return nil, fmt.Errorf("packed virtqueue at %#x, its event suppression at %#x and %#x", c.Desc, c.Avail, c.Used)
		}
		areas = [][2]uint64{{c.Desc, descSize * num}, {c.Avail, 4}, {c.Used, 4}}
		q.next, q.nextWrap = uint16(c.Base)&^wrapBit, c.Base&wrapBit != 0
		q.used, q.usedWrap = uint16(c.Base>>16)&^wrapBit, c.Base>>16&wrapBit != 0
		if q.next >= c.Num || q.used >= c.Num {
			return nil, fmt.Errorf("packed virtqueue of %d entries that goes on at %#x", c.Num, c.Base)
		}
	} else {
		if c.Avail%2 != 0 || c.Used%4 != 0 {
			return nil, fmt.Errorf("virtqueue with its available ring at %#x, used ring at %#x", c.Avail, c.Used)
		}
		if c.Base > 0xffff {
			return nil, fmt.Errorf("split virtqueue that goes on at %#x", c.Base)
		}
		q.next, q.used = uint16(c.Base), uint16(c.Base)
	}
	for _, a := range areas {
		if a[0]+a[1] < a[0] {
			return nil, fmt.Errorf("virtqueue with %d bytes at %#x", a[1], a[0])
		}
	}
	return q, nil
}

// Base is where the queue stands, for a Config to go on from. It tells that
// once all chains that were taken are handed back.
func (q *Queue) Base() uint32 {
	if !q.cfg.Packed {
		return uint32(q.next)
	}
	return uint32(position(q.next, q.nextWrap)) | uint32(position(q.used, q.usedWrap))<<16
}

// InUse is how many chains were taken and not handed back.
func (q *Queue) InUse() int { return q.inUse }

// Num is the number of entries.
func (q *Queue) Num() uint16 { return q.cfg.Num }

// Broken says how the driver broke the queue, nil while it is whole.
func (q *Queue) Broken() error {
	if q.broken == nil {
		return nil
	}
	return q.broken
}

// Error is a rule that a driver broke. The queue works no more.
type Error struct {
	What string
	Err  error // of Memory, may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return "virtqueue: " + e.What
	}
	return "virtqueue: " + e.What + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

var errSplit = errors.New("it crosses from one mapping to another")

// fail breaks the queue.
func (q *Queue) fail(err error, format string, args ...any) error {
	q.broken = &Error{fmt.Sprintf(format, args...), err}
	return q.broken
}

// availIdx reads the driver's index (section 2.7.6).
func (q *Queue) availIdx() (uint16, error) {
	b, err := q.acc.one(q.cfg.Avail+2, 2, false)
	if err != nil {
		return 0, q.fail(err, "available index at %#x", q.cfg.Avail+2)
	}
	idx := sys.LoadShared16(b)
	if n := idx - q.next; n > q.cfg.Num {
		return 0, q.fail(nil, "%d chains are available in a ring of %d", n, q.cfg.Num)
	}
	return idx, nil
}

// Empty tells whether no chain is available. A broken queue is empty.
func (q *Queue) Empty() bool {
	if q.broken != nil {
		return true
	}
	more, err := q.more()
	return err != nil || !more
}

// more tells whether a chain is available.
func (q *Queue) more() (bool, error) {
	if q.cfg.Packed {
		_, more, err := q.head()
		return more, err
	}
	idx, err := q.availIdx()
	return idx != q.next, err
}
