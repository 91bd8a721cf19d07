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
	return p, nil
}

// add reports each signal of fd from now on as tag. One that has come already
// is reported too.
func (p *poller) add(fd int, tag int32) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: tag}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev)
}

func (p *poller) remove(fd int) { _ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil) }

// wait blocks until something was signalled. It fails once p is closed.
func (p *poller) wait(events []unix.EpollEvent) (n int, err error) {
	rerr := p.conn.Read(func(fd uintptr) bool {
		n, err = unix.EpollWait(int(fd), events, 0)
		if err == unix.EINTR {
			n, err = 0, nil
		}
		return n > 0 || err != nil
	})
	if rerr != nil {
		return 0, rerr
	}
	return n, err
}

func (p *poller) close() { p.f.Close() }
