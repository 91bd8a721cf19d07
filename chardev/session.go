package chardev

import "time"

// openStream begins a session: s has a peer, and the frontend learns of it.
func (c *Chardev) openStream(s *stream, filename string) {
	c.mu.Lock()
	c.filename = filename
	c.cur, c.wr = s, s
	c.open = true
	c.mu.Unlock()
	signal(c.wakeFE)
}

// closeStream ends the session of s and waits until the frontend was told, so that its events
// alternate. Input that was not delivered and output that was not written are dropped.
func (c *Chardev) closeStream(filename string) {
	c.mu.Lock()
	c.filename = filename
	c.cur, c.wr = nil, nil
	c.mu.Unlock()
	c.endInput()
	c.mu.Lock()
	c.resetOutput()
	fds := c.fds
	c.fds = nil
	c.mu.Unlock()
	closeFDs(fds)
	c.awaitClosed()
}

// endInput marks the backend as without a peer, and drops input that was not delivered.
func (c *Chardev) endInput() {
	c.mu.Lock()
	fds := c.inFDs
	c.in, c.inFDs = nil, nil
	c.want, c.credit = false, 0
	c.open = false
	c.mu.Unlock()
	signal(c.wakeFE)
	closeFDs(fds)
}

// awaitClosed waits until no frontend believes in the session that ended.
func (c *Chardev) awaitClosed() {
	for {
		c.mu.Lock()
		told := !c.feOpen
		c.mu.Unlock()
		if told {
			return
		}
		<-c.wakeIn
	}
}

// awaitWriter waits until the writer has left the stream that closeStream took from it.
func (c *Chardev) awaitWriter() {
	for {
		c.mu.Lock()
		busy := c.writing
		c.mu.Unlock()
		if !busy {
			return
		}
		<-c.wakeIn
	}
}

// pump reads s for the frontend until end of file, an error, Disconnect or Close. It says whether
// the peer ended the stream, so that output may still be of use to it.
func (c *Chardev) pump(s *stream) (eof bool) {
	buf := make([]byte, readSize)
	for {
		var n int
		c.mu.Lock()
		c.want, c.poke = true, true
		c.mu.Unlock()
		signal(c.wakeFE)
		if !c.waitIn(s, func() bool {
			n = c.credit
			c.credit = 0
			return n > 0
		}) {
			return false
		}
		m, fds, err := s.read(buf[:n])
		if m > 0 {
			c.mu.Lock()
			c.in, c.inFDs = buf[:m], fds
			c.poke = true
			c.mu.Unlock()
			signal(c.wakeFE)
			if !c.waitIn(s, func() bool { return len(c.in) == 0 && !c.inBusy }) {
				return false
			}
		} else {
			closeFDs(fds)
		}
		if err != nil {
			return !s.killed()
		}
	}
}

// waitIn waits until done, which is called with mu held, is true. It gives up, and returns false,
// on Close, on Disconnect, and when the peer hung up while the frontend takes nothing: its
// departure would stay unnoticed otherwise, and a server would never accept the next client.
func (c *Chardev) waitIn(s *stream, done func() bool) bool {
	poll := c.reg.seconds(1) / hangupPolls
	var tick *time.Timer
	var tickC <-chan time.Time
	defer func() {
		if tick != nil {
			tick.Stop()
		}
	}()
	var hungSince time.Time
	var seen uint64
	for {
		c.mu.Lock()
		ok, received := done(), c.received
		c.mu.Unlock()
		if ok {
			return true
		}
		if tick == nil && s.mayHangUp {
			tick = time.NewTimer(poll)
			tickC = tick.C
		}
		select {
		case <-c.wakeIn:
		case <-c.ctx.Done():
			return false
		case <-s.dead:
			return false
		case <-tickC:
			tick.Reset(poll)
			if !s.hungUp() {
				hungSince = time.Time{}
				continue
			}
			if hungSince.IsZero() || received != seen {
				hungSince, seen = time.Now(), received
			} else if time.Since(hungSince) >= c.reg.seconds(hangupGrace) {
				return false
			}
		}
	}
}
