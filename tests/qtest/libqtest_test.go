package qtest

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// libqtest is an emulator started as QEMU's libqtest starts it, by a shell, with
// nothing of this package in between.
type libqtest struct {
	t          *testing.T
	cmd        *exec.Cmd
	stderr     lockedBuffer
	test, qmp  net.Conn
	testIn     *bufio.Reader
	qmpIn      *bufio.Reader
	testSocket *net.UnixListener
}

func startLibqtest(t *testing.T, log, args string) *libqtest {
	t.Helper()
	dir := ShortDir(t)
	q := &libqtest{t: t, testSocket: listen(t, filepath.Join(dir, "qtest.sock"))}
	defer q.testSocket.Close()
	mon := listen(t, filepath.Join(dir, "qtest.qmp"))
	defer mon.Close()
	// libqtest's own quoting: none.
	q.cmd = exec.Command("/bin/sh", "-c", "exec "+Binary(t)+" -qtest unix:"+q.testSocket.Addr().String()+" -qtest-log "+log+
		" -chardev socket,path="+mon.Addr().String()+",id=char0 -mon chardev=char0,mode=control -display none -audio none "+
		args+" -accel qtest")
	q.cmd.Stderr = &q.stderr
	q.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := q.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if q.cmd.ProcessState == nil {
			_ = q.cmd.Process.Kill()
			_ = q.cmd.Wait()
		}
	})
	accept := func(l *net.UnixListener) net.Conn {
		if err := l.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatalf("%v; standard error:\n%s", err, q.stderr.String())
		}
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	q.test = accept(q.testSocket)
	q.qmp = accept(mon)
	q.testIn, q.qmpIn = bufio.NewReader(q.test), bufio.NewReader(q.qmp)
	return q
}

func (q *libqtest) say(c net.Conn, in *bufio.Reader, line string) string {
	q.t.Helper()
	if line != "" {
		if _, err := c.Write([]byte(line + "\n")); err != nil {
			q.t.Fatal(err)
		}
	}
	s, err := in.ReadString('\n')
	if err != nil {
		q.t.Fatalf("after %q: %v; standard error:\n%s", line, err, q.stderr.String())
	}
	return strings.TrimRight(s, "\r\n")
}

// object sends a command, written as QEMU's tests write JSON, and decodes the
// reply, past events.
func (q *libqtest) object(line string) map[string]json.RawMessage {
	q.t.Helper()
	for {
		var m map[string]json.RawMessage
		if s := q.say(q.qmp, q.qmpIn, line); json.Unmarshal([]byte(s), &m) != nil {
			q.t.Fatalf("%s: %s", line, s)
		}
		if m["event"] == nil {
			return m
		}
		line = ""
	}
}

// handshake is libqtest's, and what its users ask before their first test.
func (q *libqtest) handshake() {
	q.t.Helper()
	if s := q.say(q.test, q.testIn, "endianness"); s != "OK little" {
		q.t.Errorf("endianness: %q", s)
	}
	if m := q.object(""); m["QMP"] == nil {
		q.t.Fatalf("greeting: %s", m)
	}
	for _, c := range []string{
		"{ 'execute': 'qmp_capabilities' }", "{ 'execute': 'query-machines' }",
		"{ 'execute': 'qom-list-types', 'arguments': { 'implements': 'device', 'abstract': false } }",
	} {
		if m := q.object(c); m["return"] == nil {
			q.t.Errorf("%s: %s", c, m)
		}
	}
}

// quit is libqtest's: SIGTERM, and the exit status must be 0.
func (q *libqtest) quit() {
	q.t.Helper()
	if err := q.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		q.t.Fatal(err)
	}
	if err := q.cmd.Wait(); err != nil {
		q.t.Errorf("after SIGTERM: %v; standard error:\n%s", err, q.stderr.String())
	}
}

// TestLibqtest: a program that starts the emulator as QEMU's libqtest does gets
// through the negotiation, on every machine and without one; JSON arguments
// pass through the shell; SIGTERM ends it with status 0.
func TestLibqtest(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"", "-machine none", "-M microvm", "-M q35 -nodefaults", "-nodefaults -machine none -S",
		`-M microvm -device "{'driver': 'virtio-rng-device', 'id': 'r0'}"`,
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			q := startLibqtest(t, "/dev/null", args)
			q.handshake()
			if strings.Contains(args, "r0") {
				m := q.object("{ 'execute': 'qom-get', 'arguments': { 'path': 'r0', 'property': 'realized' } }")
				if string(m["return"]) != "true" {
					t.Errorf("the device of -device: %s", m)
				}
			}
			q.quit()
		})
	}
}

// TestLibqtestLog: with QTEST_LOG set libqtest asks for the conversation on
// /dev/fd/2, in QEMU's form.
func TestLibqtestLog(t *testing.T) {
	t.Parallel()
	q := startLibqtest(t, "/dev/fd/2", "-machine none")
	q.handshake()
	q.quit()
	for _, want := range []string{"[I 0.000000] OPENED\n", "[R +0.", "] endianness\n", "[S +0.", "] OK little\n"} {
		if !strings.Contains(q.stderr.String(), want) {
			t.Errorf("no %q in the log:\n%s", want, q.stderr.String())
		}
	}
}

// TestBinaryNames: the program is found by a path or by a name in PATH.
func TestBinaryNames(t *testing.T) {
	t.Parallel()
	path := Binary(t)
	if !strings.HasSuffix(path, "-system-x86_64") {
		t.Errorf("libqtest takes the architecture from the name: %s", path)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
