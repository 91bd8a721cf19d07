package sim

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/memory"
)

// Memory of a fuzzed device: mappings that it may use, one that it may read,
// one that is not there. All is small, so that most bytes mean something.
const (
	fuzzPages = 6
	fuzzPage  = 0x100
	fuzzNum   = 4
	// Where the queues are, one after the other, and what else there is.
	fuzzAvail, fuzzUsed, fuzzQueueSize = 0x40, 0x60, 0x100
	fuzzData                           = 3 * fuzzQueueSize
)

// fuzzGuest is one device and its driver's memory, for all runs of a process.
type fuzzGuest struct {
	ram []byte
	blk *store
}

func newFuzzGuest(f *testing.F) *fuzzGuest {
	ram, err := memory.NewAnonRAM("ram", (fuzzPages+2)*fuzzPage)
	if err != nil {
		f.Fatal(err)
	}
	s, err := newMemory("disk", 32<<10)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { ram.Close(); s.close() })
	return &fuzzGuest{ram.Bytes(), s}
}

// run has the device process queues that data is laid over.
func (g *fuzzGuest) run(t *testing.T, m model, features uint64, base uint16, data []byte, errors *atomic.Uint64) {
	clear(g.ram)
	copy(g.ram[:(fuzzPages+1)*fuzzPage], data)
	tail := bytes.Clone(g.ram[fuzzPages*fuzzPage:])
	d := newDevice("fuzz", m, zerolog.Nop(), errors, func() {})
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.SetOwner())
	must(d.SetFeatures(features | 1<<33))
	for i := range d.queues {
		at := uint64(i * fuzzQueueSize)
		must(d.SetVringNum(i, fuzzNum))
		at32 := uint32(base)
		if features>>34&1 != 0 { // both halves the same, within the ring, as a new one's by 0
			at32 = (at32 ^ 0x8000) &^ (0x7fff &^ (fuzzNum - 1))
			at32 |= at32 << 16
		}
		must(d.SetVringBase(i, at32))
		must(d.SetVringAddr(i, vdpa.VringAddr{Desc: at, Avail: at + fuzzAvail, Used: at + fuzzUsed}))
		must(d.SetVringEnable(i, true))
	}
	for i := range fuzzPages + 1 {
		perm := vdpa.PermReadWrite
		if i == fuzzPages {
			perm = vdpa.PermRead
		}
		must(d.UpdateIOTLB(uint64(i*fuzzPage), g.ram[i*fuzzPage:][:fuzzPage], perm))
	}
	must(d.SetStatus(15))
	// What is written may be the rings, so the rounds have a bound.
	for busy, round := true, 0; busy && round < 100; round++ {
		busy = false
		for i := range d.queues {
			busy = d.step(i) || busy
		}
	}
	if !bytes.Equal(g.ram[fuzzPages*fuzzPage:], tail) {
		t.Fatal("memory was written that is read-only or not mapped")
	}
	for i := range d.queues {
		if q := d.queues[i].ring; q != nil && q.InUse() != 0 {
			t.Fatalf("queue %d: %d chains are not handed back", i, q.InUse())
		}
	}
}

// seedRing is a ring with one chain in the memory that a fuzzed device sees.
func seedRing(queue int, chain ...[3]uint32) []byte {
	b := make([]byte, fuzzPages*fuzzPage)
	at := queue * fuzzQueueSize
	for i, c := range chain {
		d := b[at+16*i:]
		binary.LittleEndian.PutUint64(d, uint64(c[0]))
		binary.LittleEndian.PutUint32(d[8:], c[1])
		flags := c[2]
		if i < len(chain)-1 {
			flags |= 1
		}
		binary.LittleEndian.PutUint16(d[12:], uint16(flags))
		binary.LittleEndian.PutUint16(d[14:], uint16(i+1))
	}
	binary.LittleEndian.PutUint16(b[at+fuzzAvail+2:], 1)
	return b
}

// seedPacked is seedRing for a packed ring.
func seedPacked(queue int, chain ...[3]uint32) []byte {
	b := make([]byte, fuzzPages*fuzzPage)
	for i, c := range chain {
		d := b[queue*fuzzQueueSize+16*i:]
		binary.LittleEndian.PutUint64(d, uint64(c[0]))
		binary.LittleEndian.PutUint32(d[8:], c[1])
		flags := c[2] | 1<<7
		if i < len(chain)-1 {
			flags |= 1
		}
		binary.LittleEndian.PutUint16(d[14:], uint16(flags))
	}
	return b
}

// FuzzBlk lets the fuzzer be the driver of a block device: rings, descriptors
// and requests.
func FuzzBlk(f *testing.F) {
	g := newFuzzGuest(f)
	const header, status = fuzzData, fuzzData + 0x2f0
	for typ := range uint8(15) {
		b := seedRing(0, [3]uint32{header, 16, 0}, [3]uint32{fuzzData + 0x80, 256, 2}, [3]uint32{fuzzData + 0x180, 256, 2}, [3]uint32{status, 1, 2})
		if typ%2 == 1 {
			b = seedRing(0, [3]uint32{header, 16, 0}, [3]uint32{fuzzData + 0x80, 16, 0}, [3]uint32{status, 1, 2})
		}
		b[header], b[fuzzData+0x88] = typ, 4
		f.Add(typ&7, uint16(0), b)
		p := seedPacked(0, [3]uint32{header, 16, 0}, [3]uint32{fuzzData + 0x80, 512, uint32(typ&1^1) * 2}, [3]uint32{status, 1, 2})
		p[header], p[fuzzData+0x88] = typ, 4
		f.Add(typ&7|16, uint16(0), p)
	}
	write := seedRing(0, [3]uint32{header, 16, 0}, [3]uint32{fuzzData + 0x80, 512, 0}, [3]uint32{status, 1, 2})
	write[header], write[header+8] = blkOut, 3
	f.Add(uint8(4), uint16(7), write)
	f.Add(uint8(0), uint16(0), write)
	indirect := seedRing(0, [3]uint32{fuzzData + 0x20, 32, 4})
	copy(indirect[fuzzData+0x20:], seedRing(0, [3]uint32{header, 16, 0}, [3]uint32{status, 1, 2})[:32])
	indirect[header] = 4
	f.Add(uint8(1), uint16(0), indirect)
	table := seedPacked(0, [3]uint32{fuzzData + 0x20, 32, 4})
	copy(table[fuzzData+0x20:], seedPacked(0, [3]uint32{header, 16, 0}, [3]uint32{status, 1, 2})[:32])
	table[header] = 4
	f.Add(uint8(1|16), uint16(0), table)
	f.Fuzz(func(t *testing.T, flags uint8, base uint16, data []byte) {
		var stats blkStats
		b := &blk{store: g.blk, sectors: 64, readOnly: flags&8 != 0, max: 256, serial: "fuzz", queues: 1, stats: &stats}
		b.layOut()
		g.run(t, b, uint64(flags&3)<<28|uint64(flags>>2&1)<<blkFlush|uint64(flags>>4&1)<<34, base, data, &stats.ringErrors)
	})
}

// FuzzNet is FuzzBlk for a network device.
func FuzzNet(f *testing.F) {
	g := newFuzzGuest(f)
	merge := func(list ...[]byte) []byte {
		b := bytes.Clone(list[0])
		for _, l := range list[1:] {
			for i := range b {
				b[i] |= l[i]
			}
		}
		return b
	}
	packet := merge(seedRing(netRX, [3]uint32{fuzzData + 0x100, 200, 2}),
		seedRing(netTX, [3]uint32{fuzzData, 12, 0}, [3]uint32{fuzzData + 12, 100, 0}))
	packet[fuzzData+10], packet[fuzzData+12] = 1, 1 // to a group
	ctrl := seedRing(netCtrl, [3]uint32{fuzzData, 2, 0}, [3]uint32{fuzzData + 2, 6, 0}, [3]uint32{fuzzData + 0x20, 1, 2})
	ctrl[fuzzData], ctrl[fuzzData+1] = 1, 1
	// command is a ring with one command in it; with multiqueue the control
	// queue is the last.
	command := func(queue int, b ...byte) []byte {
		r := seedRing(queue, [3]uint32{fuzzData + 0x280, uint32(len(b)), 0}, [3]uint32{fuzzData + 0x2f0, 1, 2})
		copy(r[fuzzData+0x280:], b)
		return r
	}
	tables := []byte{ctrlMAC, ctrlMACTableSet, 1, 0, 0, 0, 2, 0, 0, 0, 0, 7, 1, 0, 0, 0, 3, 0, 0, 0, 0, 7}
	for flags := range uint8(8) {
		f.Add(flags, uint16(0), packet)
		f.Add(flags, uint16(0), ctrl)
		f.Add(flags, uint16(0), merge(packet, ctrl))
		f.Add(flags|0x20, uint16(0), command(netCtrl, tables...))
		f.Add(flags|0x20, uint16(0), command(netCtrl, ctrlRX, flags, 1))
		f.Add(flags|0x30, uint16(0), command(4, ctrlMQ, ctrlMQPairsSet, 2, 0))
		f.Add(flags|0x30, uint16(0), merge(packet, command(4, ctrlRX, ctrlRXPromisc, 1)))
	}
	f.Fuzz(func(t *testing.T, flags uint8, base uint16, data []byte) {
		var stats netStats
		var up atomic.Bool
		up.Store(flags&8 == 0)
		c := newCard([6]byte{2, 0, 0, 0, 0, 1}, 1500, 256, 1+int(flags>>4&1), nil, &up, &stats)
		features := uint64(flags&3)<<28 | uint64(flags>>2&1)<<32 | uint64(flags>>6&1)<<34 | 1<<netCtrlMACAddr
		if flags&0x20 != 0 {
			features |= 1<<netCtrlRX | 1<<netCtrlRXExtra | 1<<netMQ | 1<<netMTU
		}
		g.run(t, c, features, base, data, &stats.ringErrors)
	})
}
