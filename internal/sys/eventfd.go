package sys

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"

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
	fd int

	mu     sync.RWMutex // guards what follows, and fd against Close
	wait   *os.File     // fd as the poller knows it, nil until it is needed
	closed bool
}

// NewEventfd makes an eventfd with a count of zero.
func NewEventfd() (*Eventfd, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &Eventfd{fd: fd}, nil
}

// FD is the descriptor, for handing to the kernel. It is valid until Close.
func (e *Eventfd) FD() int { return e.fd }

// Signal adds one to the count. It never waits: a count at its maximum has
// been signalled well enough. After Close it returns os.ErrClosed.
func (e *Eventfd) Signal() error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return os.ErrClosed
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, err := unix.Write(e.fd, one[:])
	if err == unix.EAGAIN {
		return nil
	}
	return os.NewSyscallError("write", err)
}

// Drain takes the count without waiting, zero when nothing was signalled.
// After Close it returns os.ErrClosed.
func (e *Eventfd) Drain() (uint64, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return 0, os.ErrClosed
	}
	var buf [8]byte
	_, err := unix.Read(e.fd, buf[:])
	switch err {
	case nil:
		return binary.NativeEndian.Uint64(buf[:]), nil
	case unix.EAGAIN:
		return 0, nil
	}
	return 0, os.NewSyscallError("read", err)
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

// waiter is the file that Wait reads. The descriptor is its own from now on.
func (e *Eventfd) waiter() (*os.File, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return nil, os.ErrClosed
	case e.wait == nil:
		// The descriptor does not block, so NewFile gives it to the poller.
		// Fd() would take it away again and is never called.
		e.wait = os.NewFile(uintptr(e.fd), "eventfd")
	}
	return e.wait, nil
}

// Close closes the descriptor and wakes who waits. A second Close returns
// os.ErrClosed.
func (e *Eventfd) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return os.ErrClosed
	}
	e.closed = true
	if e.wait != nil {
		return closedError(e.wait.Close())
	}
	return os.NewSyscallError("close", unix.Close(e.fd))
}

func closedError(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return os.ErrClosed
	}
	return err
}
