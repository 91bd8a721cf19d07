package vdpa

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

var update = flag.Bool("update", false, "write the golden files")

const base = 0xfeb00000

// Registers of virtio-mmio that a driver needs here.
const (
	regDeviceFeatures    = 0x10
	regDeviceFeaturesSel = 0x14
	regDriverFeatures    = 0x20
	regDriverFeaturesSel = 0x24
	regGuestPageSize     = 0x28
	regQueueSel          = 0x30
	regQueueNumMax       = 0x34
	regQueueNum          = 0x38
	regQueuePFN          = 0x40
	regQueueReady        = 0x44
	regQueueNotify       = 0x50
	regInterruptStatus   = 0x60
	regInterruptACK      = 0x64
	regStatus            = 0x70
	regQueueDescLow      = 0x80
	regConfigGeneration  = 0xfc
)

// rig is a device on a virtio-mmio transport; the test is the driver.
type rig struct {
	*hwtest.Machine
	rec  *Recorder
	mmio *virtio.MMIO
	dev  *Device
	line *hwtest.Line

	mu       sync.Mutex
	reported []string
}

// newMachine makes a machine with an empty transport, whose devices are rec.
func newMachine(t testing.TB, legacy bool, rec *Recorder) *rig {
	t.Helper()
	r := &rig{rec: rec}
	r.Machine = hwtest.New(t, virtio.RegisterTypes, func(reg *qom.Registry) {
		RegisterTypesWith(reg, func(*qdev.Host, string) (Backend, error) { return rec, nil })
	})
	r.Report = func(text string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reported = append(r.reported, text)
	}
	r.mmio = hwtest.Add(r.Machine, "virtio-mmio", nil, func(x *virtio.MMIO) error {
		return qom.Set(x, "force-legacy", qom.JSON(legacy))
	})
	r.Do(func() {
		r.line = r.NewLine()
		r.mmio.ConnectIRQ(0, r.line.IRQ)
		if err := r.mmio.MapMMIO(0, base); err != nil {
			t.Fatal(err)
		}
	})
	return r
}

// plug realizes a device.
func (r *rig) plug(props ...string) error {
	var err error
	r.Do(func() {
		var d qdev.Device
		d, err = r.Create("vhost-vdpa-device", r.mmio.Buses()[0], func(d qdev.Device) error {
			d.(*Device).memlock = func() memlock { return memlock{limit: 8 << 20} }
			for _, p := range append([]string{"vhostdev=/dev/vhost-vdpa-0"}, props...) {
				name, v, _ := strings.Cut(p, "=")
				if err := qom.Set(d, name, qom.Keyval(v)); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			r.dev = d.(*Device)
		}
	})
	return err
}

func newRig(t testing.TB, legacy bool, rec *Recorder) *rig {
	t.Helper()
	r := newMachine(t, legacy, rec)
	if err := r.plug(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) unplug() { r.Do(func() { qdev.Delete(r.dev) }) }

func (r *rig) read(reg uint64) uint32     { return r.Readl(base + reg) }
func (r *rig) write(reg uint64, v uint32) { r.Writel(base+reg, v) }

// drive is a driver's way from reset to DRIVER_OK with the first n queues.
func (r *rig) drive(queues int) {
	r.write(regStatus, 0)
	r.write(regStatus, 1)
	r.write(regStatus, 3)
	if r.mmio.Legacy() {
		r.write(regGuestPageSize, 4096)
		r.write(regDriverFeatures, 0x46)
	} else {
		r.write(regDriverFeaturesSel, 1)
		r.write(regDriverFeatures, 1)
		r.write(regDriverFeaturesSel, 0)
		r.write(regDriverFeatures, 0x46)
		r.write(regStatus, 0xb)
	}
	for n := range uint32(queues) {
		r.write(regQueueSel, n)
		r.write(regQueueNum, 128)
		if r.mmio.Legacy() {
			r.write(regQueuePFN, 0x1000+16*n)
			continue
		}
		for i := range uint64(3) {
			r.write(regQueueDescLow+16*i, 0x1000000+n<<16+uint32(i)<<12)
		}
		r.write(regQueueReady, 1)
	}
	r.write(regStatus, r.read(regStatus)|4)
}

// run changes the run state.
func (r *rig) run(on bool) {
	r.T.Helper()
	r.Do(func() {
		if err := r.State.Set(on); err != nil {
			r.T.Error(err)
		}
	})
}

// high is the level of the interrupt line.
func (r *rig) high() (level bool) {
	r.Do(func() { level = r.line.Level })
	return level
}

// wait waits until f, called with the VM lock, is true.
func (r *rig) wait(what string, f func() bool) {
	r.T.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		ok := false
		if r.Do(func() { ok = f() }); ok {
			return
		}
		if time.Now().After(end) {
			r.T.Fatalf("timed out: %s", what)
		}
	}
}

func (r *rig) waitState(s state) {
	r.T.Helper()
	var at string
	defer func() {
		if r.T.Failed() {
			r.T.Logf("state: %s", at)
		}
	}()
	r.wait("state "+s.String(), func() bool {
		at = fmt.Sprintf("%v, %v", r.dev.state, r.dev.lastErr)
		return r.dev.state == s
	})
}

// hear waits until every eventfd of the device that runs is listened to: each
// takes a descriptor more from then on.
func (r *rig) hear() {
	r.T.Helper()
	for i := range r.dev.calls {
		if err := r.rec.Interrupt(i); err != nil {
			r.T.Fatal(err)
		}
	}
	if err := r.rec.ChangeConfig(0, nil); err != nil {
		r.T.Fatal(err)
	}
	r.wait("the relays", func() bool {
		for _, q := range r.dev.stats.queues {
			if q.interrupts == 0 {
				return false
			}
		}
		return r.dev.stats.changes > 0
	})
}

// waitCall waits until a call was made. The VM lock may be held.
func (r *Recorder) waitCall(t testing.TB, call string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		r.mu.Lock()
		done := slices.Contains(r.calls, call)
		r.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s was not called", call)
		}
	}
}

// waitGoroutines waits until n goroutines are left. One that has said it is
// done is still counted for a moment.
func (r *rig) waitGoroutines(n int) {
	r.T.Helper()
	r.wait("goroutines to end", func() bool { return runtime.NumGoroutine() <= n })
}

func (r *rig) reports() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.reported...)
}

// script is a golden file: the calls of each step of a scenario.
type script struct {
	rec  *Recorder
	text strings.Builder
}

func (s *script) step(what string) {
	s.text.WriteString("# " + what + "\n")
	for _, c := range s.rec.TakeCalls() {
		s.text.WriteString(c + "\n")
	}
}

func (s *script) check(t *testing.T, name string) {
	t.Helper()
	path := "testdata/" + name + ".calls"
	if *update {
		if err := os.WriteFile(path, []byte(s.text.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.text.String(); got != string(want) {
		t.Errorf("%s: the calls are\n%s\nwant\n%s", name, got, want)
	}
}

// openFDs counts the process's descriptors.
func openFDs(t testing.TB) int {
	t.Helper()
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}

// startPoller has the runtime open the descriptors of its poller, which it
// keeps, before a test counts any.
func startPoller(t *testing.T) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
}
