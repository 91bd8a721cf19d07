package chardev

// Config describes one backend: one of the *Config types of this package.
type Config interface {
	// Backend returns the backend's name as -chardev and chardev-add spell it.
	Backend() string
	// Multiplexed says whether Common.Mux is set.
	Multiplexed() bool
	common() Common
}

// Common holds the options that every backend has.
type Common struct {
	// Logfile, if not empty, gets a copy of all output. It is truncated unless LogAppend.
	Logfile   string
	LogAppend bool
	// Mux puts a multiplexer on the backend, so that several frontends can share it.
	Mux bool
	// Quiet keeps a pty from saying on the console where it is: a client that made it is told.
	Quiet bool
}

func (c Common) common() Common { return c }

// Multiplexed returns c.Mux.
func (c Common) Multiplexed() bool { return c.Mux }

// SocketConfig is a stream socket. The address is FD if that is set, else Host and Port if one of
// them is set, else Path.
type SocketConfig struct {
	Common

	// Path is a unix socket's path. A server unlinks what is there before, and with an empty Path
	// makes up one in the directory for temporary files.
	Path string
	// Abstract puts Path into Linux's abstract namespace, padded with zeroes to the full length if
	// Loose (tight=off).
	Abstract, Loose bool

	// Host is a name or an address; a server without Host listens on all addresses. Port is a
	// number or a service name; "0" lets the kernel choose, and Filename then shows its choice.
	Host, Port string
	// To, if not 0, is the last port a server tries when Port is taken.
	To int
	// IPv4 and IPv6 allow (true) or forbid (false) a family; nil says nothing.
	IPv4, IPv6 *bool

	// FD is an inherited descriptor: a listening socket with Server, else a connected one. Add
	// takes it over, also when it fails, unless it is no socket at all.
	FD *int

	// Server listens and accepts one client at a time; otherwise the chardev connects.
	Server bool
	// Wait makes the creation of a server block until the first client is there.
	Wait bool
	// Nodelay sets TCP_NODELAY.
	Nodelay bool
	// Reconnect, if positive, lets a client connect in the background and again so many seconds
	// after each failure or loss. At 0 a failure to connect is an error of Registry.Add.
	Reconnect int64
}

// StdioConfig is the process's standard input and output.
type StdioConfig struct {
	Common
	// Signal leaves the terminal's keys for signals (^C, ^Z) in force. -chardev and -serial have
	// it on unless signal=off is given.
	Signal bool
}

// PtyConfig is a new pseudo terminal.
type PtyConfig struct {
	Common
	// Path, if not empty, becomes a symbolic link to the slave device, removed again by Close.
	Path string
}

// FileConfig writes to a file.
type FileConfig struct {
	Common
	Path   string
	Append bool   // keep what the file holds
	Input  string // if not empty, a file to read input from
}

// PipeConfig is a pair of FIFOs, Path.in and Path.out seen from the chardev, or where these do not
// exist Path itself in both directions.
type PipeConfig struct {
	Common
	Path string
}

// NullConfig swallows output and has no input.
type NullConfig struct{ Common }

// VCConfig is QEMU's virtual console. There is no display here, so that it swallows output as QEMU
// does with -display none.
type VCConfig struct{ Common }

// RingbufConfig keeps the last output in memory for ReadRing.
type RingbufConfig struct {
	Common
	Size int64 // in bytes, a power of two of at most 1 GiB; 0 is 64 KiB
	// Memory makes the backend go by QEMU's older name for it, "memory".
	Memory bool
}

// MuxConfig is a multiplexer on a chardev that exists already. Common.Mux makes both at once.
type MuxConfig struct {
	Common
	Chardev string // its id
}

// Backend returns "mux".
func (MuxConfig) Backend() string { return "mux" }

// Backend returns "socket".
func (SocketConfig) Backend() string { return "socket" }

// Backend returns "stdio".
func (StdioConfig) Backend() string { return "stdio" }

// Backend returns "pty".
func (PtyConfig) Backend() string { return "pty" }

// Backend returns "file".
func (FileConfig) Backend() string { return "file" }

// Backend returns "pipe".
func (PipeConfig) Backend() string { return "pipe" }

// Backend returns "null".
func (NullConfig) Backend() string { return "null" }

// Backend returns "vc".
func (VCConfig) Backend() string { return "vc" }

// Backend returns "ringbuf" or "memory".
func (c RingbufConfig) Backend() string {
	if c.Memory {
		return "memory"
	}
	return "ringbuf"
}

// Backends returns the names of the backends, in the order of QEMU's "-chardev help".
func Backends() []string {
	return []string{"ringbuf", "mux", "pipe", "stdio", "pty", "null", "socket", "vc", "memory", "file"}
}
