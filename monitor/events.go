package monitor

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/qapi"
)

// message is one event in the forms that sessions want it in.
type message struct {
	object          qjson.Object
	compact, pretty []byte // made when first wanted
}

// text returns the line or lines of the event. Calls must not overlap.
func (m *message) text(pretty bool) []byte {
	p := &m.compact
	if pretty {
		p = &m.pretty
	}
	if *p == nil {
		*p = encode(m.object, pretty)
	}
	return *p
}

// encode writes a message as it goes to a client, line ends included.
func encode(v any, pretty bool) []byte {
	if !pretty {
		return append(qjson.Marshal(v), "\r\n"...)
	}
	return append(bytes.ReplaceAll(qjson.MarshalPretty(v), []byte("\n"), []byte("\r\n")), "\r\n"...)
}

// eventState orders events and limits their rate.
type eventState struct {
	mu        sync.Mutex
	throttled map[string]*throttle // guarded by mu
	closed    bool                 // guarded by mu
	timers    sync.WaitGroup
}

// throttle is the interval after a limited event was sent.
type throttle struct {
	stop    func() bool
	pending *message // the last event in the interval, sent at its end
}

// Emit sends an event to all QMP clients that are past the negotiation. Data
// is of the type that the event was registered with, or nil for an event
// without data. Emit does not block and may be called with the VM's lock held
// or without, and all clients see events in the same order.
//
// Of an event with a rate limit, the first is sent at once; of those in the
// interval after it, the last is sent at the interval's end.
func (s *Set) Emit(event string, data any) {
	e := s.cfg.Registry.Event(event)
	if e == nil {
		s.cfg.Log("monitor: event %s is not registered", event)
		return
	}
	enc, err := e.Encode(data)
	if err != nil {
		s.cfg.Log("monitor: %v", err)
		return
	}
	now := time.Now()
	o := qjson.Object{{Key: "event", Value: event}}
	if enc != nil {
		o = append(o, qjson.Member{Key: "data", Value: enc})
	}
	o = append(o, qjson.Member{Key: "timestamp", Value: qjson.Object{
		{Key: "seconds", Value: now.Unix()},
		{Key: "microseconds", Value: int64(now.Nanosecond() / 1000)},
	}})
	o.Sort()
	s.post(e, throttleKey(e, enc), &message{object: o})
}

// throttleKey names the limit that the event falls under.
func throttleKey(e *qapi.Event, data any) string {
	if o, ok := data.(qjson.Object); ok && e.RateKey != "" {
		for _, m := range o {
			if m.Key == e.RateKey {
				return fmt.Sprintf("%s %v", e.Name, m.Value)
			}
		}
	}
	return e.Name
}

func (s *Set) post(e *qapi.Event, key string, m *message) {
	ev := &s.events
	ev.mu.Lock()
	defer ev.mu.Unlock()
	if ev.closed {
		return
	}
	if e.Rate > 0 {
		if t := ev.throttled[key]; t != nil {
			t.pending = m
			return
		}
		if ev.throttled == nil {
			ev.throttled = map[string]*throttle{}
		}
		t := &throttle{}
		ev.throttled[key] = t
		s.arm(e, key, t)
	}
	s.broadcast(m)
}

// arm starts the interval of t. The mutex of the events is held.
func (s *Set) arm(e *qapi.Event, key string, t *throttle) {
	ev := &s.events
	ev.timers.Add(1)
	t.stop = s.cfg.AfterFunc(e.Rate, func() {
		defer ev.timers.Done()
		ev.mu.Lock()
		defer ev.mu.Unlock()
		if ev.closed {
			return
		}
		m := t.pending
		if m == nil {
			delete(ev.throttled, key)
			return
		}
		t.pending = nil
		s.arm(e, key, t)
		s.broadcast(m)
	})
}

// broadcast sends m to all. The mutex of the events is held, for the order.
func (s *Set) broadcast(m *message) {
	s.mu.Lock()
	monitors := s.monitors
	s.mu.Unlock()
	for _, mon := range monitors {
		mon.emit(m)
	}
}

// close drops what is pending and joins the timers.
func (ev *eventState) close() {
	ev.mu.Lock()
	ev.closed = true
	throttled := ev.throttled
	ev.throttled = nil
	ev.mu.Unlock()
	// Without the mutex: what stops a timer may wait for one that fires.
	for _, t := range throttled {
		if t.stop() {
			ev.timers.Done()
		}
	}
	ev.timers.Wait()
}
