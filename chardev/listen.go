package chardev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// backlog is how many clients the kernel keeps while one is connected. QEMU asks for 1; a few more
// spare a client that connects again and again a spurious EAGAIN.
const backlog = 8

// listener accepts on one socket, or on one per address that a host name stands for.
type listener struct {
	files   []*os.File
	pending []int  // accepted on one socket while another one won
	addr    string // of the first socket, as Filename shows it

	// path is the unix socket to unlink at the end, with its identity: a successor may have put
	// its own socket there.
	path     string
	dev, ino uint64
}

// listen makes the sockets of a server.
func listen(ctx context.Context, cfg SocketConfig) (*listener, error) {
	switch {
	case cfg.FD != nil:
		return listenFD(*cfg.FD)
	case cfg.inet():
		return listenInet(ctx, cfg)
	}
	return listenUnix(cfg)
}

func listenFD(fd int) (*listener, error) {
	if err := takeSocket(fd); err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		unix.Close(fd)
		return nil, errnoError(err, "Failed to listen on fd socket")
	}
	l := &listener{addr: fmt.Sprintf("fd:%d", fd)}
	if sa, err := unix.Getsockname(fd); err == nil {
		l.addr = addressOf(sa)
	}
	l.files = []*os.File{nonblockFile(fd, "socket")}
	return l, nil
}

// takeSocket checks that an inherited descriptor is a socket. One that is not is left alone: the
// number may be a wrong one, and belong to the Go runtime.
func takeSocket(fd int) error {
	if !isSocket(fd) {
		return errorf("File descriptor '%d' is not a socket", fd)
	}
	unix.CloseOnExec(fd)
	return nil
}

func isSocket(fd int) bool {
	_, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return err == nil
}

func listenUnix(cfg SocketConfig) (*listener, error) {
	path := cfg.Path
	if path == "" && !cfg.Abstract {
		f, err := os.CreateTemp("", "qemu-socket-")
		if err != nil {
			return nil, errnoError(err, "Failed to make a temporary socket %s", os.TempDir())
		}
		path = f.Name()
		f.Close()
		cfg.Path = path
	}
	sa, err := cfg.unixAddr()
	if err != nil {
		return nil, err
	}
	if !cfg.Abstract {
		if err := unix.Unlink(path); err != nil && err != unix.ENOENT && err != unix.ENOTDIR {
			return nil, errnoError(err, "Failed to unlink socket %s", path)
		}
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, errnoError(err, "Failed to create Unix socket")
	}
	if err := syscall.Bind(fd, sa); err != nil {
		unix.Close(fd)
		return nil, errnoError(err, "Failed to bind socket to %s", path)
	}
	l := &listener{addr: cfg.address()}
	if !cfg.Abstract {
		// The process may change its directory before it ends: -daemonize does.
		var st unix.Stat_t
		abs, aerr := filepath.Abs(path)
		if aerr == nil && unix.Lstat(abs, &st) == nil {
			l.path, l.dev, l.ino = abs, uint64(st.Dev), st.Ino
		}
	}
	if err := unix.Listen(fd, backlog); err != nil {
		unix.Close(fd)
		l.close()
		return nil, errnoError(err, "Failed to listen on socket")
	}
	l.files = []*os.File{os.NewFile(uintptr(fd), "socket")}
	return l, nil
}

// unixAddr is the address of a unix socket, with QEMU's error for one that does not fit. It is the
// standard library's type because x/sys/unix cannot express a padded abstract name.
func (cfg SocketConfig) unixAddr() (syscall.Sockaddr, error) {
	limit := 108 // sizeof(sun_path)
	if cfg.Abstract {
		limit-- // the leading NUL
	}
	if len(cfg.Path) > limit {
		return nil, &Error{
			Desc: fmt.Sprintf("UNIX socket path '%s' is too long", cfg.Path),
			Hint: fmt.Sprintf("Path must be less than %d bytes\n", limit),
		}
	}
	switch {
	case cfg.Abstract && cfg.Loose:
		return &syscall.SockaddrUnix{Name: "@" + cfg.Path + strings.Repeat("\x00", limit-len(cfg.Path))}, nil
	case cfg.Abstract:
		return &syscall.SockaddrUnix{Name: "@" + cfg.Path}, nil
	case strings.IndexByte(cfg.Path, 0) >= 0:
		return nil, errorf("UNIX socket path %q contains a NUL byte", cfg.Path)
	case strings.HasPrefix(cfg.Path, "@"):
		return &syscall.SockaddrUnix{Name: "./" + cfg.Path}, nil // else Go takes it for abstract
	}
	return &syscall.SockaddrUnix{Name: cfg.Path}, nil
}

func listenInet(ctx context.Context, cfg SocketConfig) (*listener, error) {
	addrs, port, err := cfg.resolve(ctx)
	if err != nil {
		return nil, err
	}
	l := &listener{}
	var firstErr error
	for _, ip := range addrs {
		fd, err := bindInet(cfg, ip, port)
		if err != nil {
			if firstErr == nil {
				firstErr = err
			}
			continue
		}
		if len(l.files) == 0 {
			if sa, err := unix.Getsockname(fd); err == nil {
				l.addr = addressOf(sa)
			}
		}
		l.files = append(l.files, os.NewFile(uintptr(fd), "socket"))
	}
	if len(l.files) == 0 {
		return nil, firstErr
	}
	return l, nil
}

// accept waits for the next client.
func (l *listener) accept(ctx context.Context) (int, error) {
	if len(l.pending) > 0 {
		fd := l.pending[0]
		l.pending = l.pending[1:]
		return fd, nil
	}
	if err := ctx.Err(); err != nil {
		return -1, err
	}
	// Whoever comes first ends the wait of the others, and then so does ctx.
	stop := context.AfterFunc(ctx, l.interrupt)
	var mu sync.Mutex
	var fds []int
	var lastErr error
	var wg sync.WaitGroup
	for _, f := range l.files {
		wg.Add(1)
		go func() {
			defer wg.Done()
			fd, err := acceptOn(f)
			mu.Lock()
			if err == nil {
				fds = append(fds, fd)
			} else if lastErr == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
				lastErr = err
			}
			mu.Unlock()
			l.interrupt()
		}()
	}
	wg.Wait()
	stop()
	if err := ctx.Err(); err != nil {
		closeFDs(fds)
		return -1, err
	}
	for _, f := range l.files {
		f.SetReadDeadline(noDeadline)
	}
	if len(fds) == 0 {
		return -1, lastErr
	}
	l.pending = append(l.pending, fds[1:]...)
	return fds[0], nil
}

func (l *listener) interrupt() {
	for _, f := range l.files {
		f.SetReadDeadline(past)
	}
}

func acceptOn(f *os.File) (int, error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var aerr error
	err = rc.Read(func(lfd uintptr) bool {
		for {
			fd, _, aerr = unix.Accept4(int(lfd), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			if aerr != unix.EINTR && aerr != unix.ECONNABORTED {
				return aerr != unix.EAGAIN
			}
		}
	})
	if err == nil {
		err = aerr
	}
	if err != nil {
		return -1, err
	}
	return fd, nil
}

func (l *listener) close() {
	for _, f := range l.files {
		f.Close()
	}
	closeFDs(l.pending)
	var st unix.Stat_t
	if l.path != "" && unix.Lstat(l.path, &st) == nil && uint64(st.Dev) == l.dev && st.Ino == l.ino {
		unix.Unlink(l.path)
	}
}
