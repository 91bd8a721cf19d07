package sim

import (
	"syscall"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/hw/virtio/vring"
)

var _ vdpa.Backend = (*device)(nil)

// backendFeatures are what the interface can do.
const backendFeatures = vdpa.FeatureIOTLBMsgV2 | vdpa.FeatureIOTLBBatch | vdpa.FeatureIOTLBASID | vdpa.FeatureSuspend

func (d *device) fail(verb vdpa.Verb, queue int, err error) error {
	if err == nil {
		return nil
	}
	return &vdpa.OpError{Verb: verb, Device: d.name, Queue: queue, Err: err}
}

// quick is a call that looks at little and waits for nothing.
func (d *device) quick(verb vdpa.Verb, run func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.faults.hit(verb, -1)
	switch {
	case d.closed:
		err = syscall.EBADF
	case err == nil:
		err = run()
	}
	return d.fail(verb, -1, err)
}

// change is a call that waits for the requests under way.
func (d *device) change(verb vdpa.Verb, run func() error) error {
	d.io.Lock()
	defer d.io.Unlock()
	return d.quick(verb, run)
}

// vring is a call about a queue. It waits for the requests under way, in other
// queues too: what they use of each other is the model's.
func (d *device) vring(verb vdpa.Verb, n int, run func(q *queue) error) error {
	d.io.Lock()
	defer d.io.Unlock()
	err := d.faults.hit(verb, n)
	switch {
	case d.closed:
		err = syscall.EBADF
	case err != nil:
	case !d.owner:
		err = syscall.EPERM
	case n < 0 || n >= len(d.queues):
		err = syscall.ENOBUFS
	default:
		err = run(&d.queues[n])
	}
	return d.fail(verb, n, err)
}

func query[T any](d *device, verb vdpa.Verb, get func() T) (v T, err error) {
	err = d.quick(verb, func() error { v = get(); return nil })
	return v, err
}

func (d *device) GetDeviceID() (uint32, error) {
	return query(d, vdpa.VerbGetDeviceID, d.model.deviceID)
}

func (d *device) GetVringNum() (uint16, error) {
	return query(d, vdpa.VerbGetVringNum, d.model.queueMax)
}

func (d *device) GetVqsCount() (uint32, error) {
	return query(d, vdpa.VerbGetVqsCount, func() uint32 { return uint32(len(d.queues)) })
}

func (d *device) GetIOVARange() (vdpa.IOVARange, error) {
	return query(d, vdpa.VerbGetIOVARange, func() vdpa.IOVARange { return vdpa.IOVARange{First: 0, Last: ^uint64(0)} })
}

func (d *device) GetFeatures() (uint64, error) {
	return query(d, vdpa.VerbGetFeatures, d.model.features)
}

func (d *device) GetBackendFeatures() (uint64, error) {
	return query(d, vdpa.VerbGetBackendFeatures, func() uint64 { return backendFeatures })
}

// state is the status field with what the device itself has to say. mu is held.
func (d *device) state() uint8 {
	if d.ailing {
		return d.status | uint8(virtio.StatusNeedsReset)
	}
	return d.status
}

func (d *device) GetStatus() (uint8, error) {
	return query(d, vdpa.VerbGetStatus, d.state)
}

func (d *device) GetConfigSize() (uint32, error) {
	return query(d, vdpa.VerbGetConfigSize, func() uint32 { return uint32(len(d.model.config())) })
}

func (d *device) SetFeatures(f uint64) error {
	return d.change(vdpa.VerbSetFeatures, func() error {
		switch {
		case d.status&uint8(virtio.StatusFeaturesOK) != 0:
			return syscall.EBUSY
		case f>>virtio.FeatureAccessPlatform&1 == 0:
			return syscall.EINVAL
		}
		d.accepted = f & d.model.features()
		d.model.negotiated(d.accepted)
		return nil
	})
}

func (d *device) SetBackendFeatures(f uint64) error {
	return d.quick(vdpa.VerbSetBackendFeatures, func() error {
		if f&^backendFeatures != 0 {
			return syscall.EOPNOTSUPP
		}
		return nil
	})
}

func (d *device) SetOwner() error {
	return d.change(vdpa.VerbSetOwner, func() error {
		if d.owner {
			return syscall.EBUSY
		}
		d.owner = true
		return nil
	})
}

func (d *device) SetStatus(s uint8) error {
	return d.change(vdpa.VerbSetStatus, func() error {
		switch {
		case s == 0:
			d.reset()
		case d.status&^s != 0: // what the device itself says may come at any time
			return syscall.EINVAL
		default:
			if m, ok := d.model.(resumable); ok && s&^d.status&uint8(virtio.StatusDriverOK) != 0 {
				m.begin(d.goesOn())
			}
			d.status = s
			d.kickAll()
		}
		return nil
	})
}

// goesOn tells whether a queue begins where another start has left it.
func (d *device) goesOn() bool {
	for i := range d.queues {
		if base := d.queues[i].base; base != 0 && base != vring.FreshPacked {
			return true
		}
	}
	return false
}

func (d *device) configRange(offset, n int) error {
	if size := len(d.model.config()); n == 0 || offset < 0 || offset > size || n > size-offset {
		return syscall.EINVAL
	}
	return nil
}

func (d *device) GetConfig(offset int, buf []byte) error {
	return d.quick(vdpa.VerbGetConfig, func() error {
		err := d.configRange(offset, len(buf))
		if err == nil {
			copy(buf, d.model.config()[offset:])
		}
		return err
	})
}

func (d *device) SetConfig(offset int, data []byte) error {
	return d.quick(vdpa.VerbSetConfig, func() error {
		err := d.configRange(offset, len(data))
		if err == nil {
			d.model.setConfig(offset, data)
		}
		return err
	})
}

func (d *device) SetConfigCall(fd int) error {
	return d.quick(vdpa.VerbSetConfigCall, func() error {
		n, err := dupEventfd(fd)
		if err == nil {
			closeFD(d.configFD)
			d.configFD = n
		}
		return err
	})
}

func (d *device) SetVringNum(n int, num uint32) error {
	return d.vring(vdpa.VerbSetVringNum, n, func(q *queue) error {
		if num == 0 || num > 0xffff || num&(num-1) != 0 {
			return syscall.EINVAL
		}
		// A ring that is served keeps its size, as in the kernel.
		q.num = num
		return nil
	})
}

func (d *device) SetVringBase(n int, base uint32) error {
	return d.vring(vdpa.VerbSetVringBase, n, func(q *queue) error {
		// A packed ring's has two halves, whose indices are looked at once the
		// ring's size is known.
		if base > 0xffff && d.accepted>>virtio.FeatureRingPacked&1 == 0 {
			return syscall.EINVAL
		}
		q.settle()
		q.base, q.broken = base, false
		return nil
	})
}

func (d *device) GetVringBase(n int) (base uint32, err error) {
	err = d.vring(vdpa.VerbGetVringBase, n, func(q *queue) error {
		if base = q.base; q.ring != nil {
			base = q.ring.Base()
		}
		return nil
	})
	return base, err
}

func (d *device) SetVringAddr(n int, a vdpa.VringAddr) error {
	return d.vring(vdpa.VerbSetVringAddr, n, func(q *queue) error {
		if a.Avail%2 != 0 || a.Used%4 != 0 {
			return syscall.EINVAL
		}
		q.addr, q.broken = a, false
		return nil
	})
}

func (d *device) SetVringKick(n, fd int) error {
	return d.vring(vdpa.VerbSetVringKick, n, func(q *queue) error {
		dup, err := dupEventfd(fd)
		if err != nil {
			return err
		}
		if err := d.rebind(n, q.kick, dup); err != nil {
			closeFD(dup)
			return err
		}
		closeFD(q.kick)
		q.kick = dup
		return nil
	})
}

func (d *device) SetVringCall(n, fd int) error {
	return d.vring(vdpa.VerbSetVringCall, n, func(q *queue) error {
		dup, err := dupEventfd(fd)
		if err == nil {
			closeFD(q.call)
			q.call = dup
		}
		return err
	})
}

func (d *device) SetVringEnable(n int, on bool) error {
	return d.vring(vdpa.VerbSetVringEnable, n, func(q *queue) error {
		if q.enabled == on {
			return nil
		}
		q.settle()
		q.enabled, q.broken = on, false
		d.wake(n)
		return nil
	})
}

func (d *device) Suspend() error {
	return d.change(vdpa.VerbSuspend, func() error {
		for i := range d.queues {
			d.queues[i].settle()
		}
		if m, ok := d.model.(resumable); ok && !d.suspended {
			m.suspend()
		}
		d.suspended = true
		return nil
	})
}

func (d *device) Resume() error {
	return d.change(vdpa.VerbResume, func() error {
		d.suspended = false
		d.kickAll()
		return nil
	})
}
