package monitor

import (
	"runtime/debug"
	"sync"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/internal/crash"
	"github.com/gqemu/gqemu/internal/qjson"
)

const (
	// queueLen is how many commands may wait in a session with out-of-band
	// execution. Without, it is one.
	queueLen = 8
	// inputLen is how many bytes are taken from the port at a time.
	inputLen = 4096
	// largeInput is how many bytes a message must have had for its memory to be
	// given back at once.
	largeInput = 4 << 20
)

// session is a QMP monitor.
type session struct {
	set       *Set
	pretty    bool
	offersOOB bool // out-of-band execution may be enabled
	out       output
	port      Port

	wakeReader, wakeRunner chan struct{} // capacity 1
	joined                 sync.WaitGroup

	mu      sync.Mutex
	closing bool      // guarded by mu, as all that follows
	open    bool      // there is a client
	gen     uint64    // counts comings and goings of clients
	state   protocol  // what was negotiated
	in      chunk     // input that the parser has not seen
	reqs    []request // wait for the runner
	running bool      // the runner is at one
	fds     fdState
	dropped int // events, for this client
}

// protocol is the state of the negotiation.
type protocol struct {
	negotiated bool
	oob        bool // out-of-band execution is enabled
}

// chunk is a piece of input.
type chunk struct {
	data []byte
	fds  []int // came with it
}

// request is one message of the client: a value, or what is wrong with it.
type request struct {
	value any
	err   error
	fds   []int // that came with it
	gen   uint64
	size  int // bytes of input
}

// forget drops the request and, if it was so large that it matters, its memory:
// a VM has a long life after one such message.
func (r *request) forget() {
	large := r.size > largeInput
	*r = request{}
	if large {
		debug.FreeOSMemory()
	}
}

func newSession(set *Set, port Port, pretty bool) (*session, error) {
	s := &session{
		set: set, pretty: pretty, offersOOB: takesInput(port), port: port,
		wakeReader: make(chan struct{}, 1), wakeRunner: make(chan struct{}, 1),
	}
	s.out.init(port, func() {
		wake(s.wakeReader)
		wake(s.wakeRunner)
	})
	s.joined.Go(s.read)
	s.joined.Go(s.run)
	if err := port.Attach(s); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// stop ends the goroutines and waits for them.
func (s *session) stop() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	wake(s.wakeReader)
	wake(s.wakeRunner)
	s.joined.Wait()
}

func (s *session) close() {
	s.stop()
	s.out.close()
	s.port.Detach()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetClient()
	s.fds.closeNamed()
}

// Event implements [chardev.Frontend].
func (s *session) Event(e chardev.Event) {
	switch e {
	case chardev.EventOpened:
		greeting := encode(s.greeting(), s.pretty)
		s.mu.Lock()
		s.forgetClient()
		if !s.closing {
			s.setOpen(true)
			s.out.put(item{data: greeting})
		}
		s.mu.Unlock()
	case chardev.EventClosed:
		if outlives(s.port) {
			return
		}
		s.mu.Lock()
		s.forgetClient()
		s.mu.Unlock()
	default:
		return
	}
	// The reader resets the parser.
	wake(s.wakeReader)
}

// setOpen notes whether there is a client. mu is held.
func (s *session) setOpen(open bool) {
	if s.open != open && s.set.cfg.Clients != nil {
		s.set.cfg.Clients(open)
	}
	s.open = open
}

// forgetClient makes the session ready for another client. mu is held.
func (s *session) forgetClient() {
	s.setOpen(false)
	s.gen++
	s.state = protocol{}
	closeFDs(s.in.fds)
	for _, r := range s.reqs {
		closeFDs(r.fds)
	}
	s.in, s.reqs = chunk{}, nil
	s.fds.closeLoose()
	s.dropped = 0
	s.out.reset()
}

// CanReceive implements [chardev.Frontend]. Nothing is read ahead, so that the
// end of the input is seen only after all commands before it have run: they may
// come from a pipe.
func (s *session) CanReceive() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.in.data) > 0 || s.busy() || s.out.full() {
		return 0
	}
	return inputLen
}

// Receive implements [chardev.Frontend].
func (s *session) Receive(p []byte) {
	fds := s.port.TakeFDs()
	s.mu.Lock()
	if s.closing || !s.open {
		closeFDs(fds)
	} else {
		s.in.data = append(s.in.data, p...)
		s.in.fds = append(s.in.fds, fds...)
	}
	s.mu.Unlock()
	wake(s.wakeReader)
}

// Writable implements [chardev.Frontend].
func (s *session) Writable() { s.out.writable() }

// read is the goroutine that takes input apart.
func (s *session) read() {
	defer crash.Handle()
	var parser qjson.Parser
	var gen uint64
	size := 0 // bytes of the message being read
	for {
		data, ok := s.nextInput(&parser, &gen)
		if !ok {
			return
		}
		v, rest, err := parser.Next(data)
		var req *request
		size += len(data) - len(rest)
		if err != qjson.ErrIncomplete {
			req = &request{value: v, err: err, gen: gen, size: size}
			v, size = nil, 0
		}
		s.mu.Lock()
		if s.gen != gen {
			s.mu.Unlock()
			continue
		}
		s.in.data = rest
		oob := false
		if req != nil {
			req.fds = s.fds.takeLoose()
			if m, ok := req.value.(map[string]any); ok {
				oob = isOOB(m)
			}
			if !oob {
				s.reqs = append(s.reqs, *req)
			}
		}
		s.mu.Unlock()
		switch {
		case oob:
			s.handle(req)
			req.forget()
		case req != nil:
			wake(s.wakeRunner)
		}
	}
}

// nextInput waits until the session may read on, and returns the next input.
// When the client changed, it resets the parser.
func (s *session) nextInput(parser *qjson.Parser, gen *uint64) ([]byte, bool) {
	for {
		full := s.out.full()
		s.mu.Lock()
		if s.closing {
			s.mu.Unlock()
			return nil, false
		}
		if s.gen != *gen {
			parser.Reset()
			*gen = s.gen
		}
		if len(s.in.data) > 0 && !full && !s.busy() {
			if len(s.in.fds) > 0 {
				s.fds.setLoose(s.in.fds)
				s.in.fds = nil
			}
			data := s.in.data
			s.mu.Unlock()
			return data, true
		}
		s.mu.Unlock()
		s.port.AcceptInput() // it may have been refused, for a reason that is gone
		<-s.wakeReader
	}
}

// busy says whether enough commands wait. mu is held.
func (s *session) busy() bool {
	if s.state.oob {
		return len(s.reqs) >= queueLen
	}
	return len(s.reqs) > 0 || s.running
}

// run is the goroutine that runs commands in their order.
func (s *session) run() {
	defer crash.Handle()
	for {
		full := s.out.full()
		s.mu.Lock()
		if s.closing {
			s.mu.Unlock()
			return
		}
		if full || len(s.reqs) == 0 {
			s.mu.Unlock()
			<-s.wakeRunner
			continue
		}
		req := s.reqs[0]
		s.reqs[0] = request{}
		s.reqs = s.reqs[1:]
		s.running = true
		s.mu.Unlock()
		wake(s.wakeReader)
		s.handle(&req)
		req.forget()
		s.mu.Lock()
		s.running = false
		s.mu.Unlock()
		wake(s.wakeReader)
	}
}

// emit implements [attached].
func (s *session) emit(m *message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open || !s.state.negotiated {
		return
	}
	if s.out.put(item{data: m.text(s.pretty), event: true}) {
		return
	}
	if s.dropped == 0 {
		s.set.cfg.Log("monitor: the client on %s does not read, it misses events", s.port.ID())
	}
	s.dropped++
}

// reply queues the answer to a request of client generation gen. With end given
// the negotiation ends with it, in one step for those who emit events.
func (s *session) reply(gen uint64, v qjson.Object, end *protocol) {
	data := encode(v, s.pretty)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen != gen || !s.open {
		return // the client who asked is gone
	}
	if end != nil {
		s.state = *end
	}
	s.out.put(item{data: data, settle: end != nil})
}
