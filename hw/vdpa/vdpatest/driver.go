package vdpatest

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/memory"
)

// MemorySize is how much memory a Driver has, in bytes.
const MemorySize = 1 << 20

// IOVA is where a Driver's memory stands.
const IOVA = 0x40000000

// patience is how long a Driver waits for a device.
const patience = 10 * time.Second

// Bits of the device status.
const (
	Acknowledge = 1
	DriverReady = 3
	FeaturesOK  = 11
	DriverOK    = 15
)

// Driver drives a Backend: it has memory, and queues in it.
type Driver struct {
	vdpa.Backend
	T      testing.TB
	Mem    []byte // at IOVA
	Queues []*Queue
	// Indirect makes requests in indirect tables, EventIdx says that the event
	// index was negotiated.
	Indirect, EventIdx bool
}

// NewDriver takes a fresh device over. It is closed at the end of the test.
func NewDriver(t testing.TB, be vdpa.Backend) *Driver {
	t.Helper()
	ram, err := memory.NewAnonRAM("driver", MemorySize)
	if err != nil {
		t.Fatal(err)
	}
	d := &Driver{Backend: be, T: t, Mem: ram.Bytes()}
	t.Cleanup(func() {
		if err := be.Close(); err != nil {
			t.Error(err)
		}
		for _, q := range d.Queues {
			q.Kick.Close()
			q.Call.Close()
		}
		ram.Close()
	})
	d.Must(be.SetOwner())
	n, err := be.GetVqsCount()
	d.Must(err)
	for i := range int(n) {
		q := &Queue{d: d, n: i, at: i * queueSpace}
		for _, e := range []**sys.Eventfd{&q.Kick, &q.Call} {
			if *e, err = sys.NewEventfd(); err != nil {
				t.Fatal(err)
			}
		}
		d.Queues = append(d.Queues, q)
	}
	return d
}

// Must fails the test on an error.
func (d *Driver) Must(err error) {
	d.T.Helper()
	if err != nil {
		d.T.Fatal(err)
	}
}

// Start takes the device from reset to DRIVER_OK with all queues, which go on
// at their bases. It is what vhost-vdpa-device does, in its order.
func (d *Driver) Start(features uint64) {
	d.T.Helper()
	d.Prepare(features)
	d.Map()
	d.Must(d.SetStatus(DriverOK))
	for _, q := range d.Queues {
		d.Must(q.Kick.Signal())
	}
}

// Prepare does what comes before mapping memory.
func (d *Driver) Prepare(features uint64) {
	d.T.Helper()
	offered, err := d.GetFeatures()
	d.Must(err)
	features &= offered
	d.Indirect, d.EventIdx = features>>28&1 != 0, features>>29&1 != 0
	d.Must(d.SetStatus(0))
	d.Must(d.SetStatus(Acknowledge))
	d.Must(d.SetStatus(DriverReady))
	d.Must(d.SetFeatures(features | 1<<33))
	d.Must(d.SetStatus(FeaturesOK))
	for _, q := range d.Queues {
		d.Must(d.SetVringNum(q.n, QueueNum))
		d.Must(d.SetVringBase(q.n, uint32(q.next)))
		d.Must(d.SetVringAddr(q.n, vdpa.VringAddr{Desc: q.iova(0), Avail: q.iova(availAt), Used: q.iova(usedAt)}))
		d.Must(d.SetVringKick(q.n, q.Kick.FD()))
		d.Must(d.SetVringCall(q.n, q.Call.FD()))
	}
	for _, q := range d.Queues {
		d.Must(d.SetVringEnable(q.n, true))
	}
}

// Map maps all memory.
func (d *Driver) Map() {
	d.T.Helper()
	d.Must(d.UpdateIOTLB(IOVA, d.Mem, vdpa.PermReadWrite))
}

// Unmap takes it out again.
func (d *Driver) Unmap() {
	d.T.Helper()
	d.Must(d.InvalidateIOTLB(IOVA, MemorySize))
}

// Stop suspends the device and resets it, as a VM does that is stopped. The
// queues know then where they stood.
func (d *Driver) Stop() {
	d.T.Helper()
	d.Must(d.Suspend())
	for _, q := range d.Queues {
		base, err := d.GetVringBase(q.n)
		d.Must(err)
		if want := uint32(q.used()); base != want {
			d.T.Errorf("queue %d: base %d, %d chains are used", q.n, base, want)
		}
	}
	d.Must(d.SetStatus(0))
	d.Unmap()
}

// Layout of a queue in memory. Data is for tests to use.
const (
	QueueNum   = 16
	queueSpace = 0x4000
	availAt    = 0x1000
	usedAt     = 0x2000
	tableAt    = 0x3000
	// Data is the offset in Mem of what no queue uses.
	Data = 0x10000
)

// Queue is the driver's side of one split ring.
type Queue struct {
	Kick, Call *sys.Eventfd
	d          *Driver
	n, at      int
	next       uint16 // available index
	seen       uint16 // used index
	free       int
}

func (q *Queue) iova(at int) uint64 { return IOVA + uint64(q.at+at) }
func (q *Queue) used() uint16       { return sys.LoadShared16(q.d.Mem[q.at+usedAt+2:]) }

// Buffer is a part of a chain: n bytes at an offset in Mem.
type Buffer struct {
	At, Len int
	Write   bool // by the device
}

// Add makes a chain available and notifies the device.
func (q *Queue) Add(chain ...Buffer) {
	q.d.T.Helper()
	q.Offer(chain...)
	q.d.Must(q.Kick.Signal())
}

// AddTable is Add with an indirect table at an offset in Mem.
func (q *Queue) AddTable(at int, chain ...Buffer) {
	q.d.T.Helper()
	q.write(at, 0, len(chain), chain)
	q.offer(descriptor{IOVA + uint64(at), 16 * len(chain), 4, 0})
	q.d.Must(q.Kick.Signal())
}

// Offer makes a chain available and tells nobody.
func (q *Queue) Offer(chain ...Buffer) {
	if q.d.Indirect {
		at := q.at + tableAt + 16*QueueNum*(q.free%4)
		q.write(at, 0, len(chain), chain)
		q.offer(descriptor{IOVA + uint64(at), 16 * len(chain), 4, 0})
		return
	}
	head := q.free
	q.write(q.at, head, QueueNum, chain)
	q.free = (head + len(chain)) % QueueNum
	q.publish(head)
}

// descriptor is struct virtq_desc.
type descriptor struct {
	addr             uint64
	len, flags, next int
}

func (q *Queue) put(at, i int, d descriptor) {
	b := q.d.Mem[at+16*i:]
	binary.LittleEndian.PutUint64(b, d.addr)
	binary.LittleEndian.PutUint32(b[8:], uint32(d.len))
	binary.LittleEndian.PutUint16(b[12:], uint16(d.flags))
	binary.LittleEndian.PutUint16(b[14:], uint16(d.next))
}

// write lays a chain out in the table of num at an offset, from entry first
// on.
func (q *Queue) write(at, first, num int, chain []Buffer) {
	for i, b := range chain {
		flags := 0
		if b.Write {
			flags = 2
		}
		if i < len(chain)-1 {
			flags |= 1
		}
		q.put(at, (first+i)%num, descriptor{IOVA + uint64(b.At), b.Len, flags, (first + i + 1) % num})
	}
}

// offer makes a chain of one descriptor available.
func (q *Queue) offer(d descriptor) {
	head := q.free
	q.put(q.at, head, d)
	q.free = (head + 1) % QueueNum
	q.publish(head)
}

// publish makes the chain at head available.
func (q *Queue) publish(head int) {
	avail := q.d.Mem[q.at+availAt:]
	binary.LittleEndian.PutUint16(avail[4+2*int(q.next%QueueNum):], uint16(head))
	if q.d.EventIdx { // an interrupt for the next one
		sys.StoreShared16(avail[4+2*QueueNum:], q.seen)
	}
	q.next++
	sys.StoreShared16(avail[2:], q.next)
}

// Take gives the length of the next used chain, if there is one.
func (q *Queue) Take() (n uint32, ok bool) {
	if q.used() == q.seen {
		return 0, false
	}
	e := q.d.Mem[q.at+usedAt+4+8*int(q.seen%QueueNum):]
	q.seen++
	return binary.LittleEndian.Uint32(e[4:]), true
}

// Wait waits for the next used chain and its interrupt.
func (q *Queue) Wait() uint32 {
	q.d.T.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Microsecond) {
		if n, ok := q.Take(); ok {
			q.WaitCall()
			return n
		}
		if time.Now().After(end) {
			q.d.T.Fatalf("queue %d: chain %d is not used", q.n, q.seen)
		}
	}
}

// WaitCall waits for an interrupt.
func (q *Queue) WaitCall() {
	q.d.T.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Microsecond) {
		n, err := q.Call.Drain()
		q.d.Must(err)
		if n > 0 {
			return
		}
		if time.Now().After(end) {
			q.d.T.Fatalf("queue %d: no interrupt", q.n)
		}
	}
}

// Idle tells whether the device leaves the queue alone for a moment.
func (q *Queue) Idle() bool {
	time.Sleep(20 * time.Millisecond)
	return q.used() == q.seen
}
