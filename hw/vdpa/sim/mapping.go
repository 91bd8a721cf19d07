package sim

import (
	"syscall"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/hw/virtio"
)

// message is a message to the IOTLB of an address space. What fails does so
// with EFAULT, whatever the reason.
func (d *device) message(verb vdpa.Verb, asid int, run func(t *iotlb) error) error {
	d.io.Lock()
	defer d.io.Unlock()
	err := d.faults.hit(verb, -1)
	switch {
	case d.closed:
		err = syscall.EBADF
	case err != nil:
	case !d.owner, asid < 0 || asid >= len(d.spaces), d.batch >= 0 && d.batch != asid:
		err = syscall.EFAULT
	default:
		err = run(d.spaces[asid])
		if d.batch < 0 {
			d.spaces[asid].commit()
		}
	}
	return d.fail(verb, -1, err)
}

func (d *device) UpdateIOTLB(iova uint64, mem []byte, perm vdpa.Perm) error {
	return d.UpdateASID(0, iova, mem, perm)
}

// UpdateASID is UpdateIOTLB in an address space other than 0.
func (d *device) UpdateASID(asid int, iova uint64, mem []byte, perm vdpa.Perm) error {
	return d.message(vdpa.VerbUpdate, asid, func(t *iotlb) error {
		if len(mem) == 0 {
			return syscall.EINVAL
		}
		return t.update(iova, mem, perm)
	})
}

func (d *device) InvalidateIOTLB(iova, size uint64) error { return d.InvalidateASID(0, iova, size) }

// InvalidateASID is InvalidateIOTLB in an address space other than 0.
func (d *device) InvalidateASID(asid int, iova, size uint64) error {
	return d.message(vdpa.VerbInvalidate, asid, func(t *iotlb) error {
		t.invalidate(iova, size)
		return nil
	})
}

func (d *device) BatchBegin() error {
	return d.message(vdpa.VerbBatchBegin, 0, func(*iotlb) error {
		d.batch = 0
		return nil
	})
}

func (d *device) BatchEnd() error {
	return d.message(vdpa.VerbBatchEnd, 0, func(*iotlb) error {
		d.batch = -1 // and message commits
		return nil
	})
}

// SetGroupASID is VHOST_VDPA_SET_GROUP_ASID: the queues of a group translate
// by another address space from the next time they are set up.
func (d *device) SetGroupASID(group, asid int) error {
	d.io.Lock()
	defer d.io.Unlock()
	switch {
	case d.closed:
		return syscall.EBADF
	case group < 0 || group >= len(d.asid):
		return syscall.ENOBUFS
	case asid < 0 || asid >= len(d.spaces):
		return syscall.EINVAL
	case d.status&uint8(virtio.StatusDriverOK) != 0:
		return syscall.EBUSY
	}
	d.asid[group] = asid
	return nil
}
