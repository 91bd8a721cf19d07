package sim

import (
	"golang.org/x/sys/unix"
)

// turn is how many chains of one queue are processed before the others get
// theirs.
const turn = 64

// work is the device's goroutine. It ends when stop is set and wake signalled.
func (d *device) work() {
	defer close(d.done)
	events := make([]unix.EpollEvent, 16)
	pending := make([]bool, len(d.queues))
	for {
		n, err := d.poll.wait(events)
		if err != nil {
			return
		}
		for busy := d.note(pending, events[:n]); busy; {
			busy = false
			for i := range pending {
				pending[i] = pending[i] && d.serve(i)
				busy = busy || pending[i]
			}
			if d.stop.Load() {
				return
			}
			// A driver that never rests must not keep others from being heard.
			if n, err := unix.EpollWait(d.poll.fd, events, 0); err == nil {
				busy = d.note(pending, events[:n]) || busy
			}
		}
		if d.stop.Load() {
			return
		}
	}
}

// note marks the queues that were signalled and tells whether there are any.
func (d *device) note(pending []bool, events []unix.EpollEvent) (some bool) {
	for _, e := range events {
		if e.Fd != wakeTag {
			pending[e.Fd] = true
			continue
		}
		_, _ = d.wake.Drain()
		for i := range pending {
			pending[i] = true
		}
	}
	return len(events) > 0
}

// serve processes what is available in queue n, and tells whether there may be
// more.
func (d *device) serve(n int) bool {
	for range turn {
		if d.stop.Load() {
			return false
		}
		if !d.step(n) {
			return false
		}
	}
	return true
}

// step processes one chain of queue n and tells whether there may be another.
func (d *device) step(n int) bool {
	d.io.Lock()
	defer d.io.Unlock()
	q := d.ring(n)
	if q == nil {
		return false
	}
	q.SuppressKicks()
	if d.model.passive(n) {
		return false
	}
	worked, err := d.model.serve(d, n, q)
	if err == nil && !worked {
		worked, err = q.WantKicks()
	}
	if err != nil {
		d.broke(n, err)
		return false
	}
	return worked
}

// kickAll has all queues looked at.
func (d *device) kickAll() {
	if d.wake != nil {
		_ = d.wake.Signal()
	}
}
