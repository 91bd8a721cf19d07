package vdpatest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/gqemu/gqemu/hw/vdpa"
)

// Block runs the tests of a block device, which they overwrite. It has at
// least 2048 sectors.
func Block(t *testing.T, target Target) {
	for _, features := range []uint64{1 << 32, 1<<32 | 1<<28, 1<<32 | 1<<29, 1<<32 | 1<<28 | 1<<29, 0} {
		t.Run(fmt.Sprintf("features %#x", features), func(t *testing.T) {
			d := NewDriver(t, target.open(t))
			if f, err := d.GetFeatures(); err != nil || features&^f != 0 {
				t.Skipf("it offers %#x, %v", f, err)
			}
			d.Start(features | 1<<9 | 1<<13 | 1<<14)
			d.blockRequests(target.Unsupported)
		})
	}
	t.Run("Stop", target.stop)
	t.Run("Disable", target.disable)
	t.Run("Pieces", target.pieces)
	t.Run("EarlyKick", target.earlyKick)
}

// Status bytes of a block request.
const (
	blkOK, blkIOError, blkUnsupported = 0, 1, 2
)

// Offsets in Mem.
const (
	headerAt = Data
	statusAt = Data + 0x100
	dataAt   = Data + 0x1000
)

// capacity is the number of sectors.
func (d *Driver) capacity() uint64 {
	d.T.Helper()
	var b [8]byte
	d.Must(d.GetConfig(0, b[:]))
	return binary.LittleEndian.Uint64(b[:])
}

// header writes a request's header.
func (d *Driver) header(typ uint32, sector uint64) Buffer {
	binary.LittleEndian.PutUint32(d.Mem[headerAt:], typ)
	binary.LittleEndian.PutUint32(d.Mem[headerAt+4:], 0)
	binary.LittleEndian.PutUint64(d.Mem[headerAt+8:], sector)
	d.Mem[statusAt] = 0xff
	return Buffer{At: headerAt, Len: 16}
}

var statusBuffer = Buffer{At: statusAt, Len: 1, Write: true}

// do makes a block request and gives its status and used length.
func (d *Driver) do(typ uint32, sector uint64, data ...Buffer) (status byte, n uint32) {
	d.T.Helper()
	q := d.Queues[0]
	q.Add(append(append([]Buffer{d.header(typ, sector)}, data...), statusBuffer)...)
	n = q.Wait()
	return d.Mem[statusAt], n
}

// want makes a block request and checks both.
func (d *Driver) want(what string, status byte, n uint32, typ uint32, sector uint64, data ...Buffer) {
	d.T.Helper()
	if s, k := d.do(typ, sector, data...); s != status || k != n {
		d.T.Errorf("%s: status %d, used length %d, want %d, %d", what, s, k, status, n)
	}
}

func pattern(i, n int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("sector %6d, ", i)), n/15+1)[:n]
}

// Write writes whole sectors; Read reads them.
func (d *Driver) Write(sector uint64, data []byte) {
	d.T.Helper()
	copy(d.Mem[dataAt:], data)
	d.want("write", blkOK, 1, 1, sector, Buffer{At: dataAt, Len: len(data)})
}

// Read reads n bytes from a sector on.
func (d *Driver) Read(sector uint64, n int) []byte {
	d.T.Helper()
	clear(d.Mem[dataAt : dataAt+n])
	d.want("read", blkOK, uint32(n)+1, 0, sector, Buffer{At: dataAt, Len: n, Write: true})
	return bytes.Clone(d.Mem[dataAt : dataAt+n])
}

func (d *Driver) check(what string, sector uint64, want []byte) {
	d.T.Helper()
	if got := d.Read(sector, len(want)); !bytes.Equal(got, want) {
		d.T.Errorf("%s: sector %d reads %.40q, want %.40q", what, sector, got, want)
	}
}

// discardRange is the payload of a discard or write-zeroes.
func (d *Driver) discardRange(sector uint64, n, flags uint32) Buffer {
	b := d.Mem[dataAt:]
	binary.LittleEndian.PutUint64(b, sector)
	binary.LittleEndian.PutUint32(b[8:], n)
	binary.LittleEndian.PutUint32(b[12:], flags)
	return Buffer{At: dataAt, Len: 16}
}

// blockRequests makes requests of all kinds on a started device.
func (d *Driver) blockRequests(unsupported byte) {
	t := d.T
	t.Helper()
	sectors := d.capacity()
	if sectors < 2048 {
		t.Fatalf("%d sectors", sectors)
	}
	for i := range 3 * QueueNum { // the indices pass the ring's end
		d.Write(uint64(i), pattern(i, 512))
	}
	for i := range 3 * QueueNum {
		d.check("write", uint64(i), pattern(i, 512))
	}
	d.Write(sectors-1, pattern(77, 512))
	d.check("last sector", sectors-1, pattern(77, 512))
	d.Write(100, pattern(100, 4096))
	d.check("eight sectors", 100, pattern(100, 4096))

	// Data in several buffers.
	copy(d.Mem[dataAt:], pattern(1, 512))
	copy(d.Mem[dataAt+0x1000:], pattern(2, 1024))
	d.want("write of two buffers", blkOK, 1, 1, 200, Buffer{At: dataAt, Len: 512}, Buffer{At: dataAt + 0x1000, Len: 1024})
	d.check("two buffers", 200, append(pattern(1, 512), pattern(2, 1024)...))
	d.want("read into two buffers", blkOK, 1025, 0, 201, Buffer{dataAt + 0x4000, 512, true}, Buffer{dataAt + 0x5000, 512, true})
	if got := append(bytes.Clone(d.Mem[dataAt+0x4000:][:512]), d.Mem[dataAt+0x5000:][:512]...); !bytes.Equal(got, pattern(2, 1024)) {
		t.Errorf("two buffers read %.40q", got)
	}

	sector := Buffer{dataAt, 512, true}
	d.want("read past the end", blkIOError, 1, 0, sectors, sector)
	d.want("read over the end", blkIOError, 1, 0, sectors-1, Buffer{dataAt, 1024, true})
	d.want("read far past the end", blkIOError, 1, 0, 1<<63, sector)
	d.want("read at the last sector there can be", blkIOError, 1, 0, ^uint64(0), sector)
	d.want("write past the end", blkIOError, 1, 1, sectors, Buffer{At: dataAt, Len: 512})
	d.want("flush", blkOK, 1, 4, 0)
	d.want("unknown request", unsupported, 1, 99, 0)
	d.want("id", blkOK, 21, 8, 0, Buffer{dataAt, 20, true})
	if d.Mem[dataAt] == 0 {
		t.Error("the ID is empty")
	}

	d.Write(300, pattern(5, 4096))
	d.want("write-zeroes", blkOK, 1, 13, 0, d.discardRange(302, 3, 0))
	want := append(append(pattern(5, 4096)[:1024], make([]byte, 1536)...), pattern(5, 4096)[2560:]...)
	d.check("write-zeroes", 300, want)
	d.want("write-zeroes that unmaps", blkOK, 1, 13, 0, d.discardRange(300, 8, 1))
	d.check("write-zeroes that unmaps", 300, make([]byte, 4096))
	d.want("write-zeroes with a reserved flag", blkUnsupported, 1, 13, 0, d.discardRange(300, 8, 2))
	d.want("discard", blkOK, 1, 11, 0, d.discardRange(300, 8, 0))
	d.want("discard with a flag", blkUnsupported, 1, 11, 0, d.discardRange(300, 8, 1))
	d.want("discard past the end", blkIOError, 1, 11, 0, d.discardRange(sectors-1, 2, 0))
	d.want("discard of a wrapping range", blkIOError, 1, 11, 0, d.discardRange(^uint64(0), 2, 0))
	payload := d.discardRange(300, 8, 0)
	payload.Len = 15
	d.want("discard with half a range", blkIOError, 1, 11, 0, payload)
}

// stop: the ring goes on where it stood, and nothing is done in between.
func (c Target) stop(t *testing.T) {
	d := NewDriver(t, c.open(t))
	q := d.Queues[0]
	for i := range 20 {
		d.Start(1 << 32)
		d.Write(uint64(i), pattern(i, 512))
		d.Must(d.Suspend())
		copy(d.Mem[dataAt:], pattern(1000+i, 512))
		q.Add(d.header(1, uint64(100+i)), Buffer{At: dataAt, Len: 512}, statusBuffer)
		if !q.Idle() {
			t.Fatal("a suspended device goes on")
		}
		q.next-- // as the device has it
		d.Stop()
		q.Call.Drain()
		d.Prepare(1 << 32)
		q.next++
		d.Map()
		d.Must(d.SetStatus(DriverOK))
		d.Must(q.Kick.Signal())
		q.Wait()
		if d.Mem[statusAt] != blkOK {
			t.Fatalf("status %d", d.Mem[statusAt])
		}
		d.check("before the stop", uint64(i), pattern(i, 512))
		d.check("while stopped", uint64(100+i), pattern(1000+i, 512))
		d.Stop()
	}
}

// disable: a queue that is taken back rests.
func (c Target) disable(t *testing.T) {
	d := NewDriver(t, c.open(t))
	d.Start(1 << 32)
	d.Write(1, pattern(1, 512))
	d.Must(d.SetVringEnable(0, false))
	q := d.Queues[0]
	q.Add(d.header(0, 1), Buffer{dataAt, 512, true}, statusBuffer)
	if !q.Idle() {
		t.Error("the queue is served")
	}
	d.Must(d.SetVringEnable(0, true))
	d.Must(q.Kick.Signal())
	q.Wait()
	if !bytes.Equal(d.Mem[dataAt:dataAt+512], pattern(1, 512)) {
		t.Error("read something else")
	}
}

// pieces: a buffer may lie in several mappings, and the device reaches
// nothing that is not mapped.
func (c Target) pieces(t *testing.T) {
	d := NewDriver(t, c.open(t))
	d.Prepare(1 << 32)
	d.Must(d.BatchBegin())
	for at := 0; at < MemorySize; at += 0x8000 {
		d.Must(d.UpdateIOTLB(IOVA+uint64(at), d.Mem[at:at+0x8000], vdpa.PermReadWrite))
	}
	d.Must(d.BatchEnd())
	d.Must(d.SetStatus(DriverOK))
	want := pattern(3, 4096)
	edge := Data + 0x10000 - 100
	copy(d.Mem[edge:], want)
	d.want("write over an edge", blkOK, 1, 1, 50, Buffer{At: edge, Len: 4096})
	d.check("over an edge", 50, want)
}

// earlyKick: a request that is made and notified before DRIVER_OK.
func (c Target) earlyKick(t *testing.T) {
	if !c.KeepsKicks {
		t.Skip("the device loses early kicks")
	}
	d := NewDriver(t, c.open(t))
	d.Prepare(1 << 32)
	d.Map()
	q := d.Queues[0]
	q.Add(d.header(4, 0), statusBuffer)
	if !q.Idle() {
		t.Error("served before DRIVER_OK")
	}
	d.Must(d.SetStatus(DriverOK))
	q.Wait()
}
