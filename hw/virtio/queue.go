package virtio

import (
	"fmt"

	"github.com/gqemu/gqemu/internal/sys"
)

// Queue is one virtqueue as the driver has set it up. Addresses are guest
// physical.
type Queue struct {
	// Max is the largest size the device takes.
	Max uint16
	// Num is the size the driver chose, Max until it does.
	Num uint16
	// Desc, Avail and Used are the three areas (virtio 1.2 section 2.6; in
	// a packed ring the descriptor ring and the driver's and the device's
	// event suppression structures).
	Desc, Avail, Used uint64
	// Align is what a legacy driver aligns the used ring to, in bytes.
	Align uint32
	// Ready tells that the driver has handed the queue over.
	Ready bool
	// Kick is signalled when the driver notifies the queue. It lives as
	// long as the device is plugged.
	Kick *sys.Eventfd
	// Notified counts the driver's notifications that passed through this
	// process; the others went to Kick by themselves.
	Notified uint64
}

// defaultAlign is the alignment of a legacy ring before the driver says
// otherwise.
const defaultAlign = 4096

func (q *Queue) reset() {
	*q = Queue{Max: q.Max, Num: q.Max, Align: defaultAlign, Kick: q.Kick, Notified: q.Notified}
}

// splitMax is the largest power of two a split ring may have.
func (q *Queue) splitMax() uint16 {
	n := uint16(1)
	for n <= q.Max/2 {
		n *= 2
	}
	return min(n, q.Max)
}

func isPow2(n uint64) bool { return n != 0 && n&(n-1) == 0 }

// setSize takes the driver's choice of a size.
func (q *Queue) setSize(n uint32, packed bool) error {
	if n == 0 || n > uint32(q.Max) || !packed && !isPow2(uint64(n)) {
		return fmt.Errorf("queue size %d (at most %d)", n, q.Max)
	}
	q.Num = uint16(n)
	return nil
}

// setLegacyRing lays a ring out as legacy drivers do: one piece, the used
// ring at the next multiple of the alignment (virtio 1.2 section 2.7.2).
func (q *Queue) setLegacyRing(addr uint64) error {
	num, align := uint64(q.Num), uint64(q.Align)
	desc, avail := addr, addr+16*num
	used := (avail + 6 + 2*num + align - 1) &^ (align - 1)
	if desc%16 != 0 || used+6+8*num < desc {
		return fmt.Errorf("ring at %#x, size %d", addr, num)
	}
	q.Desc, q.Avail, q.Used = desc, avail, used
	return nil
}

// check tells whether the areas are where the specification lets them be
// (virtio 1.2 sections 2.6 and 2.8).
func (q *Queue) check(packed bool) error {
	num := uint64(q.Num)
	availAlign, availSize, usedSize := uint64(2), 6+2*num, 6+8*num
	if packed {
		availAlign, availSize, usedSize = 4, 4, 4
	}
	for _, a := range []struct {
		addr, align, size uint64
	}{{q.Desc, 16, 16 * num}, {q.Avail, availAlign, availSize}, {q.Used, 4, usedSize}} {
		if a.addr%a.align != 0 || a.addr+a.size < a.addr {
			return fmt.Errorf("ring areas %#x, %#x, %#x, size %d", q.Desc, q.Avail, q.Used, num)
		}
	}
	return nil
}
