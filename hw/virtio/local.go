package virtio

import (
	"sync"

	"github.com/gqemu/gqemu/hw/virtio/vring"
	"github.com/gqemu/gqemu/internal/sys"
)

// LocalFeatures are the features of the queues that Local serves. A device
// adds its own.
const LocalFeatures uint64 = 1<<FeatureNotifyOnEmpty | 1<<FeatureAnyLayout |
	1<<FeatureIndirectDesc | 1<<FeatureEventIdx | 1<<FeatureVersion1

// Local is the queues of a device that this process serves itself, on guest
// RAM. It is most of a Model: the device's own embeds it and adds the
// configuration space.
//
//	type model struct {
//		virtio.Local
//		d *Device
//	}
//
//	func (d *Device) Realize(h *qdev.Host) error {
//		m := &model{d: d}
//		return m.Plug(&d.State, virtio.Setup{..., Features: virtio.LocalFeatures, Model: m}, d.serve)
//	}
//
// Everything is called with the VM lock held, and only while the driver is
// ready and the VM runs.
type Local struct {
	s       *State
	serve   func(n int)
	rings   []*vring.Queue // by queue; nil when it is not live
	live    bool           // the driver is ready
	closed  bool
	tasks   sync.WaitGroup // one goroutine for each queue
	working bool           // tasks has had one
}

// Plug is State.Plug for a device whose queues l serves. serve is called when
// the driver has notified queue n or may have: it takes what is there from
// Ring(n), or comes back for it when it has something to give. It must not
// block.
func (l *Local) Plug(s *State, c Setup, serve func(n int)) error {
	*l = Local{s: s, serve: serve}
	// Undone last: goroutines end once they get the lock.
	s.Defer(l.join)
	if err := s.Plug(c); err != nil {
		return err
	}
	l.rings = make([]*vring.Queue, c.Queues)
	s.local = l
	s.Defer(func() { s.local, l.closed, l.live = nil, true, false })
	s.Defer(s.Host().Run.OnChange(func(running bool) error {
		if running {
			l.all()
		}
		return nil
	}))
	l.working = true
	for n := range s.queues {
		kick := s.queues[n].Kick
		l.tasks.Go(func() { l.wait(n, kick) })
	}
	return nil
}

// wait serves the notifications that went to a queue's eventfd.
func (l *Local) wait(n int, kick *sys.Eventfd) {
	lock := l.s.Host().Lock
	for {
		if _, err := kick.Wait(); err != nil {
			return // closed
		}
		lock.Lock()
		l.kicked(n)
		lock.Unlock()
	}
}

func (l *Local) join() {
	if !l.working {
		return
	}
	lock := l.s.Host().Lock
	lock.Unlock()
	l.tasks.Wait()
	lock.Lock()
	l.working = false
}

// kicked serves queue n if it is live.
func (l *Local) kicked(n int) {
	if l.closed || l.Ring(n) == nil {
		return
	}
	l.serve(n)
	if q := l.rings[n]; q != nil && q.Broken() != nil {
		l.s.Illegal("queue %d: %v", n, q.Broken())
		l.s.NeedsReset()
	}
}

func (l *Local) all() {
	for n := range l.rings {
		l.kicked(n)
	}
}

// Ring is queue n, nil unless it is live: the driver has handed it over and is
// ready, it is not broken, and the VM runs.
func (l *Local) Ring(n int) *vring.Queue {
	if !l.live || n >= len(l.rings) || !l.s.Host().Run.Running() {
		return nil
	}
	if q := l.rings[n]; q != nil && q.Broken() == nil {
		return q
	}
	return nil
}

// Interrupt tells the driver, if it wants to hear of it, that chains of queue
// n were pushed.
func (l *Local) Interrupt(n int) {
	if q := l.Ring(n); q != nil && q.ShouldInterrupt() {
		l.s.QueueUsed(n)
	}
}

// Start is part of Model.
func (l *Local) Start() <-chan struct{} {
	s := l.s
	for n := range s.queues {
		q := &s.queues[n]
		l.rings[n] = nil
		if !q.Ready {
			continue
		}
		ring, err := vring.New(spaceMemory{s.Host().Memory}, vring.Config{
			Num: q.Num, Desc: q.Desc, Avail: q.Avail, Used: q.Used,
			Indirect: s.HasFeature(FeatureIndirectDesc), EventIdx: s.HasFeature(FeatureEventIdx),
			NotifyOnEmpty: s.HasFeature(FeatureNotifyOnEmpty),
		})
		if err != nil {
			s.Illegal("queue %d: %v", n, err)
			s.NeedsReset()
			continue
		}
		l.rings[n] = ring
	}
	l.live = true
	// What was made available before the driver was ready.
	l.all()
	return nil
}

// Reset is part of Model.
func (l *Local) Reset() bool {
	l.live = false
	clear(l.rings)
	return true
}

// StopQueue is part of Model.
func (l *Local) StopQueue(n int) { l.rings[n] = nil }
