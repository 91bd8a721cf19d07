package system

import (
	"slices"

	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qom"
)

// registerVirtio adds commands of QAPI module virtio. They only look.
func (v *VM) registerVirtio() {
	register(v, "x-query-virtio", func(none) ([]VirtioInfo, error) {
		list := v.virtioDevices()
		if len(list) == 0 {
			return nil, qapi.Errorf("No virtio devices found")
		}
		return list, nil
	}, qapi.Unstable())
	register(v, "x-query-virtio-status", func(a virtioPathArgs) (VirtioStatus, error) {
		s, err := v.virtioDevice(a.Path)
		if err != nil {
			return VirtioStatus{}, err
		}
		return v.virtioStatusOf(s), nil
	}, qapi.Unstable())
	register(v, "x-query-virtio-queue-status", v.virtioQueueStatus, qapi.Unstable())
	register(v, "x-query-virtio-vhost-queue-status", v.virtioVhostQueueStatus, qapi.Unstable())
	register(v, "x-query-virtio-queue-element", v.virtioQueueElement, qapi.Unstable())
}

// virtioDevices lists the realized devices, in the order of QEMU's walk.
func (v *VM) virtioDevices() []VirtioInfo {
	list := []VirtioInfo{}
	var walk func(o qom.Object)
	walk = func(o qom.Object) {
		for _, c := range qom.HashedChildren(o) {
			if d, ok := c.(virtio.Device); ok && d.Qdev().Realized() {
				info := VirtioInfo{Path: qom.Path(c), Name: d.Virtio().Inspect().Name}
				list = append([]VirtioInfo{info}, list...)
			}
			walk(c)
		}
	}
	walk(v.root)
	return list
}

func (v *VM) virtioDevice(path string) (*virtio.State, error) {
	o, _ := qom.Resolve(v.root, path, "")
	d, ok := o.(virtio.Device)
	if !ok || !d.Qdev().Realized() {
		return nil, qapi.Errorf("Path %s is not a realized VirtIODevice", path)
	}
	return d.Virtio(), nil
}

func (v *VM) virtioStatusOf(s *virtio.State) VirtioStatus {
	i, id := s.Inspect(), s.DeviceID()
	r := VirtioStatus{
		Name: i.Name, DeviceID: uint16(id), DeviceEndian: "little",
		GuestFeatures: virtioFeatures(id, i.Negotiated), HostFeatures: virtioFeatures(id, i.Offered),
		BackendFeatures: virtioFeatures(id, 0), NumVQs: int64(s.Queues()), Status: virtioStatus(uint8(i.Status)),
		ISR: i.ISR, QueueSel: i.QueueSel, VMRunning: v.run.Running(), Broken: i.Broken, Disabled: i.Disabled,
		UseStarted: i.UseStarted, Started: i.Started, StartOnKick: i.StartsOnKick,
		DisableLegacyCheck: i.DisableLegacyCheck, UseGuestNotifierMask: i.UseGuestNotifierMask,
	}
	if h := i.Vhost; h != nil {
		r.VhostStarted = h.Started
		r.BackendFeatures = virtioFeatures(id, h.Features)
		r.VhostDev = &VhostStatus{
			NMemSections: int64(h.MemSections), NVQs: uint32(h.Queues), Features: virtioFeatures(id, h.Features),
			AckedFeatures: virtioFeatures(id, h.Acked), BackendFeatures: virtioFeatures(id, 0),
			ProtocolFeatures: VhostDeviceProtocols{Protocols: []string{}}, BackendCap: h.BackendFeatures,
		}
	}
	return r
}

// virtioQueue finds a queue.
func (v *VM) virtioQueue(path string, n uint16) (*virtio.State, *virtio.QueueInfo, error) {
	s, err := v.virtioDevice(path)
	if err != nil {
		return nil, nil, err
	}
	q := s.InspectQueue(int(n))
	if q == nil {
		return nil, nil, qapi.Errorf("Invalid virtqueue number %d", n)
	}
	return s, q, nil
}

func (v *VM) virtioQueueStatus(a virtioQueueArgs) (VirtQueueStatus, error) {
	s, q, err := v.virtioQueue(a.Path, a.Queue)
	if err != nil {
		return VirtQueueStatus{}, err
	}
	r := VirtQueueStatus{
		Name: virtio.Name(s.DeviceID()), QueueIndex: a.Queue, InUse: uint32(q.InUse), VringNum: uint32(q.Num),
		VringNumDefault: uint32(q.Max), VringAlign: q.Align, VringDesc: q.Desc, VringAvail: q.Avail, VringUsed: q.Used,
		UsedIdx: q.UsedIdx,
	}
	if q.HasLastAvail {
		r.LastAvailIdx = &q.LastAvail
		if s.Inspect().Vhost == nil {
			r.ShadowAvailIdx = &q.ShadowIdx
		}
	}
	return r, nil
}

func (v *VM) virtioVhostQueueStatus(a virtioQueueArgs) (VirtVhostQueueStatus, error) {
	s, err := v.virtioDevice(a.Path)
	if err != nil {
		return VirtVhostQueueStatus{}, err
	}
	dev, ok := s.Self().(virtio.VhostInspector)
	if !ok || dev.VhostInfo() == nil || !dev.VhostInfo().Started {
		return VirtVhostQueueStatus{}, qapi.Errorf("Error: vhost device has not started yet")
	}
	q := s.Queue(int(a.Queue))
	if q == nil {
		return VirtVhostQueueStatus{}, qapi.Errorf("Invalid vhost virtqueue number %d", a.Queue)
	}
	num := uint32(q.Num)
	r := VirtVhostQueueStatus{
		Name: virtio.Name(s.DeviceID()), Num: int64(num), Desc: q.Desc, Avail: q.Avail, Used: q.Used,
		DescPhys: q.Desc, AvailPhys: q.Avail, UsedPhys: q.Used,
		DescSize: 16 * num, AvailSize: 4 + 2*num, UsedSize: 4 + 8*num,
	}
	if s.HasFeature(virtio.FeatureEventIdx) {
		r.AvailSize += 2
		r.UsedSize += 2
	}
	kick, call := dev.VhostEventfds(int(a.Queue))
	r.Kick, r.Call = int64(kick), int64(call)
	return r, nil
}

func (v *VM) virtioQueueElement(a virtioElementArgs) (VirtioQueueElement, error) {
	s, _, err := v.virtioQueue(a.Path, a.Queue)
	if err != nil {
		return VirtioQueueElement{}, err
	}
	e, err := s.InspectElement(int(a.Queue), a.Index)
	if err != nil {
		return VirtioQueueElement{}, err
	}
	r := VirtioQueueElement{
		Name: virtio.Name(s.DeviceID()), Index: uint32(e.Head), Descs: []VirtioRingDesc{},
		Avail: VirtioRingAvail{e.AvailFlags, e.AvailIdx, e.AvailRing}, Used: VirtioRingUsed{e.UsedFlags, e.UsedIdx},
	}
	for _, d := range slices.Backward(e.Descs) { // as QEMU lists them
		flags := []string{}
		for bit, name := range []string{"next", "write", "indirect"} {
			if d.Flags>>bit&1 != 0 {
				flags = append([]string{name}, flags...)
			}
		}
		r.Descs = append(r.Descs, VirtioRingDesc{d.Addr, d.Len, flags})
	}
	return r, nil
}
