package vdpa

import (
	"fmt"

	"github.com/gqemu/gqemu/hw/virtio"
)

// reachable tells whether the device can address the queues. One that cannot
// would find nothing there, and say nothing.
func (p *startPlan) reachable(rng IOVARange, device string) error {
	packed := p.features>>virtio.FeatureRingPacked&1 != 0
	for _, q := range p.queues {
		num := uint64(q.num)
		avail, used := 6+2*num, 6+8*num
		if packed {
			avail, used = 4, 4
		}
		for _, a := range []struct {
			name       string
			addr, size uint64
		}{{"desc", q.addr.Desc, 16 * num}, {"avail", q.addr.Avail, avail}, {"used", q.addr.Used, used}} {
			if a.addr < rng.First || a.addr > rng.Last || a.size-1 > rng.Last-a.addr {
				return &OpError{
					Verb: VerbSetVringAddr, Device: device, Queue: q.index, Detail: fmt.Sprintf("%s %#x", a.name, a.addr),
					Err: fmt.Errorf("out of the device's IOVA range, %#x to %#x", rng.First, rng.Last),
				}
			}
		}
	}
	return nil
}
