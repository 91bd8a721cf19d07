package chardev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrDuplicateID is in the chain of Add's error when the id is taken.
var ErrDuplicateID = errors.New("duplicate chardev id")

// Registry holds the chardevs of one VM by id. The zero value is ready for use; the exported
// fields are set before the first Add. Its methods may be called from any goroutine.
type Registry struct {
	// Messages takes QEMU's lines for stderr, one per Write, without the "qemu-system-x86_64: "
	// in front: "info: QEMU waiting for connection on: ...". Nil drops them.
	Messages io.Writer
	// Console takes what QEMU says on stdout: "char device redirected to /dev/pts/3 (label
	// serial0)". Nil sends it to Messages.
	Console io.Writer
	// Daemonize refuses stdio, since the process is going to lose it.
	Daemonize bool
	// Stdin and Stdout stand for the process's own where they are not nil.
	Stdin, Stdout *os.File
	// OpenFile, if not nil, opens the files of file, pipe and logfile=: a VM resolves
	// /dev/fdset/N there. The flags contain O_CLOEXEC. The error holds an errno, unless it has a
	// method Worded that reports true: then its text is complete, and shown for logfile=, as in
	// QEMU.
	OpenFile func(path string, flags int, perm uint32) (fd int, err error)

	// Quit is what the exit key of a multiplexer (Ctrl-A x) does. It is called on a goroutine of
	// a chardev, so it must not close one itself. Nil does nothing.
	Quit func()

	// EscapeKey is the key that is for a multiplexer, with the one after it; nil is Ctrl-A.
	EscapeKey *byte

	second time.Duration // what waits are counted in; 0 is a real second. Tests shorten it.

	mu      sync.Mutex
	ctx     context.Context // done after CloseAll; nil before the first Add
	cancel  context.CancelFunc
	byID    map[string]*Chardev // nil while the chardev is being opened
	order   []*Chardev
	stdio   bool // a chardev has stdin and stdout
	closing bool
	held    bool       // HoldMuxes is in force
	msgMu   sync.Mutex // one message at a time
}

func (r *Registry) escapeKey() byte {
	if r.EscapeKey == nil {
		return escapeKey
	}
	return *r.EscapeKey
}

// Add creates the chardev id. For a client without Reconnect it blocks until the connection is
// there, and for a server with Wait until a client came; CloseAll ends both. Errors have QEMU's
// texts; that of an id in use is "Duplicate ID 'c' for chardev" and wraps ErrDuplicateID.
//
// With Common.Mux the backend becomes the chardev BaseID(id), and id a multiplexer on top of it.
func (r *Registry) Add(id string, cfg Config) (*Chardev, error) {
	c, err := r.reserve(id)
	if err != nil {
		releaseFD(cfg)
		return nil, err
	}
	if cfg.Multiplexed() {
		return r.publish(c, r.openBase(c, cfg))
	}
	return r.publish(c, r.open(c, cfg))
}

// reserve takes an id for a chardev that is going to be opened, which may take long.
func (r *Registry) reserve(id string) (*Chardev, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		return nil, r.tooLate(id)
	}
	if r.ctx == nil {
		r.ctx, r.cancel = context.WithCancel(context.Background())
		r.byID = map[string]*Chardev{}
	}
	if _, ok := r.byID[id]; ok {
		return nil, &Error{Desc: fmt.Sprintf("Duplicate ID '%s' for chardev", id), Err: ErrDuplicateID}
	}
	r.byID[id] = nil
	return newChardev(r.ctx, r, id), nil
}

// publish lets c, which was reserved, work and be found; or, if it could not be opened for err,
// takes the reservation back.
func (r *Registry) publish(c *Chardev, err error) (*Chardev, error) {
	r.mu.Lock()
	if err == nil {
		if c.port == nil {
			c.start()
		}
		if !r.closing {
			r.byID[c.id] = c
			r.order = append(r.order, c)
			held := r.held
			r.mu.Unlock()
			if c.port != nil && !held {
				c.port.m.release()
			}
			return c, nil
		}
		err = r.tooLate(c.id)
		r.mu.Unlock()
		c.Close()
		r.mu.Lock()
	}
	delete(r.byID, c.id)
	r.mu.Unlock()
	c.cancel()
	return nil, err
}

func (r *Registry) tooLate(id string) error {
	return errorf("Chardev '%s' comes too late: the VM is shutting down", id)
}

// releaseFD closes the socket that a configuration handed over and nobody is going to use.
func releaseFD(cfg Config) {
	if s, ok := cfg.(SocketConfig); ok && s.FD != nil && isSocket(*s.FD) {
		unix.Close(*s.FD)
	}
}

// open opens the backend. On error nothing is left.
func (r *Registry) open(c *Chardev, cfg Config) (err error) {
	co := cfg.common()
	defer func() {
		if err != nil && c.log != nil {
			c.log.Close()
			c.log = nil
		}
	}()
	if co.Logfile != "" {
		flags := unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC
		if co.LogAppend {
			flags = unix.O_WRONLY | unix.O_CREAT | unix.O_APPEND
		}
		if c.log, err = r.openFile(co.Logfile, flags, "create"); err != nil {
			releaseFD(cfg)
			return err
		}
	}
	c.filename, c.backend = cfg.Backend(), cfg.Backend()
	switch cfg := cfg.(type) {
	case SocketConfig:
		err = openSocket(c, cfg)
	case StdioConfig:
		err = openStdio(c, cfg)
	case PtyConfig:
		err = openPty(c, cfg)
	case FileConfig:
		err = openFile(c, cfg)
	case PipeConfig:
		err = openPipe(c, cfg)
	case RingbufConfig:
		err = openRingbuf(c, cfg)
	case MuxConfig:
		err = openMux(c, cfg)
	case NullConfig, VCConfig:
		c.be, c.open = null{}, true
	default:
		err = errorf("'%s' is not a valid char driver name", cfg.Backend())
	}
	return err
}

// Get returns the chardev id. Of a multiplexer it returns another place for a frontend each time,
// so that every frontend has a Chardev of its own to write to and to detach from.
func (r *Registry) Get(id string) (*Chardev, bool) {
	c, ok := r.get(id)
	if ok && c.port != nil {
		c = c.port.m.newPort()
	}
	return c, ok
}

// get returns the chardev id itself.
func (r *Registry) get(id string) (*Chardev, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.byID[id]
	return c, c != nil
}

// List returns the chardevs in the order in which they were created.
func (r *Registry) List() []*Chardev {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order)
}

// Remove closes the chardev id, as chardev-remove does: it must exist, and no frontend may be
// attached. See Chardev.Close for what must not be held.
func (r *Registry) Remove(id string) error {
	c, ok := r.get(id)
	if !ok {
		return errorf("Chardev '%s' not found", id)
	}
	if !c.claim() {
		return errorf("Chardev '%s' is busy", id)
	}
	return c.Close()
}

// claim says whether the chardev has no frontend, and then lets nobody attach any more.
func (c *Chardev) claim() bool {
	if c.port != nil {
		return c.port.m.claim()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fe != nil {
		return false
	}
	c.closed = true
	return true
}

// CloseAll closes all chardevs, at the same time so that slow peers cost one second in sum, and
// refuses new ones. An Add that still waits for a peer fails.
func (r *Registry) CloseAll() {
	r.mu.Lock()
	r.closing = true
	all := slices.Clone(r.order)
	r.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c.Close()
		}()
	}
	wg.Wait()
	r.mu.Lock()
	if r.cancel != nil {
		r.cancel()
	}
	r.mu.Unlock()
}

// forget takes a closed chardev out of the registry.
func (r *Registry) forget(c *Chardev) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[c.id] == c {
		delete(r.byID, c.id)
	}
	r.order = slices.DeleteFunc(r.order, func(o *Chardev) bool { return o == c })
}

// seconds returns how long n seconds are to be waited, at most 68 years.
func (r *Registry) seconds(n int64) time.Duration {
	second := r.second
	if second == 0 {
		second = time.Second
	}
	return time.Duration(min(n, 1<<31)) * second
}

// message writes one line for stderr.
func (r *Registry) message(format string, args ...any) {
	r.msgMu.Lock()
	defer r.msgMu.Unlock()
	if r.Messages != nil {
		fmt.Fprintf(r.Messages, format+"\n", args...)
	}
}

// say writes one line for stdout.
func (r *Registry) say(format string, args ...any) {
	if r.Console == nil {
		r.message(format, args...)
		return
	}
	r.msgMu.Lock()
	defer r.msgMu.Unlock()
	fmt.Fprintf(r.Console, format+"\n", args...)
}
