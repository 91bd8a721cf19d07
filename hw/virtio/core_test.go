package virtio

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Status moves, both kinds of drivers.
func TestStatusTable(t *testing.T) {
	const a, d, f, ok, nr, bad = StatusAcknowledge, StatusDriver, StatusFeaturesOK, StatusDriverOK, StatusNeedsReset, StatusFailed
	for _, c := range []struct {
		from, write    Status
		legacy, modern bool
	}{
		{0, a, true, true},
		{0, a | d, true, true},
		{a, a | d, true, true},
		{a | d, a | d | f, true, true},
		{a | d, a | d | f | ok, true, true},
		{a | d | f, a | d | f | ok, true, true},
		{a | d, a | d | ok, true, false}, // features were never agreed on
		{0, d, false, false},
		{a, a | ok, false, false},
		{a, a | f, false, false},
		{a | d, a, false, false},            // dropped
		{a | d | f, a | d, false, false},    // dropped
		{a | d, a | d | 0x10, false, false}, // unknown
		{a | d, a | d | bad, true, true},
		{0, bad, true, true},
		{a | nr, a | d, true, true}, // the device's bit is not the driver's
		{a, a | d | nr, true, true}, // nor can it set it
		{a | d | f | ok, a | d | f | ok, true, true},
	} {
		for _, legacy := range []bool{true, false} {
			want := c.modern
			if legacy {
				want = c.legacy
			}
			next, got := c.from.next(c.write, legacy)
			if got != want {
				t.Errorf("legacy %v: %s after %s: %v, want %v", legacy, c.write, c.from, got, want)
			}
			if exp := c.write&^nr | c.from&nr; got && next != exp || !got && next != c.from {
				t.Errorf("legacy %v: %s after %s leads to %s", legacy, c.write, c.from, next)
			}
		}
	}
}

// What a guest is offered of a device that has every feature.
func TestOffer(t *testing.T) {
	const off = "queue_reset=off packed=off iommu_platform=off event_idx=off notify_on_empty=off any_layout=off indirect_desc=off"
	const on = "queue_reset=on packed=on iommu_platform=on event_idx=on notify_on_empty=on any_layout=on indirect_desc=on"
	const own = 0xffffff | uint64(0xfffc)<<48
	const always = own | 1<<32 | 1<<35 | 1<<36
	for _, c := range []struct {
		props          string
		legacy, modern uint64
	}{
		{"", 0xffffff | 1<<24 | 1<<27 | 1<<28 | 1<<29, always | 1<<28 | 1<<29},
		{off, 0xffffff, always},
		{on, 0xffffff | 1<<24 | 1<<27 | 1<<28 | 1<<29, always | 1<<28 | 1<<29 | 1<<33 | 1<<34},
		{"packed=on", 0xffffff | 1<<24 | 1<<27 | 1<<28 | 1<<29, always | 1<<28 | 1<<29 | 1<<34},
		{"event_idx=off", 0xffffff | 1<<24 | 1<<27 | 1<<28, always | 1<<28},
	} {
		for _, legacy := range []bool{true, false} {
			r := newRig(t, legacy, func(d *dummy) {
				d.setup.Features = ^uint64(0)
				for _, p := range strings.Fields(c.props) {
					name, v, _ := strings.Cut(p, "=")
					if err := qom.Set(d, name, qom.Keyval(v)); err != nil {
						t.Fatal(err)
					}
				}
			})
			want := c.modern
			if legacy {
				want = c.legacy
			}
			if got := r.dev.Offered(); got != want {
				t.Errorf("%q, legacy %v: offered %#x, want %#x", c.props, legacy, got, want)
			}
		}
	}
}

// A modern driver that asks for more than it was offered, or not for
// VERSION_1, does not get FEATURES_OK.
func TestFeaturesRefused(t *testing.T) {
	for _, f := range []uint64{0, 0x46, 1<<32 | 1<<3, 1<<32 | 1<<40, 1<<32 | 1<<38} {
		r := newRig(t, false, nil)
		r.probe()
		r.features(f)
		r.addStatus(StatusFeaturesOK)
		r.want(regStatus, 3)
		r.write(regStatus, 0xf)
		r.want(regStatus, 3)
		if r.dev.starts != 0 {
			t.Errorf("features %#x: started", f)
		}
		// A second try is allowed.
		r.features(1 << 32)
		r.addStatus(StatusFeaturesOK)
		r.want(regStatus, 0xb)
		r.features(1<<32 | 0x40)
		if got := r.dev.Negotiated(); got != 1<<32 {
			t.Errorf("features changed after FEATURES_OK: %#x", got)
		}
	}
}

// Queues that the specification does not allow are not handed over.
func TestBadQueues(t *testing.T) {
	for _, c := range []struct {
		what string
		do   func(r *rig)
	}{
		{"size 0", func(r *rig) { r.write(regQueueNum, 0) }},
		{"size 3", func(r *rig) { r.write(regQueueNum, 3) }},
		{"size 512", func(r *rig) { r.write(regQueueNum, 512) }},
		{"size 65536+256", func(r *rig) { r.write(regQueueNum, 65792) }},
		{"desc at 8", func(r *rig) { r.write(regQueueDescLow, 8); r.write(regQueueReady, 1) }},
		{"avail at 1", func(r *rig) { r.write(regQueueDriverLow, 1); r.write(regQueueReady, 1) }},
		{"used at 2", func(r *rig) { r.write(regQueueDeviceLow, 2); r.write(regQueueReady, 1) }},
		{"desc past the end", func(r *rig) {
			r.write(regQueueDescLow, 0xfffffff0)
			r.write(regQueueDescHigh, 0xffffffff)
			r.write(regQueueReady, 1)
		}},
		{"no queue", func(r *rig) { r.write(regQueueSel, 3); r.write(regQueueReady, 1) }},
		{"notify", func(r *rig) { r.write(regQueueNotify, 3) }},
	} {
		r := newRig(t, false, nil)
		r.probe()
		c.do(r)
		for i := range testQueues {
			if q := r.dev.Queue(i); q.Ready || q.Num != 256 {
				t.Errorf("%s: queue %d is %+v", c.what, i, q)
			}
		}
		if r.dev.IllegalMoves() == 0 {
			t.Errorf("%s was not counted", c.what)
		}
	}
}

// A queue in use does not change; one that is taken back is stopped.
func TestQueueInUse(t *testing.T) {
	r := newRig(t, false, nil)
	r.live()
	before := *r.dev.Queue(0)
	r.write(regQueueSel, 0)
	r.write(regQueueNum, 16)
	r.write(regQueueDescLow, 0)
	if *r.dev.Queue(0) != before {
		t.Errorf("a queue in use changed to %+v", r.dev.Queue(0))
	}
	r.modernQueue(1, 16, 0x4000) // too late
	r.write(regQueueSel, 1)
	r.want(regQueueReady, 0)
	r.write(regQueueSel, 0)
	r.write(regQueueReady, 0)
	r.want(regQueueReady, 0)
	if !slices.Equal(r.dev.stopped, []int{0}) {
		t.Errorf("stopped %v", r.dev.stopped)
	}
}

// A split ring is offered a power of two, a packed one all there is.
func TestQueueMax(t *testing.T) {
	r := newRig(t, false, func(d *dummy) {
		d.setup.QueueMax, d.setup.Features = 200, testFeatures|1<<FeatureRingPacked
		if err := qom.Set(d, "packed", qom.JSON(true)); err != nil {
			t.Fatal(err)
		}
	})
	r.want(regQueueNumMax, 128)
	r.probe()
	r.features(1<<FeatureVersion1 | 1<<FeatureRingPacked)
	r.addStatus(StatusFeaturesOK)
	r.want(regQueueNumMax, 200)
	r.modernQueue(0, 200, 0x10000)
	r.want(regQueueReady, 1)
}

// DEVICE_NEEDS_RESET shows in the status, comes with an interrupt, outlives
// what the driver writes, and ends with a reset.
func TestNeedsReset(t *testing.T) {
	r := newRig(t, false, nil)
	r.live()
	r.Do(r.dev.NeedsReset)
	r.want(regStatus, 0x4f)
	r.want(regInterruptStatus, 2)
	r.addStatus(StatusFailed)
	r.want(regStatus, 0xcf)
	r.write(regStatus, 0)
	r.want(regStatus, 0)
	r.want(regInterruptStatus, 0)

	r = newRig(t, true, nil)
	r.live()
	r.Do(r.dev.NeedsReset)
	r.want(regStatus, 7) // legacy drivers know no such bit
}

// What a machine reset leaves is what realize left.
func TestMachineReset(t *testing.T) {
	r := newRig(t, false, nil)
	fresh := *r.mmio
	r.live()
	r.Do(func() { r.dev.QueueUsed(0); qdev.Reset(r.mmio) })
	r.want(regStatus, 0)
	got := *r.mmio
	if got.queueSel != fresh.queueSel || got.interruptStatus != 0 || got.driverFeaturesSel != 0 {
		t.Errorf("after reset %+v", got)
	}
	if q := r.dev.Queue(0); q.Ready || q.Desc != 0 || q.Num != 256 {
		t.Errorf("after reset the queue is %+v", q)
	}
}

// The properties are QEMU 8.2's, in its order, but for x-irqfd.
func TestProperties(t *testing.T) {
	reg := qom.NewRegistry()
	qdev.RegisterTypes(reg)
	register(reg)
	for _, typ := range []string{"virtio-device", "virtio-mmio"} {
		text, err := os.ReadFile("testdata/" + typ + ".props")
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, p := range reg.Lookup(typ).Listed() {
			line := p.Name + " " + p.Type
			if p.Description != "" {
				line += " (" + p.Description + ")"
			}
			if b, ok := p.Default.(bool); ok && b {
				line += " true"
			} else if ok {
				line += " false"
			}
			lines = append(lines, line)
		}
		if got := strings.Join(lines, "\n") + "\n"; got != string(text) {
			t.Errorf("%s has\n%swant\n%s", typ, got, text)
		}
	}
}
