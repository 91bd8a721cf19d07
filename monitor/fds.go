package monitor

import (
	"sync"

	"golang.org/x/sys/unix"
)

// fdState is the file descriptors that a session owns.
type fdState struct {
	loose []int          // came in last, and no command has taken them
	named map[string]int // by getfd; they outlive the client
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd) // nothing was written to it by us
	}
}

// setLoose replaces the loose descriptors, as a new message with descriptors
// does in QEMU.
func (f *fdState) setLoose(fds []int) {
	closeFDs(f.loose)
	f.loose = fds
}

func (f *fdState) takeLoose() []int {
	fds := f.loose
	f.loose = nil
	return fds
}

func (f *fdState) closeLoose() { f.setLoose(nil) }

func (f *fdState) closeNamed() {
	for _, fd := range f.named {
		closeFDs([]int{fd})
	}
	f.named = nil
}

// call is the [qapi.Session] of one request.
type call struct {
	s     *session
	gen   uint64
	state protocol // when the request began

	mu  sync.Mutex
	fds []int     // guarded by mu
	end *protocol // set by qmp_capabilities
}

// TakeFD implements [qapi.Session].
func (c *call) TakeFD() (fd int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.fds) == 0 {
		return -1, false
	}
	fd = c.fds[0]
	closeFDs(c.fds[1:])
	c.fds = nil
	return fd, true
}

// AddFD implements [qapi.Session].
func (c *call) AddFD(name string, fd int) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	f := &c.s.fds
	if c.s.closing {
		closeFDs([]int{fd})
		return
	}
	if old, ok := f.named[name]; ok {
		closeFDs([]int{old})
	}
	if f.named == nil {
		f.named = map[string]int{}
	}
	f.named[name] = fd
}

// FD implements [qapi.Session].
func (c *call) FD(name string) (fd int, ok bool) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	fd, ok = c.s.fds.named[name]
	if !ok {
		return -1, false
	}
	delete(c.s.fds.named, name)
	return fd, true
}

// done gives back what the command did not take: a later command may.
func (c *call) done() {
	c.mu.Lock()
	fds := c.fds
	c.fds = nil
	c.mu.Unlock()
	if len(fds) == 0 {
		return
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.gen == c.s.gen && len(c.s.fds.loose) == 0 {
		c.s.fds.loose = fds
		return
	}
	closeFDs(fds)
}
