package chardev

// port is one frontend's place at a multiplexer. The mux's mu guards it.
type port struct {
	m    *mux
	fe   Frontend // nil while none is attached
	gen  uint64   // counts Attach and Detach
	slot int      // index in mux.ports while fe is attached

	feOpen bool   // fe was told EventOpened, and not yet EventClosed
	in     []byte // input for fe
	poke   bool   // CanReceive is worth asking again
	short  bool   // a Write was cut short and Writable is owed
	ready  bool   // there is room again: Writable is next
}

// newPort returns a Chardev for another frontend of the multiplexer.
func (m *mux) newPort() *Chardev {
	return &Chardev{id: m.c.id, reg: m.c.reg, filename: m.c.filename, port: &port{m: m}}
}

// attach makes fe a frontend of the multiplexer, and gives it the focus as QEMU does.
func (p *port) attach(fe Frontend) error {
	m := p.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return errorf("Chardev '%s' is closed", m.c.id)
	}
	slot := 0
	for slot < muxPorts && m.ports[slot] != nil {
		slot++
	}
	if p.fe != nil || slot == muxPorts {
		return errorf("Device '%s' is in use", m.c.id)
	}
	*p = port{m: m, fe: fe, gen: p.gen + 1, slot: slot, poke: true}
	m.ports[slot] = p
	m.attached = true
	m.setFocus(slot)
	if m.open {
		p.feOpen = true
		m.tell(p, EventOpened)
	}
	signal(m.base.wakeFE)
	return nil
}

// detach takes the frontend away. The focus stays where it was until the user moves it, as in
// QEMU: a VM that ends takes its devices away, and no monitor is to greet anyone then.
func (p *port) detach() {
	m := p.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.fe != nil {
		m.ports[p.slot] = nil
		*p = port{m: m, gen: p.gen + 1}
		m.base.AcceptInput()
	}
}

// acceptInput is AcceptInput for the port's frontend.
func (p *port) acceptInput() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.poke = true
	signal(p.m.base.wakeFE)
}

// frontendOpen says whether the multiplexer has a frontend.
func (p *port) frontendOpen() bool {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	return p.m.used()
}

// hadFrontend says whether the multiplexer ever had a frontend. From then on QEMU calls the base's
// frontend open.
func (m *mux) hadFrontend() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.attached
}

// write is Write for the port's frontend.
func (p *port) write(b []byte) int {
	m := p.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.finished {
		return len(b)
	}
	n := m.put(b)
	if n < len(b) && p.fe != nil {
		p.short = true
	}
	return n
}

// claim reserves the multiplexer for its end, if no frontend is attached.
func (m *mux) claim() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used() {
		return false
	}
	m.closing = true
	return true
}

// step makes the next call of the frontend, but for events, and says whether there was one to
// make. The mux's mu is held, but not during the call.
func (p *port) step() bool {
	m, fe, gen := p.m, p.fe, p.gen
	if p.ready {
		p.ready = false
		m.mu.Unlock()
		fe.Writable()
		m.mu.Lock()
		return true
	}
	if !p.poke || len(p.in) == 0 {
		return false
	}
	p.poke = false // before CanReceive: an AcceptInput during it is then not lost
	m.mu.Unlock()
	n := fe.CanReceive()
	m.mu.Lock()
	if n <= 0 || gen != p.gen || len(p.in) == 0 {
		return true
	}
	b := p.in[:min(n, len(p.in))]
	p.in = p.in[len(b):]
	p.poke = true
	m.mu.Unlock()
	fe.Receive(b)
	m.base.AcceptInput()
	m.mu.Lock()
	return true
}
