package qtest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pty with the test at its keyboard and screen.
type terminal struct {
	t             testing.TB
	master, slave *os.File
	before        unix.Termios
	screen        lockedBuffer
	seen          int // bytes of screen that Expect has passed
}

func newTerminal(t testing.TB) *terminal {
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
	y := &terminal{t: t, master: os.NewFile(uintptr(fd), "master")}
	if y.slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	y.before = y.settings()
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Until the test closes the master.
		_, _ = io.Copy(&y.screen, y.master)
	}()
	t.Cleanup(func() {
		y.slave.Close()
		y.master.Close()
		<-done
	})
	return y
}

func (y *terminal) settings() unix.Termios {
	y.t.Helper()
	tio, err := unix.IoctlGetTermios(int(y.slave.Fd()), unix.TCGETS)
	if err != nil {
		y.t.Fatal(err)
	}
	return *tio
}

// raw tells whether keys come one by one and without echo.
func (y *terminal) raw() bool { return y.settings().Lflag&(unix.ICANON|unix.ECHO) == 0 }

// Type presses keys.
func (y *terminal) Type(keys string) {
	y.t.Helper()
	if _, err := y.master.WriteString(keys); err != nil {
		y.t.Fatal(err)
	}
}

// Expect waits for text to appear after what was expected before.
func (y *terminal) Expect(text string) {
	y.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s := y.screen.String()
		if i := strings.Index(s[y.seen:], text); i >= 0 {
			y.seen += i + len(text)
			return
		}
		if time.Now().After(end) {
			y.t.Fatalf("no %q in %q", text, s[y.seen:])
		}
	}
}

// Since is what has appeared since what was expected last.
func (y *terminal) Since() string { return y.screen.String()[y.seen:] }

// on starts an emulator at the terminal.
func (y *terminal) on(args ...string) *Process {
	y.t.Helper()
	p := Spawn(y.t, Config{Args: args, Stdin: y.slave, Stdout: y.slave})
	for end := time.Now().Add(patience); !y.raw(); time.Sleep(time.Millisecond) {
		if p.Ended() || time.Now().After(end) {
			y.t.Fatalf("the terminal does not become raw; standard error:\n%s", p.Stderr())
		}
	}
	return p
}

// -nographic puts the serial port and the human monitor on the terminal, with
// QEMU's keys after Ctrl-a.
func TestNographic(t *testing.T) {
	t.Parallel()
	y := newTerminal(t)
	// Beside another monitor -nographic alone would make none here.
	m := StartWith(t, Config{Args: []string{"-M", "microvm", "-nographic", "-serial", "mon:stdio"}, Stdin: y.slave, Stdout: y.slave})
	uart := &UART{M: m, Base: 0x3f8}
	uart.Init()

	uart.Print("login: ")
	y.Expect("login: ")
	y.Type("root\x03\x01\x01")
	if s := uart.ReadN(6); s != "root\x03\x01" {
		t.Errorf("the guest gets %q", s)
	}
	y.Type("\x01h")
	y.Expect("\r\n\rC-a h    print this help\r\n\rC-a x    exit emulator\r\n\r")
	y.Expect("C-a C-a  sends C-a\r\n\r")

	y.Type("\x01c")
	y.Expect("QEMU 8.2.7 monitor - type 'help' for more information\r\r\n(qemu) ")
	y.Type("info name\r")
	y.Expect("info name\x1b[K\r\r\n(qemu) ")
	y.Type("\x01c")
	y.Expect("\r\r\n")
	uart.Print("still here")
	y.Expect("still here")

	y.Type("\x01t")
	uart.Print("a\nb\n")
	y.Expect("a\r\n[00:00:00.0")
	y.Expect("] b\r\n")
	y.Type("\x01t")
	y.Type("\x01b")
	m.Eventually("break on the line", func() bool { return uart.In(5)&0x10 != 0 })

	y.Type("\x01x")
	y.Expect("QEMU: Terminated\r\n\r")
	if code := m.Wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if after := y.settings(); after != y.before {
		t.Errorf("settings %+v, before %+v", after, y.before)
	}
}

// However the emulator ends, the terminal has its settings back.
func TestTerminalIsRestored(t *testing.T) {
	t.Parallel()
	monitor := []string{"-M", "none", "-nodefaults", "-display", "none", "-monitor", "stdio"}
	mux := []string{"-M", "microvm", "-accel", "qtest", "-nographic"}
	signal := func(s syscall.Signal) func(*terminal, *Process) {
		return func(_ *terminal, p *Process) { p.Signal(s) }
	}
	keys := func(k string) func(*terminal, *Process) { return func(y *terminal, _ *Process) { y.Type(k) } }
	for _, c := range []struct {
		name string
		args []string
		end  func(y *terminal, p *Process)
	}{
		{"quit", monitor, keys("quit\r")},
		{"SIGTERM", monitor, signal(syscall.SIGTERM)},
		{"SIGINT", monitor, signal(syscall.SIGINT)},
		{"SIGHUP", mux, signal(syscall.SIGHUP)},
		{"C-a x", mux, keys("\x01x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			y := newTerminal(t)
			p := y.on(c.args...)
			if c.args[1] == "microvm" {
				y.Type("\x01c")
			}
			y.Type("info status\r")
			y.Expect("VM status: running\r\r\n(qemu) ") // it has started
			c.end(y, p)
			if code := p.Wait(); code != 0 {
				t.Errorf("exit status %d; standard error:\n%s", code, p.Stderr())
			}
			if after := y.settings(); after != y.before {
				t.Errorf("settings %+v, before %+v", after, y.before)
			}
		})
	}
}

// When the emulator dies of a signal that makes it dump, the terminal has its
// settings back too.
func TestTerminalIsRestoredAfterCrash(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGABRT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			y := newTerminal(t)
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			// Not by Spawn, for which a dump is a failure.
			p, err := os.StartProcess(Binary(t), []string{ProgramName, "-M", "none", "-nodefaults", "-monitor", "stdio"},
				&os.ProcAttr{Files: []*os.File{y.slave, y.slave, null}})
			if err != nil {
				t.Fatal(err)
			}
			y.Expect("(qemu) ")
			if !y.raw() {
				t.Error("the terminal is not raw")
			}
			if err := p.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Wait(); err != nil {
				t.Fatal(err)
			}
			if after := y.settings(); after != y.before {
				t.Errorf("settings %+v, before %+v", after, y.before)
			}
		})
	}
}

// At the monitor a person edits lines, completes names and calls back what was
// typed before.
func TestMonitorEditing(t *testing.T) {
	t.Parallel()
	y := newTerminal(t)
	p := y.on("-M", "none", "-nodefaults", "-display", "none", "-monitor", "stdio", "-name", "guest1", "-object",
		"rng-builtin,id=entropy0", "-chardev", "null,id=nothing")
	y.Expect("(qemu) ")
	for _, c := range []struct{ keys, want string }{
		{"inf na\x1b[D\x1b[D\x1b[Do\x05me\r", "guest1\r\r\n(qemu) "},
		{"\x1b[A\r", "guest1\r\r\n(qemu) "},
		{"info foo\x17name\r", "guest1\r\r\n(qemu) "},
		{"object_del en\t\r", "object_del entropy0 \x1b[K\r\r\n(qemu) "},
		{"object_del entropy0\r", "Error: object 'entropy0' not found\r\r\n(qemu) "},
		{"chardev-r\tno\t\r", "chardev-remove nothing \x1b[K\r\r\n(qemu) "},
		{"\x15sys\t", "system_powerdown  system_reset      system_wakeup     \r\r\n(qemu) system_\x1b[K"},
		{"\x15device_add virtio-rn\t", "device_add virtio-rng-device \x1b[K"},
		{"\x15help devi\t", "device_add  device_del  \r\r\n(qemu) help device_\x1b[K"},
		{"\x15\x0c", "\x1b[2J\x1b[1;1H(qemu) "},
		{"info his\t\r", "0: 'info name'\r\r\n1: 'object_del entropy0 '\r\r\n2: 'object_del entropy0'\r\r\n" +
			"3: 'chardev-remove nothing '\r\r\n4: 'info history '\r\r\n(qemu) "},
	} {
		y.Type(c.keys)
		y.Expect(c.want)
	}
	y.Type("quit\r")
	y.Expect("quit\x1b[K\r\r\n")
	p.Wait()
	if s := y.Since(); s != "" {
		t.Errorf("after quit: %q", s)
	}
}

// Ctrl-C ends the emulator where the terminal sends signals, and is for the
// guest or the monitor with signal=off, as with -nographic.
func TestTerminalSignals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		sig  bool
	}{
		{"-monitor stdio", true},
		{"-chardev stdio,id=c,signal=off -mon c", false},
		{"-serial mon:stdio", false},
		{"-nographic", true}, // there is no serial port to share with
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			y := newTerminal(t)
			args := []string{"-M", "none"}
			if c.args != "-nographic" {
				args = append(args, "-nodefaults", "-display", "none")
			}
			p := y.on(append(args, strings.Fields(c.args)...)...)
			if on := y.settings().Lflag&unix.ISIG != 0; on != c.sig {
				t.Errorf("signals on: %v", on)
			}
			p.Signal(syscall.SIGTERM)
			p.Wait()
		})
	}
}

// logfile= keeps what a chardev sends, anew or, with logappend=on, after what
// is there.
func TestLogfile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ opts, want string }{
		{"", "abc"}, {",logappend=on", "old\nabc"}, {",logappend=off", "abc"},
	} {
		log := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(log, []byte("old\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		m := Start(t, "-M", "microvm", "-chardev", "null,id=c,logfile="+log+c.opts, "-serial", "chardev:c")
		uart := &UART{M: m, Base: 0x3f8}
		uart.Init()
		uart.Print("abc")
		m.Quit()
		b, err := os.ReadFile(log)
		if err != nil || string(b) != c.want {
			t.Errorf("%s: %q, %v", c.opts, b, err)
		}
	}
}
