package vring

import (
	"errors"
	"fmt"

	"github.com/gqemu/gqemu/internal/sys"
)

// MaxChain bounds the descriptors of one chain, those of an indirect table
// included. Drivers stay below a queue's size; this is also QEMU's limit.
const MaxChain = 1024

// maxPieces bounds the pieces of host memory that a chain may come in, which
// are more than its descriptors where one crosses the edge of a mapping.
const maxPieces = 8 * MaxChain

// maxNum is the largest split ring (virtio 1.2 section 2.7).
const maxNum = 32768

// Config is how a driver has set a queue up.
type Config struct {
	Num               uint16 // entries, a power of two
	Desc, Avail, Used uint64 // addresses
	// Base is where the queue goes on: the number of chains, modulo 65536,
	// that were taken from it before; as many have been used. 0 for a new
	// queue.
	Base uint16
	// What was negotiated: VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX and
	// VIRTIO_F_NOTIFY_ON_EMPTY.
	Indirect, EventIdx, NotifyOnEmpty bool
}

// Queue is the device's side of one split virtqueue.
type Queue struct {
	cfg  Config
	acc  accessor
	next uint16 // next available chain to take
	used uint16 // next used entry to write
	// signalled is used as it was when ShouldInterrupt was asked last; valid
	// once it was.
	signalled      uint16
	signalledValid bool
	quiet          bool // kicks are suppressed by the flag
	inUse          int  // chains taken and not handed back
	broken         *Error
	table          []byte   // scratch for an indirect table
	chain          Chain    // what Pop gave last
	out, in        [][]byte // scratch for its lists
}

// New makes a queue. It touches no memory yet.
func New(mem Memory, c Config) (*Queue, error) {
	if c.Num == 0 || c.Num > maxNum || c.Num&(c.Num-1) != 0 {
		return nil, fmt.Errorf("virtqueue of %d entries", c.Num)
	}
	if c.Avail%2 != 0 || c.Used%4 != 0 {
		return nil, fmt.Errorf("virtqueue with its available ring at %#x, used ring at %#x", c.Avail, c.Used)
	}
	num := uint64(c.Num)
	for _, a := range [][2]uint64{{c.Desc, descSize * num}, {c.Avail, 6 + 2*num}, {c.Used, 6 + 8*num}} {
		if a[0]+a[1] < a[0] {
			return nil, fmt.Errorf("virtqueue with %d bytes at %#x", a[1], a[0])
		}
	}
	return &Queue{cfg: c, acc: accessor{mem: mem}, next: c.Base, used: c.Base}, nil
}

// Base is where the queue stands, for a Config to go on from. It tells that
// once all chains that were taken are handed back.
func (q *Queue) Base() uint16 { return q.next }

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
	idx, err := q.availIdx()
	return err != nil || idx == q.next
}
