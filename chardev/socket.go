package chardev

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// socketBackend is the backend "socket" in its three roles: a server, a client that connects once,
// and a client that connects again and again.
type socketBackend struct {
	cfg   SocketConfig
	l     *listener     // a server's; nil otherwise
	addr  string        // what Filename shows without a peer, after "disconnected:"
	first *stream       // the session that openSocket made; nil if there is none yet
	retry time.Duration // a reconnecting client's pause; 0 otherwise
	// reported says that a failure to connect was reported since the last success.
	reported bool
}

func openSocket(c *Chardev, cfg SocketConfig) error {
	if err := cfg.validate(); err != nil {
		releaseFD(cfg)
		return err
	}
	b := &socketBackend{cfg: cfg, addr: cfg.address()}
	if cfg.Server {
		l, err := listen(c.ctx, cfg)
		if err != nil {
			return err
		}
		b.l = l
		b.addr = l.addr
		c.filename = b.disconnected()
		if cfg.Wait {
			c.reg.message("info: QEMU waiting for connection on: %s", c.filename)
			if b.first, err = b.accept(c); err != nil {
				l.close()
				return err
			}
		}
	} else if cfg.Reconnect > 0 {
		b.retry = c.reg.seconds(cfg.Reconnect)
		c.filename = b.disconnected()
	} else {
		s, err := b.connect(c.ctx)
		if err != nil {
			return err
		}
		b.first = s
	}
	c.be = b
	if b.first != nil {
		c.openStream(b.first, b.connected(b.first))
	}
	return nil
}

// validate refuses combinations that QEMU refuses, whoever made the configuration.
func (cfg SocketConfig) validate() error {
	if cfg.Server && cfg.Reconnect != 0 {
		return errorf("'reconnect' option is incompatible with socket in server listen mode")
	}
	if cfg.FD != nil && cfg.Reconnect != 0 {
		return errorf("'reconnect' option is incompatible with 'fd' address type")
	}
	return nil
}

func (b *socketBackend) run(c *Chardev) {
	if b.first != nil {
		b.serve(c, b.first)
	}
	for c.ctx.Err() == nil {
		var s *stream
		var err error
		switch {
		case b.l != nil:
			s, err = b.accept(c)
		case b.retry > 0:
			if s, err = b.connect(c.ctx); err != nil && c.ctx.Err() == nil && !b.reported {
				c.reg.message("Unable to connect character device %s: %v", c.id, err)
				b.reported = true
			}
		default:
			return // a client that connects once
		}
		if err != nil {
			pause := b.retry
			if b.l != nil {
				pause = 100 * time.Millisecond // out of descriptors: let others close theirs
			}
			b.sleep(c.ctx, pause)
			continue
		}
		b.reported = false
		c.openStream(s, b.connected(s))
		b.serve(c, s)
		b.sleep(c.ctx, b.retry)
	}
}

// serve reads the session s to its end and closes it.
func (b *socketBackend) serve(c *Chardev, s *stream) {
	stop := context.AfterFunc(c.ctx, s.kill)
	if c.pump(s) {
		// The peer may have closed its sending half only, and wait for the answers.
		ctx, cancel := context.WithTimeout(c.ctx, c.reg.seconds(closeFlush))
		_ = c.Flush(ctx) // bounded best effort
		cancel()
	}
	stop()
	s.close()
	c.closeStream(b.disconnected())
}

func (b *socketBackend) close() {
	if b.l != nil {
		b.l.close()
	}
}

func (b *socketBackend) sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (b *socketBackend) accept(c *Chardev) (*stream, error) {
	fd, err := b.l.accept(c.ctx)
	if err != nil {
		return nil, errnoError(err, "Failed to accept a connection")
	}
	return b.stream(fd)
}

func (b *socketBackend) connect(ctx context.Context) (*stream, error) {
	fd, err := connect(ctx, b.cfg)
	if err != nil {
		return nil, err
	}
	return b.stream(fd)
}

func (b *socketBackend) stream(fd int) (*stream, error) {
	if b.cfg.Nodelay {
		// It fails on unix sockets, where it means nothing.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	s, err := socketStream(fd)
	if err != nil {
		return nil, errnoError(err, "Failed to set up a socket")
	}
	return s, nil
}

// disconnected is Filename without a peer.
func (b *socketBackend) disconnected() string { return "disconnected:" + b.addr + b.server() }

func (b *socketBackend) server() string {
	if b.cfg.Server {
		return ",server=on"
	}
	return ""
}

// connected is Filename with the peer of s: the local address of a unix socket (which a client
// does not have), both addresses of a TCP connection.
func (b *socketBackend) connected(s *stream) string {
	rc, err := s.r.SyscallConn()
	if err != nil {
		return "unknown"
	}
	var local, peer unix.Sockaddr
	if err := rc.Control(func(fd uintptr) {
		local, _ = unix.Getsockname(int(fd))
		peer, _ = unix.Getpeername(int(fd)) // gone already: shown without its address
	}); err != nil {
		return "unknown"
	}
	switch sa := local.(type) {
	case *unix.SockaddrUnix:
		name := sa.Name
		if name != "" && name[0] == '@' && (name == "@" || b.cfg.Abstract || b.cfg.FD != nil) {
			name = "" // QEMU prints up to the first NUL, with which abstract and no names begin
		}
		return "unix:" + name + b.server()
	case *unix.SockaddrInet4, *unix.SockaddrInet6:
		return fmt.Sprintf("tcp:%s%s <-> %s", hostPort(local), b.server(), hostPort(peer))
	}
	return "unknown"
}

// address is the configured address as Filename shows it.
func (cfg SocketConfig) address() string {
	switch {
	case cfg.FD != nil:
		return fmt.Sprintf("fd:%d", *cfg.FD)
	case cfg.inet():
		return fmt.Sprintf("tcp:%s:%s", cfg.Host, cfg.Port)
	}
	s := "unix:" + cfg.Path
	if cfg.Abstract {
		s += ",abstract=on"
		if !cfg.Loose {
			s += ",tight=on"
		}
	}
	return s
}

func (cfg SocketConfig) inet() bool { return cfg.FD == nil && (cfg.Host != "" || cfg.Port != "") }
