package qtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// QMP is a control connection. It is used by one goroutine at a time.
type QMP struct {
	// Greeting is the server's first line, once read.
	Greeting json.RawMessage

	t      testing.TB
	conn   net.Conn
	in     *bufio.Reader
	part   string // of a line that had not ended when LineErr gave up
	events []Event
	nextID int
}

// Event is one asynchronous message.
type Event struct {
	Event     string          `json:"event"`
	Data      json.RawMessage `json:"data"`
	Timestamp struct {
		Seconds      int64 `json:"seconds"`
		Microseconds int64 `json:"microseconds"`
	} `json:"timestamp"`
}

func (e Event) String() string {
	if len(e.Data) == 0 {
		return e.Event
	}
	return e.Event + " " + string(e.Data)
}

// QMPError is an error reply.
type QMPError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func (e *QMPError) Error() string { return e.Class + ": " + e.Desc }

// Reply is one line from the server.
type Reply struct {
	Event
	ID     json.RawMessage `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *QMPError       `json:"error"`
	QMP    json.RawMessage `json:"QMP"`
}

// NewQMP takes over a connection. Nothing is read yet.
func NewQMP(t testing.TB, c net.Conn) *QMP {
	t.Cleanup(func() { c.Close() })
	return &QMP{t: t, conn: c, in: bufio.NewReaderSize(c, 64<<10)}
}

// DialQMP connects to a server's unix socket, greeted and negotiated.
func DialQMP(t testing.TB, path string) *QMP {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	q := NewQMP(t, c)
	q.Negotiate()
	return q
}

// Negotiate reads the greeting and leaves negotiation mode.
func (q *QMP) Negotiate() {
	t := q.t
	t.Helper()
	q.ReadGreeting()
	q.Must("qmp_capabilities", nil, nil)
}

// ReadGreeting reads the first line.
func (q *QMP) ReadGreeting() {
	q.t.Helper()
	r := q.Next()
	if r.QMP == nil {
		q.t.Fatalf("QMP: no greeting: %+v", r)
	}
	q.Greeting = r.QMP
}

// Close closes the connection.
func (q *QMP) Close() { q.conn.Close() }

// Send sends bytes as they are.
func (q *QMP) Send(s string) {
	q.t.Helper()
	_ = q.conn.SetWriteDeadline(time.Now().Add(patience)) // sockets have deadlines
	if _, err := q.conn.Write([]byte(s)); err != nil {
		q.t.Fatalf("QMP: sending %.60q: %v", s, err)
	}
}

// LineErr reads one line, with its end. It gives up after a while, with
// os.ErrDeadlineExceeded and what there is of the line, which the next call
// reads again.
func (q *QMP) LineErr(limit time.Duration) (string, error) {
	_ = q.conn.SetReadDeadline(time.Now().Add(limit)) // sockets have deadlines
	s, err := q.in.ReadString('\n')
	s = q.part + s
	q.part = ""
	if errors.Is(err, os.ErrDeadlineExceeded) {
		q.part = s
	}
	return s, err
}

// Line reads one line. It must end in CR LF, as QEMU's do: there are clients
// that wait for that.
func (q *QMP) Line() string {
	q.t.Helper()
	s, err := q.LineErr(patience)
	if err != nil {
		q.t.Fatalf("QMP: %v after %q", err, s)
	}
	return q.trim(s)
}

// trim takes the end off a line.
func (q *QMP) trim(s string) string {
	q.t.Helper()
	line, ok := strings.CutSuffix(s, "\r\n")
	if !ok {
		q.t.Fatalf("QMP: a line does not end in CR LF: %q", s)
	}
	return line
}

// Next reads and decodes one line.
func (q *QMP) Next() Reply {
	q.t.Helper()
	return q.decode(q.Line())
}

// decode decodes a line, with or without its end.
func (q *QMP) decode(s string) Reply {
	q.t.Helper()
	if strings.HasSuffix(s, "\n") {
		s = q.trim(s)
	}
	var r Reply
	if err := json.Unmarshal([]byte(s), &r); err != nil {
		q.t.Fatalf("QMP: %v in %q", err, s)
	}
	return r
}

// reply reads up to the next reply and queues the events before it.
func (q *QMP) reply() Reply {
	q.t.Helper()
	for {
		r := q.Next()
		if r.Event.Event == "" {
			return r
		}
		q.events = append(q.events, r.Event)
	}
}

// Execute performs a command with an id of its own and decodes what it returns
// into ret, unless that is nil. Errors of the server are *QMPError.
func (q *QMP) Execute(command string, args, ret any) error {
	q.t.Helper()
	return q.execute(command, args, ret, func(line string) { q.Send(line) })
}

// execute is Execute with a way to send.
func (q *QMP) execute(command string, args, ret any, send func(line string)) error {
	q.t.Helper()
	q.nextID++
	req := map[string]any{"execute": command, "id": q.nextID}
	if args != nil {
		req["arguments"] = args
	}
	b, err := json.Marshal(req)
	if err != nil {
		q.t.Fatal(err)
	}
	send(string(b) + "\n")
	r := q.reply()
	if want := fmt.Sprint(q.nextID); string(r.ID) != want {
		q.t.Fatalf("QMP: %s: reply has id %s, want %s", command, r.ID, want)
	}
	if r.Error != nil {
		return r.Error
	}
	if ret == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(r.Return))
	d.UseNumber()
	if err := d.Decode(ret); err != nil {
		q.t.Fatalf("QMP: %s: %v in %s", command, err, r.Return)
	}
	return nil
}

// ExecuteFDs is Execute for a command that takes descriptors, such as getfd and
// add-fd: they travel with it (unix(7), SCM_RIGHTS). The files stay open here.
func (q *QMP) ExecuteFDs(command string, args, ret any, files ...*os.File) error {
	q.t.Helper()
	c, ok := q.conn.(*net.UnixConn)
	if !ok {
		q.t.Fatalf("QMP: descriptors need a unix socket, this is %T", q.conn)
	}
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	return q.execute(command, args, ret, func(line string) {
		q.t.Helper()
		_ = c.SetWriteDeadline(time.Now().Add(patience)) // sockets have deadlines
		if _, _, err := c.WriteMsgUnix([]byte(line), syscall.UnixRights(fds...), nil); err != nil {
			q.t.Fatalf("QMP: sending %s: %v", command, err)
		}
	})
}

// Must is Execute for a command that must not fail.
func (q *QMP) Must(command string, args, ret any) {
	q.t.Helper()
	if err := q.Execute(command, args, ret); err != nil {
		q.t.Fatalf("QMP: %s %v: %v", command, args, err)
	}
}

// HMP performs a line of the human monitor and gives its output with plain
// line ends.
func (q *QMP) HMP(line string) string {
	q.t.Helper()
	var s string
	q.Must("human-monitor-command", map[string]any{"command-line": line}, &s)
	return string(bytes.ReplaceAll([]byte(s), []byte("\r\n"), []byte("\n")))
}

// Status gives query-status's state.
func (q *QMP) Status() string {
	q.t.Helper()
	var s struct{ Status string }
	q.Must("query-status", nil, &s)
	return s.Status
}

// ExpectEOF waits for the server to hang up; nothing may come before.
func (q *QMP) ExpectEOF() {
	q.t.Helper()
	if s, err := q.LineErr(patience); err == nil || s != "" {
		q.t.Fatalf("QMP: %q, want the end", s)
	}
}
