package vdpa

import (
	"errors"

	"github.com/gqemu/gqemu/hw/virtio"
)

// model is what the driver and the run state do to a Device. It is a type of
// its own because Device's Reset is the machine's.
type model struct{ d *Device }

var _ virtio.Model = model{}

// ReadConfig is part of virtio.Model.
func (m model) ReadConfig(offset int, buf []byte) error {
	d := m.d
	if d.task != nil || d.closing {
		// The kernel answers only between two mappings. What changes
		// meanwhile is signalled.
		copy(buf, d.config[offset:])
		return nil
	}
	if err := d.be.GetConfig(offset, buf); err != nil {
		d.fail("", err)
		return err
	}
	copy(d.config[offset:], buf)
	return nil
}

// WriteConfig is part of virtio.Model.
func (m model) WriteConfig(offset int, data []byte) error {
	d := m.d
	if d.task != nil && d.state == stateStarting {
		// The kernel takes it between two mappings only, and the driver is
		// not to wait for that.
		d.later(offset, data)
		return nil
	}
	d.await()
	if d.closing {
		return nil
	}
	err := d.be.SetConfig(offset, data)
	if err != nil {
		d.fail("", err)
	}
	return err
}

// Start is part of virtio.Model.
func (m model) Start() <-chan struct{} {
	d := m.d
	d.await()
	if d.closing || !d.Status().Has(virtio.StatusDriverOK) {
		return nil // it was unplugged or reset meanwhile
	}
	if !d.host.Run.Running() {
		d.move(evReadyPaused)
		return nil
	}
	if d.move(evReady); d.state != stateStarting {
		// A broken device stays so until it can be reset; the driver hears
		// of it now that it is ready.
		d.ConfigChanged()
		return nil
	}
	return d.begin().done
}

// StopQueue is part of virtio.Model.
func (m model) StopQueue(n int) {
	d := m.d
	switch {
	case d.closing:
	case d.task != nil:
		d.task.taken = append(d.task.taken, n)
	case d.state == stateRunning, d.held:
		if err := d.be.SetVringEnable(n, false); err != nil {
			d.fail("", err)
		}
	}
}

// Reset is part of virtio.Model.
func (m model) Reset() (ok bool) {
	d := m.d
	d.callOff()
	if d.closing {
		return true
	}
	if d.used {
		if err := d.perform(func() error { return d.ground(d.keepsMaps) }); err != nil {
			d.broken("reset failed: ", err)
			return false
		}
		d.used = false
	}
	d.forget()
	for _, r := range d.calls {
		r.discard()
	}
	d.move(evReset)
	d.lastErr = nil
	return true
}

// forget drops where the queues stand.
func (d *Device) forget() { d.bases, d.basesErr, d.held = nil, nil, false }

// runStateChanged follows the VM. It never makes the client's command fail:
// what goes wrong shows in the device. A stop is complete when it returns.
func (d *Device) runStateChanged(running bool) error {
	if running {
		d.vmRuns()
		return nil
	}
	d.callOff()
	switch {
	case d.closing:
		return nil
	case d.state == stateRunning:
		if err := d.suspend(); err != nil {
			d.fail("stop failed: ", err)
			return nil
		}
		// What the device signalled before it stopped.
		for _, r := range append([]*relay{d.changed}, d.calls...) {
			r.drain()
		}
	}
	d.move(evVMStop)
	return nil
}

// vmRuns starts a device whose driver is ready. Nobody waits for it: the
// guest runs meanwhile.
func (d *Device) vmRuns() {
	if d.state != stateStarting {
		d.await()
	}
	if d.closing {
		return
	}
	if d.state == stateSuspended && d.basesErr != nil {
		d.fail("start failed: ", d.basesErr)
		return
	}
	was := d.state
	if d.move(evVMRun); was == stateSuspended {
		d.begin()
	}
}

// fail is called when a call fails after realize, while no task is under way:
// the device is taken to the ground and stays there until it is reset.
func (d *Device) fail(what string, err error) {
	if d.used || len(d.dma.mapped) > 0 {
		if e := d.perform(func() error { return d.ground(false) }); e != nil {
			d.logError(e)
		} else {
			d.used = false
		}
	}
	d.held = false
	d.broken(what, err)
}

// shutdown takes the device out of use for good. Nothing reaches the backend
// from then on but its close.
func (d *Device) shutdown() {
	d.closing = true
	d.callOff()
	used := d.used
	err := d.perform(func() error {
		// First of all: the device does DMA until it is reset.
		err := d.be.SetStatus(0)
		d.dma.live = false
		if used {
			return errors.Join(err, d.dma.removeAll(), d.be.SetConfigCall(-1))
		}
		return errors.Join(err, d.dma.removeAll())
	})
	if err != nil {
		d.logError(err)
	}
	d.used, d.state = false, stateInactive
	d.forget()
}

func (d *Device) move(e event) {
	next := d.state.after(e)
	if next != d.state {
		d.host.Log.Debug().Str("id", d.ID()).Stringer("event", e).Stringer("state", next).Msg("vdpa")
	}
	from := d.state
	d.state = next
	d.moved(e, from)
}
