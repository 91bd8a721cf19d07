package chardev

// Hotswapper is a [Frontend] that can go on with another chardev.
type Hotswapper interface {
	Frontend
	// Rebind takes the frontend from the chardev it is attached to and
	// attaches it to c. It is called without a lock of the Chardev's.
	Rebind(c *Chardev) error
}

// Change gives the chardev id, which has a frontend, another backend, as chardev-change does. The
// frontend must be a [Hotswapper]. If the new backend cannot be opened, the old one stays.
func (r *Registry) Change(id string, cfg Config) error {
	old, ok := r.get(id)
	if !ok {
		releaseFD(cfg)
		return errorf("Chardev '%s' does not exist", id)
	}
	old.mu.Lock()
	fe, ok := old.fe.(Hotswapper)
	old.mu.Unlock()
	if !ok || old.port != nil {
		releaseFD(cfg)
		return errorf("Chardev user does not support chardev hotswap")
	}
	r.mu.Lock()
	ctx, closing := r.ctx, r.closing
	r.mu.Unlock()
	if closing {
		releaseFD(cfg)
		return r.tooLate(id)
	}
	c := newChardev(ctx, r, id)
	if err := r.open(c, cfg); err != nil {
		c.cancel()
		return err
	}
	c.start()
	if err := fe.Rebind(c); err != nil {
		c.Close()
		return err
	}
	r.mu.Lock()
	r.byID[id] = c
	for i := range r.order {
		if r.order[i] == old {
			r.order[i] = c
		}
	}
	r.mu.Unlock()
	return old.Close()
}

// Backend returns the backend's name: "socket", "null", "mux".
func (c *Chardev) Backend() string {
	if c.port != nil {
		return "mux"
	}
	return c.backend
}

// SendBreak lets the frontend see a break condition on the line: chardev-send-break. It waits
// until the frontend can be told, and without one nothing happens.
func (c *Chardev) SendBreak() {
	if c.port != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fe != nil {
		c.breaks++
		signal(c.wakeFE)
	}
}
