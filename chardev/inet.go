package chardev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// noDeadline takes a deadline away.
var noDeadline time.Time

// resolve looks host and port up as getaddrinfo does, with QEMU's errors.
func (cfg SocketConfig) resolve(ctx context.Context) ([]netip.Addr, uint16, error) {
	no := func(b *bool) bool { return b != nil && !*b }
	yes := func(b *bool) bool { return b != nil && *b }
	if no(cfg.IPv4) && no(cfg.IPv6) {
		return nil, 0, errorf("Cannot disable IPv4 and IPv6 at same time")
	}
	want4, want6 := true, true
	if yes(cfg.IPv4) != yes(cfg.IPv6) {
		want4, want6 = yes(cfg.IPv4), yes(cfg.IPv6)
	} else if no(cfg.IPv4) {
		want4 = false
	} else if no(cfg.IPv6) {
		want6 = false
	}
	fail := func(why string) error {
		return errorf("address resolution failed for %s:%s: %s", cfg.Host, cfg.Port, why)
	}

	var port uint16
	if n, err := strconv.ParseUint(cfg.Port, 10, 32); err == nil {
		port = uint16(n) // getaddrinfo cuts larger numbers off, too
	} else if cfg.Port != "" {
		n, err := net.DefaultResolver.LookupPort(ctx, "tcp", cfg.Port)
		if err != nil {
			return nil, 0, fail("Servname not supported for ai_socktype")
		}
		port = uint16(n)
	}

	var addrs []netip.Addr
	switch ip, err := netip.ParseAddr(cfg.Host); {
	case err == nil:
		addrs = []netip.Addr{ip}
	case cfg.Host == "" && cfg.Server:
		addrs = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	case cfg.Host == "":
		return nil, 0, fail("Name or service not known")
	default:
		addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", cfg.Host)
		if err != nil {
			return nil, 0, fail("Name or service not known")
		}
		// IPv4 first, which glibc answers for localhost as well.
		slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return a.Unmap().BitLen() - b.Unmap().BitLen() })
	}
	var out []netip.Addr
	for _, a := range addrs {
		a = a.Unmap()
		if a.Is4() && want4 || a.Is6() && want6 {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, 0, fail("Address family for hostname not supported")
	}
	return out, port, nil
}

func sockaddr(ip netip.Addr, port uint16) (int, unix.Sockaddr) {
	if ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(port), Addr: ip.As4()}
	}
	sa := &unix.SockaddrInet6{Port: int(port), Addr: ip.As16()}
	if zone := ip.Zone(); zone != "" {
		if ifi, err := net.InterfaceByName(zone); err == nil {
			sa.ZoneId = uint32(ifi.Index)
		} else if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
			sa.ZoneId = uint32(n)
		}
	}
	return unix.AF_INET6, sa
}

// bindInet makes a listening socket on ip and the first free port from port to cfg.To.
func bindInet(cfg SocketConfig, ip netip.Addr, port uint16) (int, error) {
	last := max(int(port), min(cfg.To, 65535))
	for p := int(port); p <= last; p++ {
		family, sa := sockaddr(ip, uint16(p))
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return -1, errnoError(err, "Failed to create a socket")
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		if family == unix.AF_INET6 {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
		}
		verb := "bind"
		if err = unix.Bind(fd, sa); err == nil {
			verb = "listen on"
			err = unix.Listen(fd, backlog)
		}
		if err == nil {
			return fd, nil
		}
		unix.Close(fd)
		if err != unix.EADDRINUSE {
			return -1, errnoError(err, "Failed to %s socket", verb)
		}
	}
	return -1, errnoError(unix.EADDRINUSE, "Failed to find an available port")
}

// connect makes a client's socket.
func connect(ctx context.Context, cfg SocketConfig) (int, error) {
	switch {
	case cfg.FD != nil:
		return *cfg.FD, takeSocket(*cfg.FD)
	case cfg.inet():
		return connectInet(ctx, cfg)
	}
	sa, err := cfg.unixAddr()
	if err != nil {
		return -1, err
	}
	for {
		fd, err := connectTo(ctx, unix.AF_UNIX, func(fd int) error { return syscall.Connect(fd, sa) })
		if err == nil {
			return fd, nil
		}
		// The server's backlog is full. A blocking connect waits for it.
		if !errors.Is(err, unix.EAGAIN) {
			return -1, errnoError(err, "Failed to connect to '%s'", cfg.Path)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return -1, errnoError(unix.ECANCELED, "Failed to connect to '%s'", cfg.Path)
		}
	}
}

func connectInet(ctx context.Context, cfg SocketConfig) (int, error) {
	addrs, port, err := cfg.resolve(ctx)
	if err != nil {
		return -1, err
	}
	for _, ip := range addrs {
		family, sa := sockaddr(ip, port)
		var fd int
		if fd, err = connectTo(ctx, family, func(fd int) error { return unix.Connect(fd, sa) }); err == nil {
			return fd, nil
		}
	}
	return -1, errnoError(err, "Failed to connect to '%s:%s'", cfg.Host, cfg.Port)
}

// connectTo makes a socket and connects it by start, the connect call. It gives up when ctx is done.
func connectTo(ctx context.Context, family int, start func(fd int) error) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	for {
		if err = start(fd); err != unix.EINTR {
			break
		}
	}
	if err == nil {
		return fd, nil
	}
	if err != unix.EINPROGRESS && err != unix.EALREADY {
		unix.Close(fd)
		return -1, err
	}
	// The descriptor cannot be taken out of an os.File again, so a duplicate waits.
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err = awaitConnect(ctx, os.NewFile(uintptr(dup), "socket")); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// awaitConnect waits until the connection attempt on f has ended, and closes f.
func awaitConnect(ctx context.Context, f *os.File) error {
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.SetWriteDeadline(past) })()
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	asked := false
	var result error
	err = rc.Write(func(fd uintptr) bool {
		if !asked && !pollForFD(int(fd), unix.POLLOUT|unix.POLLERR|unix.POLLHUP) {
			asked = true
			return false
		}
		n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && n != 0 {
			err = unix.Errno(n)
		}
		result = err
		return true
	})
	if ctx.Err() != nil {
		return unix.ECANCELED
	}
	if err != nil {
		return err
	}
	return result
}

// addressOf is a listening socket's address as Filename shows it.
func addressOf(sa unix.Sockaddr) string {
	switch sa := sa.(type) {
	case *unix.SockaddrUnix:
		if sa.Name == "@" {
			return "unix:" // unnamed: Go shows the NUL of every name without a path as @
		}
		if sa.Name != "" && sa.Name[0] == '@' {
			return "unix:" + sa.Name[1:] + ",abstract=on,tight=on"
		}
		return "unix:" + sa.Name
	case *unix.SockaddrInet4:
		return fmt.Sprintf("tcp:%s:%d", netip.AddrFrom4(sa.Addr), sa.Port)
	case *unix.SockaddrInet6:
		return fmt.Sprintf("tcp:%s:%d", netip.AddrFrom16(sa.Addr), sa.Port)
	}
	return "unknown"
}

// hostPort is one end of a TCP connection as Filename shows it.
func hostPort(sa unix.Sockaddr) string {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return fmt.Sprintf("%s:%d", netip.AddrFrom4(sa.Addr), sa.Port)
	case *unix.SockaddrInet6:
		return fmt.Sprintf("[%s]:%d", netip.AddrFrom16(sa.Addr), sa.Port)
	}
	return ":"
}
