package chardev

import (
	"os"
	"sync"
)

const (
	// muxPorts is how many frontends a multiplexer has at most, as in QEMU.
	muxPorts = 4
	// muxBuffer is how many bytes of input wait for a frontend that takes none. Until they are
	// that many, the keys of the multiplexer keep working. QEMU has 32.
	muxBuffer = 4096
	// escapeKey is Ctrl-A: what follows it is for the multiplexer. Registry.EscapeKey names
	// another.
	escapeKey = 0x01
)

// mux is a multiplexer: several frontends on one chardev, the base, of which one, that has the
// focus, gets the input. To the base it is a frontend.
//
// Its frontends are called from the base's dispatcher, so that what they send when the focus
// changes comes out in order.
type mux struct {
	c    *Chardev // how the registry knows the multiplexer
	base *Chardev
	done chan struct{} // closed by the dispatcher when no more calls come

	// mu guards everything below. It is not held during calls of frontends. The base's lock may
	// be taken under it, never the other way round.
	mu       sync.Mutex
	ports    [muxPorts]*port
	focus    int  // index of the port with the focus, which may be gone; -1 at first
	attached bool // a frontend was there at some time
	held     bool // the registry wants the frontends to learn later that the base is open
	baseOpen bool
	open     bool // frontends are told that the base is open
	closing  bool // no frontend may be attached any more
	ended    bool // the last calls are in calls
	finished bool // done is closed

	calls  []muxCall // what frontends are to be told next
	raw    []byte    // input that was not looked at yet
	escape bool      // the key before was the escape key

	muxOutput
	log *os.File // logfile= of a multiplexer that was made for itself; nil without
}

// muxCall is an event for a port's frontend, or else the call of do.
type muxCall struct {
	p     *port
	gen   uint64
	event Event
	do    func()
}

// newMux makes c a multiplexer on base, with c.log as its logfile. release lets it begin.
func newMux(c, base *Chardev) error {
	m := &mux{c: c, base: base, log: c.log, held: true, focus: -1, done: make(chan struct{})}
	// The dispatcher knows the multiplexer before it calls it.
	base.mu.Lock()
	inUse := base.fe != nil
	if !inUse {
		base.over = m
	}
	base.mu.Unlock()
	if inUse {
		return errorf("Device '%s' is in use", base.id)
	}
	if err := base.Attach(m); err != nil {
		base.mu.Lock()
		base.over = nil
		base.mu.Unlock()
		return err
	}
	c.filename, c.log = "mux", nil
	c.port = &port{m: m}
	return nil
}

// stepMux is step for the multiplexer on top of c, if there is one.
func (c *Chardev) stepMux() bool {
	c.mu.Lock()
	m, quit := c.over, c.quit
	c.mu.Unlock()
	if m == nil {
		return false
	}
	if quit {
		m.mu.Lock()
		m.closing = true
		m.mu.Unlock()
	}
	return m.step()
}

// step makes the next call of a frontend or looks at some more input, and says whether there was
// something to do. It runs on the base's dispatcher.
func (m *mux) step() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.finished {
		return false
	}
	if m.closing && !m.ended {
		m.ended = true
		m.setOpen(false)
		m.raw = nil
	}
	if m.nextCall() {
		return true
	}
	if m.ended {
		m.finished = true
		close(m.done)
		return false
	}
	for _, p := range m.ports {
		if p != nil && p.step() {
			return true
		}
	}
	return m.process()
}

// nextCall makes the first of the calls. mu is held, but not during the call.
func (m *mux) nextCall() bool {
	if len(m.calls) == 0 {
		return false
	}
	call := m.calls[0]
	m.calls = m.calls[1:]
	do := call.do
	if do == nil {
		if call.p.gen != call.gen || call.p.fe == nil {
			return true // the frontend has gone since
		}
		fe := call.p.fe
		do = func() { fe.Event(call.event) }
	}
	m.mu.Unlock()
	do()
	m.mu.Lock()
	return true
}

// tell queues an event for p's frontend. mu is held.
func (m *mux) tell(p *port, e Event) {
	m.calls = append(m.calls, muxCall{p: p, gen: p.gen, event: e})
}

// setOpen tells all frontends that the base is open or closed. mu is held.
func (m *mux) setOpen(open bool) {
	if open && !m.open {
		// What the peer before has typed is not for the new one's session.
		m.raw, m.escape = nil, false
		for _, p := range m.ports {
			if p != nil {
				p.in = nil
			}
		}
	}
	m.open = open
	for _, p := range m.ports {
		if p != nil && p.feOpen != open {
			p.feOpen = open
			e := EventClosed
			if open {
				e = EventOpened
			}
			m.tell(p, e)
		}
	}
}

// release ends what held is about.
func (m *mux) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held {
		m.held = false
		if m.baseOpen && !m.closing {
			m.setOpen(true)
		}
		m.base.AcceptInput()
	}
}

// CanReceive implements [Frontend] for the base.
func (m *mux) CanReceive() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing || !m.open || len(m.raw) > 0 || !m.used() {
		return 0
	}
	if p := m.focused(); p != nil {
		return max(0, muxBuffer-len(p.in))
	}
	return muxBuffer
}

// Receive implements [Frontend] for the base.
func (m *mux) Receive(p []byte) {
	closeFDs(m.base.TakeFDs()) // QEMU passes none on either
	m.mu.Lock()
	defer m.mu.Unlock()
	m.raw = append(m.raw, p...)
}

// Event implements [Frontend] for the base. The end of the input alone, as of a terminal or a
// file, is nothing that the frontends learn, since their output goes on.
func (m *mux) Event(e Event) {
	m.base.mu.Lock()
	outputGoesOn := m.base.wr != nil && !m.base.quit
	m.base.mu.Unlock()

	m.mu.Lock()
	defer m.mu.Unlock()
	switch e {
	case EventOpened:
		m.baseOpen = true
		if !m.held && !m.closing {
			m.setOpen(true)
		}
	case EventClosed:
		m.baseOpen = false
		if !outputGoesOn {
			m.setOpen(false)
		}
	case EventBreak:
		for _, p := range m.ports {
			if p != nil {
				m.tell(p, e)
			}
		}
	}
	// Before the base may have its next peer.
	for m.nextCall() {
	}
}

func (m *mux) isFinished() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.finished
}

// focused returns the port with the focus; nil if it is gone. mu is held.
func (m *mux) focused() *port {
	if m.focus < 0 {
		return nil
	}
	return m.ports[m.focus]
}

// used says whether there is a frontend. mu is held.
func (m *mux) used() bool { return m.ports != [muxPorts]*port{} }

// setFocus gives the focus to port i. mu is held.
func (m *mux) setFocus(i int) {
	if p := m.focused(); p != nil {
		m.tell(p, EventMuxOut)
	}
	m.focus = i
	m.tell(m.ports[i], EventMuxIn)
	m.ports[i].poke = true
	m.base.AcceptInput()
}

// process looks at input, up to a key of the multiplexer or the end of what the focused frontend
// has room for. It says whether it got any further. mu is held.
func (m *mux) process() bool {
	if len(m.raw) == 0 {
		return false
	}
	p := m.focused()
	escape := m.c.reg.escapeKey()
	took := false
	for len(m.raw) > 0 {
		b := m.raw[0]
		if plain := m.escape == (b == escape); plain {
			if p != nil {
				if len(p.in) >= muxBuffer {
					return took
				}
				p.in = append(p.in, b)
				p.poke = true
			}
			took, m.escape, m.raw = true, false, m.raw[1:]
			continue
		}
		if took {
			return true // what was typed before the key is delivered first
		}
		m.raw = m.raw[1:]
		if !m.escape {
			m.escape = true
			continue
		}
		m.escape = false
		m.key(b)
		took = true
		break
	}
	if len(m.raw) == 0 {
		m.raw = nil
		m.base.AcceptInput()
	}
	return took
}

// key does what the key after the escape key is for. mu is held.
func (m *mux) key(b byte) {
	switch b {
	case 'h', '?':
		m.say(muxHelp(m.c.reg.escapeKey()))
	case 'x':
		m.say("QEMU: Terminated\n\r")
		if quit := m.c.reg.Quit; quit != nil {
			m.calls = append(m.calls, muxCall{do: quit})
		}
	case 'b':
		if p := m.focused(); p != nil {
			m.tell(p, EventBreak)
		}
	case 'c':
		for i := 1; i <= muxPorts; i++ {
			if next := (m.focus + i) % muxPorts; m.ports[next] != nil {
				m.setFocus(next)
				break
			}
		}
	case 't':
		m.toggleStamps()
	}
	// 's' writes the disks of -snapshot back, of which there are none.
}

// close ends the multiplexer: the frontends get EventClosed and no call after that. The base
// stays, without a frontend. It is called once.
func (m *mux) close() {
	m.mu.Lock()
	m.closing = true
	m.mu.Unlock()
	signal(m.base.wakeFE)
	select {
	case <-m.done:
	case <-m.base.dispatcher:
	}
	m.base.mu.Lock()
	m.base.over = nil
	m.base.mu.Unlock()
	m.base.Detach()
	m.mu.Lock()
	log := m.log
	m.log = nil
	m.mu.Unlock()
	if log != nil {
		log.Close()
	}
}
