package vdpa

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"

	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/internal/sys"
)

// startOp is one start under way. Its goroutine owns the backend and the
// mappings until finished is closed.
type startOp struct {
	plan     startPlan
	canceled atomic.Bool
	err      error         // the outcome, once finished is closed
	finished chan struct{} // the calls are made
	done     chan struct{} // the device knows the outcome
	// What the driver did meanwhile; VM lock.
	taken  []int // queues that it took back
	config []configWrite
}

// configWrite is a write to the configuration space.
type configWrite struct {
	offset int
	data   []byte
}

// maxConfigWrites bounds how many of them are kept.
const maxConfigWrites = 256

// startPlan is all that a start needs to know, so that it needs no lock.
type startPlan struct {
	features uint64
	queues   []ringPlan
	pieces   []mapping
}

// ringPlan is one queue that the driver has set up.
type ringPlan struct {
	index int
	num   uint32
	base  uint32
	addr  VringAddr
	call  int
	kick  *sys.Eventfd
}

// plan writes down what the driver has set up.
func (d *Device) plan() startPlan {
	features := d.Negotiated()
	// Devices behind an IOMMU of the host insist on it, whatever the guest is
	// told: what they are given is not physical memory of the host.
	features |= d.features & (1 << virtio.FeatureAccessPlatform)
	p := startPlan{features: features, pieces: d.dma.want()}
	for i := range d.Queues() {
		q := d.Queue(i)
		if !q.Ready {
			continue
		}
		p.queues = append(p.queues, ringPlan{
			index: i, num: uint32(q.Num), base: d.base(i),
			addr: VringAddr{Desc: q.Desc, Avail: q.Avail, Used: q.Used},
			call: d.calls[i].fd.FD(), kick: q.Kick,
		})
	}
	return p
}

// base is where a queue starts: at the beginning after a reset, where it
// stood after a suspend.
func (d *Device) base(queue int) uint32 {
	if d.bases != nil {
		return d.bases[queue]
	}
	if d.Packed() {
		return 0x80008000 // both wrap counters start at 1 (virtio 1.2 section 2.8.1)
	}
	return 0
}

// begin starts the device on a goroutine.
func (d *Device) begin() *startOp {
	op := &startOp{plan: d.plan(), finished: make(chan struct{}), done: make(chan struct{})}
	d.op, d.used = op, true
	d.dma.busy = true
	lock := d.host.Lock
	d.tasks.Go(func() {
		defer close(op.done)
		op.err = d.start(op)
		close(op.finished)
		// Whoever calls the start off applies the outcome himself; he holds
		// the lock while he waits for finished.
		lock.Lock()
		defer lock.Unlock()
		if d.op == op {
			d.finish(op)
		}
	})
	return op
}

// start makes the calls, and undoes them when one fails or op is canceled. It
// runs without the VM lock.
func (d *Device) start(op *startOp) error {
	err := d.startCalls(op)
	if err == nil {
		return nil
	}
	if e := d.ground(); e != nil {
		// What stays mapped is taken out by the next reset.
		return &startError{err: err, undo: e}
	}
	return err
}

// startError is a start that failed and could not be undone either.
type startError struct{ err, undo error }

func (e *startError) Error() string   { return e.err.Error() + "; undoing it: " + e.undo.Error() }
func (e *startError) Unwrap() []error { return []error{e.err, e.undo} }

func (d *Device) startCalls(op *startOp) error {
	be, p := d.be, &op.plan
	steps := []func() error{
		func() error { return p.reachable(d.dma.rng, d.name) },
		func() error { return be.SetFeatures(p.features) },
		func() error { return d.setStatus(statusReady | uint8(virtio.StatusFeaturesOK)) },
		d.negotiateBackend,
	}
	for i := range p.queues {
		steps = append(steps, func() error { return d.setRing(&p.queues[i]) })
	}
	// QEMU binds this after DRIVER_OK, when a change may have gone by.
	steps = append(steps, func() error { return be.SetConfigCall(d.changed.fd.FD()) })
	for _, q := range p.queues {
		// VDUSE needs the rings enabled before DRIVER_OK.
		steps = append(steps, func() error { return be.SetVringEnable(q.index, true) })
	}
	steps = append(steps,
		func() error { return d.mapMemory(op) },
		func() error {
			return d.setStatus(statusReady | uint8(virtio.StatusFeaturesOK|virtio.StatusDriverOK))
		})
	for _, step := range steps {
		if op.canceled.Load() {
			return errCanceled
		}
		if err := step(); err != nil {
			return err
		}
	}
	// A kick that came before DRIVER_OK was dropped by some devices.
	for _, q := range p.queues {
		if err := q.kick.Signal(); err != nil {
			return fmt.Errorf("vdpa: kick of queue %d: %w", q.index, err)
		}
	}
	return nil
}

func (d *Device) negotiateBackend() error {
	f, err := d.be.GetBackendFeatures()
	if err != nil {
		return err
	}
	f &= backendFeatures
	d.suspends = f&FeatureSuspend != 0
	d.dma.batch = f&FeatureIOTLBBatch != 0
	return d.be.SetBackendFeatures(f)
}

func (d *Device) setRing(q *ringPlan) error {
	be := d.be
	if err := be.SetVringNum(q.index, q.num); err != nil {
		return err
	}
	if err := be.SetVringBase(q.index, q.base); err != nil {
		return err
	}
	if err := be.SetVringAddr(q.index, q.addr); err != nil {
		return err
	}
	if err := be.SetVringKick(q.index, q.kick.FD()); err != nil {
		return err
	}
	// A reset forgets it. It comes before DRIVER_OK, so that the first
	// interrupt is not lost.
	return be.SetVringCall(q.index, q.call)
}

// mapMemory maps the guest's RAM, and says so when the limit on pinned memory
// is why it cannot.
func (d *Device) mapMemory(op *startOp) error {
	err := d.dma.start(op.plan.pieces, op.canceled.Load)
	// What was mapped has been taken back, or is counted as ours.
	if isErrno(err, syscall.EFAULT, syscall.ENOMEM) {
		if why := d.memlock().shortfall(total(op.plan.pieces), total(d.dma.mapped)); why != "" {
			return fmt.Errorf("%w (%s)", err, why)
		}
		if n := entryLimit(); n != "" {
			// The kernel says EFAULT for everything.
			return fmt.Errorf("%w (vhost_vdpa takes at most %s runs of pages, max_iotlb_entries)", err, n)
		}
	}
	return err
}

// setStatus sets the status field and reads it back: a device may refuse a
// bit.
func (d *Device) setStatus(s uint8) error {
	if err := d.be.SetStatus(s); err != nil {
		return err
	}
	got, err := d.be.GetStatus()
	if err != nil {
		return err
	}
	if got != s {
		return &OpError{
			Verb: VerbSetStatus, Device: d.name, Queue: -1, Detail: fmt.Sprintf("%#02x", s),
			Err: fmt.Errorf("status is %#02x", got),
		}
	}
	return nil
}

// ground takes the device back to where realize left it: reset, with nothing
// mapped. It goes on when a step fails.
func (d *Device) ground() error {
	// First of all: the device does DMA until it is reset.
	err := d.setStatus(0)
	if err == nil {
		err = d.setStatus(statusReady)
	}
	if d.dma.live { // a start reads it only: it is not live yet
		d.dma.live = false
	}
	return errors.Join(err, d.dma.removeAll(), d.be.SetConfigCall(-1))
}

// suspend stops the device at a point where it can go on, and then takes it
// to the ground, so that nothing touches guest memory while the VM stands.
func (d *Device) suspend() error {
	d.bases, d.basesErr = make([]uint32, d.Queues()), nil
	if d.suspends {
		if err := d.be.Suspend(); err != nil {
			return err
		}
		for i := range d.Queues() {
			if !d.Queue(i).Ready {
				continue
			}
			base, err := d.be.GetVringBase(i)
			if err != nil {
				return err
			}
			d.bases[i] = base
		}
		return d.ground()
	}
	if err := d.ground(); err != nil {
		return err
	}
	// As QEMU does where a device cannot suspend: what it has not finished is
	// done again.
	for i := range d.Queues() {
		if q := d.Queue(i); q.Ready {
			d.bases[i], d.basesErr = d.usedIndex(i)
			if d.basesErr != nil {
				break
			}
		}
	}
	return nil
}

// usedIndex is how many buffers of a queue the device has finished.
func (d *Device) usedIndex(queue int) (uint32, error) {
	if d.Packed() {
		return 0, fmt.Errorf("vdpa: %s cannot be suspended, and a packed ring does not tell where it stands", d.name)
	}
	var b [2]byte
	if err := d.host.Memory.ReadAt(b[:], d.Queue(queue).Used+2); err != nil {
		return 0, fmt.Errorf("vdpa: %s queue %d: %w", d.name, queue, err)
	}
	return uint32(binary.LittleEndian.Uint16(b[:])), nil
}
