package sim

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/memory"
)

// benchDriver is a driver that keeps a number of requests in flight, each in an
// indirect table of its own, with the event index, as Linux does.
type benchDriver struct {
	be         vdpa.Backend
	mem        []byte
	kick, call *sys.Eventfd
	next, seen uint16
}

// Layout of its memory. A slot has a table, a header, a status and data.
const (
	benchNum                         = 64
	benchAvail, benchUsed, benchSlot = 0x1000, 0x2000, 0x10000
	benchSlotSize                    = 0x2000
	slotHeader, slotStatus, slotData = 0x100, 0x200, 0x1000
)

func newBenchDriver(b *testing.B, be vdpa.Backend) *benchDriver {
	ram, err := memory.NewAnonRAM("driver", benchSlot+benchNum*benchSlotSize)
	if err != nil {
		b.Fatal(err)
	}
	d := &benchDriver{be: be, mem: ram.Bytes()}
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	d.kick, err = sys.NewEventfd()
	must(err)
	d.call, err = sys.NewEventfd()
	must(err)
	b.Cleanup(func() { must(be.Close()); d.kick.Close(); d.call.Close(); ram.Close() })
	must(be.SetOwner())
	must(be.SetFeatures(1<<33 | 1<<32 | 1<<28 | 1<<29 | 1<<blkFlush))
	must(be.SetStatus(11))
	must(be.SetVringNum(0, benchNum))
	must(be.SetVringAddr(0, vdpa.VringAddr{Desc: 0, Avail: benchAvail, Used: benchUsed}))
	must(be.SetVringKick(0, d.kick.FD()))
	must(be.SetVringCall(0, d.call.FD()))
	must(be.SetVringEnable(0, true))
	must(be.UpdateIOTLB(0, d.mem, vdpa.PermReadWrite))
	must(be.SetStatus(15))
	return d
}

// submit makes a request in a slot.
func (d *benchDriver) submit(slot int, typ uint32, sector uint64) {
	le := binary.LittleEndian
	at := benchSlot + slot*benchSlotSize
	put := func(b []byte, addr, n int, flags, next uint16) {
		le.PutUint64(b, uint64(addr))
		le.PutUint32(b[8:], uint32(n))
		le.PutUint16(b[12:], flags)
		le.PutUint16(b[14:], next)
	}
	write := uint16(2)
	if typ == blkOut {
		write = 0
	}
	put(d.mem[at:], at+slotHeader, 16, 1, 1)
	put(d.mem[at+16:], at+slotData, 4096, 1|write, 2)
	put(d.mem[at+32:], at+slotStatus, 1, 2, 0)
	put(d.mem[16*slot:], at, 48, 4, 0)
	le.PutUint32(d.mem[at+slotHeader:], typ)
	le.PutUint64(d.mem[at+slotHeader+8:], sector)
	d.mem[at+slotStatus] = 0xff
	le.PutUint16(d.mem[benchAvail+4+2*int(d.next%benchNum):], uint16(slot))
	d.next++
	sys.StoreShared16(d.mem[benchAvail+2:], d.next)
	if event := sys.LoadShared16(d.mem[benchUsed+4+8*benchNum:]); event == d.next-1 {
		_ = d.kick.Signal()
	}
}

// take waits for the next used slot.
func (d *benchDriver) take(b *testing.B) int {
	for sys.LoadShared16(d.mem[benchUsed+2:]) == d.seen {
		sys.StoreShared16(d.mem[benchAvail+4+2*benchNum:], d.seen)
		if sys.LoadShared16(d.mem[benchUsed+2:]) != d.seen {
			break
		}
		if _, err := d.call.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	slot := int(binary.LittleEndian.Uint32(d.mem[benchUsed+4+8*int(d.seen%benchNum):]))
	d.seen++
	if s := d.mem[benchSlot+slot*benchSlotSize+slotStatus]; s != blkOK {
		b.Fatalf("status %d", s)
	}
	return slot
}

// BenchmarkBlk makes requests of 4 KiB at random places, one at a time and 32,
// of a disk in memory, of a file in the page cache and of one that is not.
func BenchmarkBlk(b *testing.B) {
	const size = 64 << 20
	for _, kind := range []string{"memory", "file", "cold"} {
		for _, op := range []string{"read", "write"} {
			for _, depth := range []int{1, 32} {
				if kind == "cold" && op == "write" {
					continue
				}
				b.Run(fmt.Sprintf("%s/%s/depth=%d", kind, op, depth), func(b *testing.B) {
					k := newKit(b)
					props := map[string]any{"size": int64(size)}
					var file *os.File
					if kind != "memory" {
						var err error
						if file, err = os.Create(filepath.Join(b.TempDir(), "disk.img")); err != nil {
							b.Fatal(err)
						}
						defer file.Close()
						for range size >> 20 {
							if _, err := file.Write(make([]byte, 1<<20)); err != nil {
								b.Fatal(err)
							}
						}
						if err := file.Sync(); err != nil {
							b.Fatal(err)
						}
						props = map[string]any{"path": file.Name()}
					}
					k.mustMake("vdpa-sim-blk", "d0", props)
					d := newBenchDriver(b, k.open("d0"))
					typ := uint32(blkIn)
					if op == "write" {
						typ = blkOut
					}
					free := make([]int, depth)
					for i := range free {
						free[i] = i
					}
					if kind == "cold" {
						_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_RANDOM)
					}
					rnd, count := uint64(1), 0
					b.ReportAllocs()
					for b.Loop() {
						if kind == "cold" && count%4096 == 0 {
							_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
						}
						count++
						for _, slot := range free {
							rnd = rnd*6364136223846793005 + 1442695040888963407
							d.submit(slot, typ, rnd>>33%(size/4096)*8)
						}
						free = append(free[:0], d.take(b))
					}
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
				})
			}
		}
	}
}
