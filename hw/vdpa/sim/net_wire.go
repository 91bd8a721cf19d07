package sim

// wire is where what a card sends goes, and where what it receives comes from.
// It lasts as long as the object. What comes, and news of the link, it gives to
// a station from goroutines of its own, under no lock.
type wire interface {
	// send takes a frame of a queue pair and tells whether it went into the
	// wire. It never waits, and keeps nothing of f. It is called by several
	// pairs at once.
	send(pair int, f *frame) bool
	// connected tells whether the wire leads anywhere.
	connected() bool
	// offloads is which of sendOffloads and receiveOffloads the wire can.
	offloads() uint64
	// setOffloads says which of them the driver has accepted.
	setOffloads(features uint64)
	// close ends the wire's goroutines and waits for them.
	close()
}

// station is what a wire leads to.
type station interface {
	// arrive takes a frame; pair is the queue pair that it is for, or -1. The
	// frame is the wire's again when arrive returns. It may take some
	// milliseconds.
	arrive(pair int, f *frame)
	// linkChanged says that connected may have changed.
	linkChanged()
}

// plain is a wire without offloads.
type plain struct{}

func (plain) offloads() uint64   { return 0 }
func (plain) setOffloads(uint64) {}

// announce changes the configuration space by f and, if that changed anything,
// tells the driver. It waits for no request.
func (d *device) announce(f func() (changed bool)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed && f() {
		signal(d.configFD)
	}
}
