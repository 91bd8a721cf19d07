package chardev

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func flush(t *testing.T, c *Chardev) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.Flush(ctx); err != nil {
		t.Fatalf("Flush: %v", err)
	}
}

// On pipes: input, then end of file once, and output goes on. The flags of the caller's
// descriptors stay as they were, and two chardevs cannot have stdio.
func TestStdioOnPipes(t *testing.T) {
	inR, inW := pipe(t)
	outR, outW := pipe(t)
	r, _ := newRegistry(t)
	r.Stdin, r.Stdout = inR, outW
	c := mustAdd(t, r, "serial0", StdioConfig{Signal: true})
	if c.Filename() != "stdio" {
		t.Errorf("Filename = %q", c.Filename())
	}
	if _, err := r.Add("b", StdioConfig{}); err == nil || err.Error() != "cannot use stdio by multiple character devices" {
		t.Errorf("second stdio: %v", err)
	}
	fe := attach(t, c)
	inW.Write([]byte("one"))
	fe.waitInput("one")
	inW.Write([]byte("two"))
	inW.Close()
	fe.waitEvents(EventOpened, EventClosed)
	if fe.input() != "onetwo" {
		t.Errorf("input %q", fe.input())
	}
	if n := c.Write([]byte("still here")); n != 10 {
		t.Errorf("Write = %d", n)
	}
	if got := readString(t, outR, 10); got != "still here" {
		t.Errorf("output %q", got)
	}
	time.Sleep(20 * time.Millisecond)
	if got := fe.got(); len(got) != 2 {
		t.Errorf("events %v", got)
	}
	c.Close()
	mustAdd(t, r, "b", StdioConfig{}) // stdio is free again
}

func TestStdioOnDevNullAndFiles(t *testing.T) {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	path := filepath.Join(t.TempDir(), "f")
	os.WriteFile(path, []byte("from a file"), 0o600)
	in, _ := os.Open(path)
	defer in.Close()
	out, _ := os.OpenFile(path+".out", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	defer out.Close()
	for _, tc := range []struct {
		name    string
		in, out *os.File
		want    string
	}{{"null", null, null, ""}, {"files", in, out, "from a file"}} {
		t.Run(tc.name, func(t *testing.T) {
			r, _ := newRegistry(t)
			r.Stdin, r.Stdout = tc.in, tc.out
			c := mustAdd(t, r, "c", StdioConfig{})
			fe := attach(t, c)
			fe.waitEvents(EventOpened, EventClosed)
			if fe.input() != tc.want {
				t.Errorf("input %q", fe.input())
			}
			c.Write([]byte("out"))
			flush(t, c)
		})
	}
	if b, _ := os.ReadFile(path + ".out"); string(b) != "out" {
		t.Errorf("output %q", b)
	}
}

// A stdout that nobody reads does not hold up Close.
func TestStdioStuckOutput(t *testing.T) {
	inR, _ := pipe(t)
	_, outW := pipe(t)
	r, _ := newRegistry(t)
	r.Stdin, r.Stdout = inR, outW
	c := mustAdd(t, r, "c", StdioConfig{})
	for full := 0; full < 3; {
		if c.Write(make([]byte, 4096)) == 0 {
			full++
			time.Sleep(5 * time.Millisecond)
		}
	}
	start := time.Now()
	c.Close()
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("Close took %v", d)
	}
	if fl, _ := unix.FcntlInt(outW.Fd(), unix.F_GETFL, 0); fl&unix.O_NONBLOCK != 0 {
		t.Error("stdout was left non-blocking")
	}
}

func TestStdioAndDaemonize(t *testing.T) {
	r, _ := newRegistry(t)
	r.Daemonize = true
	if _, err := r.Add("c", StdioConfig{}); err == nil || err.Error() != "cannot use stdio with -daemonize" {
		t.Errorf("Add: %v", err)
	}
}

// ptyPair makes a terminal for stdio: a slave to read from and its master.
func ptyPair(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pty here: %v", err)
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "master")
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave
}

func termios(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	tio, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *tio
}

// On a terminal: raw, with or without the signal keys, the echo on request, and at the end as it
// was before.
func TestStdioOnATerminal(t *testing.T) {
	for _, sig := range []bool{false, true} {
		t.Run(fmt.Sprint("signal=", sig), func(t *testing.T) {
			master, slave := ptyPair(t)
			before := termios(t, slave)
			r, _ := newRegistry(t)
			r.Stdin, r.Stdout = slave, slave
			c := mustAdd(t, r, "c", StdioConfig{Signal: sig})
			raw := termios(t, slave)
			if raw.Lflag&(unix.ICANON|unix.ECHO) != 0 || raw.Iflag&unix.ICRNL != 0 {
				t.Errorf("not raw: lflag %#x iflag %#x", raw.Lflag, raw.Iflag)
			}
			if raw.Lflag&unix.ISIG != 0 != sig {
				t.Errorf("lflag %#x with signal=%v", raw.Lflag, sig)
			}
			if fl, _ := unix.FcntlInt(slave.Fd(), unix.F_GETFL, 0); fl&unix.O_NONBLOCK != 0 {
				t.Error("the terminal's own description is non-blocking now")
			}
			fe := attach(t, c)
			keys := "a\r\x04"
			if !sig {
				keys += "\x03\x1a"
			}
			master.Write([]byte(keys))
			fe.waitInput(keys)
			c.Write([]byte("x\n"))
			if got := readString(t, master, 3); got != "x\r\n" {
				t.Errorf("output %q", got)
			}
			c.SetEcho(true)
			if tio := termios(t, slave); tio.Lflag&unix.ECHO == 0 {
				t.Error("SetEcho(true) did nothing")
			}
			c.SetEcho(false)
			// What a shell does between ^Z and fg.
			if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, &before); err != nil {
				t.Fatal(err)
			}
			unix.Kill(os.Getpid(), unix.SIGCONT)
			waitFor(t, "raw after SIGCONT", func() bool { return termios(t, slave).Lflag&unix.ICANON == 0 })
			c.Close()
			if after := termios(t, slave); after != before {
				t.Errorf("termios after Close %+v, before %+v", after, before)
			}
		})
	}
}

// openPts opens the slave side of a pty chardev.
func openPts(t *testing.T, c *Chardev) *os.File {
	t.Helper()
	name, ok := strings.CutPrefix(c.Filename(), "pty:")
	if !ok {
		t.Fatalf("Filename = %q", c.Filename())
	}
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { f.Close() })
	return f
}

// A pty is announced, is raw, and survives its slave being closed and opened again.
func TestPtyReopen(t *testing.T) {
	r, msgs := newRegistry(t)
	link := filepath.Join(t.TempDir(), "link")
	c := mustAdd(t, r, "serial0", PtyConfig{Path: link})
	name := strings.TrimPrefix(c.Filename(), "pty:")
	if got, want := msgs.String(), "char device redirected to "+name+" (label serial0)\n"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	if to, err := os.Readlink(link); to != name {
		t.Errorf("link to %q, %v", to, err)
	}
	fe := attach(t, c)
	if n := c.Write([]byte("nobody listens")); n != 14 {
		t.Errorf("Write = %d", n)
	}
	var want []Event
	for i := range 3 {
		f := openPts(t, c)
		// Output right after the opening arrives, whether the opening was noticed or not.
		msg := fmt.Sprintf("hello %d\n", i)
		if n := c.Write([]byte(msg)); n != len(msg) {
			t.Fatalf("Write = %d", n)
		}
		if got := readString(t, f, len(msg)); got != msg {
			t.Errorf("the terminal read %q, want %q", got, msg)
		}
		want = append(want, EventOpened)
		fe.waitEvents(want...)
		f.Write([]byte("a\r\x03"))
		waitFor(t, "input", func() bool { return fe.input() == strings.Repeat("a\r\x03", i+1) })
		f.Close()
		want = append(want, EventClosed)
		fe.waitEvents(want...)
	}
	if c.Filename() != "pty:"+name {
		t.Errorf("Filename = %q", c.Filename())
	}
	c.Close()
	if _, err := os.Lstat(link); !os.IsNotExist(err) {
		t.Errorf("the link is still there: %v", err)
	}
}

// A slave that is closed with output stuck in it does not spoil the next session.
func TestPtyStuckOutput(t *testing.T) {
	r, _ := newRegistry(t)
	c := mustAdd(t, r, "c", PtyConfig{})
	fe := attach(t, c)
	f := openPts(t, c)
	fe.waitEvents(EventOpened)
	for full := 0; full < 3; {
		if c.Write(make([]byte, 4096)) == 0 {
			full++
			time.Sleep(5 * time.Millisecond)
		}
	}
	f.Close()
	fe.waitEvents(EventOpened, EventClosed)
	g := openPts(t, c)
	fe.waitEvents(EventOpened, EventClosed, EventOpened)
	c.Write([]byte("fresh"))
	waitFor(t, "fresh output", func() bool {
		g.SetReadDeadline(time.Now().Add(time.Second))
		b := make([]byte, 8192)
		n, _ := g.Read(b)
		return strings.Contains(string(b[:n]), "fresh")
	})
}

func TestFile(t *testing.T) {
	r, _ := newRegistry(t)
	dir := t.TempDir()
	path, input := filepath.Join(dir, "out"), filepath.Join(dir, "in")
	os.WriteFile(path, []byte("old\n"), 0o600)
	os.WriteFile(input, []byte("input"), 0o600)
	for _, tc := range []struct {
		cfg    FileConfig
		want   string
		events []Event
	}{
		{FileConfig{Path: path, Append: true}, "old\nnew\n", []Event{EventOpened}},
		{FileConfig{Path: path}, "new\n", []Event{EventOpened}},
		{FileConfig{Path: path, Input: input}, "new\n", []Event{EventOpened, EventClosed}},
	} {
		c := mustAdd(t, r, "c", tc.cfg)
		if c.Filename() != "file" {
			t.Errorf("Filename = %q", c.Filename())
		}
		fe := attach(t, c)
		if n := c.Write([]byte("new\n")); n != 4 {
			t.Errorf("Write = %d", n)
		}
		fe.waitEvents(tc.events...)
		c.Close()
		if b, _ := os.ReadFile(path); string(b) != tc.want {
			t.Errorf("%+v: the file holds %q, want %q", tc.cfg, b, tc.want)
		}
		if tc.cfg.Input != "" && fe.input() != "input" {
			t.Errorf("input %q", fe.input())
		}
	}
}

// /dev/fdset/N and the like are the opener's to resolve.
func TestOpener(t *testing.T) {
	r, _ := newRegistry(t)
	_, w := pipe(t)
	r.OpenFile = func(path string, flags int, perm uint32) (int, error) {
		if path != "/dev/fdset/0" || flags&unix.O_APPEND == 0 || perm != 0o666 {
			return -1, unix.ENOENT
		}
		return unix.FcntlInt(w.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	}
	mustAdd(t, r, "c", FileConfig{Path: "/dev/fdset/0", Append: true}).Close()
	if _, err := r.Add("d", FileConfig{Path: "/dev/fdset/1", Append: true}); err == nil ||
		err.Error() != "Could not open '/dev/fdset/1': No such file or directory" {
		t.Errorf("Add: %v", err)
	}
}

func TestPipePair(t *testing.T) {
	r, _ := newRegistry(t)
	path := filepath.Join(t.TempDir(), "p")
	for _, suffix := range []string{".in", ".out"} {
		if err := unix.Mkfifo(path+suffix, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := mustAdd(t, r, "c", PipeConfig{Path: path})
	if c.Filename() != "pipe" {
		t.Errorf("Filename = %q", c.Filename())
	}
	fe := attach(t, c)
	w, err := os.OpenFile(path+".in", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	rd, err := os.OpenFile(path+".out", os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	w.Write([]byte("in"))
	fe.waitInput("in")
	c.Write([]byte("out"))
	if got := readString(t, rd, 3); got != "out" {
		t.Errorf("output %q", got)
	}
}

func TestNullAndVC(t *testing.T) {
	r, _ := newRegistry(t)
	for _, cfg := range []Config{NullConfig{}, VCConfig{}} {
		c := mustAdd(t, r, cfg.Backend(), cfg)
		if c.Filename() != cfg.Backend() {
			t.Errorf("Filename = %q", c.Filename())
		}
		fe := attach(t, c)
		fe.waitEvents(EventOpened)
		if n := c.Write(make([]byte, 1<<20)); n != 1<<20 {
			t.Errorf("Write = %d", n)
		}
		c.Detach()
		attach(t, c).waitEvents(EventOpened) // the next frontend is told, too
	}
}

func TestRingbuf(t *testing.T) {
	r, _ := newRegistry(t)
	c := mustAdd(t, r, "r", RingbufConfig{Size: 8})
	read := func(n int, want string) {
		t.Helper()
		b, err := c.ReadRing(n)
		if err != nil || string(b) != want {
			t.Errorf("ReadRing(%d) = %q, %v, want %q", n, b, err, want)
		}
	}
	read(5, "")
	c.Write([]byte("abc"))
	read(2, "ab")
	c.WriteRing([]byte("defghij"))
	read(100, "cdefghij")
	c.Write([]byte("0123456789ABCDEF!"))
	read(3, "9AB")
	read(-1, "")
	read(100, "CDEF!")
	if mustAdd(t, r, "m", RingbufConfig{Memory: true}).Filename() != "memory" {
		t.Error("not memory")
	}
	n := mustAdd(t, r, "n", NullConfig{})
	if _, err := n.ReadRing(1); err == nil || err.Error() != "n is not a ringbuf device" {
		t.Errorf("ReadRing of null: %v", err)
	}
}

// logfile= gets what Write takes, also without a peer.
func TestLogfile(t *testing.T) {
	r, _ := newRegistry(t)
	path := filepath.Join(t.TempDir(), "log")
	os.WriteFile(path, []byte("old "), 0o600)
	for i, common := range []Common{{Logfile: path, LogAppend: true}, {Logfile: path}} {
		c := mustAdd(t, r, "c", SocketConfig{Common: common, Path: socketPath(t), Server: true})
		c.Write([]byte("new"))
		c.Close()
		if b, _ := os.ReadFile(path); string(b) != []string{"old new", "new"}[i] {
			t.Errorf("log %q", b)
		}
	}
}
