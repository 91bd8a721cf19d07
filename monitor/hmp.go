package monitor

import (
	"strings"
	"sync"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/qapi"
)

const prompt = "(qemu) "

// human is a monitor for people at a terminal.
type human struct {
	set  *Set
	port Port
	out  output
	line readline // used by the goroutine only

	wakeRunner chan struct{} // capacity 1
	joined     sync.WaitGroup

	mu      sync.Mutex
	closing bool   // guarded by mu, as all that follows
	open    bool   // there is a client
	gen     uint64 // counts comings and goings of clients
	in      []byte
}

func newHuman(set *Set, port Port) (*human, error) {
	h := &human{set: set, port: port, wakeRunner: make(chan struct{}, 1)}
	h.out.init(port, func() { wake(h.wakeRunner) })
	h.joined.Go(h.run)
	if err := port.Attach(h); err != nil {
		h.stop()
		return nil, err
	}
	return h, nil
}

func (h *human) stop() {
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	wake(h.wakeRunner)
	h.joined.Wait()
}

func (h *human) close() {
	h.stop()
	h.out.close()
	h.port.Detach()
}

// emit implements [attached]: people are not told of events.
func (h *human) emit(*message) {}

// Event implements [chardev.Frontend].
func (h *human) Event(e chardev.Event) {
	h.mu.Lock()
	switch e {
	case chardev.EventOpened:
		h.out.reset()
		h.gen++
		h.open, h.in = true, nil
		h.out.put(item{data: []byte("QEMU " + h.set.cfg.Version.triple() +
			" monitor - type 'help' for more information\r\n" + prompt)})
	case chardev.EventClosed:
		if outlives(h.port) {
			break
		}
		h.out.reset()
		h.gen++
		h.open, h.in = false, nil
	}
	h.mu.Unlock()
	wake(h.wakeRunner)
}

// CanReceive implements [chardev.Frontend].
func (h *human) CanReceive() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing || h.out.full() {
		return 0
	}
	return max(0, inputLen-len(h.in))
}

// Receive implements [chardev.Frontend].
func (h *human) Receive(p []byte) {
	closeFDs(h.port.TakeFDs())
	h.mu.Lock()
	if h.open {
		h.in = append(h.in, p...)
	}
	h.mu.Unlock()
	wake(h.wakeRunner)
}

// Writable implements [chardev.Frontend].
func (h *human) Writable() { h.out.writable() }

// run is the goroutine that edits lines and runs them.
func (h *human) run() {
	var gen uint64
	for {
		full := h.out.full()
		h.mu.Lock()
		if h.closing {
			h.mu.Unlock()
			return
		}
		if h.gen != gen {
			h.line = readline{}
			gen = h.gen
		}
		var in []byte
		if !full {
			in, h.in = h.in, nil
		}
		h.mu.Unlock()
		if len(in) == 0 {
			if !full {
				h.port.AcceptInput()
			}
			<-h.wakeRunner
			continue
		}
		for len(in) > 0 && !h.out.full() {
			echo, line, done := h.line.key(in[0])
			in = in[1:]
			h.put(gen, echo)
			if done && !h.command(gen, line) {
				in = nil
			}
		}
		h.giveBack(gen, in)
	}
}

// giveBack returns input that waits until the client reads.
func (h *human) giveBack(gen uint64, in []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(in) > 0 && h.gen == gen {
		h.in = append(append([]byte(nil), in...), h.in...)
	}
}

// command runs one line, and says whether the monitor goes on.
func (h *human) command(gen uint64, line string) bool {
	text := ""
	ran := true
	if strings.TrimSpace(line) != "" && h.set.cfg.HMP != nil {
		ran = h.set.exec(func() { text = h.set.cfg.HMP(h.set.ctx, &qapi.Call{}, line) })
	}
	if ran {
		h.put(gen, strings.ReplaceAll(text, "\n", "\r\n")+prompt)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return ran && h.gen == gen && !h.closing
}

// put sends text to the client of generation gen.
func (h *human) put(gen uint64, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if text != "" && h.gen == gen && h.open {
		h.out.put(item{data: []byte(text)})
	}
}
