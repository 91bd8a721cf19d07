package kvm

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/sys"
)

// An irqfd takes a signal before a goroutine that waits for the same eventfd
// is woken: an interrupt costs this process nothing, although somebody is
// there for when the irqfd is not.
func TestIRQFDComesBeforeWhoWaits(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	got := m.arrivals()
	e, err := sys.NewEventfd()
	m.check(err)
	const pin = 30
	var woken atomic.Int64
	var relay sync.WaitGroup
	relay.Go(func() {
		for {
			if _, err := e.Wait(); err != nil {
				return
			}
			woken.Add(1)
		}
	})
	m.check(e.Signal())
	for woken.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	m.check(m.vm.SetPinRoutes([]accel.PinRoute{{GSI: pin, MSI: accel.MSI{Addr: lapicMSI, Data: vectorBase}}}))
	m.check(m.vm.AddIRQFD(pin, e.FD()))
	const n = 500
	for range n {
		m.check(e.Signal())
		expect(t, got, 0, "signal")
	}
	if w := woken.Load(); w != 1 {
		t.Errorf("who waits was woken %d times by %d signals", w-1, n)
	}
	m.check(m.vm.RemoveIRQFD(pin, e.FD()))
	m.check(e.Signal())
	for end := time.Now().Add(patience); woken.Load() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a signal after the irqfd is gone wakes nobody")
		}
	}
	nothing(t, got, "signal of a removed irqfd")
	m.pause()
	m.check(e.Close())
	relay.Wait()
}

// No signal is lost while pins are masked, unmasked and routed anew and irqfds
// come and go: it becomes an interrupt, or is found by who waits.
func TestIRQFDLosesNothingInAStorm(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	const pin = 30
	var made, seen, relayed atomic.Int64
	started := make(chan struct{}, 1)
	m.h.pio = func(port uint16, _ []byte, _ bool) {
		if port == 0x70 {
			started <- struct{}{}
			return
		}
		seen.Store(made.Load())
	}
	m.interrupts()
	m.vm.Resume()
	receive(t, started, "start of the guest")
	e, err := sys.NewEventfd()
	m.check(err)
	var relay, storm sync.WaitGroup
	relay.Go(func() {
		for {
			if _, err := e.Wait(); err != nil {
				return
			}
			relayed.Add(1)
			if err := m.vm.SendMSI(accel.MSI{Addr: lapicMSI, Data: vectorBase + 3}); err != nil {
				t.Error(err)
			}
		}
	})
	route := accel.PinRoute{GSI: pin, MSI: accel.MSI{Addr: lapicMSI, Data: vectorBase}}
	m.check(m.vm.SetPinRoutes([]accel.PinRoute{route}))
	m.check(m.vm.AddIRQFD(pin, e.FD()))
	end := time.Now().Add(time.Second)
	var over atomic.Bool
	changes := 0
	storm.Go(func() {
		rnd := rand.New(rand.NewPCG(1, 2))
		for bound := true; !over.Load(); changes++ {
			var err error
			switch rnd.IntN(4) {
			case 0:
				route.MSI.Data = vectorBase + uint32(rnd.IntN(3))
			case 1:
				route.Masked = true
				err = m.vm.SetPinRoutes([]accel.PinRoute{route})
			case 2:
				if bound = !bound; bound {
					err = m.vm.AddIRQFD(pin, e.FD())
				} else {
					err = m.vm.RemoveIRQFD(pin, e.FD())
				}
			}
			route.Masked = false
			if err == nil {
				err = m.vm.SetPinRoutes([]accel.PinRoute{route})
			}
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(time.Duration(rnd.IntN(100)) * time.Microsecond)
		}
	})
	n := int64(0)
	for n < 20 || time.Now().Before(end) {
		n = made.Add(1)
		m.check(e.Signal())
		for limit := time.Now().Add(patience); seen.Load() < n; {
			if time.Now().After(limit) {
				over.Store(true)
				t.Fatalf("signal %d is lost", n)
			}
		}
	}
	over.Store(true)
	storm.Wait()
	m.pause()
	m.check(e.Close())
	relay.Wait()
	t.Logf("%d signals, %d of them relayed, %d changes", n, relayed.Load(), changes)
	if changes < 10 {
		t.Error("this proves nothing")
	}
}
