package qtest

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Machine is a running emulator with a qtest and a QMP connection.
type Machine struct {
	*Process
	// QMP is the negotiated control connection.
	QMP *QMP
	// Dir is a short-named directory of the machine's own, for sockets and
	// files. It goes with the test.
	Dir string

	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	irqs map[int]bool
	log  []string
}

// Start starts a machine as libqtest does: it listens on two sockets, to which
// the emulator connects, the qtest socket first.
func Start(t testing.TB, args ...string) *Machine {
	t.Helper()
	return StartWith(t, Config{Args: args})
}

// StartWith is Start with more to say than arguments.
func StartWith(t testing.TB, c Config) *Machine {
	t.Helper()
	m := &Machine{t: t, Dir: ShortDir(t), irqs: map[int]bool{}}
	test := listen(t, filepath.Join(m.Dir, "qtest"))
	defer test.Close()
	mon := listen(t, filepath.Join(m.Dir, "qmp"))
	defer mon.Close()

	log := "/dev/null"
	if os.Getenv("QTEST_LOG") != "" {
		log = "/dev/fd/2"
	}
	full := []string{
		"-qtest", "unix:" + test.Addr().String(), "-qtest-log", log,
		"-chardev", "socket,path=" + mon.Addr().String() + ",id=char0", "-mon", "chardev=char0,mode=control",
		"-display", "none", "-audio", "none",
	}
	c.Args = append(append(full, c.Args...), "-accel", "qtest")
	m.Process = Spawn(t, c)
	m.conn = m.accept(test)
	m.in = bufio.NewReaderSize(m.conn, 64<<10)
	t.Cleanup(func() { m.conn.Close() })
	if s := m.Command("endianness"); s != "little" {
		t.Fatalf("endianness: %q", s)
	}
	m.QMP = NewQMP(t, m.accept(mon))
	m.QMP.Negotiate()
	t.Cleanup(func() {
		if !m.Ended() && !t.Failed() {
			m.Quit()
		}
		if t.Failed() && m.Stderr() != "" {
			t.Logf("standard error:\n%s", m.Stderr())
		}
	})
	return m
}

// Dial connects to a qtest server's unix socket, in place of the connection
// there is. It waits for the socket to appear.
func (m *Machine) Dial(path string) {
	m.t.Helper()
	var c net.Conn
	m.Eventually("socket "+path, func() bool {
		if m.Ended() {
			m.t.Fatalf("the emulator ended: exit status %d\n%s", m.Wait(), m.Stderr())
		}
		var err error
		c, err = net.Dial("unix", path)
		return err == nil
	})
	if m.conn != nil {
		m.conn.Close()
	}
	m.conn, m.in = c, bufio.NewReaderSize(c, 64<<10)
	m.t.Cleanup(func() { c.Close() })
}

// Quit ends the machine with SIGTERM. Its exit status must be 0.
func (m *Machine) Quit() {
	m.t.Helper()
	m.Signal(syscall.SIGTERM)
	if code := m.Wait(); code != 0 {
		m.t.Errorf("exit status %d after SIGTERM; standard error:\n%s", code, m.Stderr())
	}
}

// accept waits for the emulator to connect.
func (m *Machine) accept(l *net.UnixListener) net.Conn {
	m.t.Helper()
	type result struct {
		c   net.Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := l.Accept()
		done <- result{c, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			m.t.Fatal(r.err)
		}
		return r.c
	case <-m.Done():
		l.Close()
		if r := <-done; r.err == nil {
			r.c.Close()
		}
		m.t.Fatalf("the emulator ended: exit status %d\n%s", m.Wait(), m.Stderr())
	case <-time.After(patience):
		m.t.Fatal("the emulator does not connect")
	}
	return nil
}

func listen(t testing.TB, path string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ShortDir makes a directory whose name leaves room for a socket's name in 108
// bytes, which t.TempDir does not promise.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "qt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Args splits a command line at blanks. Single quotes keep blanks together.
func Args(line string) []string {
	var words []string
	var b strings.Builder
	in, quoted := false, false
	for _, c := range line {
		switch {
		case c == '\'':
			quoted, in = !quoted, true
		case c == ' ' && !quoted:
			if in {
				words = append(words, b.String())
			}
			b.Reset()
			in = false
		default:
			b.WriteRune(c)
			in = true
		}
	}
	if in {
		words = append(words, b.String())
	}
	return words
}
