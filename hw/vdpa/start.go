package vdpa

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/internal/sys"
)

// startTask is one start under way, on a goroutine of its own.
type startTask struct {
	*task
	plan   startPlan
	resume bool // the device was suspended and is whole
}

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
func (d *Device) begin() *startTask {
	t := &startTask{plan: d.plan(), resume: d.held, task: d.acquire()}
	d.used = true
	lock := d.host.Lock
	d.tasks.Go(func() {
		err := d.start(t)
		lock.Lock()
		defer lock.Unlock()
		defer close(t.done)
		d.finish(t, err)
	})
	return t
}

// finish applies the outcome of a start.
func (d *Device) finish(t *startTask, err error) {
	if errors.Is(err, errCanceled) {
		var undo *startError
		if !errors.As(err, &undo) {
			err := d.release()
			d.used = d.held
			d.move(evCanceled)
			if err != nil {
				d.fail("start failed: ", err)
				return
			}
			_ = d.writeConfig(t.task) // shown already
			return
		}
	}
	if err != nil {
		_ = d.release() // nothing is live
		d.held = false
		d.broken("start failed: ", err)
		return
	}
	d.dma.live = true
	err = d.release()
	d.move(evStarted)
	d.forget()
	if err != nil {
		d.fail("start failed: ", err)
		return
	}
	for _, n := range t.taken {
		model{d}.StopQueue(n)
	}
	_ = d.writeConfig(t.task) // shown already
	d.startedWell()
}

// start makes the calls, and undoes them when one fails or t is canceled. It
// runs without the VM lock.
func (d *Device) start(t *startTask) error {
	err := d.startCalls(t)
	switch {
	case err == nil:
		return nil
	case t.resume && errors.Is(err, errCanceled):
		return err // it is suspended, as it was
	}
	if e := d.ground(d.keepsMaps && errors.Is(err, errCanceled)); e != nil {
		// What stays mapped is taken out by the next reset.
		return &startError{err: err, undo: e}
	}
	return err
}

// startError is a start that failed and could not be undone either.
type startError struct{ err, undo error }

func (e *startError) Error() string   { return e.err.Error() + "; undoing it: " + e.undo.Error() }
func (e *startError) Unwrap() []error { return []error{e.err, e.undo} }

func (d *Device) startCalls(t *startTask) error {
	be, p := d.be, &t.plan
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
		func() error { return d.mapMemory(t) },
		func() error {
			return d.setStatus(statusReady | uint8(virtio.StatusFeaturesOK|virtio.StatusDriverOK))
		})
	if t.resume {
		steps = []func() error{be.Resume}
	}
	for _, step := range steps {
		if t.canceled.Load() {
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
	if f&FeatureSuspend == 0 {
		f &^= FeatureResume // of no use alone
	}
	d.suspends, d.resumes = f&FeatureSuspend != 0, f&FeatureResume != 0
	d.keepsMaps = f&FeatureIOTLBPersist != 0
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
func (d *Device) mapMemory(t *startTask) error {
	err := d.dma.start(t.plan.pieces, t.canceled.Load)
	// What was mapped has been taken back, or is counted as ours.
	if isErrno(err, syscall.EFAULT, syscall.ENOMEM) {
		if why := d.memlock().shortfall(total(t.plan.pieces), total(d.dma.mapped)); why != "" {
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
