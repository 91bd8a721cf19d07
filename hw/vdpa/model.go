package vdpa

import (
	"bytes"
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
	if d.state == stateStarting {
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
	if d.state == stateStarting && len(d.op.config) < maxConfigWrites {
		// The kernel takes it between two mappings only, and the lock is not
		// to be held until then.
		d.op.config = append(d.op.config, configWrite{offset, bytes.Clone(data)})
		copy(d.config[offset:], data)
		return nil
	}
	if d.state == stateStarting { // a driver that writes and writes waits
		if err := d.writeConfig(d.op); err != nil {
			return err
		}
	}
	err := d.be.SetConfig(offset, data)
	if err != nil {
		d.fail("", err)
	}
	return err
}

// writeConfig hands over what the driver wrote during a start.
func (d *Device) writeConfig(op *startOp) error {
	writes := op.config
	op.config = nil
	for _, w := range writes {
		if err := d.be.SetConfig(w.offset, w.data); err != nil {
			d.fail("", err)
			return err
		}
	}
	return nil
}

// Start is part of virtio.Model.
func (m model) Start() <-chan struct{} {
	d := m.d
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
	switch d.state {
	case stateStarting:
		d.op.taken = append(d.op.taken, n)
	case stateRunning:
		if err := d.be.SetVringEnable(n, false); err != nil {
			d.fail("", err)
		}
	}
}

// Reset is part of virtio.Model.
func (m model) Reset() (ok bool) {
	d := m.d
	d.callOff()
	d.bases, d.basesErr = nil, nil
	if d.used {
		if err := d.ground(); err != nil {
			d.broken("reset failed: ", err)
			return false
		}
		d.used = false
	}
	for _, r := range d.calls {
		r.discard()
	}
	d.move(evReset)
	d.lastErr = nil
	return true
}

// runStateChanged follows the VM. It never makes the client's command fail:
// what goes wrong shows in the device.
func (d *Device) runStateChanged(running bool) error {
	if running {
		if d.state == stateSuspended && d.basesErr != nil {
			d.fail("start failed: ", d.basesErr)
			return nil
		}
		was := d.state
		if d.move(evVMRun); was == stateSuspended {
			d.begin() // nobody waits: the guest runs meanwhile
		}
		return nil
	}
	d.callOff()
	if d.state == stateRunning {
		if err := d.suspend(); err != nil {
			d.fail("stop failed: ", err)
			return nil
		}
		d.used = false
		// What the device signalled before it stopped.
		for _, r := range append([]*relay{d.changed}, d.calls...) {
			r.drain()
		}
	}
	d.move(evVMStop)
	return nil
}

// callOff ends a start under way. It waits, at most for one piece of memory
// to be pinned, and applies the outcome.
func (d *Device) callOff() {
	op := d.op
	if op == nil {
		return
	}
	op.canceled.Store(true)
	<-op.finished
	d.finish(op)
}

// finish applies the outcome of a start.
func (d *Device) finish(op *startOp) {
	d.op = nil
	d.dma.busy = false
	if errors.Is(op.err, errCanceled) {
		var undo *startError
		if !errors.As(op.err, &undo) {
			d.used = false
			d.move(evCanceled)
			_ = d.writeConfig(op) // shown already
			return
		}
	}
	if op.err != nil {
		d.broken("start failed: ", op.err)
		return
	}
	d.move(evStarted)
	d.bases = nil
	if err := d.dma.settle(); err != nil {
		d.fail("start failed: ", err)
		return
	}
	for _, n := range op.taken {
		model{d}.StopQueue(n)
	}
	_ = d.writeConfig(op) // shown already
	d.startedWell()
}

// fail is called when a call fails after realize: the device is taken to the
// ground and stays there until it is reset.
func (d *Device) fail(what string, err error) {
	d.callOff()
	if d.used {
		if e := d.ground(); e != nil {
			d.logError(e)
		} else {
			d.used = false
		}
	}
	d.broken(what, err)
}

// shutdown takes the device out of use for good.
func (d *Device) shutdown() {
	d.callOff()
	err := d.be.SetStatus(0)
	d.dma.live = false
	if d.used {
		err = errors.Join(err, d.dma.removeAll(), d.be.SetConfigCall(-1))
	}
	if err != nil {
		d.logError(err)
	}
	d.used, d.state = false, stateInactive
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
