package system

import (
	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/qapi"
)

// config is the configuration that b describes. Its errors are those of a
// backend that cannot be opened.
func (b *ChardevBackend) config(s qapi.Session) (chardev.Config, error) {
	switch {
	case b.File != nil:
		d := &b.File.Data
		return chardev.FileConfig{Common: d.common(), Path: d.Out, Append: deref(d.Append), Input: deref(d.In)}, nil
	case b.Pipe != nil:
		return chardev.PipeConfig{Common: b.Pipe.Data.common(), Path: b.Pipe.Data.Device}, nil
	case b.Socket != nil:
		return b.Socket.Data.config(s)
	case b.Pty != nil:
		return chardev.PtyConfig{Common: b.Pty.Data.common()}, nil
	case b.Null != nil:
		return chardev.NullConfig{Common: b.Null.Data.common()}, nil
	case b.Mux != nil:
		return chardev.MuxConfig{Common: b.Mux.Data.common(), Chardev: b.Mux.Data.Chardev}, nil
	case b.Stdio != nil:
		d := &b.Stdio.Data
		return chardev.StdioConfig{Common: d.common(), Signal: d.Signal == nil || *d.Signal}, nil
	case b.VC != nil:
		return chardev.VCConfig{Common: b.VC.Data.common()}, nil
	case b.Ringbuf != nil:
		return chardev.RingbufConfig{Common: b.Ringbuf.Data.common(), Size: deref(b.Ringbuf.Data.Size)}, nil
	default:
		return chardev.RingbufConfig{Common: b.Memory.Data.common(), Size: deref(b.Memory.Data.Size), Memory: true}, nil
	}
}

func (c *ChardevCommon) common() chardev.Common {
	return chardev.Common{Logfile: deref(c.Logfile), LogAppend: deref(c.LogAppend), Quiet: true}
}

// deref is what p points to, the zero value for nil.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// config looks at what does not go together in QEMU's order.
func (d *ChardevSocket) config(s qapi.Session) (chardev.Config, error) {
	server := d.Server == nil || *d.Server
	isFD := d.Addr.FD != nil
	reconnect := deref(d.Reconnect)
	switch {
	case d.TLSCreds != nil:
		return nil, qapi.Errorf("No TLS credentials with id '%s'", *d.TLSCreds)
	case isFD && reconnect != 0:
		return nil, qapi.Errorf("'reconnect' option is incompatible with 'fd' address type")
	case d.TLSAuthz != nil:
		return nil, qapi.Errorf("'tls_authz' option requires 'tls_creds' option")
	case server && reconnect != 0:
		return nil, qapi.Errorf("'reconnect' option is incompatible with socket in server listen mode")
	case !server && deref(d.Websocket):
		return nil, qapi.Errorf("Websocket client is not implemented")
	case !server && d.Wait != nil:
		return nil, qapi.Errorf("'wait' option is incompatible with socket in client connect mode")
	}
	for name, on := range map[string]*bool{"telnet": d.Telnet, "tn3270": d.TN3270, "websocket": d.Websocket} {
		if deref(on) {
			return nil, qapi.Errorf("chardev: socket: '%s' is not supported", name)
		}
	}
	c := chardev.SocketConfig{
		Common: d.common(), Server: server, Wait: deref(d.Wait), Nodelay: deref(d.Nodelay), Reconnect: max(reconnect, 0),
	}
	switch a := &d.Addr; {
	case a.Unix != nil:
		u := &a.Unix.Data
		c.Path, c.Abstract, c.Loose = u.Path, deref(u.Abstract), u.Tight != nil && !*u.Tight
	case a.Inet != nil:
		i := &a.Inet.Data
		c.Host, c.Port, c.To, c.IPv4, c.IPv6 = i.Host, i.Port, int(deref(i.To)), i.IPv4, i.IPv6
		if c.Host == "" && c.Port == "" {
			c.Port = "0"
		}
	case isFD:
		fd, err := namedFD(s, a.FD.Data.Str)
		if err != nil {
			return nil, err
		}
		c.FD = &fd
	default:
		return nil, qapi.Errorf("socket family AF_VSOCK unsupported")
	}
	return c, nil
}

// namedFD takes a descriptor that getfd gave a name. A number is none: it could
// be any file of this process.
func namedFD(s qapi.Session, name string) (int, error) {
	if s != nil {
		if fd, ok := s.FD(name); ok {
			return fd, nil
		}
	}
	return -1, qapi.Errorf("File descriptor named '%s' has not been found", name)
}
