package qtest

import (
	"errors"
	"os"
	"slices"
	"time"
)

// NextEvent gives the oldest event not yet handed out, waiting for it.
func (q *QMP) NextEvent() Event {
	q.t.Helper()
	e, ok := q.EventWithin(patience)
	if !ok {
		q.t.Fatal("QMP: no event comes")
	}
	return e
}

// EventWithin gives the oldest event not yet handed out, if there is one or one
// comes within so much time.
func (q *QMP) EventWithin(limit time.Duration) (e Event, ok bool) {
	q.t.Helper()
	if len(q.events) == 0 && !q.readEvent(limit) {
		return Event{}, false
	}
	e = q.events[0]
	q.events = q.events[1:]
	return e, true
}

// readEvent reads one event into the queue, and tells whether it came within so
// much time.
func (q *QMP) readEvent(limit time.Duration) bool {
	q.t.Helper()
	s, err := q.LineErr(limit)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	if err != nil {
		q.t.Fatalf("QMP: waiting for an event: %v after %q", err, s)
	}
	r := q.decode(s)
	if r.Event.Event == "" {
		q.t.Fatalf("QMP: a reply nobody waits for: %s", s)
	}
	q.events = append(q.events, r.Event)
	return true
}

// WaitEventWithin waits so long for an event that match, if not nil, accepts.
// Other events stay in the queue.
func (q *QMP) WaitEventWithin(limit time.Duration, name string, match func(Event) bool) (e Event, ok bool) {
	q.t.Helper()
	end := time.Now().Add(limit)
	for i := 0; ; i++ {
		if i == len(q.events) && !q.readEvent(time.Until(end)) {
			return Event{}, false
		}
		if e := q.events[i]; e.Event == name && (match == nil || match(e)) {
			q.events = slices.Delete(q.events, i, i+1)
			return e, true
		}
	}
}

// ExpectNoEvent fails the test for any event that is in the queue or comes
// within so much time.
func (q *QMP) ExpectNoEvent(limit time.Duration) {
	q.t.Helper()
	if e, ok := q.EventWithin(limit); ok {
		q.t.Errorf("QMP: event %s, want none", e)
	}
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
