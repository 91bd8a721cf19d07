package l1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

// ErrClosed is wrapped when the monitor's connection ends.
var ErrClosed = errors.New("QMP: the connection is closed")

// qmpTimeout is for a reply. While guest memory is pinned the monitor must
// answer too, so it is not long.
const qmpTimeout = 30 * time.Second

// QMP is a connection to a monitor by go-qemu that keeps all events. Its
// methods may be used by several goroutines.
type QMP struct {
	mon *qmp.SocketMonitor

	mu      sync.Mutex // guards the rest
	events  []qmp.Event
	over    bool
	changed chan struct{} // closed and replaced when there is more
}

// DialQMP connects to a monitor's unix socket.
func DialQMP(path string) (*QMP, error) {
	mon, err := qmp.NewSocketMonitor("unix", path, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("QMP: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- mon.Connect() }()
	select {
	case err = <-done:
	case <-time.After(qmpTimeout):
		err = fmt.Errorf("no greeting within %v", qmpTimeout)
	}
	if err != nil {
		mon.Disconnect()
		return nil, fmt.Errorf("QMP: connect: %w", err)
	}
	stream, err := mon.Events(context.Background())
	if err != nil {
		mon.Disconnect()
		return nil, fmt.Errorf("QMP: events: %w", err)
	}
	q := &QMP{mon: mon, changed: make(chan struct{})}
	go q.collect(stream)
	return q, nil
}

// collect ends when the connection does.
func (q *QMP) collect(stream <-chan qmp.Event) {
	for e := range stream {
		q.mu.Lock()
		q.events = append(q.events, e)
		q.wake()
		q.mu.Unlock()
	}
	q.mu.Lock()
	q.over = true
	q.wake()
	q.mu.Unlock()
}

func (q *QMP) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Close ends the connection.
func (q *QMP) Close() { q.mon.Disconnect() }

// Version is what the greeting said.
func (q *QMP) Version() string { return q.mon.Version.String() }

// Run runs a command and returns what it returned. args may be nil.
func (q *QMP) Run(command string, args any) (json.RawMessage, error) {
	text, err := json.Marshal(qmp.Command{Execute: command, Args: args})
	if err != nil {
		return nil, err
	}
	type reply struct {
		raw []byte
		err error
	}
	done := make(chan reply, 1)
	go func() {
		raw, err := q.mon.Run(text)
		done <- reply{raw, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			if q.closed() {
				r.err = fmt.Errorf("%w: %w", ErrClosed, r.err)
			}
			return nil, fmt.Errorf("QMP %s: %w", command, r.err)
		}
		var body struct{ Return json.RawMessage }
		err := json.Unmarshal(r.raw, &body)
		return body.Return, err
	case <-time.After(qmpTimeout):
		return nil, fmt.Errorf("QMP %s: no reply within %v", command, qmpTimeout)
	}
}

func (q *QMP) closed() bool {
	// The connection's two ends arrive by different channels, the reply's
	// first at times.
	for range 20 {
		q.mu.Lock()
		over := q.over
		q.mu.Unlock()
		if over {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// Mark is the number of events so far, a place to search from.
func (q *QMP) Mark() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events)
}

// Count is how many events of that name there are from mark on.
func (q *QMP) Count(mark int, name string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, e := range q.events[mark:] {
		if e.Event == name {
			n++
		}
	}
	return n
}

// resets lists the RESET events so far.
func (q *QMP) resets() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	text := "the resets so far:"
	for _, e := range q.events {
		if e.Event == "RESET" {
			text += fmt.Sprintf(" %v at %d.%06d;", e.Data, e.Timestamp.Seconds, e.Timestamp.Microseconds)
		}
	}
	return text
}

// WaitEvent returns the first event of that name from mark on.
func (q *QMP) WaitEvent(mark int, name string, timeout time.Duration) (qmp.Event, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		q.mu.Lock()
		var seen []string
		for _, e := range q.events[mark:] {
			if e.Event == name {
				q.mu.Unlock()
				return e, nil
			}
			seen = append(seen, e.Event)
		}
		over, changed := q.over, q.changed
		q.mu.Unlock()
		if over {
			return qmp.Event{}, fmt.Errorf("QMP: no event %s, only %v: %w", name, seen, ErrClosed)
		}
		select {
		case <-changed:
		case <-timer.C:
			return qmp.Event{}, fmt.Errorf("QMP: no event %s within %v, only %v", name, timeout, seen)
		}
	}
}

// Run is QMP.Run for a command that must succeed.
func (g *Guest) Run(command string, args any) json.RawMessage {
	g.T.Helper()
	raw, err := g.QMP.Run(command, args)
	if err != nil {
		g.Fatalf("%v", err)
	}
	return raw
}

// Event waits for an event from mark on.
func (g *Guest) Event(mark int, name string) qmp.Event {
	g.T.Helper()
	e, err := g.QMP.WaitEvent(mark, name, time.Minute)
	if err != nil {
		g.Fatalf("%v", err)
	}
	return e
}

// Status is query-status's.
func (g *Guest) Status() string {
	g.T.Helper()
	var s struct{ Status string }
	if err := json.Unmarshal(g.Run("query-status", nil), &s); err != nil {
		g.Fatalf("%v", err)
	}
	return s.Status
}

// property is a property of the block device, which must be a string.
func property(g *Guest, name string) string {
	g.T.Helper()
	var s string
	raw := g.Run("qom-get", map[string]any{"path": "/machine/peripheral/blk", "property": name})
	if err := json.Unmarshal(raw, &s); err != nil {
		g.Fatalf("%s: %s: %v", name, raw, err)
	}
	return s
}

// deviceState is what the block device of gqemu's does.
func deviceState(g *Guest) string {
	g.T.Helper()
	return property(g, "x-state")
}
