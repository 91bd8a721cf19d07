package sim

import (
	"sync"
	"sync/atomic"
)

// pairDepth is how many frames are on their way to one end of a pair.
const pairDepth = 256

// pairWire is one end of a cable between two cards of a process. Each end has a
// goroutine that takes what comes to it.
type pairWire struct {
	plain
	to    station
	peer  atomic.Pointer[pairWire]
	inbox chan []byte
	spare chan []byte // frames' buffers, to be used again
	quit  chan struct{}
	tasks sync.WaitGroup
}

func newPairWire(to station) *pairWire {
	w := &pairWire{
		to:    to,
		inbox: make(chan []byte, pairDepth), spare: make(chan []byte, pairDepth), quit: make(chan struct{}),
	}
	w.tasks.Go(w.receive)
	return w
}

// join plugs the cable into both ends.
func (w *pairWire) join(peer *pairWire) {
	w.peer.Store(peer)
	peer.peer.Store(w)
	w.to.linkChanged()
	peer.to.linkChanged()
}

func (w *pairWire) receive() {
	var f frame
	for {
		select {
		case <-w.quit:
			return
		case b := <-w.inbox:
			f = frame{data: b}
			w.to.arrive(-1, &f)
			select {
			case w.spare <- b:
			default:
			}
		}
	}
}

// send is part of wire. What the other end does not take in time is lost.
func (w *pairWire) send(_ int, f *frame) bool {
	p := w.peer.Load()
	if p == nil {
		return false
	}
	var b []byte
	select {
	case b = <-p.spare:
	default:
	}
	b = append(b[:0], f.data...)
	select {
	case p.inbox <- b:
		return true
	default:
		return false
	}
}

func (w *pairWire) connected() bool { return w.peer.Load() != nil }

func (w *pairWire) close() {
	if p := w.peer.Swap(nil); p != nil {
		p.peer.Store(nil)
		p.to.linkChanged()
	}
	close(w.quit)
	w.tasks.Wait()
}
