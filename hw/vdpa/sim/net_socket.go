package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/errno"
)

const (
	// A client tries to connect again after reconnectMin, and then less and
	// less often.
	reconnectMin = 20 * time.Millisecond
	reconnectMax = time.Second
	// socketBuffer is how much may be on its way to the peer, in bytes, where
	// the kernel allows it.
	socketBuffer = 4 << 20
	// maxSocketPath is the size of sun_path.
	maxSocketPath = 108
)

// socketWire is a cable between two processes: a unix socket of type
// SOCK_SEQPACKET, one frame in a message. A server has one client at a time and
// turns others away; a client connects again when the server has gone.
type socketWire struct {
	plain
	to     station
	path   string   // absolute
	listen *os.File // a server's
	// ino tells the server's socket from a successor's at the same path.
	dev, ino uint64
	quit     chan struct{}
	tasks    sync.WaitGroup

	mu     sync.RWMutex // guards all below
	closed bool
	conn   *os.File // nil while there is no peer
	fd     int      // conn's
}

// newSocketWire begins to listen, or to connect.
func newSocketWire(to station, path string, server bool) (*socketWire, error) {
	abs, err := filepath.Abs(path) // -daemonize changes the directory
	if err != nil {
		return nil, err
	}
	w := &socketWire{to: to, path: abs, quit: make(chan struct{}), fd: -1}
	if len(abs) >= maxSocketPath || strings.IndexByte(abs, 0) >= 0 {
		return nil, fmt.Errorf("UNIX socket path '%s' is too long", path)
	}
	if !server {
		w.tasks.Go(w.client)
		return w, nil
	}
	if w.listen, err = listenPackets(abs); err != nil {
		return nil, err
	}
	if dev, ino, ok := identity(abs); ok {
		w.dev, w.ino = dev, ino
	}
	conn, err := w.listen.SyscallConn()
	if err != nil {
		w.listen.Close()
		return nil, err
	}
	w.tasks.Go(func() { w.server(conn) })
	return w, nil
}

// identity tells one file from another.
func identity(path string) (dev, ino uint64, ok bool) {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	return uint64(st.Dev), st.Ino, err == nil
}

// packetSocket makes a socket that does not block.
func packetSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("Failed to create Unix socket: %s", errno.Text(err))
	}
	return fd, nil
}

// listenPackets listens in place of whatever socket was there before.
func listenPackets(path string) (*os.File, error) {
	if err := unix.Unlink(path); err != nil && err != unix.ENOENT && err != unix.ENOTDIR {
		return nil, fmt.Errorf("Failed to unlink socket %s: %s", path, errno.Text(err))
	}
	fd, err := packetSocket()
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("Failed to bind socket to %s: %s", path, errno.Text(err))
	}
	if err := unix.Listen(fd, 1); err != nil {
		unix.Close(fd)
		unix.Unlink(path)
		return nil, fmt.Errorf("Failed to listen on socket: %s", errno.Text(err))
	}
	return os.NewFile(uintptr(fd), path), nil
}

// server accepts clients until the wire is closed.
func (w *socketWire) server(conn syscall.RawConn) {
	for {
		fd := -1
		err := conn.Read(func(l uintptr) bool {
			var err error
			fd, _, err = unix.Accept4(int(l), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			return err != unix.EAGAIN
		})
		if err != nil {
			return
		}
		if fd < 0 { // a client that has gone again, or no descriptor left
			if !w.pause(reconnectMin) {
				return
			}
			continue
		}
		if f := w.take(fd); f != nil {
			w.tasks.Go(func() { w.receive(f) })
		}
	}
}

// client keeps a connection to the server.
func (w *socketWire) client() {
	for wait := reconnectMin; ; wait = min(2*wait, reconnectMax) {
		if fd := w.dial(); fd >= 0 {
			begun := time.Now()
			if f := w.take(fd); f != nil {
				w.receive(f)
			}
			if time.Since(begun) > reconnectMax { // it was no server that turns us away
				wait = reconnectMin
			}
		}
		if !w.pause(wait) {
			return
		}
	}
}

// dial connects to the server, -1 if it is not there.
func (w *socketWire) dial() int {
	fd, err := packetSocket()
	if err != nil {
		return -1
	}
	if unix.Connect(fd, &unix.SockaddrUnix{Name: w.path}) != nil {
		unix.Close(fd)
		return -1
	}
	return fd
}

// pause waits and tells whether the wire is still open.
func (w *socketWire) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-w.quit:
		return false
	case <-t.C:
		return true
	}
}

// take makes a descriptor the connection. Where there is one, or the wire is
// closed, it is closed at once and take gives nil.
func (w *socketWire) take(fd int) *os.File {
	// As much as the kernel allows.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, socketBuffer)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.conn != nil {
		unix.Close(fd)
		return nil
	}
	w.conn, w.fd = os.NewFile(uintptr(fd), w.path), fd
	return w.conn
}

// receive reads frames until the peer has gone.
func (w *socketWire) receive(conn *os.File) {
	w.to.linkChanged()
	// One byte more, to know what is too long.
	buf := make([]byte, maxFrame+1)
	var f frame
	for {
		n, err := conn.Read(buf)
		if err != nil {
			break
		}
		if n >= minFrame && n <= maxFrame {
			f = frame{data: buf[:n]}
			w.to.arrive(-1, &f)
		}
	}
	w.mu.Lock()
	w.conn, w.fd = nil, -1
	w.mu.Unlock()
	conn.Close()
	w.to.linkChanged()
}

// send is part of wire. What does not fit into the socket's buffer is lost.
func (w *socketWire) send(_ int, f *frame) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for w.fd >= 0 {
		n, err := unix.SendmsgN(w.fd, f.data, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err == nil && n == len(f.data)
		}
	}
	return false
}

func (w *socketWire) connected() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.conn != nil
}

func (w *socketWire) close() {
	w.mu.Lock()
	w.closed = true
	if w.conn != nil {
		w.conn.Close() // the reader sees it
		w.fd = -1
	}
	w.mu.Unlock()
	close(w.quit)
	if w.listen != nil {
		w.listen.Close()
		if dev, ino, ok := identity(w.path); ok && dev == w.dev && ino == w.ino {
			unix.Unlink(w.path)
		}
	}
	w.tasks.Wait()
}
