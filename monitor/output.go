package monitor

import (
	"sync"
	"time"
)

const (
	// outputHigh is how many bytes may wait for a client before its commands do.
	outputHigh = 1 << 20
	// eventLimit is how many bytes of events may wait before others are dropped.
	eventLimit = 1 << 20
	// settle is how long events are held back after the reply that ends the
	// negotiation. go-qemu reads that reply with one buffered reader and all
	// that follows with another, and loses what came in the same segment.
	settle = 50 * time.Millisecond
	// closePatience is how long Close waits for a client that takes nothing.
	closePatience = time.Second
)

// item is one message on its way out.
type item struct {
	data   []byte // what is left of it
	event  bool
	settle bool // hold events back after it
}

// output is the bounded queue between a session and its port.
type output struct {
	port Port
	room func() // called when full turns false; takes no lock of a caller of output

	mu      sync.Mutex
	items   []item      // guarded by mu, as all that follows
	bytes   int         // in items
	events  int         // bytes of events in items
	blocked bool        // the port took less than it was given
	hold    *time.Timer // runs while events are held back
	holding bool
	muted   bool           // the port shows another frontend; what is put waits
	timers  sync.WaitGroup // callbacks of hold
	closing bool
	idle    chan struct{} // gets a token when something was written
}

func (o *output) init(port Port, room func()) {
	o.port, o.room, o.idle = port, room, make(chan struct{}, 1)
}

// put queues a message and writes what the port takes. It reports false if the
// message is an event and there are too many.
func (o *output) put(it item) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if it.event {
		if o.events+len(it.data) > eventLimit {
			return false
		}
		o.events += len(it.data)
	} else if o.holding {
		// The client has sent another command since, so it reads on.
		o.release()
	}
	o.bytes += len(it.data)
	o.items = append(o.items, it)
	o.flush()
	return true
}

// full says that the client has a lot to read.
func (o *output) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes > outputHigh
}

// writable is called when the port has room again.
func (o *output) writable() {
	o.mu.Lock()
	wasFull := o.bytes > outputHigh
	o.blocked = false
	o.flush()
	gotRoom := wasFull && o.bytes <= outputHigh
	o.mu.Unlock()
	if gotRoom {
		o.room()
	}
}

// mute keeps back what is put from now on, or ends that.
func (o *output) mute(on bool) {
	o.mu.Lock()
	wasFull := o.bytes > outputHigh
	o.muted = on
	o.flush()
	gotRoom := wasFull && o.bytes <= outputHigh
	o.mu.Unlock()
	if gotRoom {
		o.room()
	}
}

// flush writes until the queue is empty, the port is full or events are held
// back. The port's Write is called with mu held, so that nothing of one client
// can follow a reset for the next.
func (o *output) flush() {
	for len(o.items) > 0 && !o.blocked && !o.holding && !o.muted {
		it := &o.items[0]
		n := o.port.Write(it.data)
		if n > 0 {
			select {
			case o.idle <- struct{}{}:
			default:
			}
		}
		o.bytes -= n
		if it.event {
			o.events -= n
		}
		if n < len(it.data) {
			it.data = it.data[n:]
			o.blocked = true
			return
		}
		settles := it.settle
		o.items[0] = item{}
		o.items = o.items[1:]
		if settles && !o.closing && !o.anyReply() {
			o.holding = true
			o.timers.Add(1)
			var t *time.Timer
			t = time.AfterFunc(settle, func() {
				defer o.timers.Done()
				o.mu.Lock()
				defer o.mu.Unlock()
				if o.hold == t {
					o.hold, o.holding = nil, false
					o.flush()
				}
			})
			o.hold = t
		}
	}
	if len(o.items) == 0 {
		o.items = nil
	}
}

func (o *output) anyReply() bool {
	for i := range o.items {
		if !o.items[i].event {
			return true
		}
	}
	return false
}

// release ends the holding back of events. mu is held.
func (o *output) release() {
	if o.hold != nil && o.hold.Stop() {
		o.timers.Done()
	}
	o.hold, o.holding = nil, false
}

// reset drops all output, for the next client.
func (o *output) reset() {
	o.mu.Lock()
	wasFull := o.bytes > outputHigh
	o.release()
	o.items, o.bytes, o.events, o.blocked = nil, 0, 0, false
	o.mu.Unlock()
	if wasFull {
		o.room()
	}
}

// close hands what is queued to the port, for as long as the client keeps
// taking it.
func (o *output) close() {
	o.mu.Lock()
	o.closing = true
	o.release()
	o.flush()
	if o.muted {
		o.items = nil // nobody is going to see it
	}
	left := len(o.items)
	o.mu.Unlock()
	patience := time.NewTimer(closePatience)
	defer patience.Stop()
	for left > 0 {
		select {
		case <-o.idle:
			patience.Reset(closePatience)
		case <-patience.C:
			o.mu.Lock()
			o.items = nil
			o.mu.Unlock()
		}
		o.mu.Lock()
		left = len(o.items)
		o.mu.Unlock()
	}
	o.timers.Wait()
}
