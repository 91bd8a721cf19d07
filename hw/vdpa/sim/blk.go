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
	// A driver that cannot flush must be able to rely on each write.
	through := d.accepted>>blkFlush&1 == 0
	written := b.request(c, through)
	if err := q.Push(c, written); err != nil {
		return false, err
	}
	d.interrupt(n)
	return true, nil
}

// request carries out one request and gives how many bytes of it were
// written, its status included.
func (b *blk) request(c *vring.Chain, through bool) uint32 {
	// The status is the last byte of all, wherever the driver put it.
	room := vring.Bytes(c.In)
	if room == 0 {
		b.stats.errors.Add(1)
		return 0 // there is no place to say so
	}
	last := c.In[len(c.In)-1]
	status := &last[len(last)-1]
	c.In[len(c.In)-1] = last[:len(last)-1]
	var h [blkHeader]byte
	if vring.Bytes(c.Out) < blkHeader {
		b.stats.errors.Add(1)
		*status = blkIOError
		return 1
	}
	c.Out = take(c.Out, h[:])
	code, written := b.perform(binary.LittleEndian.Uint32(h[:]), binary.LittleEndian.Uint64(h[8:]), c, through)
	if code != blkOK {
		b.stats.errors.Add(1)
	}
	*status = code
	return uint32(min(written+1, 1<<32-1))
}

// perform does what a request asks for.
func (b *blk) perform(typ uint32, sector uint64, c *vring.Chain, through bool) (status byte, written uint64) {
	switch typ {
	case blkIn:
		n := vring.Bytes(c.In)
		if !b.transferable(sector, n) || b.store.read(c.In, int64(sector*sectorSize)) != nil {
			return blkIOError, 0
		}
		b.stats.reads.Add(1)
		b.stats.readBytes.Add(n)
		return blkOK, n
	case blkOut:
		n := vring.Bytes(c.Out)
		if b.readOnly || !b.transferable(sector, n) || b.store.write(c.Out, int64(sector*sectorSize), through) != nil {
			return blkIOError, 0
		}
		b.stats.writes.Add(1)
		b.stats.writtenBytes.Add(n)
		return blkOK, 0
	case blkFlushCmd:
		if b.store.flush() != nil {
			return blkIOError, 0
		}
		b.stats.flushes.Add(1)
		return blkOK, 0
	case blkGetID:
		var id [blkIDLength]byte
		copy(id[:], b.serial)
		return blkOK, uint64(put(c.In, id[:]))
	case blkDiscardCmd, blkWriteZeroesCmd:
		return b.ranges(typ, c), 0
	}
	return blkUnsupported, 0
}

// inside tells whether n bytes from a sector on are whole sectors of the
// device.
func (b *blk) inside(sector, n uint64) bool {
	return n%sectorSize == 0 && sector <= b.sectors && n/sectorSize <= b.sectors-sector
}

// transferable tells whether a request for n bytes may be carried out.
func (b *blk) transferable(sector, n uint64) bool { return n <= maxData && b.inside(sector, n) }

// ranges carries out a discard or write-zeroes. All its ranges are checked
// before the first is touched.
func (b *blk) ranges(typ uint32, c *vring.Chain) byte {
	size, most, longest := vring.Bytes(c.Out), uint64(1), uint64(maxZeroSectors)
	if typ == blkDiscardCmd {
		most, longest = maxRanges, maxDiscardSectors
	}
	if b.readOnly || size == 0 || size%blkRangeSize != 0 || size > most*blkRangeSize {
		return blkIOError
	}
	var buf [maxRanges * blkRangeSize]byte
	take(c.Out, buf[:size])
	le := binary.LittleEndian
	for r := buf[:size]; len(r) > 0; r = r[blkRangeSize:] {
		n, flags := uint64(le.Uint32(r[8:])), le.Uint32(r[12:])
		if flags&^1 != 0 || typ == blkDiscardCmd && flags != 0 {
			return blkUnsupported
		}
		if n > longest || !b.inside(le.Uint64(r), n*sectorSize) {
			return blkIOError
		}
	}
	for r := buf[:size]; len(r) > 0; r = r[blkRangeSize:] {
		off, n := int64(le.Uint64(r)*sectorSize), int64(le.Uint32(r[8:]))*sectorSize
		var err error
		switch {
		case n == 0:
		case typ == blkDiscardCmd:
			err = b.store.discard(off, n)
		default:
			err = b.store.zero(off, n, le.Uint32(r[12:])&1 != 0)
		}
		if err != nil {
			return blkIOError
		}
	}
	if typ == blkDiscardCmd {
		b.stats.discards.Add(1)
	} else {
		b.stats.writeZeroes.Add(1)
	}
	return blkOK
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
