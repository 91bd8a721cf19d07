package virtio

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gqemu/gqemu/accel"
)

// The vectors of the storm: what a guest expects of the entries it writes.
const (
	edgeVector  = 0x41
	levelVector = 0x51
	lapicLevel  = 1 << 15 // of a message
)

// guest is Linux's virtio_mmio.c behind a local APIC that keeps one pending
// interrupt for each vector.
type guest struct {
	r *eventRig
	// The APIC.
	mu      sync.Mutex
	pending map[uint8]bool // by vector: level-triggered?
	wake    chan struct{}

	made, seen   [testQueues]atomic.Int64 // buffers used by the device, and found by the driver
	changes, red atomic.Int64             // of the configuration
	handled      atomic.Int64
}

func (g *guest) deliver(m accel.MSI) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending[uint8(m.Data)] = m.Data&lapicLevel != 0
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// interrupt takes the next one.
func (g *guest) interrupt() (vector uint8, level, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for vector, level = range g.pending {
		delete(g.pending, vector)
		return vector, level, true
	}
	return 0, false, false
}

// run is the CPU, until stop.
func (g *guest) run(stop <-chan struct{}) {
	for {
		vector, level, ok := g.interrupt()
		if !ok {
			select {
			case <-g.wake:
			case <-stop:
				return
			}
			continue
		}
		status := g.r.read(regInterruptStatus)
		g.r.write(regInterruptACK, status)
		if status&interruptConfig != 0 {
			g.red.Store(g.changes.Load())
		}
		if status&interruptQueue != 0 {
			g.look()
		}
		g.handled.Add(1)
		if level {
			g.r.Do(func() { g.r.pic.EOI(vector) })
		}
	}
}

// look finds what the device has used.
func (g *guest) look() {
	for q := range g.seen {
		g.seen[q].Store(g.made[q].Load())
	}
}

// waitFor waits until the driver has seen n.
func waitFor(t *testing.T, what string, c *atomic.Int64, n int64) bool {
	end := time.Now().Add(5 * time.Second)
	for spins := 0; c.Load() < n; spins++ {
		if spins < 100 {
			time.Sleep(time.Microsecond)
			continue
		}
		if time.Now().After(end) {
			t.Errorf("%s: the interrupt for %d is lost; the driver has seen %d", what, n, c.Load())
			return false
		}
		time.Sleep(100 * time.Microsecond)
	}
	return true
}

// No interrupt is lost while the guest masks, unmasks and reprograms the pin
// and resets the device, at any moment: each buffer that a queue's device has
// used is found by the driver, and each change of the configuration too. In
// each round some of this goes on at once with a few signals; then the guest
// leaves the pin alone, so that no later change hides a loss.
func TestNoInterruptIsLostInAStorm(t *testing.T) {
	duration := 2 * time.Second
	if testing.Short() {
		duration = 200 * time.Millisecond
	}
	r := newEventRig(t, nil)
	g := &guest{r: r, pending: map[uint8]bool{}, wake: make(chan struct{}, 1)}
	r.k.Deliver = g.deliver
	r.program(edgeVector)
	r.live()

	var relays, cpu sync.WaitGroup
	halt := make(chan struct{})
	for q, e := range r.src.calls {
		relays.Go(func() { // as hw/vdpa has it
			for {
				if _, err := e.Wait(); err != nil {
					return
				}
				r.Do(func() { r.dev.QueueUsed(q) })
			}
		})
	}
	cpu.Go(func() { g.run(halt) })

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	s := storm{g: g, rnd: rnd, entry: edgeVector}
	rounds := 0
	for end := time.Now().Add(duration); time.Now().Before(end) && !t.Failed(); rounds++ {
		var wg sync.WaitGroup
		for q, e := range r.src.calls {
			if rnd.IntN(3) > 0 {
				continue
			}
			wait := rnd.IntN(30)
			wg.Go(func() {
				linger(wait)
				g.made[q].Add(1)
				if err := r.k.Signal(e.FD()); err != nil {
					t.Error(err)
				}
			})
		}
		if wait := rnd.IntN(100); wait < 30 {
			wg.Go(func() {
				linger(wait)
				g.changes.Add(1)
				r.Do(r.dev.ConfigChanged)
			})
		}
		for range 1 + rnd.IntN(4) {
			s.step()
		}
		wg.Wait()
		for q := range g.made {
			waitFor(t, "a queue", &g.seen[q], g.made[q].Load())
		}
		waitFor(t, "the configuration", &g.red, g.changes.Load())
	}
	close(halt)
	cpu.Wait()
	for _, e := range r.src.calls {
		e.Close()
	}
	relays.Wait()
	total := int64(0)
	for q := range g.made {
		total += g.made[q].Load()
	}
	t.Logf("%d rounds, %d requests, %d changes, %d interrupts (%d relayed), %d resets, %d changes of trigger",
		rounds, total, g.changes.Load(), g.handled.Load(), r.mmio.queueEvents.relayed, s.resets, s.switches)
	if total < 100 || s.switches < 10 || r.mmio.queueEvents.relayed == 0 {
		t.Error("this proves nothing")
	}
}

// linger passes a little time.
func linger(n int) {
	for range n {
		runtime.Gosched()
	}
}

// storm is what else the guest does.
type storm struct {
	g                *guest
	rnd              *rand.Rand
	entry            uint32
	resets, switches int
}

func (s *storm) step() {
	r := s.g.r
	switch n := s.rnd.IntN(20); {
	case n == 0:
		s.resets++
		r.live()
		// The driver starts from what is there.
		s.g.look()
		s.g.red.Store(s.g.changes.Load())
	case n < 4:
		s.entry = levelVector | pinLevel
		s.switches++
	case n < 8:
		s.entry = edgeVector
		s.switches++
	default:
		r.program(s.entry | pinMasked)
		linger(s.rnd.IntN(60))
		if n < 12 { // another trigger mode while masked
			s.entry ^= edgeVector ^ (levelVector | pinLevel)
			s.switches++
			r.program(s.entry | pinMasked)
		}
	}
	r.program(s.entry)
	linger(s.rnd.IntN(30))
}
