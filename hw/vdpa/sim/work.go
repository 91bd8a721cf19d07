package sim

import (
	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/sys"
)

// worker is what the goroutine of a queue waits on.
type worker struct {
	poll *poller
	wake *sys.Eventfd // look at the queue, whether it was kicked or not
}

// wakeTag is what a poller calls worker.wake, kickTag the queue's kick.
const (
	wakeTag = -1
	kickTag = 0
)

func (w *worker) open() (err error) {
	if w.poll, err = newPoller(); err != nil {
		return err
	}
	if w.wake, err = sys.NewEventfd(); err == nil {
		if err = w.poll.add(w.wake.FD(), wakeTag); err == nil {
			return nil
		}
		w.wake.Close()
	}
	w.poll.close()
	return err
}

func (w *worker) close() {
	w.poll.close()
	w.wake.Close()
}

// turn is how many chains of a queue are processed before its goroutine looks
// whether it is to end.
const turn = 64

// work is the goroutine of queue n. It ends when stop is set and its wake
// signalled.
func (d *device) work(n int) {
	w := &d.workers[n]
	events := make([]unix.EpollEvent, 2)
	for {
		k, err := w.poll.wait(events)
		if err != nil {
			return
		}
		for _, e := range events[:k] {
			if e.Fd == wakeTag {
				_, _ = w.wake.Drain()
			} else {
				d.counts[n].kicks.Add(1)
			}
		}
		for d.serve(n) {
		}
		if d.stop.Load() {
			return
		}
	}
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
	d.io.RLock()
	defer d.io.RUnlock()
	state := &d.queues[n]
	state.mu.Lock()
	defer state.mu.Unlock()
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

// wake has queue n looked at.
func (d *device) wake(n int) {
	if d.workers != nil {
		_ = d.workers[n].wake.Signal()
	}
}

// kickAll has all queues looked at.
func (d *device) kickAll() {
	for n := range d.workers {
		d.wake(n)
	}
}

// rebind has queue n's goroutine listen to another eventfd, -1 for none.
func (d *device) rebind(n, old, fd int) error {
	if d.workers == nil {
		return nil
	}
	p := d.workers[n].poll
	if fd >= 0 {
		if err := p.add(fd, kickTag); err != nil {
			return err
		}
	}
	if old >= 0 {
		p.remove(old)
	}
	return nil
}
