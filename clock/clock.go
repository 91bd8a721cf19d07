// Package clock is the guest's virtual time: nanoseconds that pass while the
// VM runs, and timers on it.
package clock

import (
	"container/heap"
	"sync"
	"time"
)

// Clock is virtual time with its timers. It either follows the host's
// monotonic clock or stands until it is stepped (the qtest accelerator).
// All methods but Close are called with the VM lock held.
type Clock struct {
	lock   sync.Locker // the VM lock; held in timer functions
	manual bool

	// Guarded by the VM lock.
	running bool
	frozen  bool      // a manual clock is paused
	base    int64     // virtual time when running began, or now while paused
	since   time.Time // host time when running began
	timers  timerHeap

	wake chan struct{} // capacity 1: the earliest deadline may have changed
	quit chan struct{}
	done chan struct{}
}

// New makes a clock that follows the host while it runs. It starts paused at
// 0. lock is the VM lock.
func New(lock sync.Locker) *Clock {
	c := &Clock{
		lock: lock,
		wake: make(chan struct{}, 1),
		quit: make(chan struct{}),
		done: make(chan struct{}),
	}
	go c.loop()
	return c
}

// NewManual makes a clock that only Advance moves.
func NewManual(lock sync.Locker) *Clock { return &Clock{lock: lock, manual: true} }

// Manual tells whether only Advance moves the clock.
func (c *Clock) Manual() bool { return c.manual }

// Close stops timers for good. Called WITHOUT the VM lock.
func (c *Clock) Close() {
	if c.manual {
		return
	}
	close(c.quit)
	<-c.done
}

// Now is virtual time in nanoseconds since the machine was made.
func (c *Clock) Now() int64 {
	if c.manual || !c.running {
		return c.base
	}
	return c.base + int64(time.Since(c.since))
}

// Resume lets time pass. Timers of a manual clock that came due during a Pause
// run now.
func (c *Clock) Resume() {
	if c.manual {
		c.frozen = false
		c.Advance(c.base)
		return
	}
	if !c.running {
		c.running, c.since = true, time.Now()
		c.poke()
	}
}

// Pause stops time. A manual clock still moves when it is told to, but runs no
// timers.
func (c *Clock) Pause() {
	c.frozen = c.manual
	if c.running {
		c.base = c.Now()
		c.running = false
		c.poke()
	}
}

// Advance moves a manual clock to t, running timers that come due on the way
// in order of their deadlines, each at its own time. It never goes back.
func (c *Clock) Advance(t int64) {
	for !c.frozen && len(c.timers) > 0 && c.timers[0].deadline <= t {
		tm := c.timers[0]
		c.base = max(c.base, tm.deadline)
		heap.Pop(&c.timers)
		tm.fn()
	}
	c.base = max(c.base, t)
}

// Next is the earliest deadline of a pending timer. There is none while a
// manual clock is paused.
func (c *Clock) Next() (t int64, ok bool) {
	if c.frozen || len(c.timers) == 0 {
		return 0, false
	}
	return c.timers[0].deadline, true
}

func (c *Clock) poke() {
	if c.manual {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// loop runs due timers of a host-driven clock.
func (c *Clock) loop() {
	defer close(c.done)
	host := time.NewTimer(time.Hour)
	defer host.Stop()
	for {
		c.lock.Lock()
		// Only what is due by now: timers that set themselves anew faster
		// than they run must not keep the lock.
		for due := c.Now(); c.running && len(c.timers) > 0 && c.timers[0].deadline <= due; {
			tm := heap.Pop(&c.timers).(*Timer)
			tm.fn()
		}
		wait := time.Hour
		if c.running && len(c.timers) > 0 {
			wait = time.Duration(max(c.timers[0].deadline-c.Now(), 0))
		}
		c.lock.Unlock()
		host.Reset(wait)
		select {
		case <-host.C:
		case <-c.wake:
		case <-c.quit:
			return
		}
	}
}

// Timer calls a function at a point of virtual time. Its methods are called
// with the VM lock held, as is the function; once Stop has returned, the
// function does not run.
type Timer struct {
	c        *Clock
	fn       func()
	deadline int64
	index    int // in the heap, -1 when not pending
}

// NewTimer makes a timer that is not yet set.
func (c *Clock) NewTimer(fn func()) *Timer { return &Timer{c: c, fn: fn, index: -1} }

// Set makes the timer fire once at virtual time t, in nanoseconds, in place
// of any earlier setting.
func (t *Timer) Set(at int64) {
	t.deadline = at
	if t.index < 0 {
		heap.Push(&t.c.timers, t)
	} else {
		heap.Fix(&t.c.timers, t.index)
	}
	if t.index == 0 {
		t.c.poke()
	}
}

// Stop takes the setting back.
func (t *Timer) Stop() {
	if t.index >= 0 {
		heap.Remove(&t.c.timers, t.index)
	}
}

// Pending tells whether the timer is set.
func (t *Timer) Pending() bool { return t.index >= 0 }

// Deadline is when a pending timer fires.
func (t *Timer) Deadline() int64 { return t.deadline }

type timerHeap []*Timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].deadline < h[j].deadline }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*Timer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
