package monitor

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/chardev"
)

// listen puts a QMP monitor on a unix socket and returns its path.
func listen(t *testing.T, set *Set) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qmp.sock")
	cfg, err := chardev.ParseFilename("unix:" + path + ",server=on,wait=off")
	if err != nil {
		t.Fatal(err)
	}
	reg := new(chardev.Registry)
	c, err := reg.Add("compat_monitor0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := set.Add(c, Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close) // before the chardev's
	return path
}

// handshake ends the negotiation the way go-qemu does: one buffered decoder for
// the greeting, another for the reply, and whatever they read too much is lost.
// It returns what was lost.
func handshake(t *testing.T, conn net.Conn) (lost string) {
	t.Helper()
	var v any
	if err := json.NewDecoder(conn).Decode(&v); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(`{"execute":"qmp_capabilities"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(conn)
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(dec.Buffered())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(rest))
}

// A client like go-qemu loses nothing, however many events there are at the
// worst moment, and its commands need no newline.
func TestHandshakeLosesNothing(t *testing.T) {
	_, set := newVM(t)
	path := listen(t, set)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Microsecond):
				set.Emit("STOP", nil)
			}
		}
	}()
	defer func() { close(stop); <-done }()
	for range 10 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if lost := handshake(t, conn); lost != "" {
			t.Fatalf("lost %.300s", lost)
		}
		lines := bufio.NewScanner(conn)
		for range 5 {
			if _, err := conn.Write([]byte(`{"execute":"query-status"}`)); err != nil {
				t.Fatal(err)
			}
			for {
				if !lines.Scan() {
					t.Fatal(lines.Err())
				}
				if !json.Valid(lines.Bytes()) {
					t.Fatalf("torn line %q", lines.Text())
				}
				if strings.HasPrefix(lines.Text(), `{"return": {"status": "running"`) {
					break
				}
			}
		}
		conn.Close()
		// The next client comes when the session knows that this one is gone.
		s := set.monitors[0].(*session)
		for open := true; open; time.Sleep(time.Millisecond) {
			s.mu.Lock()
			open = s.open
			s.mu.Unlock()
		}
	}
}

// Commands that were piped in are all run and answered although the end of
// the input comes right behind them, and events go on after it.
func TestStdioEOF(t *testing.T) {
	_, set := newVM(t)
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer outR.Close()
	reg := &chardev.Registry{Stdin: inR, Stdout: outW}
	c, err := reg.Add("compat_monitor0", chardev.StdioConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); inR.Close(); outW.Close() })
	const n = 300 // more than is read at a time
	in := `{"execute":"qmp_capabilities"}` + strings.Repeat(`{"execute":"query-name"}`, n)
	if _, err := inW.WriteString(in); err != nil {
		t.Fatal(err)
	}
	inW.Close()
	if err := set.Add(c, Options{}); err != nil {
		t.Fatal(err)
	}
	outR.SetReadDeadline(time.Now().Add(patience))
	r := bufio.NewReader(outR)
	for i := range n + 2 {
		l, err := r.ReadString('\n')
		if err != nil || i > 0 && l != emptyReply+"\r\n" {
			t.Fatalf("line %d: %q, %v", i, l, err)
		}
	}
	time.Sleep(20 * time.Millisecond) // the end is seen
	set.Emit("STOP", nil)
	if l, err := r.ReadString('\n'); !strings.Contains(l, `"event": "STOP"`) {
		t.Errorf("%q, %v", l, err)
	}
}

// The same over a socket of which the client shuts down its sending half.
func TestHalfClosedSocket(t *testing.T) {
	_, set := newVM(t)
	conn, err := net.Dial("unix", listen(t, set))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const n = 300
	in := `{"execute":"qmp_capabilities"}` + strings.Repeat(`{"execute":"query-name"}`, n)
	if _, err := conn.Write([]byte(in)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	all, err := io.ReadAll(conn)
	if got := strings.Count(string(all), emptyReply+"\r\n"); err != nil || got != n+1 {
		t.Errorf("%d replies, %v", got, err)
	}
}

// Over a real socket: a descriptor by SCM_RIGHTS, and a client that leaves in
// the middle of a command makes room for the next.
func TestUnixSocket(t *testing.T) {
	_, set := newVM(t)
	path := listen(t, set)
	dial := func() (*net.UnixConn, *bufio.Reader) {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		return conn.(*net.UnixConn), bufio.NewReader(conn)
	}
	read := func(r *bufio.Reader, want string) {
		t.Helper()
		l, err := r.ReadString('\n')
		if err != nil || !strings.HasPrefix(l, want) || !strings.HasSuffix(l, "\r\n") {
			t.Fatalf("got %q, %v, want %s", l, err, want)
		}
	}
	conn, r := dial()
	read(r, `{"QMP": {"version": {"qemu": {"micro": 7, "minor": 2, "major": 8}, "package": ""}, "capabilities": ["oob"]}}`)
	conn.Write([]byte(`{"execute":"qmp_capabilities"}`))
	read(r, emptyReply)
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if _, _, err := conn.WriteMsgUnix([]byte(`{"execute":"getfd","arguments":{"fdname":"n"},"id":"libvirt-1"}`+"\r\n"),
		unix.UnixRights(int(null.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	read(r, `{"return": {}, "id": "libvirt-1"}`)
	conn.Write([]byte(`{"execute":"closefd","arguments":{"fdname":"n"}}`))
	read(r, emptyReply)
	conn.Write([]byte(`{"execute":"query-na`))
	conn.Close()

	conn, r = dial()
	defer conn.Close()
	read(r, `{"QMP"`)
	conn.Write([]byte(`{"execute":"query-name"}`))
	read(r, `{"error": {"class": "CommandNotFound"`)
	conn.Write([]byte(`{"execute":"qmp_capabilities"}{"execute":"x-big"}{"execute":"quit"}`))
	read(r, emptyReply)
	read(r, `{"return": "xxxx`)
	read(r, `{"timestamp"`)
	read(r, emptyReply)
}
