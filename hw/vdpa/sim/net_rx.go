package sim

import (
	"encoding/binary"
	"time"

	"github.com/gqemu/gqemu/hw/virtio/vring"
)

// verdict is what became of a frame that came.
type verdict int

const (
	received verdict = iota
	noQueue          // the queue is not served now
	noBuffer         // the driver has made none available
	tooSmall         // the next buffer has no room for it
)

// admits tells whether a frame is for this card, and counts one that is not.
// The driver is spared what it could not read (section 5.1.6.4.1).
func (c *card) admits(d *device, f *frame) bool {
	d.mu.Lock()
	mac := [6]byte(c.space[:6])
	d.mu.Unlock()
	accepted := c.accepted.Load()
	switch {
	case !c.up.Load(), accepted>>netMTU&1 != 0 && f.head[1] == gsoNone && c.tooLong(f.data),
		!checkHeader(&f.head, accepted>>netGuestCsum&1 != 0,
			accepted>>netGuestTSO4&1 != 0, accepted>>netGuestTSO6&1 != 0, accepted>>netGuestECN&1 != 0):
		c.stats.rxDropped.Add(1)
		return false
	case !c.filter.Load().accepts(mac, [6]byte(f.data)):
		c.stats.rxFiltered.Add(1)
		return false
	}
	return true
}

// tooLong tells whether a frame exceeds the MTU.
func (c *card) tooLong(data []byte) bool {
	header := minFrame
	if t := binary.BigEndian.Uint16(data[12:]); t == 0x8100 || t == 0x88a8 {
		header += 4
	}
	return len(data) > int(c.mtu)+header
}

// insert puts a frame into the receive queue of a pair. It is called in serve.
func (c *card) insert(d *device, pair int, f *frame) (v verdict) {
	n := 2 * pair
	if !d.with(n, func(q *vring.Queue) (err error) {
		v, err = c.fill(d, n, q, f)
		return err
	}) {
		return noQueue
	}
	return v
}

// fill puts a frame into the next buffer of queue n.
func (c *card) fill(d *device, n int, q *vring.Queue, f *frame) (verdict, error) {
	chain, err := q.Pop()
	if chain == nil {
		return noBuffer, err
	}
	header := headerSize(d.accepted)
	size := header + len(f.data)
	if vring.Bytes(chain.In) < uint64(size) {
		q.Unpop(chain)
		return tooSmall, nil
	}
	var head [netHeader + 2]byte
	copy(head[:], f.head[:])
	head[netHeader] = 1 // buffer
	scatter(scatter(chain.In, head[:header]), f.data)
	if err := q.Push(chain, uint32(size)); err != nil {
		return noQueue, err
	}
	d.interrupt(n)
	c.stats.rxPackets.Add(1)
	c.stats.rxBytes.Add(uint64(len(f.data)))
	return received, nil
}

// patience is how long a frame waits for a buffer. What brings it reads no
// further meanwhile, so that a burst waits where it is.
const patience = 5 * time.Millisecond

// arrive takes a frame that came by wire, on the wire's goroutine and under no
// lock. pair is the queue pair that it is for, -1 for whichever its flow uses.
// A frame without a buffer waits for a moment, and those behind it do not
// until there are buffers again.
func (c *card) arrive(d *device, pair int, f *frame) {
	if !c.admits(d, f) {
		return
	}
	pair = c.steer(f, pair)
	n := 2 * pair
	for wait, waited := 50*time.Microsecond, time.Duration(0); ; wait *= 2 {
		v := noQueue
		d.use(n, func(q *vring.Queue) (err error) {
			v, err = c.fill(d, n, q, f)
			return err
		})
		switch {
		case v == received:
			c.starved[pair].Store(false)
			return
		case v != noBuffer, c.starved[pair].Load():
			c.stats.rxDropped.Add(1)
			return
		case waited >= patience:
			c.starved[pair].Store(true)
			c.stats.rxDropped.Add(1)
			return
		}
		time.Sleep(wait)
		waited += wait
	}
}

// scatter copies b to the front of to, which has room, and gives what is left
// of to.
func scatter(to [][]byte, b []byte) [][]byte {
	for len(b) > 0 && len(to) > 0 {
		n := copy(to[0], b)
		b = b[n:]
		if to[0] = to[0][n:]; len(to[0]) == 0 {
			to = to[1:]
		}
	}
	return to
}
