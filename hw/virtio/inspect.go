package virtio

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gqemu/gqemu/qdev"
)

// What clients may look at of a device: the x-query-virtio commands. Nothing
// here changes anything, whatever the guest does.

// Info is the state of a device as a client sees it.
type Info struct {
	Name                               string // of the kind of device: "virtio-net"
	Status                             Status
	Offered, Negotiated                uint64
	ISR                                uint8 // bit 0: a queue, bit 1: the configuration
	QueueSel                           uint16
	Broken, Disabled, Started          bool
	UseStarted, DisableLegacyCheck     bool
	UseGuestNotifierMask, StartsOnKick bool
	Vhost                              *VhostInfo // nil when this process serves the queues
}

// VhostInfo is the state of a device outside of this process.
type VhostInfo struct {
	Started         bool
	Broken          bool // also where the driver has no way to see it
	MemSections     int
	Queues          int
	Features, Acked uint64
	BackendFeatures uint64 // of the interface to the device
}

// QueueInfo is the state of a queue. LastAvail and UsedIdx are positions in
// the rings, known only while the queue is ready.
type QueueInfo struct {
	Queue
	Live                  bool // the device serves it
	InUse                 int
	HasLastAvail, HasUsed bool
	LastAvail, ShadowIdx  uint16
	UsedIdx               uint16
}

// VhostInspector is a device whose queues something outside serves.
type VhostInspector interface {
	VhostInfo() *VhostInfo
	// VhostBase is where the device stands in queue n.
	VhostBase(n int) (uint32, error)
	// VhostEventfds are the descriptors that kick queue n and that it calls
	// with.
	VhostEventfds(n int) (kick, call int)
}

// selector is a transport that tells what the driver has selected and not
// acknowledged.
type selector interface {
	selected() (queue uint16, isr uint8)
}

func (m *MMIO) selected() (queue uint16, isr uint8) {
	return uint16(m.queueSel), uint8(m.interruptStatus)
}

// DevicePath is part of qdev.Pather.
func (m *MMIO) DevicePath(qdev.Device) string {
	if !m.formatTransportAddress || m.region == nil {
		return ""
	}
	return fmt.Sprintf("virtio-mmio@%016x", m.region.Addr())
}

// Inspect tells the state of a realized device.
func (s *State) Inspect() Info {
	i := Info{
		Name: Name(s.id), Status: s.status, Offered: s.offered, Negotiated: s.Negotiated(),
		Broken: s.status.Has(StatusNeedsReset), Started: s.status.Has(StatusDriverOK),
		UseStarted: s.useStarted, DisableLegacyCheck: s.disableLegacyCheck, UseGuestNotifierMask: true,
	}
	if t, ok := s.transport.(selector); ok {
		i.QueueSel, i.ISR = t.selected()
	}
	if v, ok := s.Self().(VhostInspector); ok {
		i.Vhost = v.VhostInfo()
		i.Broken = i.Broken || i.Vhost != nil && i.Vhost.Broken
	}
	return i
}

// InspectQueue tells the state of queue n, nil when there is none.
func (s *State) InspectQueue(n int) *QueueInfo {
	q := s.Queue(n)
	if q == nil {
		return nil
	}
	i := &QueueInfo{Queue: *q}
	if s.local != nil && n < len(s.local.rings) {
		i.HasLastAvail = true
		if r := s.local.rings[n]; r != nil {
			i.Live, i.InUse, i.LastAvail, i.ShadowIdx = true, r.InUse(), uint16(r.Base()), uint16(r.Base())
		}
	}
	if v, ok := s.Self().(VhostInspector); ok {
		if h := v.VhostInfo(); h != nil && h.Started && q.Ready {
			if base, err := v.VhostBase(n); err == nil {
				i.Live, i.HasLastAvail, i.LastAvail = true, true, uint16(base)
			}
		}
	}
	if q.Ready && !s.Packed() {
		if idx, err := s.load16(q.Used + 2); err == nil {
			i.HasUsed, i.UsedIdx = true, idx
		}
	}
	return i
}

// RingDesc is a descriptor of a split ring.
type RingDesc struct {
	Addr  uint64
	Len   uint32
	Flags uint16 // bit 0: next, 1: write, 2: indirect
}

// Element is the chain of descriptors that stands at a position of the
// available ring.
type Element struct {
	Head                            uint16
	Descs                           []RingDesc
	AvailFlags, AvailIdx, AvailRing uint16
	UsedFlags, UsedIdx              uint16
}

// Errors of InspectElement.
var (
	ErrPacked = errors.New("Packed ring not supported")
	ErrNoRing = errors.New("Cannot map descriptor ring")
	ErrUnset  = errors.New("Region caches not initialized")
	errDesc   = errors.New("Invalid size for indirect buffer table")
)

// InspectElement reads what the driver has put at a position of queue n's
// available ring; a nil index is the next one that the device will take. A
// chain that does not end is cut off.
func (s *State) InspectElement(n int, index *uint16) (*Element, error) {
	if s.Packed() {
		return nil, ErrPacked
	}
	q := s.InspectQueue(n)
	if q == nil || !q.Ready || q.Num == 0 {
		return nil, ErrUnset
	}
	at := q.LastAvail
	if index != nil {
		at = *index
	}
	e := &Element{}
	var err error
	load := func(to *uint16, addr uint64) {
		if err == nil {
			*to, err = s.load16(addr)
		}
	}
	load(&e.AvailFlags, q.Avail)
	load(&e.AvailIdx, q.Avail+2)
	load(&e.Head, q.Avail+4+2*uint64(at%q.Num))
	load(&e.UsedFlags, q.Used)
	load(&e.UsedIdx, q.Used+2)
	if err != nil {
		return nil, ErrNoRing
	}
	e.AvailRing = e.Head
	e.Descs, err = s.chain(q.Desc, uint32(q.Num), uint32(e.Head))
	return e, err
}

// chain follows a chain in a table of num descriptors, into an indirect table
// if it begins with one.
func (s *State) chain(table uint64, num, head uint32) ([]RingDesc, error) {
	var list []RingDesc
	indirect := false
	for i := head; i < num && len(list) < int(num); {
		var b [16]byte
		if err := s.Host().Memory.ReadAt(b[:], table+16*uint64(i)); err != nil {
			return list, ErrNoRing
		}
		le := binary.LittleEndian
		d := RingDesc{Addr: le.Uint64(b[0:]), Len: le.Uint32(b[8:]), Flags: le.Uint16(b[12:])}
		if d.Flags&4 != 0 && !indirect && len(list) == 0 {
			if d.Len == 0 || d.Len%16 != 0 {
				return nil, errDesc
			}
			indirect, table, num, i = true, d.Addr, min(d.Len/16, MaxQueueSize), 0
			continue
		}
		list = append(list, d)
		if d.Flags&1 == 0 {
			break
		}
		i = uint32(le.Uint16(b[14:]))
	}
	return list, nil
}

func (s *State) load16(addr uint64) (uint16, error) {
	var b [2]byte
	if err := s.Host().Memory.ReadAt(b[:], addr); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint16(b[:]), nil
}

// names are the kinds of devices by id (virtio 1.2 chapter 5), as QEMU calls
// them.
var names = []string{1: "virtio-net", 2: "virtio-blk", 3: "virtio-serial", 4: "virtio-rng", 5: "virtio-balloon",
	6: "virtio-iomem", 7: "virtio-rpmsg", 8: "virtio-scsi", 9: "virtio-9p", 10: "virtio-mac-wlan",
	11: "virtio-rproc-serial", 12: "virtio-caif", 13: "virtio-mem-balloon", 16: "virtio-gpu", 17: "virtio-clk",
	18: "virtio-input", 19: "vhost-vsock", 20: "virtio-crypto", 21: "virtio-signal", 22: "virtio-pstore",
	23: "virtio-iommu", 24: "virtio-mem", 25: "virtio-sound", 26: "virtio-user-fs", 27: "virtio-pmem",
	28: "virtio-rpmb", 29: "virtio-mac-hwsim", 30: "virtio-vid-encoder", 31: "virtio-vid-decoder", 32: "virtio-scmi",
	33: "virtio-nitro-sec-mod", 34: "vhost-user-i2c", 35: "virtio-watchdog", 36: "virtio-can", 37: "virtio-dmabuf",
	38: "virtio-param-serv", 39: "virtio-audio-pol", 40: "virtio-bluetooth", 41: "virtio-gpio"}

// Name is what QEMU calls the kind of device, "" for one it does not know.
func Name(id uint32) string {
	if id < uint32(len(names)) {
		return names[id]
	}
	return ""
}
