// Package vring is the device's side of a virtqueue, split or packed (virtio 1.2
// sections 2.7 and 2.8): it takes chains of buffers that a driver made available
// and hands them back used, with indirect descriptors, the event index and both
// directions of notification suppression. In-order use (section 2.9) is its
// user's: who hands chains back in the order in which they came.
//
//	for {
//		q.SuppressKicks()
//		for {
//			c, err := q.Pop()
//			if err != nil { ... }   // the driver broke the ring
//			if c == nil { break }
//			n := work(c.Out, c.In)  // host memory; n bytes written
//			err = q.Push(c, n)
//		}
//		if q.ShouldInterrupt() { ... }
//		if more, err := q.WantKicks(); !more { ... } // wait for a kick
//	}
//
// Everything in a ring is the driver's, who may change it at any time. What
// tells that there is something, a split ring's index or the flags of a packed
// ring's descriptor, is read before what it tells of, and written after it. Each
// word is read once, checked and then used; lengths, indices, chains and
// tables are bounded; nothing the driver writes panics or makes a loop that
// does not end. A driver that breaks the rules breaks the queue: Pop and Push
// return *Error from then on.
//
// A Queue is used by one goroutine at a time. What Memory hands out must stay
// valid until the chain is pushed.
package vring
