package sys

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Eventfd is an eventfd(2): a counter that one side adds to and the other
// waits for. It is close-on-exec and does not block, so that a goroutine
// that waits for it costs no thread, and Close wakes it. Its methods may be
// called by several goroutines at a time.
//
// The runtime's poller hears of signals from the first Wait on. An eventfd
// that nobody here waits for, such as one between a guest and its device,
// wakes no thread of this process.
type Eventfd struct {
	f    *os.File // not known to the poller
	conn syscall.RawConn
	fd   int

	mu     sync.Mutex // guards what follows
	wait   *os.File   // a duplicate that the poller knows, nil until it is needed
	closed bool
}

// NewEventfd makes an eventfd with a count of zero.
func NewEventfd() (*Eventfd, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	// NewFile gives descriptors that do not block to the runtime's poller, so
	// it stops blocking afterwards. f.Fd() is never called.
	f := os.NewFile(uintptr(fd), "eventfd")
	if err := unix.SetNonblock(fd, true); err != nil {
		f.Close()
		return nil, os.NewSyscallError("fcntl", err)
	}
	conn, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Eventfd{f: f, conn: conn, fd: fd}, nil
}

// FD is the descriptor, for handing to the kernel. It is valid until Close.
func (e *Eventfd) FD() int { return e.fd }

// Signal adds one to the count. It never waits: a count at its maximum has
// been signalled well enough. After Close it returns os.ErrClosed.
func (e *Eventfd) Signal() error {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	var werr error
	err := e.conn.Control(func(fd uintptr) { _, werr = unix.Write(int(fd), one[:]) })
	if err != nil {
		return os.ErrClosed // all that Control fails for
	}
	if werr == unix.EAGAIN {
		return nil
	}
	return os.NewSyscallError("write", werr)
}

// Drain takes the count without waiting, zero when nothing was signalled.
// After Close it returns os.ErrClosed.
func (e *Eventfd) Drain() (uint64, error) {
	var buf [8]byte
	var rerr error
	err := e.conn.Control(func(fd uintptr) { _, rerr = unix.Read(int(fd), buf[:]) })
	if err != nil {
		return 0, os.ErrClosed
	}
	if rerr == unix.EAGAIN {
		return 0, nil
	}
	if rerr != nil {
		return 0, os.NewSyscallError("read", rerr)
	}
	return binary.NativeEndian.Uint64(buf[:]), nil
}

// Wait blocks until the eventfd is signalled and takes the count, which is
// not zero. Close ends it with os.ErrClosed.
func (e *Eventfd) Wait() (uint64, error) {
	f, err := e.waiter()
	if err != nil {
		return 0, err
	}
	var buf [8]byte
	if _, err := f.Read(buf[:]); err != nil {
		return 0, closedError(err)
	}
	return binary.NativeEndian.Uint64(buf[:]), nil
}

// waiter is the file that Wait reads.
func (e *Eventfd) waiter() (*os.File, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return nil, os.ErrClosed
	case e.wait == nil:
		fd, err := unix.FcntlInt(uintptr(e.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
		e.wait = os.NewFile(uintptr(fd), "eventfd")
	}
	return e.wait, nil
}

// Close closes the descriptor and wakes who waits. A second Close returns
// os.ErrClosed.
func (e *Eventfd) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if e.wait != nil {
		// The second time it is closed already.
		_ = e.wait.Close()
	}
	return closedError(e.f.Close())
}

func closedError(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return os.ErrClosed
	}
	return err
}
