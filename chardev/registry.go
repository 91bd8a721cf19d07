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
	// /dev/fdset/N there. The flags contain O_CLOEXEC, and the error holds an errno.
	OpenFile func(path string, flags int, perm uint32) (fd int, err error)

	second time.Duration // what waits are counted in; 0 is a real second. Tests shorten it.

	mu      sync.Mutex
	ctx     context.Context // done after CloseAll; nil before the first Add
	cancel  context.CancelFunc
	byID    map[string]*Chardev // nil while the chardev is being opened
	order   []*Chardev
	stdio   bool // a chardev has stdin and stdout
	closing bool
	msgMu   sync.Mutex // one message at a time
}

// Add creates the chardev id. For a client without Reconnect it blocks until the connection is
// there, and for a server with Wait until a client came; CloseAll ends both. Errors have QEMU's
// texts; that of an id in use is "Duplicate ID 'c' for chardev" and wraps ErrDuplicateID.
func (r *Registry) Add(id string, cfg Config) (*Chardev, error) {
	r.mu.Lock()
	if r.closing {
		r.mu.Unlock()
		releaseFD(cfg)
		return nil, errorf("Chardev '%s' comes too late: the VM is shutting down", id)
	}
	if r.ctx == nil {
		r.ctx, r.cancel = context.WithCancel(context.Background())
		r.byID = map[string]*Chardev{}
	}
	if _, ok := r.byID[id]; ok {
		r.mu.Unlock()
		releaseFD(cfg)
		return nil, &Error{Desc: fmt.Sprintf("Duplicate ID '%s' for chardev", id), Err: ErrDuplicateID}
	}
	r.byID[id] = nil // the id is taken while the backend opens, which may take long
	ctx := r.ctx
	r.mu.Unlock()

	c := newChardev(ctx, r, id)
	err := r.open(c, cfg)

	r.mu.Lock()
	if err == nil {
		c.start()
		if !r.closing {
			r.byID[id] = c
			r.order = append(r.order, c)
			r.mu.Unlock()
			return c, nil
		}
		err = errorf("Chardev '%s' comes too late: the VM is shutting down", id)
		r.mu.Unlock()
		c.Close()
		r.mu.Lock()
	}
	delete(r.byID, id)
	r.mu.Unlock()
	c.cancel()
	return nil, err
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
	if co.Mux {
		releaseFD(cfg)
		return errorf("chardev: mux=on is not supported")
	}
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
	c.filename = cfg.Backend()
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
	case NullConfig, VCConfig:
		c.be, c.open = null{}, true
	default:
		err = errorf("'%s' is not a valid char driver name", cfg.Backend())
	}
	return err
}

// Get returns the chardev id.
func (r *Registry) Get(id string) (*Chardev, bool) {
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
	c, ok := r.Get(id)
	if !ok {
		return errorf("Chardev '%s' not found", id)
	}
	c.mu.Lock()
	busy := c.fe != nil
	if !busy {
		c.closed = true // nobody may attach between the check and the end
	}
	c.mu.Unlock()
	if busy {
		return errorf("Chardev '%s' is busy", id)
	}
	return c.Close()
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
