package sim

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller waits for signals of eventfds without taking their counts, as the
// kernel does: they are the caller's. A goroutine that waits costs no thread.
type poller struct {
	f    *os.File // an epoll instance, itself in the runtime's poller
	conn syscall.RawConn
	fd   int

	// What look works on, for wait, which one goroutine calls. A closure for
	// each wait would be garbage.
	look   func(fd uintptr) bool
	events []unix.EpollEvent
	n      int
	err    error
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// The runtime's poller takes only what does not block; an epoll instance
	// never does, but has to say so.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{f: os.NewFile(uintptr(fd), "epoll"), fd: fd}
	if p.conn, err = p.f.SyscallConn(); err != nil {
		p.f.Close()
		return nil, err
	}
	p.look = func(fd uintptr) bool {
		p.n, p.err = unix.EpollWait(int(fd), p.events, 0)
		if p.err == unix.EINTR {
			p.n, p.err = 0, nil
		}
		return p.n > 0 || p.err != nil
	}
	return p, nil
}

// add reports each signal of fd from now on as tag. One that has come already
// is reported too.
func (p *poller) add(fd int, tag int32) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: tag}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev)
}

func (p *poller) remove(fd int) { _ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil) }

// wait blocks until something was signalled. It fails once p is closed. One
// goroutine at a time waits.
func (p *poller) wait(events []unix.EpollEvent) (n int, err error) {
	p.events = events
	if err := p.conn.Read(p.look); err != nil {
		return 0, err
	}
	return p.n, p.err
}

func (p *poller) close() { p.f.Close() }
