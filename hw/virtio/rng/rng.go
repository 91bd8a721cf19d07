// Package rng is the virtio entropy device (virtio 1.2 section 5.4), the type
// "virtio-rng-device".
package rng

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gqemu/gqemu/clock"
	"github.com/gqemu/gqemu/entropy"
	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/hw/virtio/vring"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Device is an entropy device: a queue of buffers that it fills with random
// bytes, at most max-bytes in each period of virtual time. It asks its source
// for the bytes of one buffer at a time, and fills the buffer when they come.
type Device struct {
	virtio.State
	maxBytes uint64
	period   uint32 // milliseconds
	source   *entropy.Source

	model   model
	quota   uint64           // bytes left in this period
	limiter *clock.Timer     // end of the period
	fresh   bool             // the next request begins a period
	asked   *entropy.Request // nil for none
}

// model is the device as the transport sees it: it has no configuration.
type model struct{ virtio.Local }

func (*model) ReadConfig(int, []byte) error  { return nil }
func (*model) WriteConfig(int, []byte) error { return nil }

const (
	deviceID  = 4
	queueSize = 8
)

// Realize finds the source, or makes one, and plugs the device in.
func (d *Device) Realize(h *qdev.Host) error {
	switch {
	case d.period == 0:
		return errors.New("'period' parameter expects a positive integer")
	case d.maxBytes > math.MaxInt64:
		return errors.New("'max-bytes' parameter must be non-negative, and less than 2^63")
	}
	if err := d.holdSource(h); err != nil {
		return err
	}
	d.quota, d.fresh = d.maxBytes, true
	d.limiter = h.Clock.NewTimer(d.newPeriod)
	d.Defer(func() {
		d.limiter.Stop()
		d.cancel()
	})
	return d.model.Plug(&d.State, virtio.Setup{
		DeviceID: deviceID, Features: virtio.LocalFeatures, Queues: 1, QueueMax: queueSize, Model: &d.model,
	}, func(int) { d.process() })
}

// holdSource keeps the source open. Without one given there is a default.
func (d *Device) holdSource(h *qdev.Host) error {
	if s := d.source; s != nil {
		if !s.Opened() {
			return fmt.Errorf("Device '%s' not found", s.Name())
		}
		s.Hold()
		d.Defer(s.Release)
		return nil
	}
	o, err := h.Types.New("rng-builtin")
	if err != nil {
		return err
	}
	s := o.(*entropy.Source)
	if err := qom.AddChild(d, "default-backend", s); err != nil {
		return err
	}
	d.Defer(func() { qom.Unparent(s) })
	if err := s.Complete(h); err != nil {
		return err
	}
	d.source = s
	d.Defer(func() {
		d.source = nil
		s.Release()
	})
	return nil
}

// Reset is a reset by the machine.
func (d *Device) Reset() {
	d.cancel()
	d.State.Reset()
}

func (d *Device) cancel() {
	if d.asked != nil {
		d.asked.Cancel()
		d.asked = nil
	}
}

// newPeriod grants the next period's bytes.
func (d *Device) newPeriod() {
	d.quota = d.maxBytes
	d.process()
	d.fresh = true
}

// process asks for the bytes of the next buffer, unless that has been done or
// there are none left in this period.
func (d *Device) process() {
	q := d.model.Ring(0)
	if q == nil {
		return
	}
	if d.fresh {
		d.limiter.Set(d.Host().Clock.Now() + int64(d.period)*int64(time.Millisecond))
		d.fresh = false
	}
	if d.asked != nil || d.quota == 0 {
		return
	}
	for range queueSize {
		c, err := q.Pop()
		if err != nil {
			break
		}
		if c == nil {
			// With the event index the driver tells of no buffer unasked.
			if more, err := q.WantKicks(); err != nil || !more {
				break
			}
			continue
		}
		if n := vring.Bytes(c.In); n > 0 {
			q.Unpop(c)
			d.asked = d.source.Ask(int(min(n, d.quota, entropy.MaxRequest)), d.receive)
			break
		}
		// A driver must not offer these; it gets them back as they are.
		d.Illegal("a buffer without room")
		if q.Push(c, 0) != nil {
			break
		}
	}
	d.model.Interrupt(0)
}

// receive fills the next buffer. The driver may have changed it since it was
// asked for, or the VM stopped: then the bytes are for nobody.
func (d *Device) receive(data []byte) {
	d.asked = nil
	q := d.model.Ring(0)
	if q == nil {
		return
	}
	c, err := q.Pop()
	if c != nil && err == nil {
		written := 0
		for _, b := range c.In {
			n := copy(b, data[written:])
			written += n
		}
		d.quota -= min(d.quota, uint64(written))
		if q.Push(c, uint32(written)) == nil {
			d.model.Interrupt(0)
		}
	}
	if q.Broken() != nil {
		d.Illegal("queue: %v", q.Broken())
		d.NeedsReset()
		return
	}
	d.process()
}

// RegisterTypes adds the device. Package virtio's types and package entropy's
// are registered already.
func RegisterTypes(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "virtio-rng-device", Parent: "virtio-device",
		New:   func() qom.Object { return new(Device) },
		Class: &qdev.Class{BusType: "virtio-bus", Category: "Misc"},
		Properties: []*qom.Property{
			qdev.Field("max-bytes", func(d *Device) *uint64 { return &d.maxBytes }, math.MaxInt64),
			qdev.Field("period", func(d *Device) *uint32 { return &d.period }, 1<<16),
			{Name: "rng", Type: "link<rng-backend>", Get: getSource, Set: setSource},
		},
	})
}

func getSource(o qom.Object) (any, error) {
	if s := o.(*Device).source; s != nil {
		return qom.Path(s), nil
	}
	return "", nil
}

func setSource(o qom.Object, v qom.Value) error {
	d := o.(*Device)
	if d.Realized() {
		who := "anonymous device"
		if d.ID() != "" {
			who = fmt.Sprintf("device '%s'", d.ID())
		}
		return fmt.Errorf("Attempt to set link property 'rng' on %s (type '%s') after it was realized", who, d.TypeName())
	}
	path, err := v.Str("rng")
	if err != nil {
		return err
	}
	if path == "" {
		d.source = nil
		return nil
	}
	found, ambiguous := qom.Resolve(d.Host().Root, path, "rng-backend")
	if s, ok := found.(*entropy.Source); ok && !ambiguous {
		d.source = s
		return nil
	}
	any, several := qom.Resolve(d.Host().Root, path, "")
	switch {
	case ambiguous || several:
		return fmt.Errorf("Path '%s' does not uniquely identify an object", path)
	case any != nil:
		return fmt.Errorf("Invalid parameter type for 'rng', expected: rng-backend")
	}
	return &qdev.NotFoundError{ID: path}
}
