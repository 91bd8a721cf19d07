package qtest

import (
	"slices"
	"strings"
	"testing"
)

// virtioState is what the tests below look at of x-query-virtio-status.
type virtioState struct {
	Name     string
	Started  bool
	Vhost    bool `json:"vhost-started"`
	NumVQs   int  `json:"num-vqs"`
	Status   struct{ Statuses []string }
	Guest    struct{ Transports []string } `json:"guest-features"`
	VhostDev *struct {
		NVQs  int                           `json:"nvqs"`
		Acked struct{ Transports []string } `json:"acked-features"`
	} `json:"vhost-dev"`
}

type virtioQueueState struct {
	Num       int  `json:"vring-num"`
	Desc      int  `json:"vring-desc"`
	LastAvail *int `json:"last-avail-idx"`
	Used      int  `json:"used-idx"`
}

func askVirtio(q *QMP, what, path string, queue int, ret any) {
	q.t.Helper()
	args := map[string]any{"path": path}
	if queue >= 0 {
		args["queue"] = queue
	}
	q.Must("x-query-virtio-"+what, args, ret)
}

// TestVirtioQueriesRNG: a device that this process serves, before and after a
// driver, with a chain that waits.
func TestVirtioQueriesRNG(t *testing.T) {
	t.Parallel()
	m, v, r, a := rngMachine(t, Args("-global virtio-mmio.force-legacy=false -device virtio-rng-device,id=r0")...)
	const path = "/machine/peripheral/r0"
	var s virtioState
	askVirtio(m.QMP, "status", path, -1, &s)
	if s.Name != "virtio-rng" || !s.Started || s.Vhost || s.VhostDev != nil || s.NumVQs != 1 || len(s.Status.Statuses) != 4 ||
		!strings.HasPrefix(s.Status.Statuses[0], "VIRTIO_CONFIG_S_ACKNOWLEDGE") ||
		!slices.ContainsFunc(s.Guest.Transports, func(f string) bool { return strings.HasPrefix(f, "VIRTIO_F_VERSION_1") }) {
		t.Errorf("%+v", s)
	}
	for range 3 {
		fill(v, r, a, 16)
	}
	var q virtioQueueState
	askVirtio(m.QMP, "queue-status", path, 0, &q)
	if q.Num != 8 || q.Desc == 0 || q.LastAvail == nil || *q.LastAvail != 3 || q.Used != 3 {
		t.Errorf("%+v", q)
	}
	m.QMP.Must("stop", nil, nil)
	addr := a.Take(32, 8)
	r.Add(Buffer{Addr: addr, Len: 32, Write: true})
	var e struct {
		Descs []struct {
			Addr  uint64
			Len   int
			Flags []string
		}
		Avail struct{ Idx int }
		Used  struct{ Idx int }
	}
	askVirtio(m.QMP, "queue-element", path, 0, &e)
	if len(e.Descs) != 1 || e.Descs[0].Addr != addr || e.Descs[0].Len != 32 || !slices.Equal(e.Descs[0].Flags, []string{"write"}) ||
		e.Avail.Idx != 4 || e.Used.Idx != 3 {
		t.Errorf("%+v", e)
	}
	checkAll(t, m.QMP, []ask{
		{"x-query-virtio-queue-status", `{"path":"` + path + `","queue":1}`, "GenericError: Invalid virtqueue number 1"},
		{"x-query-virtio-vhost-queue-status", `{"path":"` + path + `","queue":0}`, "GenericError: Error: vhost device has not started yet"},
	})
}

// TestVirtioQueriesVDPA: QEMU crashed when it was asked this of a running
// vhost-vdpa-device.
func TestVirtioQueriesVDPA(t *testing.T) {
	t.Parallel()
	m := microvm(t, Args("-global virtio-mmio.force-legacy=false -object vdpa-sim-net,id=n0 "+
		"-device vhost-vdpa-device,id=v0,vhostdev=/objects/n0")...)
	const path = "/machine/peripheral/v0"
	checkAll(t, m.QMP, []ask{
		{"x-query-virtio", "", `[{"name": "virtio-net", "path": "` + path + `"}]`},
		{"x-query-virtio-vhost-queue-status", `{"path":"` + path + `","queue":0}`, "GenericError: Error: vhost device has not started yet"},
		{"x-query-virtio-queue-element", `{"path":"` + path + `","queue":0}`, "GenericError: Region caches not initialized"},
	})
	v := &VirtioMMIO{M: m, Base: SlotAddr(VirtioSlots - 1)}
	if !v.Init(1<<32 | 1<<33) {
		t.Fatal("features")
	}
	a := &Alloc{Next: 1 << 20}
	v.Queue(0, 16, a)
	v.Queue(1, 16, a)
	v.DriverOK()
	var s virtioState
	m.Eventually("the device is started", func() bool {
		askVirtio(m.QMP, "status", path, -1, &s)
		return s.Vhost
	})
	if s.VhostDev == nil || s.VhostDev.NVQs != s.NumVQs || len(s.VhostDev.Acked.Transports) == 0 {
		t.Errorf("%+v", s)
	}
	var q virtioQueueState
	askVirtio(m.QMP, "queue-status", path, 1, &q)
	if q.Num != 16 || q.LastAvail == nil || *q.LastAvail != 0 {
		t.Errorf("%+v", q)
	}
	var h struct {
		Num, Kick, Call int
		Phys            int `json:"desc-phys"`
	}
	askVirtio(m.QMP, "vhost-queue-status", path, 0, &h)
	if h.Num != 16 || h.Kick < 3 || h.Call < 3 || h.Phys == 0 {
		t.Errorf("%+v", h)
	}
	v.Reset()
	askVirtio(m.QMP, "status", path, -1, &s)
	if s.Vhost || s.Started {
		t.Errorf("after a reset: %+v", s)
	}
}
