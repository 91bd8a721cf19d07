package sim

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/hw/virtio/vring"
)

// Feature bits of a block device (virtio 1.2 section 5.2.3).
const (
	blkSizeMax     = 1
	blkSegMax      = 2
	blkReadOnly    = 5
	blkBlockSize   = 6
	blkFlush       = 9
	blkTopology    = 10
	blkMQ          = 12
	blkDiscard     = 13
	blkWriteZeroes = 14
)

// ringFeatures are those of the queues and the interface. ACCESS_PLATFORM:
// what the device is given are IOVA. IN_ORDER: a queue's chains are handed back
// as they came, each before the next is taken.
const ringFeatures uint64 = 1<<virtio.FeatureAnyLayout | 1<<virtio.FeatureIndirectDesc |
	1<<virtio.FeatureEventIdx | 1<<virtio.FeatureVersion1 | 1<<virtio.FeatureAccessPlatform |
	1<<virtio.FeatureRingPacked | 1<<virtio.FeatureInOrder

// Request types and statuses (section 5.2.6).
const (
	blkIn, blkOut, blkFlushCmd, blkGetID, blkDiscardCmd, blkWriteZeroesCmd = 0, 1, 4, 8, 11, 13

	blkOK, blkIOError, blkUnsupported = 0, 1, 2
)

const (
	sectorSize   = 512
	blkHeader    = 16
	blkIDLength  = 20
	blkConfig    = 72
	blkRangeSize = 16 // struct virtio_blk_discard_write_zeroes

	// maxSegments is how many data buffers a request may have and maxSegment
	// how many bytes each. What they come to bounds a request: calls that stop
	// the device wait for the one under way.
	maxSegments = 126
	maxSegment  = 1 << 20
	maxData     = maxSegments * maxSegment

	// A discard may have several ranges, a write-zeroes one, because that may
	// have to write.
	maxRanges         = 32
	maxDiscardSectors = 1 << 30 / sectorSize
	maxZeroSectors    = 64 << 20 / sectorSize
)

// blk is a block device on a store. It is used with device.io held, for reading
// by the queues' goroutines, for writing by what changes it.
type blk struct {
	store    *store
	queues   uint16
	sectors  uint64
	readOnly bool
	max      uint16
	serial   string
	space    [blkConfig]byte
	stats    *blkStats
}

// blkStats is what clients see of a block device's work.
type blkStats struct {
	reads, writes, flushes, discards, writeZeroes, errors, ringErrors atomic.Uint64
	readBytes, writtenBytes                                           atomic.Uint64
}

// layOut fills the configuration space (section 5.2.4).
func (b *blk) layOut() {
	le, c := binary.LittleEndian, b.space[:]
	le.PutUint64(c[0:], b.sectors)
	le.PutUint32(c[8:], maxSegment)
	le.PutUint32(c[12:], maxSegments)
	le.PutUint32(c[20:], sectorSize)
	c[24] = 3               // physical blocks of 4 KiB
	le.PutUint16(c[26:], 1) // minimum I/O size in blocks
	le.PutUint16(c[34:], b.queues)
	le.PutUint32(c[36:], maxDiscardSectors)
	le.PutUint32(c[40:], maxRanges)
	le.PutUint32(c[44:], 1) // discard alignment in sectors
	le.PutUint32(c[48:], maxZeroSectors)
	le.PutUint32(c[52:], 1)
	c[56] = 1 // write-zeroes may unmap
}

func (b *blk) deviceID() uint32 { return 2 }
func (b *blk) queueMax() uint16 { return b.max }
func (b *blk) groups() []int    { return make([]int, b.queues) }
func (b *blk) config() []byte   { return b.space[:] }

// setConfig changes nothing, as in the kernel.
func (b *blk) setConfig(int, []byte) {}

func (b *blk) features() uint64 {
	f := ringFeatures | 1<<blkSizeMax | 1<<blkSegMax | 1<<blkBlockSize | 1<<blkFlush | 1<<blkTopology | 1<<blkMQ
	if b.readOnly {
		return f | 1<<blkReadOnly
	}
	return f | 1<<blkDiscard | 1<<blkWriteZeroes
}

// negotiated is part of model: requests look at the features themselves.
func (b *blk) negotiated(uint64) {}

func (b *blk) passive(int) bool { return false }

// serve is part of model.
func (b *blk) serve(d *device, n int, q *vring.Queue) (bool, error) {
	c, err := q.Pop()
	if c == nil {
		return false, err
	}
	r := b.parse(c)
	// A driver that cannot flush must be able to rely on each write.
	r.through = d.accepted>>blkFlush&1 == 0
	// What waits for its medium goes on without this goroutine, which takes the
	// next chain, unless chains have to be handed back in order.
	if d.workers != nil && !b.store.memory && d.accepted>>virtio.FeatureInOrder&1 == 0 && r.waits(c) {
		if j := d.job(n, q, c); j != nil {
			j.request = r
			d.send(j)
			return true, nil
		}
	}
	if err := q.Push(c, r.perform(c)); err != nil {
		return false, err
	}
	d.interrupt(n)
	return true, nil
}

// take copies from the front of list to p and gives what is left of it.
func take(list [][]byte, p []byte) [][]byte {
	for len(p) > 0 && len(list) > 0 {
		n := copy(p, list[0])
		p = p[n:]
		if list[0] = list[0][n:]; len(list[0]) == 0 {
			list = list[1:]
		}
	}
	return list
}

// put copies p to list, as much as there is room for, and gives how much that
// was.
func put(list [][]byte, p []byte) (n int) {
	for _, b := range list {
		k := copy(b, p[n:])
		n += k
	}
	return n
}
