package qtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
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

// LineErr reads one line, with its end. It gives up after a while.
func (q *QMP) LineErr(limit time.Duration) (string, error) {
	_ = q.conn.SetReadDeadline(time.Now().Add(limit)) // sockets have deadlines
	return q.in.ReadString('\n')
}

// Line reads one line. It must end in CR LF, as QEMU's do: there are clients
// that wait for that.
func (q *QMP) Line() string {
	q.t.Helper()
	s, err := q.LineErr(patience)
	if err != nil {
		q.t.Fatalf("QMP: %v after %q", err, s)
	}
	line, ok := bytes.CutSuffix([]byte(s), []byte("\r\n"))
	if !ok {
		q.t.Fatalf("QMP: a line does not end in CR LF: %q", s)
	}
	return string(line)
}

// Next reads and decodes one line.
func (q *QMP) Next() Reply {
	q.t.Helper()
	s := q.Line()
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
	q.nextID++
	req := map[string]any{"execute": command, "id": q.nextID}
	if args != nil {
		req["arguments"] = args
	}
	b, err := json.Marshal(req)
	if err != nil {
		q.t.Fatal(err)
	}
	q.Send(string(b) + "\n")
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

// NextEvent gives the oldest event not yet handed out, waiting for it.
func (q *QMP) NextEvent() Event {
	q.t.Helper()
	for len(q.events) == 0 {
		r := q.Next()
		if r.Event.Event == "" {
			q.t.Fatalf("QMP: a reply nobody waits for: %+v", r)
		}
		q.events = append(q.events, r.Event)
	}
	e := q.events[0]
	q.events = q.events[1:]
	return e
}

// Events empties the queue of events that came with replies.
func (q *QMP) Events() []Event {
	l := q.events
	q.events = nil
	return l
}

// WaitEvent waits for an event by name. Those before it are dropped.
func (q *QMP) WaitEvent(name string) Event {
	q.t.Helper()
	for {
		if e := q.NextEvent(); e.Event == name {
			return e
		}
	}
}

// ExpectEvents waits for as many events as there are texts, which are those of
// Event.String, and compares.
func (q *QMP) ExpectEvents(want ...string) {
	q.t.Helper()
	for i, w := range want {
		if have := q.NextEvent().String(); have != w {
			q.t.Fatalf("event %d: %s, want %s", i, have, w)
		}
	}
}

// ExpectEOF waits for the server to hang up; nothing may come before.
func (q *QMP) ExpectEOF() {
	q.t.Helper()
	if s, err := q.LineErr(patience); err == nil || s != "" {
		q.t.Fatalf("QMP: %q, want the end", s)
	}
}
