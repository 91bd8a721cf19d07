package sim

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/hw/vdpa/vdpatest"
	"github.com/gqemu/gqemu/qom"
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
	t.Run("memory", func(t *testing.T) { queuesWorkAtOnce(t, map[string]any{"size": int64(8 << 20)}, testFeatures) })
	// Of a driver that cannot flush each write waits for its medium, and goes on
	// without its queue's goroutine.
	file := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("file", func(t *testing.T) { queuesWorkAtOnce(t, map[string]any{"path": file}, testFeatures&^(1<<blkFlush)) })
}

func queuesWorkAtOnce(t *testing.T, props map[string]any, features uint64) {
	const queues = 4
	k := newKit(t)
	props["num-queues"] = int64(queues)
	k.mustMake("vdpa-sim-blk", "d0", props)
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
	d.Start(features)
	var all sync.WaitGroup
	for n := range queues {
		l := newLane(d, n)
		all.Go(func() {
			for i := range 100 {
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

// A request that has left its queue's goroutine is one under way: what changes
// the device waits for it, what looks at it does not.
func TestJobsAreWaitedFor(t *testing.T) {
	k := newKit(t)
	k.mustMake("vdpa-sim-blk", "d0", map[string]any{"size": int64(1 << 20)})
	be := k.open("d0").(*device)
	d := vdpatest.NewDriver(t, be)
	d.Start(testFeatures)
	be.io.flying.Add(1)
	for what, call := range map[string]func() error{
		"SUSPEND":          be.Suspend,
		"SET_STATUS":       func() error { return be.SetStatus(0x8f) },
		"INVALIDATE":       func() error { return be.InvalidateIOTLB(0x1000, 1) },
		"SET_VRING_KICK":   func() error { return be.SetVringKick(0, -1) },
		"SET_VRING_CALL":   func() error { return be.SetVringCall(0, -1) },
		"GET_VRING_BASE":   func() error { _, err := be.GetVringBase(0); return err },
		"SET_GROUP_ASID":   func() error { _ = be.SetGroupASID(0, 0); return nil },
		"a change of size": func() error { be.reconfigure(func() {}); return nil },
	} {
		done := make(chan error, 1)
		go func() { done <- call() }()
		select {
		case err := <-done:
			t.Errorf("%s does not wait: %v", what, err)
		case <-time.After(5 * time.Millisecond):
		}
		if _, err := be.GetStatus(); err != nil {
			t.Error(err)
		}
		be.io.flying.Done()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", what, err)
		}
		be.io.flying.Add(1)
	}
	be.io.flying.Done()
}

// Requests of a file that is not in memory are done side by side, each with its
// own data, and in the order in which they came where the driver wants that.
func TestJobs(t *testing.T) {
	const n = 12
	file := filepath.Join(t.TempDir(), "disk.img")
	data := make([]byte, 16<<20)
	for i := range n {
		copy(data[i<<20:], bytes.Repeat([]byte{byte(i + 1)}, 4096))
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, inOrder := range []bool{false, true} {
		k := newKit(t)
		disk := k.mustMake("vdpa-sim-blk", "d0", map[string]any{"path": file}).(*Blk)
		be := k.open("d0").(*device)
		d := vdpatest.NewDriver(t, be)
		features := uint64(1<<32 | 1<<28)
		if inOrder {
			features |= 1 << 35
		}
		d.Start(features)
		q := d.Queues[0]
		for round := range 5 {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Sync()
			_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
			f.Close()
			for i := range n {
				at := 0x40000 + i*0x2000
				clear(d.Mem[at : at+0x2000])
				d.Mem[at+0x100] = 0xff
				binary.LittleEndian.PutUint64(d.Mem[at+8:], uint64(i)<<11)
				if round == 4 { // something that waits for sure
					d.Mem[at] = blkFlushCmd
				}
				q.AddTable(at+0x200, vdpatest.Buffer{At: at, Len: 16}, vdpatest.Buffer{At: at + 0x1000, Len: 4096, Write: true},
					vdpatest.Buffer{At: at + 0x100, Len: 1, Write: true})
			}
			for done, end := 0, time.Now().Add(10*time.Second); done < n; { // interrupts may be fewer
				if _, ok := q.Take(); ok {
					done++
				} else if time.Sleep(50 * time.Microsecond); time.Now().After(end) {
					t.Fatalf("%d requests are done", done)
				}
			}
			for i := range n {
				at := 0x40000 + i*0x2000
				if d.Mem[at+0x100] != blkOK || round < 4 && !bytes.Equal(d.Mem[at+0x1000:at+0x2000], data[i<<20:][:4096]) {
					t.Errorf("request %d: status %d, data % x", i, d.Mem[at+0x100], d.Mem[at+0x1000:at+0x1004])
				}
			}
		}
		if used := be.pool.jobs != nil; used == inOrder {
			t.Errorf("in order %v: jobs %v", inOrder, used)
		}
		if f := disk.stats.flushes.Load(); f != n {
			t.Errorf("%d flushes", f)
		}
		d.Must(be.Close())
		k.Do(disk.Release)
	}
}

// What each queue does is counted, for as long as the object lives.
func TestQueueCounters(t *testing.T) {
	k := newKit(t)
	o := k.mustMake("vdpa-sim-blk", "d0", map[string]any{"size": int64(1 << 20), "num-queues": int64(2)})
	counters := func(queue int) map[string]any {
		v, err := qom.Get(o, "queues")
		if err != nil {
			t.Fatal(err)
		}
		return v.([]any)[queue].(map[string]any)
	}
	for round := range int64(2) {
		be := k.open("d0")
		d := vdpatest.NewDriver(t, be)
		d.Start(1 << 32)
		l := newLane(d, 1)
		for range 5 {
			l.submit(blkOut, 0)
			l.q.Wait()
		}
		d.Must(be.SetVringEnable(0, false)) // what is in the ring is not looked at yet
		d.Queues[0].Add(vdpatest.Buffer{At: 1 << 40, Len: 16})
		d.Must(be.SetVringEnable(0, true))
		for end := time.Now().Add(10 * time.Second); counters(0)["broken-rings"] != round+1; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%v", counters(0))
			}
		}
		c := counters(1)
		if c["chains"] != 5*(round+1) || c["interrupts"] != 5*(round+1) || c["broken-rings"] != int64(0) || c["kicks"].(int64) < 5*(round+1) {
			t.Errorf("%v", c)
		}
		k.Do(func() { d.Must(be.Close()) })
	}
}
