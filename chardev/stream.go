package chardev

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxFDs is how many descriptors one message may carry, as in QEMU. The kernel closes the others.
const maxFDs = 16

// past is a deadline that ends reads and writes at once.
var past = time.Unix(1, 0)

// stream is an open byte stream: one connection, or the terminal, pty or file of a backend. Its
// descriptors are non-blocking wherever the kernel can poll them, so that kill ends what blocks.
type stream struct {
	r, w   *os.File // the same file, or one of them nil
	socket bool
	// direct, where set, lets tryWrite write without a wait.
	direct syscall.RawConn
	// mayHangUp says that hungUp can see the departure of the peer without reading.
	mayHangUp bool

	// session counts the sessions on a stream that has many (a pty).
	session atomic.Uint64

	once sync.Once
	dead chan struct{} // closed by kill
}

func newStream(r, w *os.File) *stream {
	return &stream{r: r, w: w, dead: make(chan struct{})}
}

// socketStream takes over fd, a connected socket.
func socketStream(fd int) (*stream, error) {
	err := unix.SetNonblock(fd, true)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "socket")
	s := newStream(f, f)
	s.socket, s.mayHangUp = true, true
	if s.direct, err = f.SyscallConn(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// kill ends reads and writes, those that run and those that come.
func (s *stream) kill() {
	s.once.Do(func() {
		close(s.dead)
		if s.r != nil {
			s.r.SetReadDeadline(past) // fails on files that cannot block either
		}
		if s.w != nil {
			s.w.SetWriteDeadline(past)
		}
	})
}

func (s *stream) killed() bool {
	select {
	case <-s.dead:
		return true
	default:
		return false
	}
}

// close closes the stream's files.
func (s *stream) close() {
	s.kill()
	if s.r != nil {
		s.r.Close()
	}
	if s.w != nil && s.w != s.r {
		s.w.Close()
	}
}

// read blocks until there is something to read: bytes and the descriptors that came with them,
// io.EOF at the end, or an error. Bytes and an error do not come together.
func (s *stream) read(p []byte) (int, []int, error) {
	if s.r == nil {
		return 0, nil, io.EOF
	}
	if !s.socket {
		n, err := s.r.Read(p)
		if n > 0 {
			err = nil
		}
		return n, nil, err
	}
	rc, err := s.r.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	oob := make([]byte, unix.CmsgSpace(maxFDs*4))
	var n, oobn int
	var rerr error
	err = rc.Read(func(fd uintptr) bool {
		for {
			n, oobn, _, _, rerr = unix.Recvmsg(int(fd), p, oob, unix.MSG_CMSG_CLOEXEC)
			if rerr != unix.EINTR {
				return rerr != unix.EAGAIN
			}
		}
	})
	if err == nil {
		err = rerr
	}
	if err != nil {
		return 0, nil, err
	}
	fds := rightsOf(oob[:oobn])
	if n == 0 {
		closeFDs(fds)
		return 0, nil, io.EOF
	}
	return n, fds, nil
}

// rightsOf returns the descriptors of the control messages in oob, blocking as QEMU makes them
// (O_NONBLOCK travels with the open file description).
func rightsOf(oob []byte) []int {
	if len(oob) == 0 {
		return nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var fds []int
	for i := range msgs {
		if f, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			fds = append(fds, f...)
		}
	}
	for _, fd := range fds {
		unix.SetNonblock(fd, false)
	}
	return fds
}

// write writes all of p, or returns an error with the number of bytes before it.
func (s *stream) write(p []byte) (int, error) {
	if s.w == nil {
		return len(p), nil
	}
	return s.w.Write(p)
}

// tryWrite writes what can be written of p at once, and returns how much that was. Nobody else may
// be writing.
func (s *stream) tryWrite(p []byte) (n int) {
	if s.direct == nil {
		return 0
	}
	// An error is for write to meet again.
	_ = s.direct.Write(func(fd uintptr) bool {
		if m, err := unix.Write(int(fd), p); err == nil {
			n = m
		}
		return true
	})
	return n
}

// hungUp says, without reading, whether the peer has closed the stream. One that closed its sending
// half only still counts as there, as in QEMU: its input may be waiting for a slow guest.
func (s *stream) hungUp() bool { return pollFor(s.r, unix.POLLHUP|unix.POLLERR) }

// pollFor says whether one of the poll events is pending on f now.
func pollFor(f *os.File, events int16) bool {
	rc, err := f.SyscallConn()
	if err != nil {
		return true
	}
	got := false
	if err := rc.Control(func(fd uintptr) {
		got = pollForFD(int(fd), events)
	}); err != nil {
		return true
	}
	return got
}

func pollForFD(fd int, events int16) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: events}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0 && p[0].Revents&events != 0
}

// openFile opens path for a backend through the registry's opener, with QEMU's error text.
func (r *Registry) openFile(path string, flags int, verb string) (*os.File, error) {
	open := r.OpenFile
	if open == nil {
		open = func(path string, flags int, perm uint32) (int, error) {
			for {
				fd, err := unix.Open(path, flags, perm)
				if !errors.Is(err, unix.EINTR) {
					return fd, err
				}
			}
		}
	}
	fd, err := open(path, flags|unix.O_CLOEXEC, 0o666)
	if err != nil {
		if w, ok := errors.AsType[interface {
			error
			Worded() bool
		}](err); ok && w.Worded() && verb == "create" {
			return nil, &Error{Desc: err.Error(), Err: err}
		}
		return nil, errnoError(err, "Could not %s '%s'", verb, path)
	}
	return nonblockFile(fd, path), nil
}

// nonblockFile takes over fd. It must be non-blocking before os.NewFile sees it, or each blocked
// call costs a thread and cannot be ended.
func nonblockFile(fd int, name string) *os.File {
	unix.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), name)
}

// logWrite writes to a logfile, best effort as in QEMU. The file is non-blocking: a FIFO that
// nobody drains must not hold up the writer.
func logWrite(f *os.File, p []byte) {
	rc, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = rc.Control(func(fd uintptr) {
		for len(p) > 0 {
			n, err := unix.Write(int(fd), p)
			if err == unix.EINTR {
				continue
			}
			if err != nil || n <= 0 {
				return
			}
			p = p[n:]
		}
	})
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
