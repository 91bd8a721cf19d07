package vdpa

import (
	"errors"

	"github.com/gqemu/gqemu/qom"
)

// stats counts what happened to a device since it was realized. Guarded by
// the VM lock.
type stats struct {
	queues     []queueStats
	failures   uint64 // of calls, and of the device itself
	recoveries uint64
	changes    uint64 // of the configuration or the status, as the device signals them
}

// queueStats is the same of a queue.
type queueStats struct {
	starts     uint64 // how often the device began to process it
	failures   uint64 // of calls about it
	interrupts uint64 // that passed through this process
}

// failed counts a failure.
func (s *stats) failed(err error) {
	s.failures++
	var op *OpError
	if errors.As(err, &op) && op.Queue >= 0 && op.Queue < len(s.queues) {
		s.queues[op.Queue].failures++
	}
}

// statsValue is what clients see, the property x-stats.
func (d *Device) statsValue() any {
	queues := make([]any, len(d.stats.queues))
	for i, q := range d.stats.queues {
		v := map[string]any{
			"queue": int64(i), "ready": false, "kicks": int64(0),
			"interrupts": int64(q.interrupts), "starts": int64(q.starts), "failures": int64(q.failures),
		}
		if q := d.Queue(i); q != nil {
			v["ready"], v["kicks"] = q.Ready, int64(q.Notified)
		}
		queues[i] = v
	}
	return map[string]any{
		"failures": int64(d.stats.failures), "recoveries": int64(d.stats.recoveries),
		"config-interrupts": int64(d.stats.changes), "queues": queues,
	}
}

// expose shows clients what the device does.
func (d *Device) expose() error {
	for _, p := range []*qom.Property{
		qom.NewProperty("x-state", "string", nil, func(d *Device) any { return d.state.String() }, nil, nil),
		qom.NewProperty("x-error", "string", nil, func(d *Device) any {
			if d.lastErr == nil {
				return ""
			}
			return errorText(d.lastErr)
		}, nil, nil),
		qom.NewProperty("x-stats", "VDPADeviceStats", nil, func(d *Device) any { return d.statsValue() }, nil, nil),
	} {
		if err := qom.AddProperty(d, p); err != nil {
			return err
		}
		d.Defer(func() { qom.RemoveProperty(d, p.Name) })
	}
	return nil
}
