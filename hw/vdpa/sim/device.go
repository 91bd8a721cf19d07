package sim

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/hw/virtio/vring"
)

// model is a kind of device.
type model interface {
	deviceID() uint32
	features() uint64
	queueMax() uint16
	// groups gives the group of each queue. Every group has an address space
	// it can be given to.
	groups() []int
	// config is the configuration space. Guarded by device.mu, as is what
	// setConfig writes; the range is within the space.
	config() []byte
	setConfig(offset int, data []byte)
	// negotiated says which features the driver has accepted. A reset takes them
	// back, and with them all that the driver has asked for. It is called with
	// io and mu held, and before anybody else knows the device.
	negotiated(features uint64)
	// passive tells that queue n is not served when it is kicked: serving
	// another takes buffers from it.
	passive(n int) bool
	// serve takes one chain of queue n, which is q, and tells whether there
	// was one. An error is q's. It is called on the queue's own goroutine,
	// with device.io held for reading and the queue's mu held, so that several
	// queues are served at once; what they share is the model's to guard.
	serve(d *device, n int, q *vring.Queue) (worked bool, err error)
}

// resumable is a model whose driver asks for more than features. That is not
// told again by who stops a VM: it suspends the device, resets it, and goes on
// later with the queues where they stood.
type resumable interface {
	// suspend comes before the reset, begin with DRIVER_OK; resumed tells that
	// the queues go on. Both are called with io and mu held.
	suspend()
	begin(resumed bool)
}

// device is an opened simulator, a vdpa.Backend.
//
// io is held for reading while a request is processed, or counts it, and for
// writing by calls that change what the device works on: those wait for the
// requests under way in all queues, and no further one begins meanwhile. mu guards what other
// calls look at, so that those never wait for a disk. The order is io, a
// queue's mu, mu. What io and mu are both held for when it is written may be
// read under either.
type device struct {
	name  string
	model model
	log   zerolog.Logger
	// errors counts rings that drivers broke.
	errors *atomic.Uint64
	free   func() // the device can be opened again
	faults *faults
	counts []queueStats // by queue

	stop    atomic.Bool
	tasks   sync.WaitGroup // a worker for each queue
	workers []worker       // none before start
	pool    pool           // for requests that wait for their medium

	io     gate
	spaces []*iotlb // by ASID
	asid   []int    // by group
	groups []int    // by queue
	queues []queue
	batch  int // ASID of the batch under way, -1 for none
	// suspended holds until a reset.
	suspended bool

	mu       sync.Mutex
	configFD int
	// ailing tells that the device has met an error since the last reset, of a
	// ring that its driver broke for instance, and wants one.
	ailing bool

	closed   bool   // both
	owner    bool   // both
	status   uint8  // both
	accepted uint64 // both
}

// queue is one virtqueue as the calls have set it up. Guarded by device.io; to
// use its ring, or break it, mu is held too.
type queue struct {
	mu      sync.Mutex
	num     uint32
	base    uint32 // in the kernel's format
	addr    vdpa.VringAddr
	enabled bool
	kick    int // eventfds of our own, -1 for none
	call    int
	// ring is the queue while it is served; a queue that was never looked at,
	// is not enabled or is suspended has none.
	ring *vring.Queue
	// broken is a ring that cannot be served until the queue is set up anew.
	broken bool
}

// newDevice makes a device. free is called when it is closed. Its queues are
// processed once it was started.
func newDevice(name string, m model, log zerolog.Logger, errors *atomic.Uint64, free func()) *device {
	d := &device{
		name: name, model: m, log: log, errors: errors, free: free,
		batch: -1, configFD: -1, groups: m.groups(),
	}
	d.queues, d.counts = make([]queue, len(d.groups)), make([]queueStats, len(d.groups))
	for i, g := range d.groups {
		d.queues[i].kick, d.queues[i].call = -1, -1
		for len(d.asid) <= g {
			d.asid, d.spaces = append(d.asid, 0), append(d.spaces, &iotlb{})
		}
	}
	d.reset()
	return d
}

// start starts the device's goroutines, one for each queue.
func (d *device) start() error {
	workers := make([]worker, len(d.queues))
	for i := range workers {
		if err := workers[i].open(); err != nil {
			for j := range i {
				workers[j].close()
			}
			return err
		}
	}
	d.workers = workers
	for i := range workers {
		d.tasks.Go(func() { d.work(i) })
	}
	return nil
}

// Close is part of vdpa.Backend. It waits for the requests under way.
func (d *device) Close() error {
	d.io.Lock()
	d.mu.Lock()
	again := d.closed
	d.closed = true
	d.mu.Unlock()
	d.io.Unlock()
	if again {
		return nil
	}
	d.stop.Store(true)
	d.kickAll()
	d.tasks.Wait()
	d.pool.close()
	for i := range d.workers {
		d.workers[i].close()
	}
	for i := range d.queues {
		closeFD(d.queues[i].kick)
		closeFD(d.queues[i].call)
	}
	closeFD(d.configFD)
	d.spaces = nil
	d.free()
	return nil
}

// reset is what status 0 does. What the caller has bound and mapped stays,
// but for the interrupts' eventfds. io and mu are held, or nobody else knows
// the device yet.
func (d *device) reset() {
	for i := range d.queues {
		q := &d.queues[i]
		closeFD(q.call)
		q.call, q.num, q.base, q.addr = -1, uint32(d.model.queueMax()), 0, vdpa.VringAddr{}
		q.enabled, q.broken, q.ring = false, false, nil
	}
	d.status, d.ailing, d.accepted, d.suspended = 0, false, 0, false
	d.model.negotiated(0)
}

// ring is queue n if it is to be served now. io is held for reading, and the
// queue's mu.
func (d *device) ring(n int) *vring.Queue {
	q := &d.queues[n]
	if d.closed || d.suspended || d.status&uint8(virtio.StatusDriverOK) == 0 || !q.enabled || q.broken {
		return nil
	}
	if q.ring != nil {
		return q.ring
	}
	has := func(bit int) bool { return d.accepted>>bit&1 != 0 }
	err := error(syscall.EINVAL)
	if q.num <= 1<<15 {
		q.ring, err = vring.New(d.spaces[d.asid[d.groups[n]]], vring.Config{
			Num: uint16(q.num), Desc: q.addr.Desc, Avail: q.addr.Avail, Used: q.addr.Used, Base: q.base,
			Packed: has(virtio.FeatureRingPacked), Indirect: has(virtio.FeatureIndirectDesc), EventIdx: has(virtio.FeatureEventIdx),
			Count: &d.counts[n].chains,
		})
	}
	if err != nil {
		d.broke(n, err)
		return nil
	}
	return q.ring
}

// settle takes a queue out of service; it goes on where it stood.
func (q *queue) settle() {
	if q.ring != nil {
		q.base, q.ring = q.ring.Base(), nil
	}
}

// broke notes that a driver broke queue n, which rests until it is set up anew,
// and tells the driver that a reset is needed (virtio 1.2 section 2.1.2). io is
// held for reading, and the queue's mu.
func (d *device) broke(n int, err error) {
	d.queues[n].settle()
	d.queues[n].broken = true
	d.errors.Add(1)
	d.counts[n].broken.Add(1)
	d.mu.Lock()
	d.ailing = true
	signal(d.configFD)
	d.mu.Unlock()
	d.log.Debug().Str("device", d.name).Int("queue", n).Err(err).Msg("vdpa-sim: guest error")
}

// reconfigure changes the configuration space by f, between requests, and tells
// the driver.
func (d *device) reconfigure(f func()) {
	d.io.Lock()
	defer d.io.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	signal(d.configFD)
}

// interrupt tells the driver of queue n what was used, if it wants to know.
// io is held for reading, and the queue's mu.
func (d *device) interrupt(n int) {
	if q := &d.queues[n]; q.ring != nil && q.ring.ShouldInterrupt() {
		d.counts[n].interrupts.Add(1)
		signal(q.call)
	}
}

// with lets f use the ring of queue n and tells whether it could: whether the
// queue is to be served now, and f did not fail, which breaks it. A model uses
// it in serve, for another queue than the one it serves; queues whose serve
// does that are not taken from by others, or two of them could wait for each
// other.
func (d *device) with(n int, f func(q *vring.Queue) error) bool {
	q := &d.queues[n]
	q.mu.Lock()
	defer q.mu.Unlock()
	r := d.ring(n)
	if r == nil {
		return false
	}
	if err := f(r); err != nil {
		d.broke(n, err)
		return false
	}
	return true
}

// use is with for a goroutine of the model's own, which is not within serve.
func (d *device) use(n int, f func(q *vring.Queue) error) bool {
	d.io.RLock()
	defer d.io.RUnlock()
	return d.with(n, f)
}
