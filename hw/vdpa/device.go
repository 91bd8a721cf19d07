package vdpa

import (
	"fmt"
	"math/bits"
	"sync"

	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// maxConfig bounds a configuration space, in bytes.
const maxConfig = 64 << 10

// backendFeatures are those used of the kernel's interface.
// Of the others, ENABLE_AFTER_DRIVER_OK is about enabling queues late, which
// is never done here, and the address spaces are not used.
const backendFeatures = FeatureIOTLBMsgV2 | FeatureIOTLBBatch | FeatureSuspend | FeatureResume | FeatureIOTLBPersist

// statusReady is the status of a device that no driver has started.
const statusReady = uint8(virtio.StatusAcknowledge | virtio.StatusDriver)

// Device is the type "vhost-vdpa-device". Guarded by the VM lock, but for
// what a task owns while one is under way.
type Device struct {
	virtio.State
	// Properties.
	vhostdev    string
	hasVhostdev bool // vhostdev="" is a path like any other
	vhostfd     string
	hasVhostfd  bool
	queueSize   uint16
	bootIndex   int32

	open    OpenFunc
	memlock func() memlock

	host     *qdev.Host
	be       Backend
	name     string // of what was opened, for texts
	features uint64 // the device's own
	config   []byte // as it was read last
	dma      *dmaMap
	calls    []*relay // by queue
	changed  *relay   // of the configuration

	state state
	task  *task // owns the backend and the mappings; nil without one
	// closing tells that the device is being unrealized.
	closing bool
	// realizing tells that the device is not complete yet.
	realizing bool
	// used tells that the device is not as realize left it.
	used bool
	// What the interface can do, once a start has asked: stop the device with
	// its state kept, make it go on from there, and keep what is mapped over
	// a reset.
	suspends, resumes, keepsMaps bool
	// bases is where the queues go on after a suspend, nil for a fresh
	// start; basesErr says why that is not known. held tells that the device
	// is suspended and whole.
	bases    []uint32
	basesErr error
	held     bool
	lastErr  error // why the device is broken
	told     map[failure]bool
	lines    lineLimit
	stats    stats
	// recheck tells that the device signalled a change during a start.
	recheck bool
	// unfollowed says why the IOTLB is not as guest memory is, nil when it is.
	unfollowed error

	tasks   sync.WaitGroup // goroutines
	working bool           // tasks has had one
}

// RegisterTypes adds "vhost-vdpa-device", for devices of the kernel.
func RegisterTypes(r *qom.Registry) { RegisterTypesWith(r, Open) }

// RegisterTypesWith is RegisterTypes with another way to open a device.
func RegisterTypesWith(r *qom.Registry, open OpenFunc) {
	r.Register(qom.Type{
		Name: "vhost-vdpa-device", Parent: "virtio-device",
		Class: &qdev.Class{
			BusType: "virtio-bus", Category: "Misc",
			Desc: "VDPA-based generic device assignment", Unmigratable: true,
		},
		New: func() qom.Object { return &Device{open: open, memlock: readMemlock} },
		Properties: []*qom.Property{
			named("vhostdev", func(d *Device) (*string, *bool) { return &d.vhostdev, &d.hasVhostdev }),
			named("vhostfd", func(d *Device) (*string, *bool) { return &d.vhostfd, &d.hasVhostfd }),
			qdev.Field("queue-size", func(d *Device) *uint16 { return &d.queueSize }, 0),
			qdev.BootIndex(func(d *Device) *int32 { return &d.bootIndex }, ""),
		},
	})
}

// named is a property that tells an empty string from none.
func named(name string, field func(d *Device) (value *string, given *bool)) *qom.Property {
	p := qdev.Field(name, func(d *Device) *string { v, _ := field(d); return v }, "")
	set := p.Set
	p.Set = func(o qom.Object, v qom.Value) error {
		err := set(o, v)
		if err == nil {
			_, given := field(o.(*Device))
			*given = true
		}
		return err
	}
	return p
}

// Realize is part of qdev.Realizer. The kernel is called in QEMU's order.
func (d *Device) Realize(h *qdev.Host) error {
	d.host, d.state, d.lastErr, d.realizing = h, stateInactive, nil, true
	d.told, d.lines, d.recheck, d.unfollowed = nil, lineLimit{}, false, nil
	d.task, d.closing = nil, false
	d.forget()
	// The last to be undone: goroutines end once they get the lock.
	d.Defer(d.join)
	be, name, err := d.openBackend(h)
	if err != nil {
		return err
	}
	d.be, d.name = be, name
	d.Defer(func() {
		if err := d.unlocked(be.Close); err != nil {
			d.logError(err)
		}
	})
	setup, err := d.query()
	if err != nil {
		return err
	}
	if err := d.prepare(int(setup.Queues)); err != nil {
		return initError(err)
	}
	if err := d.readWholeConfig(&setup); err != nil {
		return err
	}
	if err := d.listen(h); err != nil {
		return err
	}
	if err := d.Plug(setup); err != nil {
		return err
	}
	d.realizing = false
	d.Defer(d.shutdown)
	if err := h.Boot.Set(d, d.bootIndex, ""); err != nil {
		return err
	}
	d.Defer(func() { h.Boot.Remove(d) })
	return d.expose()
}

// query reads what the device is and checks it against the properties.
func (d *Device) query() (s virtio.Setup, err error) {
	s.Model = model{d}
	if s.DeviceID, err = d.be.GetDeviceID(); err != nil {
		return s, realizeError(err)
	}
	if s.QueueMax, err = d.be.GetVringNum(); err != nil {
		return s, realizeError(err)
	}
	if d.queueSize > s.QueueMax {
		return s, fmt.Errorf("vhost-vdpa-device: invalid queue_size: %d (max:%d)", d.queueSize, s.QueueMax)
	}
	if d.queueSize&(d.queueSize-1) != 0 {
		// The kernel takes no other size, whatever the kind of ring.
		return s, fmt.Errorf("vhost-vdpa-device: invalid queue_size: %d (must be a power of two)", d.queueSize)
	}
	if s.QueueMax > 0 {
		s.QueueMax = 1 << (bits.Len16(s.QueueMax) - 1)
	}
	if d.queueSize != 0 {
		s.QueueMax = d.queueSize
	}
	n, err := d.be.GetVqsCount()
	if err != nil {
		return s, realizeError(err)
	}
	if n == 0 || n > virtio.MaxQueues {
		return s, fmt.Errorf("invalid number of virtqueues: %d (max:%d)", n, virtio.MaxQueues)
	}
	if s.QueueMax == 0 || s.QueueMax > virtio.MaxQueueSize {
		return s, fmt.Errorf("vhost-vdpa-device: invalid queue_size: %d (max:%d)", s.QueueMax, virtio.MaxQueueSize)
	}
	s.Queues = int(n)
	rng, err := d.be.GetIOVARange()
	if err != nil {
		return s, &wordedError{"vhost-vdpa-device: get iova range failed: " + errno.Text(err), err}
	}
	if s.Features, err = d.be.GetFeatures(); err != nil {
		return s, initError(err)
	}
	d.features = s.Features
	d.dma = &dmaMap{be: d.be, rng: rng, piece: pieceSize, warn: d.host.Report}
	return s, nil
}

func initError(err error) error {
	return &wordedError{"vhost-vdpa-device: vhost initialization failed: " + errno.Text(err), err}
}

// prepare makes the device ours and binds the eventfds it interrupts with.
func (d *Device) prepare(queues int) error {
	d.Defer(func() {
		if d.realizing {
			// Realize failed before there was more to undo.
			_ = d.be.SetStatus(0)
		}
	})
	if err := d.setStatus(statusReady); err != nil {
		return err
	}
	if err := d.be.SetOwner(); err != nil {
		return err
	}
	d.calls, d.stats = nil, stats{queues: make([]queueStats, queues)}
	for i := range queues {
		r, err := d.newRelay(func() {
			d.stats.queues[i].interrupts++
			d.QueueUsed(i)
		})
		if err != nil {
			return err
		}
		d.calls = append(d.calls, r)
		if err := d.be.SetVringCall(i, r.fd.FD()); err != nil {
			return err
		}
	}
	r, err := d.newRelay(d.deviceChanged)
	d.changed = r
	return err
}

func (d *Device) readWholeConfig(s *virtio.Setup) error {
	size, err := d.be.GetConfigSize()
	if err != nil {
		return realizeError(err)
	}
	if size > maxConfig {
		return fmt.Errorf("vhost-vdpa-device: invalid config size: %d (max:%d)", size, maxConfig)
	}
	d.config = make([]byte, size)
	s.ConfigSize = int(size)
	if size == 0 {
		return nil
	}
	if err := d.be.GetConfig(0, d.config); err != nil {
		return &wordedError{"vhost-vdpa-device: get config failed", err}
	}
	return nil
}

// Reset is part of qdev.Resetter.
func (d *Device) Reset() { d.State.Reset() }

// join waits, without the VM lock, for the device's goroutines. All have been
// told to end.
func (d *Device) join() {
	if !d.working {
		return // none was started
	}
	d.host.Lock.Unlock()
	d.tasks.Wait()
	d.host.Lock.Lock()
	d.working = false
	d.calls, d.changed = nil, nil
}
