package sim

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/hw/vdpa/vdpatest"
)

// lane is one queue's part of a driver's memory: a request of its own.
type lane struct {
	d                    *vdpatest.Driver
	q                    *vdpatest.Queue
	header, status, data int
}

func newLane(d *vdpatest.Driver, n int) lane {
	at := 0x40000 + n*0x4000
	return lane{d, d.Queues[n], at, at + 0x100, at + 0x1000}
}

// submit makes a request of 4 KiB.
func (l lane) submit(typ byte, sector uint64) {
	clear(l.d.Mem[l.header : l.header+16])
	l.d.Mem[l.header], l.d.Mem[l.status] = typ, 0xff
	binary.LittleEndian.PutUint64(l.d.Mem[l.header+8:], sector)
	l.q.Add(vdpatest.Buffer{At: l.header, Len: 16}, vdpatest.Buffer{At: l.data, Len: 4096, Write: typ == blkIn},
		vdpatest.Buffer{At: l.status, Len: 1, Write: true})
}

// Queues are served side by side, and what changes the device waits for the
// requests under way in all of them: each is done once, none is half done.
func TestQueuesWorkAtOnce(t *testing.T) {
	const queues = 4
	k := newKit(t)
	k.mustMake("vdpa-sim-blk", "d0", map[string]any{"size": int64(8 << 20), "num-queues": int64(queues)})
	be := k.open("d0")
	d := vdpatest.NewDriver(t, be)
	if len(d.Queues) != queues {
		t.Fatalf("%d queues", len(d.Queues))
	}
	var config [36]byte
	d.Must(be.GetConfig(0, config[:]))
	if n := binary.LittleEndian.Uint16(config[34:]); n != queues {
		t.Errorf("num_queues %d", n)
	}
	d.Start(testFeatures)
	var all sync.WaitGroup
	for n := range queues {
		l := newLane(d, n)
		all.Go(func() {
			for i := range 200 {
				sector := uint64(n*2048 + i*8)
				want := bytes.Repeat([]byte{byte(n + 1), byte(i)}, 2048)
				copy(d.Mem[l.data:], want)
				l.submit(blkOut, sector)
				l.q.Wait()
				clear(d.Mem[l.data : l.data+4096])
				l.submit(blkIn, sector)
				l.q.Wait()
				if d.Mem[l.status] != blkOK || !bytes.Equal(d.Mem[l.data:l.data+4096], want) {
					t.Errorf("queue %d, sector %d: status %d, % x", n, sector, d.Mem[l.status], d.Mem[l.data:l.data+2])
					return
				}
			}
		})
	}
	// A queue that is taken back and given again goes on where it stood, and
	// mapping something else disturbs nobody.
	stop := make(chan struct{})
	var meddler sync.WaitGroup
	meddler.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Microsecond):
			}
			n := i % queues
			d.Must(be.SetVringEnable(n, false))
			d.Must(be.UpdateIOTLB(0x1000, d.Mem[:4096], vdpa.PermRead))
			d.Must(be.InvalidateIOTLB(0x1000, 4096))
			d.Must(be.SetVringEnable(n, true))
		}
	})
	all.Wait()
	close(stop)
	meddler.Wait()
	if n := k.count("/objects/d0", "broken-rings"); n != 0 {
		t.Errorf("%d rings are broken", n)
	}
}

// One queue that waits for its medium does not keep another from being served,
// and a call that stops the device waits for it.
func TestQueuesDoNotWaitForEachOther(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKit(t)
	k.mustMake("vdpa-sim-blk", "d0", map[string]any{"path": file, "num-queues": int64(2)})
	be := k.open("d0").(*device)
	d := vdpatest.NewDriver(t, be)
	d.Start(testFeatures)
	// Whoever holds a queue's mutex is in the middle of a request of it.
	be.queues[0].mu.Lock()
	slow, quick := newLane(d, 0), newLane(d, 1)
	slow.submit(blkOut, 0)
	quick.submit(blkOut, 8)
	quick.q.Wait()
	if d.Mem[slow.status] != 0xff {
		t.Fatal("a request is done while its queue is held")
	}
	// Its goroutine has begun with it once io is held, by it alone.
	for busy, end := 0, time.Now().Add(10*time.Second); busy < 10; time.Sleep(time.Millisecond) {
		if busy++; be.io.TryLock() {
			be.io.Unlock()
			busy = 0
		}
		if time.Now().After(end) {
			t.Fatal("the request is not begun")
		}
	}
	stopped := make(chan error)
	go func() { stopped <- be.Suspend() }()
	select {
	case err := <-stopped:
		t.Errorf("suspended in the middle of a request: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if _, err := be.GetStatus(); err != nil { // which waits for nothing
		t.Error(err)
	}
	be.queues[0].mu.Unlock()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if d.Mem[slow.status] != blkOK {
		t.Errorf("the device is suspended before a request is done: status %d", d.Mem[slow.status])
	}
	slow.q.Wait()
	slow.submit(blkOut, 16)
	time.Sleep(20 * time.Millisecond)
	if d.Mem[slow.status] != 0xff {
		t.Error("a suspended device goes on")
	}
}
