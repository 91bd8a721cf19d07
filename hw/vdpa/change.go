package vdpa

import (
	"errors"
	"fmt"

	"github.com/gqemu/gqemu/hw/virtio"
)

// What a device says of itself, by its configuration interrupt or when it is
// asked. The kernel's interface tells of nothing else: its character devices
// cannot be polled, `vdpa dev del` waits until the device is closed, and a
// daemon behind VDUSE that is gone shows when a call times out.

// errNeedsReset is a device that asks to be reset.
var errNeedsReset = errors.New("the device needs a reset")

// deviceChanged is called when the device signals a change of its
// configuration or of its status.
func (d *Device) deviceChanged() {
	d.stats.changes++
	if d.look() {
		d.ConfigChanged()
	}
}

// look finds out whether the device is well, now or, when a task has it,
// later.
func (d *Device) look() bool {
	if d.task != nil {
		// The start's goroutine has the device.
		d.recheck = true
		return true
	}
	return d.checkDevice()
}

// startedWell looks, at the end of a start, for what the device signalled
// during it.
func (d *Device) startedWell() {
	if d.recheck {
		d.checkDevice()
	}
}

// checkDevice asks a device that runs how it is. One that is not well is
// broken.
func (d *Device) checkDevice() bool {
	d.recheck = false
	if d.state != stateRunning || d.task != nil || d.closing {
		return true
	}
	if err := d.health(); err != nil {
		d.fail("", err)
		return false
	}
	return true
}

func (d *Device) health() error {
	if d.unfollowed != nil {
		return d.unfollowed
	}
	status, err := d.be.GetStatus()
	if err != nil {
		return err
	}
	if s := virtio.Status(status); s.Has(virtio.StatusNeedsReset) || !s.Has(virtio.StatusDriverOK) {
		why := errNeedsReset
		if !s.Has(virtio.StatusNeedsReset) {
			why = fmt.Errorf("the device is no longer started, its status is %#02x", status)
		}
		return &OpError{Verb: VerbGetStatus, Device: d.name, Queue: -1, Err: why}
	}
	size, err := d.be.GetConfigSize()
	if err != nil {
		return err
	}
	if int(size) != len(d.config) {
		return &OpError{
			Verb: VerbGetConfigSize, Device: d.name, Queue: -1,
			Err: fmt.Errorf("the configuration space has %d bytes, it had %d", size, len(d.config)),
		}
	}
	return nil
}

// resized gives the configuration space the size that it has now, when that
// may be what a failure came from: after a reset the driver finds it so.
func (d *Device) resized(f failure) {
	if f.verb != VerbGetConfigSize && f.verb != VerbGetConfig && f.verb != VerbSetConfig {
		return
	}
	size, err := d.be.GetConfigSize()
	if err != nil || size > maxConfig || int(size) == len(d.config) {
		return
	}
	config := make([]byte, size)
	if size > 0 && d.be.GetConfig(0, config) != nil {
		return
	}
	d.config = config
	d.SetConfigSize(len(config))
}
