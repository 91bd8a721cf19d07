package sim

import (
	"encoding/binary"

	"github.com/gqemu/gqemu/hw/virtio/vring"
)

// blkRequest is one request (virtio 1.2 section 5.2.6).
type blkRequest struct {
	blk    *blk
	typ    uint32
	sector uint64
	status *byte // nil where the driver left no room for it
	// short is a request without a whole header.
	short bool
	// through is a write that is on its medium when it is done.
	through bool
	// done is a read that was carried out.
	done bool
}

// parse takes the header and the place of the status out of a chain. What is
// left of it is data.
func (b *blk) parse(c *vring.Chain) blkRequest {
	r := blkRequest{blk: b}
	if vring.Bytes(c.In) == 0 {
		return r
	}
	// The status is the last byte of all, wherever the driver put it.
	last := c.In[len(c.In)-1]
	r.status = &last[len(last)-1]
	c.In[len(c.In)-1] = last[:len(last)-1]
	var h [blkHeader]byte
	if vring.Bytes(c.Out) < blkHeader {
		r.short = true
		return r
	}
	c.Out = take(c.Out, h[:])
	r.typ, r.sector = binary.LittleEndian.Uint32(h[:]), binary.LittleEndian.Uint64(h[8:])
	return r
}

// waits tells whether a request on a file may have to wait for its medium. A read
// of what is in memory does not, and is done then.
func (r *blkRequest) waits(c *vring.Chain) bool {
	b := r.blk
	if r.status == nil || r.short {
		return false
	}
	switch r.typ {
	case blkFlushCmd, blkDiscardCmd, blkWriteZeroesCmd:
		return true
	case blkOut:
		return r.through
	case blkIn:
		n := vring.Bytes(c.In)
		if !b.transferable(r.sector, n) {
			return false
		}
		var known bool
		r.done, known = b.store.readCached(c.In, n, int64(r.sector*sectorSize))
		return known && !r.done
	}
	return false
}

// perform carries a request out and gives how many bytes of its chain were
// written, its status included.
func (r *blkRequest) perform(c *vring.Chain) uint32 {
	stats := r.blk.stats
	if r.status == nil {
		stats.errors.Add(1)
		return 0 // there is no place to say so
	}
	code, written := byte(blkIOError), uint64(0)
	if !r.short {
		code, written = r.carryOut(c)
	}
	if code != blkOK {
		stats.errors.Add(1)
	}
	*r.status = code
	return uint32(min(written+1, 1<<32-1))
}

// carryOut does what a request asks for.
func (r *blkRequest) carryOut(c *vring.Chain) (status byte, written uint64) {
	b := r.blk
	at := int64(r.sector * sectorSize)
	switch r.typ {
	case blkIn:
		n := vring.Bytes(c.In)
		if !r.done && (!b.transferable(r.sector, n) || b.store.read(c.In, at) != nil) {
			return blkIOError, 0
		}
		b.stats.reads.Add(1)
		b.stats.readBytes.Add(n)
		return blkOK, n
	case blkOut:
		n := vring.Bytes(c.Out)
		if b.readOnly || !b.transferable(r.sector, n) || b.store.write(c.Out, at, r.through) != nil {
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
		return b.ranges(r.typ, c), 0
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
