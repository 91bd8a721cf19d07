package vdpa

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gqemu/gqemu/qom"
)

// states takes the events and gives what they say the device's state is.
func (r *rig) states() (out []string) {
	for _, e := range r.Posted.Take() {
		if e.Name == StateEvent {
			out = append(out, e.Data.(StateChange).State)
		}
	}
	return out
}

// A device that says of itself that it works no more is broken for the guest
// and the client, and a reset takes it up again.
func TestDeviceBreaksByItself(t *testing.T) {
	for what, do := range map[string]func(*Recorder) error{
		"the device needs a reset":        (*Recorder).NeedReset,
		"the device is no longer started": (*Recorder).ForgetDriver,
		"has 80 bytes, it had 72":         func(r *Recorder) error { return r.ResizeConfig(80, true) },
		"has 40 bytes, it had 72":         func(r *Recorder) error { return r.ResizeConfig(40, true) },
	} {
		rec := NewRecorder("/dev/vhost-vdpa-0", 1)
		r := newRig(t, false, rec)
		r.drive(1)
		if err := do(rec); err != nil {
			t.Fatal(err)
		}
		r.waitState(stateBroken)
		if st, isr := r.read(regStatus), r.read(regInterruptStatus); st != 0x4f || isr&2 == 0 || !r.high() {
			t.Errorf("%s: status %#x, InterruptStatus %d", what, st, isr)
		}
		text, err := qom.Get(r.dev, "x-error")
		if err != nil || !strings.Contains(text.(string), what) || len(rec.Mapped()) != 0 {
			t.Errorf("%s: x-error %q, %v; mapped %v", what, text, err, rec.Mapped())
		}
		if l := r.reports(); len(l) != 1 || !strings.Contains(l[0], what) {
			t.Errorf("%s: reported %q", what, l)
		}
		r.drive(1)
		if st := r.read(regStatus); st != 0xf || r.dev.state != stateRunning {
			t.Errorf("%s: status %#x after a reset", what, st)
		}
		if got := r.states(); !slices.Equal(got, []string{"broken", "inactive"}) {
			t.Errorf("%s: events %v", what, got)
		}
	}
}

// A configuration space that has another size is read and written by the new
// one after the reset, whether the device has signalled the change or not.
func TestConfigResized(t *testing.T) {
	for _, size := range []int{0, 9, 16, 200} {
		for _, told := range []bool{false, true} {
			rec := NewRecorder("/dev/vhost-vdpa-0", 1)
			r := newRig(t, false, rec)
			r.drive(1)
			r.Readl(base + 0x100 + 64)
			gen := r.read(regConfigGeneration)
			if err := rec.ResizeConfig(size, told); err != nil {
				t.Fatal(err)
			}
			if told {
				r.waitState(stateBroken)
			}
			r.Readl(base + 0x100 + 64) // of a space that has shrunk it fails
			if size < 72 && r.dev.state != stateBroken {
				t.Errorf("%d bytes, told %v: %s", size, told, r.dev.state)
			}
			if r.dev.state == stateBroken && r.read(regConfigGeneration) == gen {
				t.Errorf("%d bytes, told %v: the generation is the same", size, told)
			}
			r.drive(1)
			if r.dev.state != stateRunning {
				t.Fatalf("%d bytes, told %v: %s after a reset", size, told, r.dev.state)
			}
			for _, at := range []int{0, size - 1, size, 71} {
				want := byte(0xff)
				if at >= 0 && at < size {
					want = 0
					if at < len(rec.Config) {
						want = rec.Config[at]
					}
				} else if !told && size > 72 {
					continue
				}
				if at == size-1 && !told && size > 72 {
					continue // it grew and did not say so: the driver sees the old one
				}
				if at < 0 {
					continue
				}
				if got := r.Readb(base + 0x100 + uint64(at)); got != want {
					t.Errorf("%d bytes, told %v: byte %d reads %#x, want %#x", size, told, at, got, want)
				}
			}
			if r.dev.state != stateRunning {
				t.Errorf("%d bytes, told %v: %s in the end", size, told, r.dev.state)
			}
			r.unplug()
		}
	}
}

// What the device signals during a start is looked at when it ends.
func TestDeviceBreaksDuringStart(t *testing.T) {
	s := newSlow(t)
	s.Do(func() {
		if err := s.rec.ResizeConfig(100, true); err != nil {
			t.Error(err)
		}
	})
	s.wait("the signal", func() bool { return s.dev.stats.changes == 1 })
	if s.dev.state != stateStarting {
		t.Errorf("%s", s.dev.state)
	}
	close(s.free)
	<-s.driver
	if got := s.read(regStatus); got != 0x4f {
		t.Errorf("status %#x", got)
	}
}

// daemonGone fails what VDUSE asks its daemon for, which was killed: after a
// while, with EIO. What the kernel knows it still says.
func daemonGone(_ int, call string) error {
	for _, verb := range []Verb{VerbSetStatus, VerbGetVringBase, VerbInvalidate, VerbUpdate} {
		if strings.HasPrefix(call, string(verb)) {
			return syscall.EIO
		}
	}
	return nil
}

// A device that is gone fails everything, from a moment on, and one whose
// daemon is gone what that is needed for. Guest and client are told once,
// whatever the guest goes on to do; unplugging it works; and when it is back a
// reset recovers it.
func TestDeviceVanishes(t *testing.T) {
	all := func(no syscall.Errno) func(int, string) error { return func(int, string) error { return no } }
	for no, fail := range map[string]func(int, string) error{
		"ENODEV": all(syscall.ENODEV), "EIO": all(syscall.EIO), "VDUSE": daemonGone,
	} {
		for _, unplug := range []bool{false, true} {
			rec := NewRecorder("/dev/vhost-vdpa-0", 2)
			if no == "VDUSE" {
				rec.BackendFeatures = FeatureIOTLBMsgV2 | FeatureIOTLBBatch
			}
			r := newMachine(t, false, rec)
			fds, goroutines := openFDs(t), runtime.NumGoroutine()
			if err := r.plug(); err != nil {
				t.Fatal(err)
			}
			r.drive(2)
			rec.SetFail(fail)
			if err := rec.ChangeConfig(0, nil); err != nil { // the last it says
				t.Fatal(err)
			}
			if no == "VDUSE" {
				r.run(false) // it says nothing, and a call shows it
				r.run(true)
			}
			r.waitState(stateBroken)
			for i := range 300 { // a driver that does not give up
				r.Readl(base + 0x100 + uint64(i%64))
				r.Writeb(base+0x120, byte(i))
				r.write(regStatus, 0)
				if got := r.read(regStatus); got != 0x40 {
					t.Fatalf("%v: status %#x after a reset of nothing", no, got)
				}
				r.drive(2)
				if got := r.read(regStatus); got != 0x4f {
					t.Fatalf("%v: status %#x", no, got)
				}
				if i%50 == 0 {
					r.run(false)
					r.run(true)
				}
			}
			if l, e := r.reports(), r.states(); len(l) == 0 || len(l) > 8 || len(e) != len(l) || e[0] != "broken" {
				t.Errorf("%v: events %v, reported %q", no, e, l)
			}
			for _, l := range r.reports() {
				if strings.Contains(l, "\n") || len(l) > 600 {
					t.Errorf("%v: reported %q", no, l)
				}
			}
			r.Do(func() {
				i := r.dev.Inspect()
				if i.Vhost == nil || i.Vhost.Started || !i.Broken || i.Started == false || r.dev.InspectQueue(0).HasLastAvail {
					t.Errorf("%v: %+v", no, i)
				}
			})
			if !unplug {
				rec.SetFail(nil)
				r.drive(2)
				if got := r.read(regStatus); got != 0xf || r.dev.state != stateRunning {
					t.Errorf("%v: status %#x once it is back", no, got)
				}
				if e := r.states(); !slices.Equal(e, []string{"inactive"}) {
					t.Errorf("%v: events %v", no, e)
				}
			}
			r.unplug()
			if err := rec.Check(); err != nil || !rec.Closed() || openFDs(t) != fds || r.State.Hooks() != 0 {
				t.Errorf("%v: %v, closed %v, %d descriptors of %d", no, err, rec.Closed(), openFDs(t), fds)
			}
			r.waitGoroutines(goroutines)
		}
	}
}

// A guest that resets a device and makes it fail, again and again, does not
// fill the log.
func TestFailuresAreRationed(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	rec.MaxMapped = 1 << 20
	r := newRig(t, false, rec)
	begin := time.Now()
	for range 500 {
		r.drive(1)
		if got := r.read(regStatus); got != 0x4f {
			t.Fatalf("status %#x", got)
		}
	}
	if n, most := len(r.reports()), lineBurst+int(time.Since(begin)/lineInterval)+1; n < lineBurst || n > most {
		t.Errorf("%d lines, at most %d are due", n, most)
	}
	if v := r.dev.statsValue().(map[string]any); v["failures"] != int64(500) || v["recoveries"] != int64(499) {
		t.Errorf("counted %v", v)
	}
	now := time.Now()
	l := lineLimit{used: lineBurst, since: now}
	for i, c := range []struct {
		after  time.Duration
		missed int
		ok     bool
	}{{0, 0, false}, {1, 0, false}, {lineInterval, 2, true}, {lineInterval, 0, false}, {100 * time.Hour, 1, true}, {0, 0, true}} {
		now = now.Add(c.after)
		if c.after == lineInterval && !c.ok {
			now = now.Add(-lineInterval)
		}
		if missed, ok := l.take(now); missed != c.missed || ok != c.ok {
			t.Errorf("line %d: %d missed, %v", i, missed, ok)
		}
	}
}

// Queues out of the device's range fail the start, which says so: the device
// would never find them. RAM out of it does not.
func TestQueuesOutOfRange(t *testing.T) {
	for name, rng := range map[string]IOVARange{
		"desc 0x1000000": {0x1001000, 1<<40 - 1}, "used 0x1002000": {0, 0x1002000 + 6 + 8*128 - 2},
		"avail 0x1001000": {0, 0x1001000 + 6 + 2*128 - 2}, "": {0x1000000, 0x1002fff},
	} {
		rec := NewRecorder("/dev/vhost-vdpa-0", 1)
		rec.Range = rng
		r := newRig(t, false, rec)
		r.drive(1)
		if name == "" {
			if r.dev.state != stateRunning {
				t.Errorf("a range that holds the queue: %s, %v", r.dev.state, r.dev.lastErr)
			}
			continue
		}
		if got := r.read(regStatus); got != 0x4f {
			t.Errorf("%s: status %#x", name, got)
		}
		want := fmt.Sprintf("queue 0 %s: out of the device's IOVA range, %#x to %#x", name, rng.First, rng.Last)
		if l := r.reports(); len(l) != 2 || !strings.HasPrefix(l[0], "RAM section out of device range") || !strings.HasSuffix(l[1], want) {
			t.Errorf("%s: reported %q", name, l)
		}
		if e := r.Posted.Take(); len(e) != 1 || *e[0].Data.(StateChange).Queue != 0 || e[0].Data.(StateChange).Errno != nil {
			t.Errorf("%s: events %+v", name, e)
		}
	}
	p := startPlan{features: 1 << 34, queues: []ringPlan{{num: 256, addr: VringAddr{0x1000, 0x2000, 0x2004}}}}
	if err := p.reachable(IOVARange{0x1000, 0x2007}, "x"); err != nil {
		t.Errorf("the areas of a packed ring: %v", err)
	}
	if err := p.reachable(IOVARange{0x1000, 0x2006}, "x"); err == nil {
		t.Error("a packed ring that is not all in the range is let pass")
	}
	p.queues[0].addr.Desc = ^uint64(0) - 15
	if err := p.reachable(IOVARange{0, ^uint64(0)}, "x"); err == nil {
		t.Error("a ring beyond the end of all addresses is let pass")
	}
}

// A legacy driver cannot see that its device is broken; clients can.
func TestBrokenLegacy(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	rec.MaxMapped = 1 << 20
	r := newRig(t, true, rec)
	r.drive(1)
	r.Do(func() {
		if i := r.dev.Inspect(); r.dev.state != stateBroken || !i.Broken || i.Status&0x40 != 0 {
			t.Errorf("%s, %+v", r.dev.state, i)
		}
	})
	if e := r.states(); !slices.Equal(e, []string{"broken"}) {
		t.Errorf("events %v", e)
	}
}

// The counters say what happened, by queue, and start anew with the device.
func TestStats(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 2)
	r := newRig(t, false, rec)
	r.drive(1)
	r.write(regQueueNotify, 0)
	r.write(regQueueNotify, 0)
	r.write(regQueueNotify, 9)
	r.hear()
	r.run(false)
	r.run(true)
	r.waitState(stateRunning)
	rec.SetFail(func(_ int, call string) error {
		if call == "VHOST_GET_VRING_BASE queue 0" {
			return syscall.EIO
		}
		return nil
	})
	r.run(false)
	got, err := qom.Get(r.dev, "x-stats")
	want := map[string]any{
		"failures": int64(1), "recoveries": int64(0), "config-interrupts": int64(1), "queues": []any{
			map[string]any{"queue": int64(0), "ready": true, "kicks": int64(2), "interrupts": int64(1), "starts": int64(2), "failures": int64(1)},
			map[string]any{"queue": int64(1), "ready": false, "kicks": int64(0), "interrupts": int64(1), "starts": int64(0), "failures": int64(0)},
		},
	}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("x-stats %v, %v\nwant %v", got, err, want)
	}
	if p := qom.FindProperty(r.dev, "x-stats"); p == nil || p.Type != "VDPADeviceStats" || p.Set != nil {
		t.Errorf("%+v", p)
	}
}

// Of many errors in one a few are told.
func TestErrorText(t *testing.T) {
	var list []error
	for i := range 40 {
		list = append(list, fmt.Errorf("error %d", i))
	}
	if s := errorText(errors.Join(list...)); s != "error 0; error 1; error 2; and 37 more" {
		t.Error(s)
	}
	if s := errorText(errors.Join(list[:3]...)); s != "error 0; error 1; error 2" {
		t.Error(s)
	}
}
