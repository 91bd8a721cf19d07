package chardev

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/gqemu/gqemu/internal/crash"
)

// Event is something that happened on the host side of a chardev.
type Event int

const (
	// EventOpened says that the backend has a peer: a client connected, the slave side of a pty was
	// opened. Backends that are always open report it once, after Attach.
	EventOpened Event = iota
	// EventClosed says that the peer is gone. All input that came before it has been delivered,
	// unless the frontend refused it for more than a second after the peer's departure.
	EventClosed
	// EventBreak is a break condition on the line. A multiplexer raises it for its break key.
	EventBreak
	// EventMuxIn and EventMuxOut say that a frontend of a multiplexer got the focus and lost it.
	// They alternate, and come independently of the others: the first EventMuxIn may precede
	// EventOpened.
	EventMuxIn
	EventMuxOut
)

// String returns the event's name as QEMU's trace output spells it.
func (e Event) String() string {
	switch e {
	case EventOpened:
		return "OPENED"
	case EventClosed:
		return "CLOSED"
	case EventBreak:
		return "BREAK"
	case EventMuxIn:
		return "MUX_IN"
	case EventMuxOut:
		return "MUX_OUT"
	}
	return fmt.Sprintf("Event(%d)", int(e))
}

// Frontend is what a device or monitor attaches to a [Chardev].
//
// All calls come from one goroutine of the Chardev (of a multiplexer's base), so there are never two at once, and the
// Chardev holds no lock of its own during them: a Frontend may call any method of the Chardev
// except Close, and may take the VM's lock.
type Frontend interface {
	// CanReceive returns how many bytes Receive would take now. With 0 the backend stops reading
	// until AcceptInput.
	CanReceive() int
	// Receive takes input, 1 to CanReceive bytes. p is valid only during the call.
	Receive(p []byte)
	// Event reports a change of the backend. EventOpened and EventClosed alternate.
	Event(e Event)
	// Writable says that there is room in the output queue again after a short Write.
	Writable()
}

const (
	// QueueSize is the capacity of a chardev's output queue in bytes.
	QueueSize = 64 << 10
	// readSize bounds one read of the backend, as QEMU's CHR_READ_BUF_LEN does.
	readSize = 4096
	// closeFlush is how many seconds Close waits for queued output.
	closeFlush = 1
	// hangupGrace is how many seconds the input of a departed peer is kept for a frontend that
	// takes none.
	hangupGrace = 1
	// hangupPolls is how often a second the departure of the peer is looked for while nothing is
	// read.
	hangupPolls = 5
)

// A backend is the host side of a Chardev. Its open function prepares the Chardev's state, and
// then run, on the session goroutine, does what may block.
type backend interface {
	// run opens and reads sessions until c.ctx is done or none can come any more.
	run(c *Chardev)
	// close releases what open acquired. run has returned by then, and the writer has ended.
	close()
}

// Chardev is one character device. Its methods may be called from any goroutine, including from a
// [Frontend]'s, with the exception that Close must not be called from a Frontend's method.
type Chardev struct {
	id      string
	backend string // its name
	reg     *Registry
	be      backend

	// port, where set, makes this a frontend's place at a multiplexer, and nothing else here but
	// id, reg and filename is in use.
	port *port

	// probe, where set, asks whether a peer has come that the session goroutine has not seen yet.
	probe func() bool

	ctx    context.Context
	cancel context.CancelFunc
	// sessions, writer and dispatcher are closed by the goroutine of that name when it ends.
	sessions, writer, dispatcher chan struct{}
	// wakeFE, wakeIn and wakeOut make those goroutines look at the state again. Capacity 1.
	wakeFE, wakeIn, wakeOut chan struct{}

	closeOnce sync.Once

	// mu guards everything below. It is never held during a call of the frontend or a system call
	// that may block.
	mu       sync.Mutex
	filename string
	open     bool // the backend has a peer
	quit     bool // the dispatcher is to end when it has nothing left to do
	closed   bool // no frontend may be attached any more

	over   *mux // the multiplexer that is the frontend; nil without
	breaks int  // break conditions that the frontend is to be told of
	fe     Frontend
	feGen  uint64 // counts Attach and Detach
	feOpen bool   // the frontend was told EventOpened, and not yet EventClosed
	poke   bool   // CanReceive is worth asking again

	want     bool   // the session goroutine waits for credit
	credit   int    // bytes it may read
	in       []byte // input that is not delivered yet; the session goroutine's buffer
	inBusy   bool   // Receive is looking at it
	inFDs    []int  // descriptors that came with in
	fds      []int  // descriptors for TakeFDs
	received uint64 // counts Receive, to see progress

	cur   *stream // the session's stream, for Disconnect
	wr    *stream // where output goes; nil swallows it
	out   queue
	short bool // a Write was cut short and Writable is owed
	// writing says that the writer is in a write of wr, or of the stream that was wr before.
	writing bool
	drain   []chan struct{} // those in Flush

	log *os.File // logfile=
}

func newChardev(ctx context.Context, r *Registry, id string) *Chardev {
	c := &Chardev{
		id: id, reg: r,
		sessions: make(chan struct{}), writer: make(chan struct{}), dispatcher: make(chan struct{}),
		wakeFE: make(chan struct{}, 1), wakeIn: make(chan struct{}, 1), wakeOut: make(chan struct{}, 1),
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

// start starts the goroutines. The backend is open.
func (c *Chardev) start() {
	go func() {
		defer close(c.sessions)
		defer crash.Handle()
		c.be.run(c)
	}()
	go func() {
		defer close(c.writer)
		defer crash.Handle()
		c.writeLoop()
	}()
	go func() {
		defer close(c.dispatcher)
		defer crash.Handle()
		c.dispatch()
	}()
}

// signal wakes the goroutine that waits on ch, now or at its next wait.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// ID returns the chardev's label: the id of -chardev, or "serial0", "compat_monitor0" and so on.
func (c *Chardev) ID() string { return c.id }

// Filename describes the backend and its peer as query-chardev does: "stdio", "null",
// "pty:/dev/pts/3", "unix:qmp.sock,server=on", "disconnected:unix:qmp.sock,server=on",
// "tcp:127.0.0.1:4444,server=on <-> 127.0.0.1:50718".
func (c *Chardev) Filename() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.filename
}

// FrontendOpen says whether a frontend is attached: query-chardev's frontend-open. A multiplexer
// is no frontend in this sense before it had one itself.
func (c *Chardev) FrontendOpen() bool {
	if c.port != nil {
		return c.port.frontendOpen()
	}
	c.mu.Lock()
	fe, over := c.fe, c.over
	c.mu.Unlock()
	return fe != nil && (over == nil || over.hadFrontend())
}

// Attach makes fe the chardev's frontend. When the backend is open, fe gets EventOpened. There is
// one frontend at a time, of a multiplexer four; one more is refused with QEMU's text.
//
// On a multiplexer fe gets the focus and EventMuxIn, and who had it before EventMuxOut.
func (c *Chardev) Attach(fe Frontend) error {
	if c.port != nil {
		return c.port.attach(fe)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fe != nil {
		return &Error{Desc: fmt.Sprintf("Device '%s' is in use", c.id)}
	}
	if c.closed {
		return &Error{Desc: fmt.Sprintf("Chardev '%s' is closed", c.id)}
	}
	c.fe = fe
	c.feGen++
	c.feOpen = false
	c.poke = true
	signal(c.wakeFE)
	return nil
}

// Detach takes the frontend away. Input that arrives later waits for the next one.
//
// Detach does not wait: a call of the frontend that has begun may end after Detach returned. A
// frontend that must not see it compares a field of its own, under its own lock.
func (c *Chardev) Detach() {
	if c.port != nil {
		c.port.detach()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fe = nil
	c.feGen++
	c.feOpen = false
	c.short = false
	c.breaks = 0
	signal(c.wakeFE)
	signal(c.wakeIn)
}

// AcceptInput says that the frontend's CanReceive may have grown.
func (c *Chardev) AcceptInput() {
	if c.port != nil {
		c.port.acceptInput()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.poke = true
	signal(c.wakeFE)
}

// TakeFDs returns the file descriptors that a peer sent by SCM_RIGHTS with the bytes that were
// delivered last. They are blocking and close-on-exec. The caller owns them; those nobody takes
// are closed when others come and when the peer leaves. None come through a multiplexer.
func (c *Chardev) TakeFDs() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	fds := c.fds
	c.fds = nil
	return fds
}

// Disconnect drops the current peer of a socket, with the output still queued for it. A server
// then accepts the next client, and a client with reconnect= tries again. Other backends have no
// peer that could be dropped, and nothing happens.
func (c *Chardev) Disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cur != nil && c.cur.socket {
		c.cur.kill()
	}
}

// echoSetter is a backend with a terminal.
type echoSetter interface{ setEcho(on bool) }

// SetEcho turns the echo of the stdio terminal on or off. It is off at first; a QMP monitor turns
// it on, since its user types lines. Other backends ignore it.
func (c *Chardev) SetEcho(on bool) {
	if e, ok := c.be.(echoSetter); ok {
		e.setEcho(on)
	}
}

// Close writes queued output for up to a second, drops the peer (the frontend gets EventClosed),
// joins the chardev's goroutines, and releases the backend: a unix socket that the chardev created
// is unlinked, a terminal gets its settings back. Then the id is free in the registry.
//
// Close waits for a running call of the frontend, so it must not be called from one, nor with a
// lock held that the frontend takes. A second Close returns at once.
//
// Close of a multiplexer leaves its base, which then has no frontend.
func (c *Chardev) Close() error {
	if c.port != nil {
		c = c.port.m.c
	}
	c.closeOnce.Do(func() {
		if c.port != nil {
			c.port.m.close()
			c.cancel()
			c.reg.forget(c)
			return
		}
		ctx, cancel := context.WithTimeout(c.ctx, c.reg.seconds(closeFlush))
		_ = c.Flush(ctx) // what does not fit into the time is lost, as documented
		cancel()

		c.cancel()
		<-c.sessions
		c.mu.Lock()
		c.open = false
		c.wr = nil
		c.resetOutput()
		c.closed = true
		c.quit = true
		c.mu.Unlock()
		signal(c.wakeFE)
		<-c.writer
		<-c.dispatcher
		c.be.close()

		c.mu.Lock()
		fds := c.fds
		c.fds = nil
		c.fe = nil
		log := c.log
		c.log = nil
		c.mu.Unlock()
		closeFDs(fds)
		if log != nil {
			log.Close()
		}
		c.reg.forget(c)
	})
	return nil
}
