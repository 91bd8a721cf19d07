package sys

import (
	"encoding/binary"
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Eventfd is an eventfd(2): a counter that one side adds to and the other
// waits for. It is close-on-exec and does not block, so that a goroutine
// that waits for it costs no thread, and Close wakes it. Its methods may be
// called by several goroutines at a time.
type Eventfd struct {
	f    *os.File
	conn syscall.RawConn
	fd   int
}

// NewEventfd makes an eventfd with a count of zero.
func NewEventfd() (*Eventfd, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	// The descriptor does not block, so NewFile gives it to the runtime's
	// poller. f.Fd() would take it away again and is never called.
	f := os.NewFile(uintptr(fd), "eventfd")
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
	var buf [8]byte
	if _, err := e.f.Read(buf[:]); err != nil {
		return 0, closedError(err)
	}
	return binary.NativeEndian.Uint64(buf[:]), nil
}

// Close closes the descriptor and wakes who waits. A second Close returns
// os.ErrClosed.
func (e *Eventfd) Close() error { return closedError(e.f.Close()) }

func closedError(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return os.ErrClosed
	}
	return err
}
