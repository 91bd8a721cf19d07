package vdpa

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
)

// slow is a device that pins memory for as long as the test wants.
type slow struct {
	*rig
	entered chan struct{} // an UPDATE has begun
	free    chan struct{} // closed to let all UPDATEs go
	updates atomic.Int32
	driver  chan struct{} // closed when the driver's last access returns
}

func newSlow(t *testing.T) *slow {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	s := &slow{entered: make(chan struct{}, 100), free: make(chan struct{}), driver: make(chan struct{})}
	rec.Block = func(call string) {
		if strings.HasPrefix(call, "VHOST_IOTLB_UPDATE") && !strings.Contains(call, " size 0x1000 ") { // not the probe
			s.updates.Add(1)
			s.entered <- struct{}{}
			<-s.free
		}
	}
	s.rig = newRig(t, false, rec)
	s.Do(func() { s.dev.dma.piece = 16 << 20 })
	go func() {
		s.drive(1)
		close(s.driver)
	}()
	<-s.entered
	return s
}

// While memory is pinned the VM lock is free: others read the device, and its
// configuration without the kernel; the driver's access returns when it is
// live.
func TestStartWithoutLock(t *testing.T) {
	s := newSlow(t)
	if got := s.read(regStatus); got != 0xf {
		t.Errorf("status %#x while starting", got)
	}
	s.rec.TakeCalls()
	if got := s.Readb(base + 0x102); got != 4 {
		t.Errorf("configuration reads %#x while starting", got)
	}
	if c := s.rec.TakeCalls(); len(c) != 0 {
		t.Errorf("calls %v while starting", c)
	}
	s.write(regQueueNotify, 0)
	select {
	case <-s.driver:
		t.Fatal("the access returned before the device was live")
	case <-time.After(5 * time.Millisecond):
	}
	close(s.free)
	<-s.driver
	if s.dev.state != stateRunning || s.updates.Load() != 4 {
		t.Errorf("%s after %d updates", s.dev.state, s.updates.Load())
	}
}

// What the driver writes to the configuration during a start waits for its
// end without the lock, in order, and reads back meanwhile.
func TestConfigWritesDuringStart(t *testing.T) {
	for _, stop := range []bool{false, true} {
		s := newSlow(t)
		s.rec.TakeCalls()
		s.Writeb(base+0x110, 1)
		s.Writeb(base+0x120, 2)
		if got := s.Readb(base + 0x120); got != 2 {
			t.Errorf("reads %d back", got)
		}
		if c := s.rec.TakeCalls(); len(c) != 0 {
			t.Errorf("calls %v while starting", c)
		}
		if stop {
			s.later(t)
			s.run(false)
		} else {
			close(s.free)
		}
		<-s.driver
		var got []string
		for _, c := range s.rec.TakeCalls() {
			if strings.HasPrefix(c, "VHOST_VDPA_SET_CONFIG ") {
				got = append(got, c)
			}
		}
		if want := "[VHOST_VDPA_SET_CONFIG offset 16 01 VHOST_VDPA_SET_CONFIG offset 32 02]"; fmt.Sprint(got) != want {
			t.Errorf("stop %v: %v", stop, got)
		}
	}
	s := newSlow(t)
	// A driver that writes more than is kept waits, and nobody else does.
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range maxConfigWrites + 2 {
			s.Writeb(base+0x110, byte(i))
		}
	}()
	s.wait("all writes that are kept", func() bool { return len(s.dev.task.config) == maxConfigWrites })
	time.Sleep(5 * time.Millisecond)
	s.Do(func() {
		if n := len(s.dev.task.config); n != maxConfigWrites {
			t.Errorf("%d writes are kept", n)
		}
	})
	close(s.free)
	<-s.driver
	<-written
	if s.rec.Config[16] != (maxConfigWrites+1)%256 {
		t.Errorf("the last write was %d", s.rec.Config[16])
	}
}

// later frees the device once somebody has called the start off.
func (s *slow) later(t *testing.T) {
	op := s.dev.task
	go func() {
		for !op.canceled.Load() {
			time.Sleep(100 * time.Microsecond)
		}
		close(s.free)
	}()
}

// Stop, reset and unplug call a start off after the piece that is being
// pinned, and leave nothing mapped.
func TestCallOff(t *testing.T) {
	for what, do := range map[string]func(s *slow){
		"stop":   func(s *slow) { s.run(false) },
		"reset":  func(s *slow) { s.Do(func() { qdev.Reset(s.mmio) }) },
		"status": func(s *slow) { s.write(regStatus, 0) },
		"unplug": func(s *slow) { s.unplug() },
	} {
		s := newSlow(t)
		s.later(t)
		do(s)
		<-s.driver
		if n := s.updates.Load(); n != 1 {
			t.Errorf("%s: %d pieces were pinned", what, n)
		}
		if err := s.rec.Check(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		want := map[string]state{"stop": stateSuspended}[what]
		if s.dev.state != want {
			t.Errorf("%s: state %s", what, s.dev.state)
		}
		if l := s.reports(); len(l) != 0 {
			t.Errorf("%s: reported %q", what, l)
		}
		if what == "stop" {
			// And cont starts it, from the beginning.
			s.run(true)
			s.waitState(stateRunning)
			for _, c := range s.rec.TakeCalls() {
				if strings.Contains(c, "SET_VRING_BASE") && !strings.HasSuffix(c, "base 0x0") {
					t.Error(c)
				}
			}
		}
	}
}

// A start that had come to its end when it was called off is stopped like any
// other.
func TestCallOffTooLate(t *testing.T) {
	for _, what := range []string{"stop", "reset"} {
		rec := NewRecorder("/dev/vhost-vdpa-0", 1)
		r := newRig(t, false, rec)
		r.Do(func() {
			r.dev.SetStatus(3)
			r.dev.SetFeatures(1, 1)
			r.dev.SetStatus(0xb)
			r.dev.SetStatus(0xf)
			// With the lock held, so nobody has applied the outcome.
			rec.waitCall(t, "VHOST_VDPA_GET_STATUS = 0x0f")
			if what == "stop" {
				if err := r.State.Set(false); err != nil {
					t.Error(err)
				}
			} else {
				qdev.Reset(r.mmio)
			}
		})
		if err := rec.Check(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A change of the memory map during a start is made up for at its end.
func TestMemoryChangesWhileStarting(t *testing.T) {
	s := newSlow(t)
	ram, err := memory.NewAnonRAM("more", 0x10000)
	if err != nil {
		t.Fatal(err)
	}
	region := memory.NewRAM(ram)
	s.Do(func() { err = s.Map.Add(s.System, region, 1<<32, 0) })
	if err != nil {
		t.Fatal(err)
	}
	close(s.free)
	<-s.driver
	if got := s.rec.Mapped(); len(got) != 5 || got[1<<32] != 0x10000 {
		t.Errorf("mapped %v", got)
	}
	s.Do(func() { err = s.Map.Remove(region) })
	if err != nil || len(s.rec.Mapped()) != 4 {
		t.Errorf("%v, mapped %v", err, s.rec.Mapped())
	}
	if err := ram.Close(); err != nil {
		t.Error(err)
	}
}

// A queue that the driver takes back during a start is stopped at its end.
func TestQueueTakenWhileStarting(t *testing.T) {
	s := newSlow(t)
	s.write(regQueueSel, 0)
	s.write(regQueueReady, 0)
	s.rec.TakeCalls()
	close(s.free)
	<-s.driver
	c := s.rec.TakeCalls()
	if last := c[len(c)-1]; last != "VHOST_VDPA_SET_VRING_ENABLE queue 0 false" {
		t.Errorf("the last call is %s", last)
	}
}

// Stop and cont at any moment: no start is lost and none is doubled.
func TestStopContStorm(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 2)
	r := newRig(t, false, rec)
	goroutines := runtime.NumGoroutine()
	r.drive(2)
	for i := range 200 {
		rec.SetBase(0, uint32(i))
		r.run(false)
		r.Do(func() {
			if r.dev.state != stateSuspended || len(rec.Mapped()) != 0 {
				t.Fatalf("round %d: %s, mapped %v", i, r.dev.state, rec.Mapped())
			}
		})
		r.run(true)
		for range i % 7 {
			runtime.Gosched()
		}
	}
	r.waitState(stateRunning)
	r.waitGoroutines(goroutines)
	if l := r.reports(); len(l) != 0 {
		t.Errorf("reported %q", l)
	}
}

// A reset that meets a start which has failed, before the device has heard of
// it, leaves nothing of the failure in the status.
func TestResetMeetsAFailedStart(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	r := newRig(t, false, rec)
	failing := make(chan struct{})
	r.Do(func() {
		rec.Fail = func(_ int, call string) error {
			if strings.HasPrefix(call, "VHOST_IOTLB_UPDATE") {
				close(failing)
				rec.Fail = nil
				return syscall.EFAULT
			}
			return nil
		}
	})
	r.Await = func(<-chan struct{}) { // the machine resets while the driver waits
		<-failing
		rec.waitCall(t, "VHOST_VDPA_SET_CONFIG_CALL -1") // the last of the undo
		qdev.Reset(r.mmio)
	}
	r.drive(1)
	r.Do(func() {
		if r.dev.Status() != 0 || r.dev.state != stateInactive {
			t.Errorf("status %s, state %s", r.dev.Status(), r.dev.state)
		}
	})
	if l := r.reports(); len(l) != 1 {
		t.Errorf("reported %q", l)
	}
	r.Await = nil
	r.drive(1)
	r.waitState(stateRunning)
}
