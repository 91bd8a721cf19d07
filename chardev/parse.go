package chardev

import (
	"math"
	"strconv"
	"strings"
)

// ParseOpts reads the options of -chardev. Its errors have QEMU's texts, and it checks in QEMU's
// order: the id's form, names and types of all options, the presence of an id, the backend, the
// backend's own rules. That the id is free is checked by Registry.Add.
func ParseOpts(opts Opts) (id string, cfg Config, err error) {
	id, hasID := opts.Get("id")
	if hasID && !wellFormedID(id) {
		return "", nil, &Error{
			Desc: "Parameter 'id' expects an identifier",
			Hint: "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.\n",
		}
	}
	if err := checkOpts(opts); err != nil {
		return "", nil, err
	}
	if !hasID {
		return "", nil, errorf("chardev: no id specified")
	}
	if _, ok := opts.Get("backend"); !ok {
		return "", nil, errorf("chardev: \"%s\" missing backend", id)
	}
	cfg, err = parseBackend(optReader{opts})
	if err != nil {
		return "", nil, err
	}
	return id, cfg, nil
}

// ParseBackend is ParseOpts for a chardev whose id is known: any id among the options does not
// count.
func ParseBackend(opts Opts) (Config, error) {
	if err := checkOpts(opts); err != nil {
		return nil, err
	}
	return parseBackend(optReader{opts})
}

// parseBackend makes the configuration of the backend that checked options name.
func parseBackend(o optReader) (Config, error) {
	co := Common{Logfile: o.str("logfile"), LogAppend: o.bool("logappend", false), Mux: o.bool("mux", false)}
	path := o.str("path")
	switch backend := o.str("backend"); backend {
	case "null":
		return NullConfig{co}, nil
	case "vc":
		return VCConfig{co}, nil
	case "stdio":
		return StdioConfig{Common: co, Signal: o.bool("signal", true)}, nil
	case "pty":
		return PtyConfig{Common: co, Path: path}, nil
	case "file":
		if !o.has("path") {
			return nil, errorf("chardev: file: no filename given")
		}
		return FileConfig{Common: co, Path: path, Append: o.bool("append", false), Input: o.str("input-path")}, nil
	case "pipe":
		if !o.has("path") {
			return nil, errorf("chardev: pipe: no device path given")
		}
		return PipeConfig{Common: co, Path: path}, nil
	case "ringbuf", "memory":
		c := RingbufConfig{Common: co, Memory: backend == "memory"}
		if o.has("size") {
			size, _ := parseSize("size", o.str("size"))
			if size > math.MaxInt64 {
				size = math.MaxInt64 // no power of two, like its original: refused by Add
			}
			c.Size = int64(size)
		}
		return c, nil
	case "mux":
		if !o.has("chardev") {
			return nil, errorf("chardev: mux: no chardev given")
		}
		return MuxConfig{Common: co, Chardev: o.str("chardev")}, nil
	case "socket":
		return parseSocket(o, co)
	default:
		return nil, errorf("'%s' is not a valid char driver name", backend)
	}
}

func parseSocket(o optReader, co Common) (Config, error) {
	kinds := 0
	for _, name := range []string{"path", "fd", "host"} {
		if o.has(name) {
			kinds++
		}
	}
	if kinds > 1 {
		return nil, errorf("None or one of 'path', 'fd' or 'host' option required.")
	}
	if o.has("host") && !o.has("port") {
		return nil, errorf("chardev: socket: no port given")
	}
	if o.has("delay") && o.has("nodelay") {
		return nil, errorf("'delay' and 'nodelay' are mutually exclusive")
	}
	c := SocketConfig{
		Common:  co,
		Server:  o.bool("server", false),
		Wait:    o.bool("wait", true),
		Nodelay: !o.bool("delay", true) || o.bool("nodelay", false),
	}
	c.Wait = c.Wait && c.Server

	switch {
	case o.has("path"):
		c.Path = o.str("path")
		c.Abstract = o.bool("abstract", false)
		c.Loose = !o.bool("tight", true)
	case o.has("host"):
		c.Host, c.Port = o.str("host"), o.str("port")
		if c.Host == "" && c.Port == "" {
			c.Port = "0" // what an empty port means to a server; a client fails for its host
		}
		c.To = int(min(o.number("to"), 65535))
		c.IPv4, c.IPv6 = o.optBool("ipv4"), o.optBool("ipv6")
	}

	// The combinations, in QEMU's order.
	if o.has("tls-creds") {
		return nil, errorf("No TLS credentials with id '%s'", o.str("tls-creds"))
	}
	isFD := !o.has("path") && !o.has("host")
	if isFD && o.has("reconnect") {
		return nil, errorf("'reconnect' option is incompatible with 'fd' address type")
	}
	if o.has("tls-authz") {
		return nil, errorf("'tls_authz' option requires 'tls_creds' option")
	}
	if c.Server {
		if o.has("reconnect") {
			return nil, errorf("'reconnect' option is incompatible with socket in server listen mode")
		}
	} else {
		if o.bool("websocket", false) {
			return nil, errorf("Websocket client is not implemented")
		}
		if o.has("wait") {
			return nil, errorf("'wait' option is incompatible with socket in client connect mode")
		}
	}
	for _, name := range []string{"telnet", "tn3270", "websocket"} {
		if o.bool(name, false) {
			return nil, errorf("chardev: socket: '%s' is not supported", name)
		}
	}
	if n := int64(o.number("reconnect")); n > 0 {
		c.Reconnect = n
	}
	if isFD {
		fd, err := strconv.ParseInt(strings.TrimSpace(o.str("fd")), 10, 32)
		if err != nil {
			return nil, errorf("Unable to parse FD number %s", o.str("fd"))
		}
		if fd < 0 {
			return nil, errorf("File descriptor '%d' is not a socket", fd)
		}
		n := int(fd)
		c.FD = &n
	}
	return c, nil
}
