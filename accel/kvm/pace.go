package kvm

import (
	"runtime"
	"time"
)

// pace keeps the Go runtime from waking its monitor thread at each exit.
//
// The monitor takes the processor (P) of a goroutine away that has been in a
// system call for long, so that others can run there. How long is counted from
// when a goroutine was last scheduled on that processor, and a vCPU's goroutine
// never is: it has a thread of its own, and goes from one KVM_RUN into the
// next. So after 10 ms the monitor takes the processor at every look, sleeps
// because all of them are idle, and is woken by the vCPU's return: one to three
// wake-ups of a thread for each exit. A vCPU that exits often therefore has
// itself scheduled now and then.
type pace struct {
	since time.Time // begin of the window
	exits int       // in it
}

const (
	// paceWindow is how long a vCPU goes on without being scheduled.
	paceWindow = 7 * time.Millisecond
	// paceLimit is what the runtime calls long (forcePreemptNS). A vCPU whose
	// exits are further apart would be taken for long in one all the same.
	paceLimit = 10 * time.Millisecond
)

// exit is called after each exit, with nothing locked, and may yield.
func (p *pace) exit() {
	p.exits++
	now := time.Now()
	if p.due(now) {
		runtime.Gosched()
	}
}

// due tells whether it is time to be scheduled.
func (p *pace) due(now time.Time) bool {
	gone := now.Sub(p.since)
	if gone < paceWindow {
		return false
	}
	often := p.exits >= 2 && gone < paceLimit
	p.since, p.exits = now, 0
	return often
}
