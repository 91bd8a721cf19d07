package vdpa

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ground takes the device back to where realize left it: reset, with nothing
// mapped. It goes on when a step fails. keep leaves what is mapped in place,
// for a device that remembers it over a reset (FeatureIOTLBPersist). It runs
// in a task.
func (d *Device) ground(keep bool) error {
	// First of all: the device does DMA until it is reset.
	err := d.setStatus(0)
	if err == nil {
		err = d.setStatus(statusReady)
	}
	d.dma.live = keep && err == nil && len(d.dma.mapped) > 0
	if !d.dma.live {
		err = errors.Join(err, d.dma.removeAll())
	}
	return errors.Join(err, d.be.SetConfigCall(-1))
}

// suspend stops a device that runs, and notes where its queues stand. One that
// can be resumed stays as it is, and does not touch guest memory. Any other is
// reset, since nothing may touch guest memory while the VM stands. It lets go
// of the VM lock for the calls.
func (d *Device) suspend() error {
	var queues []int
	for i := range d.Queues() {
		if d.Queue(i).Ready {
			queues = append(queues, i)
		}
	}
	bases := make([]uint32, d.Queues())
	err := d.perform(func() error { return d.suspendCalls(queues, bases) })
	if err != nil {
		return err
	}
	d.bases, d.basesErr, d.held = bases, nil, d.resumes
	d.used = d.held
	if d.suspends {
		return nil
	}
	// As QEMU does where a device cannot suspend: what it has not finished is
	// done again.
	for _, i := range queues {
		if bases[i], d.basesErr = d.usedIndex(i); d.basesErr != nil {
			break
		}
	}
	return nil
}

func (d *Device) suspendCalls(queues []int, bases []uint32) error {
	if d.suspends {
		if err := d.be.Suspend(); err != nil {
			return err
		}
		for _, i := range queues {
			base, err := d.be.GetVringBase(i)
			if err != nil {
				return err
			}
			bases[i] = base
		}
	}
	if d.resumes {
		return nil
	}
	return d.ground(d.keepsMaps)
}

// usedIndex is how many buffers of a queue the device has finished. The device
// has been reset.
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
