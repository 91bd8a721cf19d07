package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/hw/vdpa/vdpatest"
	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qom"
)

const testFeatures = 1<<32 | 1<<28 | 1<<29 | 1<<17 | 1<<23 | 1<<9

func (k *kit) count(path, name string) uint64 {
	k.T.Helper()
	o, _ := qom.Resolve(k.Root, path, "")
	n, err := qom.Get(o, name)
	if err != nil {
		k.T.Fatal(err)
	}
	return n.(uint64)
}

// A device's goroutines end with it, and it leaves no descriptor.
func TestCloseLeavesNothing(t *testing.T) {
	k := newKit(t)
	k.mustMake("vdpa-sim-blk", "d0", map[string]any{"size": int64(1 << 20)})
	fds := func() int {
		l, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(l)
	}
	var n, f int
	for i := range 20 {
		t.Run("", func(t *testing.T) {
			be := k.open("d0")
			d := vdpatest.NewDriver(t, be)
			d.Start(testFeatures)
			d.Write(1, make([]byte, 512))
			// A request may be under way.
			d.Queues[0].Add(vdpatest.Buffer{At: vdpatest.Data, Len: 16}, vdpatest.Buffer{At: vdpatest.Data + 0x2000, Len: 1, Write: true})
			if i%2 == 0 {
				d.Must(be.Close())
			}
		})
		if i == 0 {
			n, f = runtime.NumGoroutine(), fds()
		}
	}
	// One that has said it is done is still counted for a moment.
	for end := time.Now().Add(time.Second); runtime.NumGoroutine() > n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, were %d", runtime.NumGoroutine(), n)
		}
	}
	if got := fds(); got != f {
		t.Errorf("%d descriptors, were %d", got, f)
	}
}

// A device that has nothing to do does nothing, whatever lies in its queues.
func TestIdleDeviceRests(t *testing.T) {
	k := newKit(t)
	k.mustMake("vdpa-sim-net", "n0", nil)
	d := vdpatest.NewDriver(t, k.open("n0"))
	d.Start(testFeatures)
	for range 4 {
		d.Queues[0].Add(vdpatest.Buffer{At: vdpatest.Data, Len: 2048, Write: true})
	}
	time.Sleep(10 * time.Millisecond)
	cpu := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := cpu()
	time.Sleep(200 * time.Millisecond)
	if used := cpu() - before; used > 100*time.Millisecond {
		t.Errorf("%v of processor time in 200ms", used)
	}
}

// The control queue may translate by an address space of its own.
func TestAddressSpaces(t *testing.T) {
	k := newKit(t)
	k.mustMake("vdpa-sim-net", "n0", nil)
	be := k.open("n0").(*device)
	d := vdpatest.NewDriver(t, be)
	if err := be.SetGroupASID(1, 2); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("address space 2: %v", err)
	}
	if err := be.SetGroupASID(2, 0); !errors.Is(err, syscall.ENOBUFS) {
		t.Errorf("group 2: %v", err)
	}
	d.Must(be.SetGroupASID(1, 1))
	if err := be.UpdateASID(2, 0, d.Mem, vdpa.PermReadWrite); !errors.Is(err, syscall.EFAULT) {
		t.Errorf("mapping in address space 2: %v", err)
	}
	d.Must(be.BatchBegin())
	if err := be.UpdateASID(1, 0, d.Mem, vdpa.PermReadWrite); !errors.Is(err, syscall.EFAULT) {
		t.Errorf("mapping in another address space than the batch's: %v", err)
	}
	d.Must(be.BatchEnd())
	d.Must(be.UpdateASID(1, vdpatest.IOVA, d.Mem, vdpa.PermReadWrite))
	d.Start(testFeatures)
	const at = vdpatest.Data
	copy(d.Mem[at:], []byte{1, 1, 2, 0, 0, 0, 0, 9})
	command := func() byte {
		d.Mem[at+0x1000] = 0xee
		d.Queues[2].Add(vdpatest.Buffer{At: at, Len: 8}, vdpatest.Buffer{At: at + 0x1000, Len: 1, Write: true})
		d.Queues[2].Wait()
		return d.Mem[at+0x1000]
	}
	if s := command(); s != 0 {
		t.Errorf("status %d", s)
	}
	var mac [6]byte
	d.Must(be.GetConfig(0, mac[:]))
	if mac != [6]byte{2, 0, 0, 0, 0, 9} {
		t.Errorf("address %x", mac)
	}
	d.Unmap() // address space 0 is not the control queue's
	if s := command(); s != 0 {
		t.Errorf("status %d without the data queues' mapping", s)
	}
	d.Must(be.InvalidateASID(1, 0, ^uint64(0)))
	d.Queues[2].Add(vdpatest.Buffer{At: at, Len: 8})
	for end := time.Now().Add(10 * time.Second); k.count("/objects/n0", "broken-rings") == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the control queue reaches memory that is not mapped")
		}
	}
}

// What is mapped in a batch reaches the device with the batch's end.
func TestBatchIsOneChange(t *testing.T) {
	k := newKit(t)
	k.mustMake("vdpa-sim-blk", "d0", map[string]any{"size": int64(1 << 20)})
	be := k.open("d0").(*device)
	defer be.Close()
	ram, err := memory.NewAnonRAM("ram", 8192)
	if err != nil {
		t.Fatal(err)
	}
	defer ram.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pieces := func(want int, write bool) {
		t.Helper()
		be.io.Lock()
		defer be.io.Unlock()
		list, err := be.spaces[0].Pieces(nil, 0x1800, 0x1000, write)
		if (err == nil) != (want > 0) || len(list) != want {
			t.Errorf("%d pieces, %v, want %d", len(list), err, want)
		}
	}
	must(be.SetOwner())
	must(be.BatchBegin())
	must(be.UpdateIOTLB(0x1000, ram.Bytes()[:4096], vdpa.PermReadWrite))
	must(be.UpdateIOTLB(0x2000, ram.Bytes()[4096:], vdpa.PermRead))
	pieces(0, false)
	must(be.BatchEnd())
	pieces(2, false)
	pieces(0, true) // the second is read-only
	must(be.InvalidateIOTLB(0x2800, 1))
	pieces(0, false)
}

// The image is locked as QEMU locks it.
func TestImageLock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKit(t)
	one := k.mustMake("vdpa-sim-blk", "d0", map[string]any{"path": file})
	for _, readOnly := range []bool{false, true} {
		_, err := k.make("vdpa-sim-blk", "d1", map[string]any{"path": file, "readonly": readOnly})
		if err == nil || !strings.HasSuffix(err.Error(), " lock\nIs another process using the image ["+file+"]?") {
			t.Errorf("a second user, read-only %v: %v", readOnly, err)
		}
	}
	k.Do(one.Release)
	for _, id := range []string{"d2", "d3"} { // readers do not mind each other
		k.mustMake("vdpa-sim-blk", id, map[string]any{"path": file, "readonly": true})
	}
	if _, err := k.make("vdpa-sim-blk", "d4", map[string]any{"path": file}); err == nil {
		t.Error("a writer beside readers")
	}
}

// Without the feature FLUSH each write is on the medium when it is done; a
// file that is cut short behind the device's back gives an error.
func TestFileErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKit(t)
	k.mustMake("vdpa-sim-blk", "d0", map[string]any{"path": file})
	d := vdpatest.NewDriver(t, k.open("d0"))
	d.Start(1 << 32)
	d.Write(3, bytes.Repeat([]byte("x"), 512))
	if err := os.Truncate(file, 4096); err != nil {
		t.Fatal(err)
	}
	if got := d.Read(3, 512); got[0] != 'x' {
		t.Errorf("%q", got)
	}
	q := d.Queues[0]
	d.Mem[vdpatest.Data+0x100] = 0xff
	copy(d.Mem[vdpatest.Data:], []byte{8: 100, 15: 0})
	q.Add(vdpatest.Buffer{At: vdpatest.Data, Len: 16}, vdpatest.Buffer{At: vdpatest.Data + 0x1000, Len: 512, Write: true},
		vdpatest.Buffer{At: vdpatest.Data + 0x100, Len: 1, Write: true})
	q.Wait()
	if s := d.Mem[vdpatest.Data+0x100]; s != blkIOError {
		t.Errorf("status %d", s)
	}
}

// A FIFO is refused at once, also one that nobody writes to.
func TestFIFOIsNoDisk(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKit(t)
	for _, readOnly := range []bool{false, true} {
		_, err := k.make("vdpa-sim-blk", "d0", map[string]any{"path": fifo, "readonly": readOnly})
		if err == nil || !strings.HasSuffix(err.Error(), "is neither a regular file nor a block device") {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
	}
}

// A second user is refused, and changes still reach the first.
func TestSecondUser(t *testing.T) {
	k := newKit(t)
	blk := k.mustMake("vdpa-sim-blk", "d0", map[string]any{"size": int64(1 << 20)})
	net := k.mustMake("vdpa-sim-net", "n0", nil)
	disk, card := k.open("d0"), k.open("n0")
	for _, id := range []string{"d0", "n0"} {
		if _, err := k.target(id).Open(); !errors.Is(err, syscall.EBUSY) {
			t.Errorf("%s: %v", id, err)
		}
	}
	k.Do(func() {
		if err := errors.Join(qom.Set(blk, "size", qom.JSON(int64(2<<20))), qom.Set(net, "link", qom.JSON(false))); err != nil {
			t.Error(err)
		}
	})
	var capacity [8]byte
	if err := disk.GetConfig(0, capacity[:]); err != nil || binary.LittleEndian.Uint64(capacity[:]) != 4096 {
		t.Errorf("capacity % x, %v", capacity, err)
	}
	var status [1]byte
	if err := card.GetConfig(6, status[:]); err != nil || status[0] != 0 {
		t.Errorf("link status %d, %v", status[0], err)
	}
	k.Do(func() { disk.Close(); card.Close() })
}

// A packet of memory that is given again and again is dropped, however much
// room there is for it.
func TestPacketsAreBounded(t *testing.T) {
	k := newKit(t)
	k.mustMake("vdpa-sim-net", "n0", nil)
	d := vdpatest.NewDriver(t, k.open("n0"))
	d.Start(testFeatures)
	const size = 512 << 10
	var in, out []vdpatest.Buffer
	for range 500 {
		in = append(in, vdpatest.Buffer{At: 0x80000, Len: size, Write: true})
		out = append(out, vdpatest.Buffer{At: 0x80000, Len: size})
	}
	d.Queues[netRX].AddTable(0x20000, in...)
	for i := range 12 + 6 {
		d.Mem[0x80000+i] = 0xff // for everybody
	}
	d.Queues[netTX].AddTable(0x24000, out...)
	d.Queues[netTX].Wait()
	if n := k.count("/objects/n0", "tx-dropped"); n != 1 || !d.Queues[netRX].Idle() {
		t.Errorf("%d packets were dropped", n)
	}
}

func TestPollerDoesNotTakeTheCount(t *testing.T) {
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	e, err := sys.NewEventfd()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Signal(); err != nil {
		t.Fatal(err)
	}
	if err := p.add(e.FD(), 7); err != nil {
		t.Fatal(err)
	}
	events := make([]unix.EpollEvent, 4)
	for i := range 3 { // what was there first, then each signal once
		if n, err := p.wait(events); n != 1 || err != nil || events[0].Fd != 7 {
			t.Fatalf("round %d: %d events, %v", i, n, err)
		}
		if n, _ := unix.EpollWait(p.fd, events, 0); n != 0 {
			t.Fatal("told twice")
		}
		if err := e.Signal(); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := e.Drain(); n != 4 {
		t.Errorf("count %d, want 4", n)
	}
	done := make(chan error)
	go func() { _, err := p.wait(events); done <- err }()
	if _, err := unix.EpollWait(p.fd, events, 0); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Millisecond)
	p.close()
	if err := <-done; err == nil {
		t.Error("wait survives close")
	}
}

// Discards may have several ranges, all of which are checked before the first
// is carried out; a request is bounded.
func TestRangesAndBounds(t *testing.T) {
	k := newKit(t)
	k.mustMake("vdpa-sim-blk", "d0", map[string]any{"size": int64(1 << 40)})
	d := vdpatest.NewDriver(t, k.open("d0"))
	d.Start(testFeatures | 1<<13 | 1<<14)
	for i := range uint64(4) {
		d.Write(i, bytes.Repeat([]byte("x"), 512))
	}
	const header, status, data = vdpatest.Data, vdpatest.Data + 0x100, vdpatest.Data + 0x1000
	request := func(typ byte, ranges ...[3]uint32) byte {
		clear(d.Mem[header : header+16])
		d.Mem[header] = typ
		for i, r := range ranges {
			b := d.Mem[data+16*i:]
			binary.LittleEndian.PutUint64(b, uint64(r[0]))
			binary.LittleEndian.PutUint32(b[8:], r[1])
			binary.LittleEndian.PutUint32(b[12:], r[2])
		}
		d.Queues[0].Add(vdpatest.Buffer{At: header, Len: 16}, vdpatest.Buffer{At: data, Len: 16 * len(ranges)},
			vdpatest.Buffer{At: status, Len: 1, Write: true})
		d.Queues[0].Wait()
		return d.Mem[status]
	}
	want := func(what string, code byte, ranges ...[3]uint32) {
		t.Helper()
		if s := request(blkDiscardCmd, ranges...); s != code {
			t.Errorf("%s: status %d, want %d", what, s, code)
		}
	}
	sectors := func(want string) {
		t.Helper()
		for i, c := range want {
			if got := d.Read(uint64(i), 512)[0]; (got == 'x') != (c == 'x') {
				t.Errorf("sector %d begins with %q, want %s", i, got, want)
			}
		}
	}
	want("a bad second range", blkIOError, [3]uint32{0, 1, 0}, [3]uint32{1, maxDiscardSectors + 1, 0})
	want("a bad flag of the second range", blkUnsupported, [3]uint32{0, 1, 0}, [3]uint32{1, 1, 1})
	sectors("xxxx")
	want("two ranges", blkOK, [3]uint32{0, 1, 0}, [3]uint32{2, 1, 0})
	sectors("-x-x")
	want("too many ranges", blkIOError, make([][3]uint32, maxRanges+1)...)
	if s := request(blkWriteZeroesCmd, [3]uint32{0, 1, 0}, [3]uint32{1, 1, 0}); s != blkIOError {
		t.Errorf("write-zeroes of two ranges: status %d", s)
	}
	if s := request(blkWriteZeroesCmd, [3]uint32{0, maxZeroSectors + 1, 0}); s != blkIOError {
		t.Errorf("write-zeroes of a long range: status %d", s)
	}
	// Memory that is given again and again makes a request longer than guests
	// have memory.
	clear(d.Mem[header : header+16])
	chain := []vdpatest.Buffer{{At: header, Len: 16}}
	for range maxData>>20 + 1 {
		chain = append(chain, vdpatest.Buffer{At: 0x80000, Len: 512 << 10, Write: true}, vdpatest.Buffer{At: 0x80000, Len: 512 << 10, Write: true})
	}
	d.Queues[0].AddTable(0x20000, append(chain, vdpatest.Buffer{At: status, Len: 1, Write: true})...)
	if n := d.Queues[0].Wait(); n != 1 || d.Mem[status] != blkIOError {
		t.Errorf("a request of more than 126 MiB: used length %d, status %d", n, d.Mem[status])
	}
}
