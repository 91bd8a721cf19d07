package vdpa

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// scenario is a life in which every call is made: start, stop, cont, reset,
// a start again, configuration, a queue taken back. It goes on whatever the
// device does.
func scenario(r *rig) {
	settled := func() {
		r.wait("end of the start", func() bool { return r.dev.state != stateStarting })
	}
	r.drive(2)
	settled()
	r.run(false)
	r.run(true)
	settled()
	r.write(regStatus, 0)
	r.drive(2)
	settled()
	r.Readl(base + 0x100)
	r.Writeb(base+0x120, 1)
	r.write(regQueueSel, 1)
	r.write(regQueueReady, 0)
}

// Every call fails once in turn. Realize then fails, or the device shows that
// it is broken and a reset recovers it; nothing stays mapped, open or
// running.
func TestEveryCallFails(t *testing.T) {
	clean := NewRecorder("/dev/vhost-vdpa-0", 2)
	r := newRig(t, false, clean)
	r.Do(func() { r.dev.dma.piece = 24 << 20 })
	realize := clean.Count()
	scenario(r)
	all := clean.Count()
	if all < realize+60 {
		t.Fatalf("the scenario makes %d calls only", all)
	}
	for n := 1; n <= all; n++ {
		rec := NewRecorder("/dev/vhost-vdpa-0", 2)
		var failed string
		rec.Fail = func(i int, call string) error {
			if i != n {
				return nil
			}
			failed = call
			return syscall.EIO
		}
		r := newMachine(t, false, rec)
		fds, goroutines := openFDs(t), runtime.NumGoroutine()
		err := r.plug()
		if (n <= realize) != (err != nil) {
			t.Fatalf("call %d, %s, fails: realize says %v", n, failed, err)
		}
		if err == nil {
			r.Do(func() { r.dev.dma.piece = 24 << 20 })
			broken := false
			watchBroken(r, &broken)
			scenario(r)
			if failed == "" {
				t.Fatalf("call %d was not made", n)
			}
			r.Do(func() { broken = broken || r.dev.state == stateBroken })
			if !broken {
				t.Errorf("call %d, %s, fails: the device never showed it", n, failed)
			}
			// A reset recovers.
			r.drive(2)
			r.Do(func() {
				if r.dev.state != stateRunning || r.dev.Status() != 0xf {
					t.Errorf("call %d, %s, fails: after a reset %s, %s", n, failed, r.dev.state, r.dev.Status())
				}
			})
			if lines := r.reports(); len(lines) != 1 {
				t.Errorf("call %d, %s, fails: reported %q", n, failed, lines)
			}
			r.unplug()
		}
		if err := rec.Check(); err != nil || !rec.Closed() {
			t.Errorf("call %d, %s, fails: %v, closed %v", n, failed, err, rec.Closed())
		}
		if x := openFDs(t); x != fds {
			t.Errorf("call %d, %s, fails: %d descriptors of %d", n, failed, x, fds)
		}
		r.waitGoroutines(goroutines)
		if r.State.Hooks() != 0 || r.read(8) != 0 {
			t.Errorf("call %d, %s, fails: %d hooks, device id %d", n, failed, r.State.Hooks(), r.read(8))
		}
	}
}

// watchBroken notes whether a report was made: each comes with state broken.
func watchBroken(r *rig, broken *bool) {
	report := r.Report
	r.Report = func(text string) {
		*broken = *broken || r.dev.state == stateBroken
		report(text)
	}
}

// A device that breaks leaves nothing mapped while it waits for its reset.
func TestBrokenMapsNothing(t *testing.T) {
	for _, call := range []string{
		"VHOST_VDPA_GET_CONFIG offset 0 length 1", "VHOST_VDPA_SET_CONFIG offset 32 01", "VHOST_VDPA_SUSPEND",
		"VHOST_GET_VRING_BASE queue 1",
	} {
		rec := NewRecorder("/dev/vhost-vdpa-0", 2)
		r := newRig(t, false, rec)
		r.drive(2)
		rec.Fail = func(_ int, c string) error {
			if c == call {
				return syscall.EIO
			}
			return nil
		}
		r.Readb(base + 0x100)
		r.Writeb(base+0x120, 1)
		r.run(false)
		if r.dev.state != stateBroken || len(rec.Mapped()) != 0 {
			t.Errorf("%s fails: %s, mapped %v", call, r.dev.state, rec.Mapped())
		}
		if got := r.read(regStatus); got != 0x4f {
			t.Errorf("%s fails: status %#x", call, got)
		}
		r.run(true)
		if r.dev.state != stateBroken {
			t.Errorf("%s fails: cont leads to %s", call, r.dev.state)
		}
		rec.Fail = nil
		r.drive(1)
		r.waitState(stateRunning)
	}
}

// A reset that fails shows in the status after it, and the next one recovers.
func TestResetFails(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	r := newRig(t, false, rec)
	r.drive(1)
	rec.Fail = func(_ int, c string) error {
		if c == "VHOST_VDPA_SET_STATUS 0x00" {
			return syscall.EIO
		}
		return nil
	}
	r.write(regStatus, 0)
	if got := r.read(regStatus); got != 0x40 {
		t.Errorf("status %#x after a reset that failed", got)
	}
	r.drive(1)
	if got := r.read(regStatus); got != 0x4f || len(rec.Mapped()) != 0 {
		t.Errorf("status %#x, mapped %v", got, rec.Mapped())
	}
	rec.Fail = nil
	r.drive(1)
	if got := r.read(regStatus); got != 0xf {
		t.Errorf("status %#x after a reset that worked", got)
	}
}

// Calls that fail at random, under a driver, a client and a device that do as
// they like: nothing hangs, and in the end a reset recovers the device and it
// leaves nothing behind.
func TestFailureStorm(t *testing.T) {
	startPoller(t)
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var mu sync.Mutex // the device's goroutines make calls too
		random := func(n int) int {
			mu.Lock()
			defer mu.Unlock()
			return rnd.IntN(n)
		}
		rec := NewRecorder("/dev/vhost-vdpa-0", 2)
		r := newMachine(t, false, rec)
		fds, goroutines := openFDs(t), runtime.NumGoroutine()
		if err := r.plug(); err != nil {
			t.Fatal(err)
		}
		r.Do(func() { r.dev.dma.piece = 24 << 20 })
		rec.SetFail(func(int, string) error {
			if random(40) > 0 {
				return nil
			}
			return []syscall.Errno{syscall.EIO, syscall.ENODEV, syscall.ENOMEM, syscall.EFAULT, syscall.EBUSY}[random(5)]
		})
		for range 300 {
			switch random(10) {
			case 0, 1, 2:
				r.drive(1 + random(2))
			case 3:
				r.run(random(2) == 0)
			case 4:
				r.write(regStatus, 0)
			case 5:
				r.Readl(base + 0x100 + 4*uint64(random(20)))
			case 6:
				r.Writeb(base+0x120, byte(random(256)))
			case 7:
				r.write(regQueueSel, uint32(random(2)))
				r.write(regQueueReady, 0)
			case 8:
				r.Do(func() { qdev.Reset(r.mmio) })
			case 9:
				if err := []func() error{
					rec.NeedReset, rec.ForgetDriver, func() error { return rec.ChangeConfig(0, nil) },
					func() error { return rec.ResizeConfig(64+random(16), random(2) == 0) },
				}[random(4)](); err != nil {
					t.Fatal(err)
				}
			}
			r.Do(func() {
				if _, err := qom.Get(r.dev, "x-stats"); err != nil {
					t.Error(err)
				}
				r.dev.Inspect()
				r.dev.InspectQueue(0)
			})
		}
		rec.SetFail(nil)
		r.run(true)
		r.drive(2) // it may ask for a reset still
		// What the device signalled last may arrive late, and break it once more:
		// when a second signal has come, those before the first have.
		for range 2 {
			var before uint64
			r.Do(func() { before = uint64(r.dev.stats.changes) })
			if err := r.dev.changed.fd.Signal(); err != nil {
				t.Fatal(err)
			}
			r.wait("a config interrupt", func() bool { return uint64(r.dev.stats.changes) > before })
		}
		r.drive(2)
		r.waitState(stateRunning)
		var failures int64
		r.Do(func() { failures = int64(r.dev.stats.failures) })
		if failures < 5 {
			t.Errorf("seed %d: %d failures only", seed, failures)
		}
		if got := r.read(regStatus); got != 0xf || len(rec.Mapped()) != 3 {
			t.Errorf("seed %d: status %#x, mapped %v", seed, got, rec.Mapped())
		}
		r.unplug()
		if err := rec.Check(); err != nil || !rec.Closed() || openFDs(t) != fds || r.State.Hooks() != 0 {
			t.Errorf("seed %d: %v, closed %v, %d descriptors of %d", seed, err, rec.Closed(), openFDs(t), fds)
		}
		r.waitGoroutines(goroutines)
	}
}
