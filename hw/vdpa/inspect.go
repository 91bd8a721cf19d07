package vdpa

import "github.com/gqemu/gqemu/hw/virtio"

// VhostInfo is part of virtio.VhostInspector.
func (d *Device) VhostInfo() *virtio.VhostInfo {
	if d.dma == nil {
		return nil // not realized
	}
	i := &virtio.VhostInfo{
		Started: d.state == stateRunning && d.task == nil, Broken: d.state == stateBroken, Queues: d.Queues(), Features: d.features,
		BackendFeatures: backendFeatures,
	}
	if i.Started {
		i.Acked = d.Negotiated() | d.features&(1<<virtio.FeatureAccessPlatform)
		i.MemSections = len(d.dma.mapped)
	}
	return i
}

// VhostBase is part of virtio.VhostInspector. The device is running.
func (d *Device) VhostBase(n int) (uint32, error) { return d.be.GetVringBase(n) }

// VhostEventfds is part of virtio.VhostInspector.
func (d *Device) VhostEventfds(n int) (kick, call int) {
	kick, call = -1, -1
	if q := d.Queue(n); q != nil && q.Kick != nil {
		kick = q.Kick.FD()
	}
	if n < len(d.calls) {
		call = d.calls[n].fd.FD()
	}
	return kick, call
}

var _ virtio.VhostInspector = (*Device)(nil)
