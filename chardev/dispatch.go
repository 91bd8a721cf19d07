package chardev

// dispatch is the goroutine that makes all calls of the frontend, or of those of a multiplexer on
// top of the chardev.
func (c *Chardev) dispatch() {
	for {
		// The frontends of a multiplexer first: they get what came before the next event.
		for c.stepMux() || c.step() {
		}
		c.mu.Lock()
		quit := c.quit && !(c.fe != nil && c.feOpen && !c.open)
		m := c.over
		c.mu.Unlock()
		if quit && (m == nil || m.isFinished()) {
			return
		}
		<-c.wakeFE
	}
}

// step makes the next call of the frontend, and says whether there was one to make.
//
// The order matters: EventOpened comes before the session's input and EventClosed after it, while
// Writable must not starve behind a peer that sends without a pause.
func (c *Chardev) step() bool {
	c.mu.Lock()
	fe, gen := c.fe, c.feGen
	if fe == nil {
		c.mu.Unlock()
		return false
	}
	if c.open && !c.feOpen && !c.quit {
		c.feOpen = true
		c.poke = true
		c.mu.Unlock()
		fe.Event(EventOpened)
		return true
	}
	if c.breaks > 0 {
		c.breaks--
		c.mu.Unlock()
		fe.Event(EventBreak)
		return true
	}
	if c.short && c.out.len() <= QueueSize/2 {
		c.short = false
		c.mu.Unlock()
		fe.Writable()
		return true
	}
	if c.poke && (len(c.in) > 0 || c.want) {
		c.poke = false // before CanReceive: an AcceptInput during it is then not lost
		c.mu.Unlock()
		n := fe.CanReceive()
		if n > 0 {
			c.feed(fe, gen, n)
		}
		return true
	}
	if !c.open && c.feOpen && len(c.in) == 0 {
		c.mu.Unlock()
		fe.Event(EventClosed)
		// Only now may the next peer be accepted: the frontend must not take
		// it for the old one.
		c.mu.Lock()
		if gen == c.feGen {
			c.feOpen = false
		}
		signal(c.wakeIn)
		c.mu.Unlock()
		return true
	}
	c.mu.Unlock()
	return false
}

// feed delivers up to n bytes of waiting input, or else lets the session goroutine read that many.
func (c *Chardev) feed(fe Frontend, gen uint64, n int) {
	c.mu.Lock()
	if gen != c.feGen {
		c.mu.Unlock()
		return
	}
	c.poke = true
	if len(c.in) == 0 {
		if c.want {
			c.want = false
			c.credit = min(n, readSize)
			signal(c.wakeIn)
		}
		c.mu.Unlock()
		return
	}
	p := c.in[:min(n, len(c.in))]
	c.in = c.in[len(p):]
	c.inBusy = true
	var stale []int
	if len(c.inFDs) > 0 {
		stale = c.fds
		c.fds, c.inFDs = c.inFDs, nil
	}
	c.mu.Unlock()

	closeFDs(stale)
	fe.Receive(p)

	c.mu.Lock()
	c.inBusy = false
	c.received++
	signal(c.wakeIn)
	c.mu.Unlock()
}
