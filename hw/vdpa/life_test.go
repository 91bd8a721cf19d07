package vdpa

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gqemu/gqemu/qdev"
)

// A stop, a reset and an unplug wait for the kernel without the VM lock, and
// are complete when they return: others get the lock 100 times meanwhile.
func TestSlowCallsLeaveTheLock(t *testing.T) {
	for what, do := range map[string]func(r *rig){
		"stop":   func(r *rig) { r.run(false) },
		"status": func(r *rig) { r.write(regStatus, 0) },
		"reset":  func(r *rig) { r.Do(func() { qdev.Reset(r.mmio) }) },
		"unplug": func(r *rig) { r.unplug() },
	} {
		rec := NewRecorder("/dev/vhost-vdpa-0", 1)
		entered, free := make(chan struct{}, 10), make(chan struct{})
		rec.Block = func(call string) {
			if strings.HasPrefix(call, "VHOST_IOTLB_INVALIDATE") && !strings.Contains(call, " size 0x1000") { // not the probe
				entered <- struct{}{}
				<-free
			}
		}
		r := newRig(t, false, rec)
		r.Do(func() { r.dev.dma.piece = 32 << 20 })
		r.drive(1)
		r.waitState(stateRunning)
		done := make(chan struct{})
		go func() {
			defer close(done)
			do(r)
		}()
		<-entered
		for range 100 {
			begin := time.Now()
			r.Do(func() {})
			if d := time.Since(begin); d > time.Second {
				t.Fatalf("%s: the lock was held for %v", what, d)
			}
		}
		// The driver sees no reset yet, and its configuration all the same.
		if got := r.read(regStatus); got != 0xf {
			t.Errorf("%s: status %#x before the device is reset", what, got)
		}
		if got := r.Readb(base + 0x102); got != 4 {
			t.Errorf("%s: the configuration reads %#x", what, got)
		}
		select {
		case <-done:
			t.Errorf("%s: complete before the device is", what)
		case <-time.After(5 * time.Millisecond):
		}
		close(free)
		<-done
		if err := rec.Check(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if want := map[string]uint32{"stop": 0xf}[what]; r.read(regStatus) != want {
			t.Errorf("%s: status %#x, want %#x", what, r.read(regStatus), want)
		}
	}
}

// A device that can be resumed is suspended by a stop and nothing else, and
// goes on by one call; a reset in between is one like any other.
func TestCallOrderResume(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 2)
	rec.BackendFeatures |= FeatureResume | FeatureEnableAfterDriverOK
	r := newRig(t, false, rec)
	s := &script{rec: rec}
	r.drive(2)
	r.waitState(stateRunning)
	rec.TakeCalls()
	r.run(false)
	s.step("stop")
	r.run(true)
	r.waitState(stateRunning)
	s.step("cont")
	for i := range 2 {
		if n, err := r.dev.Queue(i).Kick.Drain(); n == 0 || err != nil {
			t.Errorf("queue %d was not kicked: %v", i, err)
		}
	}
	r.run(false)
	rec.TakeCalls()
	r.write(regStatus, 0)
	s.step("the driver resets the device while the VM stands")
	r.run(true)
	s.step("cont of a device at rest")
	r.drive(1)
	r.waitState(stateRunning)
	rec.TakeCalls()
	r.run(false)
	r.unplug()
	s.step("stop and unrealize")
	s.check(t, "resume")
	if err := rec.Check(); err != nil {
		t.Error(err)
	}
}

// A device that keeps its mappings over a reset has them sent once, and an
// unplug takes them out.
func TestCallOrderPersist(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	rec.BackendFeatures |= FeatureIOTLBPersist
	r := newRig(t, false, rec)
	s := &script{rec: rec}
	r.drive(1)
	r.waitState(stateRunning)
	rec.TakeCalls()
	r.run(false)
	s.step("stop")
	r.run(true)
	r.waitState(stateRunning)
	s.step("cont")
	r.write(regStatus, 0)
	s.step("the driver resets the device")
	r.drive(1)
	r.waitState(stateRunning)
	s.step("start")
	r.unplug()
	s.step("unrealize")
	s.check(t, "persist")
	if err := rec.Check(); err != nil {
		t.Error(err)
	}
}

// Where a base other than 0 cannot be set, as in vp_vdpa, a device that was
// stopped needs a reset, unless nothing was done yet.
func TestNoVringBase(t *testing.T) {
	for _, used := range []uint16{0, 5} {
		rec := NewRecorder("/dev/vhost-vdpa-0", 1)
		rec.BackendFeatures = FeatureIOTLBMsgV2 | FeatureIOTLBBatch
		rec.Fail = func(_ int, call string) error {
			if strings.HasPrefix(call, "VHOST_SET_VRING_BASE") && !strings.HasSuffix(call, "base 0x0") {
				return syscall.EOPNOTSUPP
			}
			return nil
		}
		r := newRig(t, false, rec)
		r.drive(1)
		r.waitState(stateRunning)
		r.Writew(0x1002000+2, used) // used.idx
		r.run(false)
		r.run(true)
		want, status := stateRunning, uint32(0xf)
		if used != 0 {
			want, status = stateBroken, 0x4f
		}
		r.waitState(want)
		if got := r.read(regStatus); got != status {
			t.Errorf("used index %d: status %#x, want %#x", used, got, status)
		}
		if used != 0 && (len(r.Posted.Take()) == 0 || len(rec.Mapped()) != 0) {
			t.Errorf("no event, or mapped %v", rec.Mapped())
		}
		r.drive(1)
		r.waitState(stateRunning)
	}
}

// A packed ring goes on with its wrap counters after a suspend. Without one it
// does not tell where it stands, and the device needs a reset.
func TestPackedStopCont(t *testing.T) {
	for _, suspends := range []bool{true, false} {
		rec := NewRecorder("/dev/vhost-vdpa-0", 1)
		rec.Features |= 1 << 34
		if !suspends {
			rec.BackendFeatures &^= FeatureSuspend
		}
		r := newMachine(t, false, rec)
		if err := r.plug("packed=on", "queue-size=128"); err != nil {
			t.Fatal(err)
		}
		start := func() {
			r.write(regStatus, 0)
			r.write(regStatus, 3)
			r.write(regDriverFeaturesSel, 1)
			r.write(regDriverFeatures, 1|1<<2)
			r.write(regStatus, 0xb)
			r.write(regQueueReady, 1)
			r.write(regStatus, 0xf)
			r.waitState(stateRunning)
		}
		start()
		rec.SetBase(0, 0x80050007)
		r.run(false)
		rec.TakeCalls()
		r.run(true)
		if suspends {
			r.waitState(stateRunning)
			if c := rec.TakeCalls(); !slices.Contains(c, "VHOST_SET_VRING_BASE queue 0 base 0x80050007") {
				t.Errorf("calls %v", c)
			}
			continue
		}
		r.waitState(stateBroken)
		if got := r.read(regStatus); got != 0x4f {
			t.Errorf("status %#x", got)
		}
		start()
	}
}
