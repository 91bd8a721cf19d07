package chardev

import "fmt"

// BaseID is the id of the backend under the multiplexer id, where Common.Mux made both.
func BaseID(id string) string { return id + "-base" }

// openBase opens the backend that cfg describes as a chardev of its own and makes c a multiplexer
// on it.
func (r *Registry) openBase(c *Chardev, cfg Config) error {
	id := BaseID(c.id)
	base, err := r.reserve(id)
	if err != nil {
		releaseFD(cfg)
		return &Error{
			Desc: fmt.Sprintf("attempt to add duplicate property '%s' to object (type 'container')", id),
			Err:  err,
		}
	}
	if base, err = r.publish(base, r.open(base, cfg)); err != nil {
		return err
	}
	if err := newMux(c, base); err != nil {
		base.Close()
		return err
	}
	return nil
}

// openMux makes c a multiplexer on a chardev that exists. c.log is open.
func openMux(c *Chardev, cfg MuxConfig) error {
	base, ok := c.reg.get(cfg.Chardev)
	if !ok {
		return errorf("mux: base chardev %s not found", cfg.Chardev)
	}
	if base.port != nil {
		return errorf("mux: base chardev %s is a multiplexer, which is not supported", cfg.Chardev)
	}
	return newMux(c, base)
}

// HoldMuxes keeps from the frontends of multiplexers that the backend is open, and what is typed
// there, until OpenMuxes: while a VM is made, the focus goes from one frontend to the next, and
// only the one that has it in the end is to greet the user.
func (r *Registry) HoldMuxes() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = true
}

// OpenMuxes ends HoldMuxes. Those who have been attached get EventOpened.
func (r *Registry) OpenMuxes() {
	r.mu.Lock()
	r.held = false
	r.mu.Unlock()
	for _, c := range r.List() {
		if c.port != nil {
			c.port.m.release()
		}
	}
}
