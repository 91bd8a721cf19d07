package chardev

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// chardevOpts splits an argument of -chardev as the command line's parser does.
func chardevOpts(arg string) optPairs { return splitOpts(arg, "backend") }

func ptr[T any](v T) *T { return &v }

func TestParseOpts(t *testing.T) {
	for arg, want := range map[string]Config{
		"null,id=c": NullConfig{},
		"null,id=c,mux=on,logfile=l,logappend=on": NullConfig{Common{Mux: true, Logfile: "l", LogAppend: true}},
		"stdio,id=c":                       StdioConfig{Signal: true},
		"stdio,id=c,signal=off":            StdioConfig{},
		"pty,id=c":                         PtyConfig{},
		"file,id=c,path=p,append=on":       FileConfig{Path: "p", Append: true},
		"file,id=c,path=a,,b,input-path=i": FileConfig{Path: "a,b", Input: "i"},
		"pipe,id=c,path=p":                 PipeConfig{Path: "p"},
		"ringbuf,id=c,size=4k":             RingbufConfig{Size: 4096},
		"memory,id=c":                      RingbufConfig{Memory: true},
		"vc,id=c,width=80":                 VCConfig{},
		"mux,id=c,chardev=b":               MuxConfig{Chardev: "b"},
		"backend=null,id=c":                NullConfig{},

		"socket,id=c,path=p":                                                            SocketConfig{Path: "p"},
		"socket,id=c,path=p,server=on":                                                  SocketConfig{Path: "p", Server: true, Wait: true},
		"socket,id=c,path=p,server=on,wait=off":                                         SocketConfig{Path: "p", Server: true},
		"socket,id=c,path=p,server,nowait":                                              SocketConfig{Path: "p", Server: true},
		"socket,id=c,path=p,abstract=on,tight=off":                                      SocketConfig{Path: "p", Abstract: true, Loose: true},
		"socket,id=c,path=p,reconnect=3":                                                SocketConfig{Path: "p", Reconnect: 3},
		"socket,id=c,path=p,reconnect=-1":                                               SocketConfig{Path: "p"},
		"socket,id=charmonitor,fd=27,server=on,wait=off":                                SocketConfig{FD: ptr(27), Server: true},
		"socket,id=c,host=h,port=1,nodelay=on,to=0x10":                                  SocketConfig{Host: "h", Port: "1", Nodelay: true, To: 16},
		"socket,id=c,host=,port=x,delay=off,ipv4=on,ipv6=off,server=yes,wait=no,mux=on": SocketConfig{Common: Common{Mux: true}, Port: "x", Nodelay: true, Server: true, IPv4: ptr(true), IPv6: ptr(false)},
	} {
		id, cfg, err := ParseOpts(chardevOpts(arg))
		if err != nil || !reflect.DeepEqual(cfg, want) || id != "c" && id != "charmonitor" {
			t.Errorf("%s:\n got %q, %+v, %v\nwant %+v", arg, id, cfg, err, want)
		}
	}
}

// The texts are QEMU's, as recorded.
func TestParseOptsErrors(t *testing.T) {
	for arg, want := range map[string]string{
		"nosuch,id=c":                       "'nosuch' is not a valid char driver name",
		"udp,id=c,port=1":                   "'udp' is not a valid char driver name",
		"null":                              "chardev: no id specified",
		"":                                  "chardev: no id specified",
		"id=c":                              "chardev: \"c\" missing backend",
		"null,id=1c":                        "Parameter 'id' expects an identifier",
		"null,id=":                          "Parameter 'id' expects an identifier",
		"mux,id=c":                          "chardev: mux: no chardev given",
		"null,id=c,foo=1":                   "Invalid parameter 'foo'",
		"null,foo=1":                        "Invalid parameter 'foo'",
		"null,id=c,size=foo":                "Parameter 'size' expects a non-negative number below 2^64",
		"null,id=c,size=-1":                 "Parameter 'size' expects a non-negative number below 2^64",
		"null,id=c,size=17E":                "Value '17E' is out of range for parameter 'size'",
		"null,id=c,mux=foo":                 "Parameter 'mux' expects 'on' or 'off'",
		"null,id=c,reconnect=foo":           "Parameter 'reconnect' expects a number",
		"null,id=c,to=99999999999999999999": "Value '99999999999999999999' is too large for parameter 'to'",
		"null,id=c,backend=foo":             "'foo' is not a valid char driver name",
		"file,id=c":                         "chardev: file: no filename given",
		"pipe,id=c":                         "chardev: pipe: no device path given",
		"stdio,id=c,signal=foo":             "Parameter 'signal' expects 'on' or 'off'",
		"socket,id=c":                       "Unable to parse FD number ",
		"socket,id=c,port=1":                "Unable to parse FD number ",
		"socket,id=c,fd=x":                  "Unable to parse FD number x",
		"socket,id=c,fd=1x":                 "Unable to parse FD number 1x",
		"socket,id=c,fd=-1":                 "File descriptor '-1' is not a socket",
		"socket,id=c,host=127.0.0.1":        "chardev: socket: no port given",
		"socket,id=c,path=/x,host=foo":      "None or one of 'path', 'fd' or 'host' option required.",
		"socket,id=c,path=/x,wait=on":       "'wait' option is incompatible with socket in client connect mode",
		"socket,id=c,path=/x,wait=off":      "'wait' option is incompatible with socket in client connect mode",
		"socket,id=c,path=/x,wait=foo":      "Parameter 'wait' expects 'on' or 'off'",
		"socket,id=c,path=/x,reconnect=0,server=y": "'reconnect' option is incompatible with socket in server listen mode",
		"socket,id=c,fd=foo,reconnect=1":           "'reconnect' option is incompatible with 'fd' address type",
		"socket,id=c,path=/x,websocket=on":         "Websocket client is not implemented",
		"socket,id=c,path=/x,telnet=on":            "chardev: socket: 'telnet' is not supported",
		"socket,id=c,path=s,nodelay=on,delay=on":   "'delay' and 'nodelay' are mutually exclusive",
		"socket,id=c,path=s,tls-creds=foo":         "No TLS credentials with id 'foo'",
		"socket,id=c,path=s,tls-authz=foo":         "'tls_authz' option requires 'tls_creds' option",
	} {
		_, cfg, err := ParseOpts(chardevOpts(arg))
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v, %v\nwant %s", arg, cfg, err, want)
		}
	}
	_, _, err := ParseOpts(chardevOpts("null,id=1c"))
	var e *Error
	if !errors.As(err, &e) || e.ErrorHint() != "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.\n" {
		t.Errorf("hint of %#v", err)
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]uint64{
		"0": 0, "1": 1, "512": 512, "1k": 1024, "1K": 1024, "8b": 8, "2M": 2 << 20, "1.5k": 1536, "0x10": 16, "0x1k": 1024,
		"0x1b": 27, "0xe": 14, "16383P": 16383 << 50, "1.k": 1024,
	} {
		if n, err := parseSize("size", s); n != want || err != nil {
			t.Errorf("parseSize(%q) = %d, %v, want %d", s, n, err, want)
		}
	}
	for _, s := range []string{"", "k", "1kk", "1 k", ".", "1e3", "-1", "+1", "0x", "0x1.5", "1..2", strings.Repeat("9", 100)} {
		if n, err := parseSize("size", s); err == nil {
			t.Errorf("parseSize(%q) = %d", s, n)
		}
	}
}

func TestParseFilename(t *testing.T) {
	for s, want := range map[string]Config{
		"null":                          NullConfig{},
		"stdio":                         StdioConfig{Signal: true},
		"pty":                           PtyConfig{},
		"vc":                            VCConfig{},
		"vc:800x600":                    VCConfig{},
		"vc:80Cx24C":                    VCConfig{},
		"file:/a,b=c":                   FileConfig{Path: "/a,b=c"},
		"pipe:/a":                       PipeConfig{Path: "/a"},
		"unix:qmp.sock,server=on":       SocketConfig{Path: "qmp.sock", Server: true, Wait: true},
		"unix:q,server=on,wait=off":     SocketConfig{Path: "q", Server: true},
		"unix:q,server,nowait":          SocketConfig{Path: "q", Server: true},
		"unix:q,server,wait":            SocketConfig{Path: "q", Server: true, Wait: true},
		"unix:q,server=on,id=x":         SocketConfig{Path: "q", Server: true, Wait: true},
		"unix:a,,b":                     SocketConfig{Path: "a,b"},
		"unix:s9,path=s10":              SocketConfig{Path: "s10"},
		"unix:,server=on":               SocketConfig{Server: true, Wait: true},
		"tcp:localhost:4444":            SocketConfig{Host: "localhost", Port: "4444"},
		"tcp::4444,server=on,nodelay":   SocketConfig{Port: "4444", Server: true, Wait: true, Nodelay: true},
		"tcp:127.0.0.1:0:3,reconnect=2": SocketConfig{Host: "127.0.0.1", Port: "0:3", Reconnect: 2},
	} {
		cfg, err := ParseFilename(s)
		if err != nil || !reflect.DeepEqual(cfg, want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", s, cfg, err, want)
		}
		if err := CheckFilename(s, false); err != nil {
			t.Errorf("CheckFilename(%s) = %v", s, err)
		}
	}
}

// syntax marks an error that is followed by a second line of the option's.
const syntax = "syntax: "

func TestParseFilenameErrors(t *testing.T) {
	for s, want := range map[string]string{
		"nosuch":                    syntax + "'nosuch' is not a valid char driver",
		"":                          syntax + "'' is not a valid char driver",
		"nullx":                     syntax + "'nullx' is not a valid char driver",
		"pty:x":                     syntax + "'pty:x' is not a valid char driver",
		"mon:nosuch":                syntax + "'nosuch' is not a valid char driver",
		"tcp:foo":                   syntax,
		"tcp:127.0.0.1:":            syntax,
		"tcp:":                      syntax,
		"vc:foo":                    syntax,
		"udp:foo":                   syntax,
		"unix:q1,server=on,foo=bar": syntax + "Invalid parameter 'foo'",
		"unix:q1,server=on,wait=fo": syntax + "Parameter 'wait' expects 'on' or 'off'",
		"tcp:127.0.0.1:0,foo=bar":   syntax + "Invalid parameter 'foo'",

		"tcp:" + strings.Repeat("a", 70) + ":1": syntax,

		"unix:":                  "Unable to parse FD number ",
		"unix:q,wait=off":        "'wait' option is incompatible with socket in client connect mode",
		"telnet:1:1,server=on":   "chardev: socket: 'telnet' is not supported",
		"/dev/ttyS0":             "'serial' is not a valid char driver name",
		"/dev/parport0":          "'parallel' is not a valid char driver name",
		"con:":                   "'console' is not a valid char driver name",
		"udp::1":                 "'udp' is not a valid char driver name",
		"unix:x,backend=nosuch":  "'nosuch' is not a valid char driver name",
		"tcp:h:1,host=h,path=/x": "None or one of 'path', 'fd' or 'host' option required.",
	} {
		cfg, err := ParseMuxFilename(s)
		var se *SyntaxError
		got := ""
		if errors.As(err, &se) {
			got = syntax + se.Text
		} else if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s:\n got %v, %q\nwant %q", s, cfg, got, want)
		}
		if check := CheckFilename(s, true); (check != nil) != strings.HasPrefix(want, syntax) {
			t.Errorf("CheckFilename(%s) = %v", s, check)
		}
	}
	if err := CheckFilename("mon:stdio", false); err == nil || err.Error() != "mon: isn't supported in this context" {
		t.Errorf("mon: %v", err)
	}
	for _, s := range []string{"mon:stdio", "unix:/s,mux=on"} {
		if cfg, err := ParseFilename(s); err == nil || err.Error() != "mon: isn't supported in this context" {
			t.Errorf("%s without a multiplexer: %v, %v", s, cfg, err)
		}
	}
}

// "mon:" asks for a multiplexer; on stdio ^C is the guest's then.
func TestParseMuxFilename(t *testing.T) {
	mux := Common{Mux: true}
	for s, want := range map[string]Config{
		"mon:stdio":          StdioConfig{Common: mux},
		"stdio":              StdioConfig{Signal: true},
		"mon:null":           NullConfig{mux},
		"mon:unix:/s":        SocketConfig{Common: mux, Path: "/s"},
		"unix:/s,mux=on":     SocketConfig{Common: mux, Path: "/s"},
		"mon:unix:/s,mux=no": SocketConfig{Path: "/s"},
	} {
		cfg, err := ParseMuxFilename(s)
		if err != nil || !reflect.DeepEqual(cfg, want) || cfg.Multiplexed() != (cfg.common() == mux) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", s, cfg, err, want)
		}
	}
}

// checkConfig holds what every parser's result must satisfy.
func checkConfig(t *testing.T, s string, cfg Config, err error) {
	t.Helper()
	if (cfg == nil) == (err == nil) {
		t.Errorf("%q: both or neither of %v and %v", s, cfg, err)
	}
	if c, ok := cfg.(SocketConfig); ok {
		if c.Server && c.Reconnect != 0 || c.FD != nil && (*c.FD < 0 || c.Reconnect != 0) || c.Wait && !c.Server {
			t.Errorf("%q: contradictory %+v", s, c)
		}
	}
	var e *Error
	if errors.As(err, &e) && strings.HasSuffix(e.Desc, "\n") {
		t.Errorf("%q: desc %q", s, e.Desc)
	}
}

func FuzzParseFilename(f *testing.F) {
	for _, s := range []string{"null", "stdio", "mon:stdio", "unix:q,server=on,wait=off", "tcp:h:1,server,nowait", "vc:80Cx24C",
		"tcp::,,", "udp::1@:2", "file:", "unix:a,,b,=,no,n,size=1.5k"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cfg, err := ParseMuxFilename(s)
		checkConfig(t, s, cfg, err)
		var se *SyntaxError
		if check := CheckFilename(s, true); errors.As(err, &se) != (check != nil) {
			t.Errorf("%q: ParseFilename %v, CheckFilename %v", s, err, check)
		}
	})
}

func FuzzParseOpts(f *testing.F) {
	for _, s := range []string{"null,id=c", "socket,id=c,path=/x,server=on", "socket,id=c,host=h,port=1,to=0x7", "ringbuf,id=c,size=1.5k",
		"socket,id=c,fd=7", "id=c", "file,id=c,path=a,,b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, cfg, err := ParseOpts(chardevOpts(s))
		checkConfig(t, s, cfg, err)
		if err == nil && !wellFormedID(id) {
			t.Errorf("%q: id %q", s, id)
		}
	})
}
