package clock

import (
	"slices"
	"sync"
	"testing"
	"time"
)

func TestManualTimersRunInOrderAtTheirOwnTime(t *testing.T) {
	c := NewManual(&sync.Mutex{})
	var fired []int64
	note := func() { fired = append(fired, c.Now()) }
	a, b, d := c.NewTimer(note), c.NewTimer(note), c.NewTimer(note)
	a.Set(30)
	b.Set(10)
	d.Set(20)
	d.Stop()
	if next, ok := c.Next(); !ok || next != 10 {
		t.Errorf("next is %d, %v", next, ok)
	}
	c.Advance(25)
	if !slices.Equal(fired, []int64{10}) || c.Now() != 25 || !a.Pending() || b.Pending() {
		t.Errorf("at %d fired %v", c.Now(), fired)
	}
	c.Advance(5)
	if c.Now() != 25 {
		t.Errorf("time went back to %d", c.Now())
	}
	b.Set(20) // in the past: due at once, at the time that is
	c.Advance(40)
	if !slices.Equal(fired, []int64{10, 25, 30}) || c.Now() != 40 {
		t.Errorf("at %d fired %v", c.Now(), fired)
	}
}

func TestManualTimerMaySetItself(t *testing.T) {
	c := NewManual(&sync.Mutex{})
	n := 0
	var tm *Timer
	tm = c.NewTimer(func() {
		n++
		tm.Set(tm.Deadline() + 10)
	})
	tm.Set(10)
	c.Advance(100)
	if n != 10 || tm.Deadline() != 110 {
		t.Errorf("fired %d times, next at %d", n, tm.Deadline())
	}
}

// A test may move time while the machine stands; what is due meanwhile happens
// when it goes on.
func TestManualTimersWaitWhilePaused(t *testing.T) {
	c := NewManual(&sync.Mutex{})
	n := 0
	tm := c.NewTimer(func() { n++ })
	tm.Set(10)
	c.Pause()
	c.Advance(20)
	if _, ok := c.Next(); n != 0 || c.Now() != 20 || ok {
		t.Errorf("while paused: fired %d times, time %d, pending %v", n, c.Now(), ok)
	}
	c.Resume()
	if n != 1 || c.Now() != 20 {
		t.Errorf("fired %d times at %d", n, c.Now())
	}
}

func TestHostClockStandsWhilePaused(t *testing.T) {
	var mu sync.Mutex
	c := New(&mu)
	defer c.Close()
	mu.Lock()
	if c.Now() != 0 {
		t.Errorf("starts at %d", c.Now())
	}
	fired := make(chan int64, 1)
	tm := c.NewTimer(func() { fired <- c.Now() })
	tm.Set(int64(time.Millisecond))
	mu.Unlock()
	select {
	case <-fired:
		t.Error("a timer fired while time stood")
	case <-time.After(20 * time.Millisecond):
	}
	mu.Lock()
	c.Resume()
	mu.Unlock()
	if at := <-fired; at < int64(time.Millisecond) {
		t.Errorf("fired early, at %d ns", at)
	}
	mu.Lock()
	c.Pause()
	before := c.Now()
	mu.Unlock()
	time.Sleep(5 * time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	if c.Now() != before {
		t.Errorf("time went on from %d to %d", before, c.Now())
	}
}

func TestStoppedTimerDoesNotFire(t *testing.T) {
	var mu sync.Mutex
	c := New(&mu)
	defer c.Close()
	mu.Lock()
	c.Resume()
	for range 200 {
		tm := c.NewTimer(func() { t.Error("a stopped timer fired") })
		tm.Set(c.Now() + 1000)
		tm.Stop()
	}
	late := make(chan struct{})
	c.NewTimer(func() { close(late) }).Set(c.Now() + int64(time.Millisecond))
	mu.Unlock()
	<-late
}
