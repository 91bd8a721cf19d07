package monitor

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/internal/crash"
)

const prompt = "(qemu) "

// Human interprets the lines of one human monitor. Its methods are called
// within Config.Exec, one at a time.
type Human interface {
	// Execute runs a line and returns the output, with LF at the end of
	// lines. history lists the lines before and this one, the oldest first.
	// last says that no other line will be run, so that none is asked for.
	Execute(ctx context.Context, line string, history []string) (output string, last bool)
	// Complete tells how a line may go on that ends at the cursor: prefix is
	// the word that is being typed, and words are what it may become, sorted.
	Complete(line string) (prefix string, words []string)
}

// human is a monitor for people at a terminal.
type human struct {
	set  *Set
	port Port
	out  output
	line readline // used by the goroutine only, once it runs
	lang Human    // nil for none; as line

	wakeRunner chan struct{} // capacity 1
	joined     sync.WaitGroup

	mu      sync.Mutex
	closing bool   // guarded by mu, as all that follows
	open    bool   // there is a client
	greeted bool   // some client was there, so that the prompt may be shown
	away    bool   // on a multiplexer, another frontend has the focus
	gen     uint64 // counts comings and goings of clients
	in      []humanInput
	inLen   int  // bytes in in
	busy    bool // the goroutine is at some input
}

// humanInput is a piece of input: bytes, or a change of a multiplexer's focus
// that came after the bytes before it.
type humanInput struct {
	data  []byte
	focus chardev.Event // where data is nil
}

// maxSwitches is how many changes of the focus wait, at most, behind a client
// that does not read. More make no difference to what it sees.
const maxSwitches = 16

func newHuman(set *Set, port Port) (*human, error) {
	h := &human{set: set, port: port, wakeRunner: make(chan struct{}, 1)}
	h.out.init(port, func() { wake(h.wakeRunner) })
	if set.cfg.HMP != nil {
		h.lang = set.cfg.HMP()
	}
	h.line = newReadline(h.complete)
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
		h.changeClient(true)
		h.greeted = true
		h.out.put(item{data: []byte("QEMU " + h.set.cfg.Version.triple() +
			" monitor - type 'help' for more information\r\n")})
		if !h.away {
			h.out.put(item{data: []byte(prompt)})
		}
	case chardev.EventClosed:
		if !outlives(h.port) {
			h.changeClient(false)
		}
	case chardev.EventMuxIn, chardev.EventMuxOut:
		if !h.busy && len(h.in) == 0 {
			// At once, before the other frontend writes.
			h.setFocus(e)
		} else {
			h.queueFocus(e)
		}
	}
	h.mu.Unlock()
	wake(h.wakeRunner)
}

// changeClient forgets the client before. mu is held.
func (h *human) changeClient(open bool) {
	h.out.reset()
	h.gen++
	h.open = open
	for _, it := range h.in {
		if it.data == nil {
			h.away = it.focus == chardev.EventMuxOut
		}
	}
	h.out.mute(h.away)
	h.in, h.inLen = nil, 0
}

// setFocus begins or ends the time in which the user sees another frontend of
// the multiplexer. mu is held, and the goroutine is not at the line.
func (h *human) setFocus(e chardev.Event) {
	if e == chardev.EventMuxOut {
		if h.greeted && !h.away {
			h.out.put(item{data: []byte("\r\n")})
		}
		h.away = true
		h.out.mute(true)
		return
	}
	if h.greeted && h.away {
		h.line.restart()
		h.out.put(item{data: []byte(prompt)})
	}
	h.away = false
	h.out.mute(false)
}

// queueFocus lets a change of the focus wait for the input before it. mu is
// held.
func (h *human) queueFocus(e chardev.Event) {
	waiting := 0
	for _, it := range h.in {
		if it.data == nil {
			waiting++
		}
	}
	if last := len(h.in) - 1; waiting >= maxSwitches && h.in[last].data == nil && h.in[last].focus != e {
		h.in = h.in[:last] // away and back again, or the other way round
		return
	}
	h.in = append(h.in, humanInput{focus: e})
}

// CanReceive implements [chardev.Frontend].
func (h *human) CanReceive() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing || h.out.full() {
		return 0
	}
	return max(0, inputLen-h.inLen)
}

// Receive implements [chardev.Frontend].
func (h *human) Receive(p []byte) {
	closeFDs(h.port.TakeFDs())
	h.mu.Lock()
	if h.open {
		h.in = append(h.in, humanInput{data: bytes.Clone(p)})
		h.inLen += len(p)
	}
	h.mu.Unlock()
	wake(h.wakeRunner)
}

// Writable implements [chardev.Frontend].
func (h *human) Writable() { h.out.writable() }

// run is the goroutine that edits lines and runs them.
func (h *human) run() {
	defer crash.Handle()
	var gen uint64
	for {
		full := h.out.full()
		h.mu.Lock()
		if h.closing {
			h.mu.Unlock()
			return
		}
		if h.gen != gen {
			h.line.restart()
			gen = h.gen
		}
		var it humanInput
		h.busy = !full && len(h.in) > 0
		if h.busy {
			it = h.in[0]
			h.in = h.in[1:]
			h.inLen -= len(it.data)
		}
		if h.busy && it.data == nil {
			h.setFocus(it.focus)
			h.mu.Unlock()
			continue
		}
		idle := !h.busy
		h.mu.Unlock()
		if idle {
			if !full {
				h.port.AcceptInput()
			}
			<-h.wakeRunner
			continue
		}
		in := it.data
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
		h.in = slices.Insert(h.in, 0, humanInput{data: in})
		h.inLen += len(in)
	}
}

// command runs one line, and says whether the monitor goes on.
func (h *human) command(gen uint64, line string) bool {
	text, end := "", prompt
	ran := true
	if strings.TrimSpace(line) != "" && h.lang != nil {
		ran = h.set.exec(func() {
			var last bool
			if text, last = h.lang.Execute(h.set.ctx, line, h.line.lines()); last {
				end = ""
			}
		})
	}
	if ran {
		h.put(gen, strings.ReplaceAll(text, "\n", "\r\n")+end)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return ran && h.gen == gen && !h.closing
}

// complete asks the interpreter, for the editor.
func (h *human) complete(line string) (prefix string, words []string) {
	if h.lang != nil {
		h.set.exec(func() { prefix, words = h.lang.Complete(line) })
	}
	return prefix, words
}

// put sends text to the client of generation gen.
func (h *human) put(gen uint64, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if text != "" && h.gen == gen && h.open {
		h.out.put(item{data: []byte(text)})
	}
}
