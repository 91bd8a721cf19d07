package chardev

import (
	"strings"
)

// SyntaxError is ParseFilename's error for what is no address of a backend at all. QEMU reports
// it in two lines: Text, if it is not empty, and one that depends on the option, such as
// "parse error: nosuch" of -qmp and "could not connect serial device to character backend
// 'nosuch'" of -serial.
type SyntaxError struct {
	Text string // "'nosuch' is not a valid char driver"; empty where QEMU says nothing
	Err  error  // the cause, if there is one; its text is Text
}

// Error returns Text.
func (e *SyntaxError) Error() string { return e.Text }

// Unwrap returns the cause.
func (e *SyntaxError) Unwrap() error { return e.Err }

// optPair and optPairs are options as ParseFilename finds them.
type optPair struct{ name, value string }

type optPairs []optPair

// Get returns the last value of the option name.
func (o optPairs) Get(name string) (string, bool) {
	for i := len(o) - 1; i >= 0; i-- {
		if o[i].name == name {
			return o[i].value, true
		}
	}
	return "", false
}

// Names returns the names in their order.
func (o optPairs) Names() []string {
	names := make([]string, len(o))
	for i, p := range o {
		names[i] = p.name
	}
	return names
}

// ParseFilename reads the form of -serial, -monitor, -qmp and -qtest: "null", "stdio", "pty",
// "vc", "unix:PATH[,server=on][,wait=off]", "tcp:HOST:PORT[,...]", "file:PATH", "pipe:PATH". What
// QEMU has no parser for is a *SyntaxError, and what a parser refuses an *Error with QEMU's text.
// "chardev:ID" names a chardev that exists already, and is the caller's to look up.
// A multiplexer ("mon:" in front, or mux=on) is an error.
func ParseFilename(s string) (Config, error) { return parseFilename(s, false) }

// ParseMuxFilename is ParseFilename for options that allow a multiplexer: -serial and -monitor. If
// Multiplexed of the Config says true, -serial wants a monitor on it besides.
func ParseMuxFilename(s string) (Config, error) { return parseFilename(s, true) }

func parseFilename(s string, mux bool) (Config, error) {
	if err := CheckFilename(s, mux); err != nil {
		return nil, err
	}
	o, err := monOpts(s)
	if err != nil {
		return nil, err
	}
	cfg, err := parseBackend(optReader{o})
	if err == nil && cfg.Multiplexed() && !mux {
		return nil, errNoMux
	}
	return cfg, err
}

var errNoMux = &SyntaxError{Text: "mon: isn't supported in this context"}

// CheckFilename says whether ParseFilename would return a *SyntaxError for s, and returns it. It
// opens nothing: QEMU checks -qmp and -monitor so while it parses the command line, and what the
// backend thinks of its options comes later. "mon:" in front is an error unless mux.
func CheckFilename(s string, mux bool) error {
	if !mux && strings.HasPrefix(s, "mon:") {
		return errNoMux
	}
	_, err := monOpts(s)
	return err
}

// monOpts is filenameOpts for s with or without "mon:" in front.
func monOpts(s string) (optPairs, error) {
	s, mon := strings.CutPrefix(s, "mon:")
	o, err := filenameOpts(s)
	if mon && err == nil {
		o = append(optPairs{{"mux", "on"}}, o...)
		if s == "stdio" {
			// ^C is for the guest: Ctrl-A x ends the program.
			o = append(o, optPair{"signal", "off"})
		}
	}
	return o, err
}

// filenameOpts turns the form into the options that -chardev would have.
func filenameOpts(s string) (optPairs, error) {
	backend := func(name string, more ...optPair) (optPairs, error) {
		return append(optPairs{{"backend", name}}, more...), nil
	}
	switch s {
	case "null", "pty", "msmouse", "wctablet", "braille", "testdev", "stdio":
		return backend(s)
	case "con:":
		return backend("console")
	}
	if p, ok := strings.CutPrefix(s, "vc"); ok {
		if size, ok := strings.CutPrefix(p, ":"); ok && !vcSize(size) {
			return nil, &SyntaxError{}
		}
		return backend("vc")
	}
	for _, path := range []struct{ prefix, backend string }{{"file:", "file"}, {"pipe:", "pipe"}} {
		if p, ok := strings.CutPrefix(s, path.prefix); ok {
			return backend(path.backend, optPair{"path", p})
		}
	}
	for _, proto := range []string{"tcp", "telnet", "tn3270", "websocket"} {
		if p, ok := strings.CutPrefix(s, proto+":"); ok {
			o, err := inetOpts(p)
			if err == nil && proto != "tcp" {
				o = append(o, optPair{proto, "on"})
			}
			return o, err
		}
	}
	if p, ok := strings.CutPrefix(s, "unix:"); ok {
		o := append(optPairs{{"backend", "socket"}}, splitOpts(p, "path")...)
		return checked(o)
	}
	if p, ok := strings.CutPrefix(s, "udp:"); ok {
		if _, _, _, ok := hostPortOf(p, "@,"); !ok {
			return nil, &SyntaxError{}
		}
		return backend("udp")
	}
	switch {
	case strings.HasPrefix(s, "COM"), strings.HasPrefix(s, "/dev/") &&
		!strings.HasPrefix(s, "/dev/parport") && !strings.HasPrefix(s, "/dev/ppi"):
		return backend("serial", optPair{"path", s})
	case strings.HasPrefix(s, "/dev/"):
		return backend("parallel", optPair{"path", s})
	}
	err := errorf("'%s' is not a valid char driver", s)
	return nil, &SyntaxError{Text: err.Desc, Err: err}
}

// checked passes o on if its names and values are valid.
func checked(o optPairs) (optPairs, error) {
	if err := checkOpts(o); err != nil {
		return nil, &SyntaxError{Text: err.Error(), Err: err}
	}
	return o, nil
}

// inetOpts reads "HOST:PORT[,option...]", where HOST may be empty.
func inetOpts(s string) (optPairs, error) {
	host, port, rest, ok := hostPortOf(s, ",")
	if !ok {
		return nil, &SyntaxError{}
	}
	o := optPairs{{"backend", "socket"}, {"host", host}, {"port", port}}
	if p, ok := strings.CutPrefix(rest, ","); ok {
		o = append(o, splitOpts(p, "")...)
	}
	return checked(o)
}

// hostPortOf splits off "HOST:PORT", where HOST has at most 64 bytes and PORT at most 32, none of
// them from stop.
func hostPortOf(s, stop string) (host, port, rest string, ok bool) {
	i := strings.IndexByte(s, ':')
	if i < 0 || i > 64 {
		return "", "", "", false
	}
	host, rest = s[:i], s[i+1:]
	n := strings.IndexAny(rest, stop)
	if n < 0 {
		n = len(rest)
	}
	n = min(n, 32)
	return host, rest[:n], rest[n:], n > 0
}

// vcSize says whether s is a size in pixels, "800x600", or in characters, "80Cx24C".
func vcSize(s string) bool {
	number := func(s string) (string, bool) {
		rest := strings.TrimLeft(s, "0123456789")
		n := len(s) - len(rest)
		if n > 7 {
			rest, n = s[7:], 7
		}
		return rest, n > 0
	}
	rest, ok := number(s)
	if !ok {
		return false
	}
	rest = strings.TrimPrefix(rest, "C")
	if rest, ok = strings.CutPrefix(rest, "x"); !ok {
		return false
	}
	_, ok = number(rest)
	return ok
}

// splitOpts splits "a=b,c=d". A comma in a value is doubled. A word without "=" is the value of
// first, if it comes first and first is not empty; else it means on, or off with "no" before it.
func splitOpts(s, first string) optPairs {
	var o optPairs
	for i := 0; s != ""; i++ {
		end := strings.IndexAny(s, "=,")
		switch {
		case end >= 0 && s[end] == '=':
			name := s[:end]
			var value string
			value, s = optValue(s[end+1:])
			o = append(o, optPair{name, value})
		case i == 0 && first != "":
			var value string
			value, s = optValue(s)
			o = append(o, optPair{first, value})
		default:
			name := s
			if end >= 0 {
				name, s = s[:end], s[end+1:]
			} else {
				s = ""
			}
			value := "on"
			if no, ok := strings.CutPrefix(name, "no"); ok {
				name, value = no, "off"
			}
			o = append(o, optPair{name, value})
		}
	}
	return o
}

// optValue splits a value off at the first single comma.
func optValue(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == ',' {
			if i+1 >= len(s) || s[i+1] != ',' {
				return b.String(), s[i+1:]
			}
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}
