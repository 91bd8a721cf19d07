package vdpa

import (
	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/internal/sys"
)

// relay turns the signals of one eventfd of the device into calls under the
// VM lock. It finds none while the transport has the eventfd become an
// interrupt without this process (virtio.CallSource): an irqfd takes the count
// before the relay is woken, since Linux 5.11. Before, it is woken for nothing.
//
// A relay lives from realize to unrealize, so that no signal is lost while
// the device is stopped and started.
type relay struct {
	fd      *sys.Eventfd
	deliver func()
	closed  bool // guarded by the VM lock
}

// newRelay makes a relay and starts its goroutine, which ends when the
// device is unrealized.
func (d *Device) newRelay(deliver func()) (*relay, error) {
	fd, err := sys.NewEventfd()
	if err != nil {
		return nil, err
	}
	r := &relay{fd: fd, deliver: deliver}
	lock := d.host.Lock
	d.working = true
	d.tasks.Go(func() {
		for {
			if _, err := fd.Wait(); err != nil {
				return // closed
			}
			lock.Lock()
			if !r.closed {
				deliver()
			}
			lock.Unlock()
		}
	})
	d.Defer(func() {
		r.closed = true
		fd.Close()
	})
	return r, nil
}

// drain delivers what the eventfd holds. The device signals no more.
func (r *relay) drain() {
	if n, err := r.fd.Drain(); err == nil && n > 0 {
		r.deliver()
	}
}

// discard forgets what the eventfd holds.
func (r *relay) discard() { _, _ = r.fd.Drain() }

// CallFD is part of virtio.CallSource.
func (d *Device) CallFD(n int) int {
	if n < 0 || n >= len(d.calls) {
		return -1
	}
	return d.calls[n].fd.FD()
}

var _ virtio.CallSource = (*Device)(nil)
