package chardev

import (
	"context"
	"errors"
)

// queue is a bounded FIFO of bytes.
type queue struct {
	buf  []byte
	head int // buf[head:] is what is queued
}

func (q *queue) len() int { return len(q.buf) - q.head }

// put appends what fits of p and returns how much that was.
func (q *queue) put(p []byte) int {
	p = p[:min(len(p), QueueSize-q.len())]
	if q.head > 0 && len(q.buf)+len(p) > cap(q.buf) {
		q.buf = q.buf[:copy(q.buf, q.buf[q.head:])]
		q.head = 0
	}
	q.buf = append(q.buf, p...)
	return len(p)
}

// peek copies the first bytes to p and returns their number.
func (q *queue) peek(p []byte) int { return copy(p, q.buf[q.head:]) }

// drop removes the first n bytes.
func (q *queue) drop(n int) {
	q.head += n
	if q.head == len(q.buf) {
		q.reset()
	}
}

func (q *queue) reset() { q.buf, q.head = q.buf[:0], 0 }

// Write queues output and returns how many bytes were taken: fewer than len(p), down to 0, when
// the queue is full, and then Writable follows. It never blocks. Without a peer everything is
// taken and lost, as QEMU does. p is not kept.
func (c *Chardev) Write(p []byte) int {
	if len(p) == 0 {
		return 0
	}
	if c.port != nil {
		return c.port.write(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(p)
	if c.wr != nil && (c.open || c.probe == nil || c.probe()) {
		// An answer that waits for nothing need not wait for the writer either. The single bytes of
		// a serial port do: the writer gathers them.
		n = 0
		if len(p) > 1 && c.out.len() == 0 && !c.writing {
			n = c.wr.tryWrite(p)
		}
		n += c.out.put(p[n:])
		c.short = c.short || n < len(p) && c.fe != nil
		if c.out.len() > 0 {
			signal(c.wakeOut)
		}
	} else if w, ok := c.be.(sink); ok {
		w.sink(p)
	}
	if c.log != nil {
		logWrite(c.log, p[:n])
	}
	return n
}

// sink is a backend that takes output at once. It is called with Chardev.mu held.
type sink interface{ sink(p []byte) }

// resetOutput drops queued output. mu is held.
func (c *Chardev) resetOutput() {
	c.out.reset()
	c.drained()
}

// drained wakes those in Flush, and the dispatcher for Writable. mu is held and the queue empty.
func (c *Chardev) drained() {
	for _, ch := range c.drain {
		close(ch)
	}
	c.drain = nil
	if c.short {
		signal(c.wakeFE)
	}
}

// writeLoop is the goroutine that writes queued output.
func (c *Chardev) writeLoop() {
	var buf []byte
	for {
		c.mu.Lock()
		s := c.wr
		n := 0
		if s != nil && c.out.len() > 0 {
			if buf == nil {
				buf = make([]byte, 8192)
			}
			n = c.out.peek(buf)
			c.writing = true
		}
		c.mu.Unlock()
		if n == 0 {
			select {
			case <-c.wakeOut:
				continue
			case <-c.ctx.Done():
				return
			}
		}
		// The session may end during the write, and the queue then belongs to the next one.
		gen := s.session.Load()
		m, err := s.write(buf[:n])
		c.mu.Lock()
		c.writing = false
		signal(c.wakeIn)
		if c.wr == s && s.session.Load() == gen {
			c.out.drop(min(m, c.out.len()))
			if err != nil {
				// Nobody reads this any more, or the disk is full: QEMU loses it too. The
				// reading side finds out about the peer.
				c.out.reset()
			}
			if c.out.len() == 0 {
				c.drained()
			} else if c.short && c.out.len() <= QueueSize/2 {
				signal(c.wakeFE)
			}
		}
		c.mu.Unlock()
	}
}

// errClosed is Flush's answer when Close came first.
var errClosed = errors.New("chardev: closed")

// Flush waits until all output that was queued before is handed to the host, or lost for lack of
// a peer. The error is the context's, or says that the chardev was closed.
func (c *Chardev) Flush(ctx context.Context) error {
	if c.port != nil {
		return c.port.m.base.Flush(ctx)
	}
	c.mu.Lock()
	if c.out.len() == 0 {
		c.mu.Unlock()
		return nil
	}
	ch := make(chan struct{})
	c.drain = append(c.drain, ch)
	c.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return errClosed
	}
}
