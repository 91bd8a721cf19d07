package qtest

import "encoding/binary"

// Registers of virtio-mmio (virtio 1.2 sections 4.2.2 and 4.2.4).
const (
	VMagic, VVersion, VDeviceID, VVendorID = 0x000, 0x004, 0x008, 0x00c
	VDeviceFeatures, VDeviceFeaturesSel    = 0x010, 0x014
	VDriverFeatures, VDriverFeaturesSel    = 0x020, 0x024
	VGuestPageSize                         = 0x028 // legacy
	VQueueSel, VQueueNumMax, VQueueNum     = 0x030, 0x034, 0x038
	VQueueAlign, VQueuePFN                 = 0x03c, 0x040 // legacy
	VQueueReady, VQueueNotify              = 0x044, 0x050
	VInterruptStatus, VInterruptACK        = 0x060, 0x064
	VStatus                                = 0x070
	VQueueDesc, VQueueDriver, VQueueDevice = 0x080, 0x090, 0x0a0 // low halves, the high ones follow
	VConfigGeneration, VConfig             = 0x0fc, 0x100
)

// Bits of the device status (virtio 1.2 section 2.1).
const (
	StatusAcknowledge = 1
	StatusDriver      = 2
	StatusDriverOK    = 4
	StatusFeaturesOK  = 8
	StatusNeedsReset  = 64
	StatusFailed      = 128
)

// Where microvm has its transports.
const (
	VirtioBase = 0xfeb00000
	VirtioStep = 0x200
	// VirtioSlots is how many there are with the second IOAPIC.
	VirtioSlots = 24
	// VirtioMagic is "virt".
	VirtioMagic = 0x74726976
	// VirtioVendor is "QEMU".
	VirtioVendor = 0x554d4551
	// FeatureVersion1 says that a device is not legacy.
	FeatureVersion1 = 1 << 32
)

// SlotAddr is the address of microvm's transport n, whose line is pin n of the
// second IOAPIC.
func SlotAddr(n int) uint64 { return VirtioBase + VirtioStep*uint64(n) }

// VirtioMMIO drives a transport of either version.
type VirtioMMIO struct {
	M    *Machine
	Base uint64
	// Features are those negotiated by Init.
	Features uint64
	// Legacy says that the version read by Init is 1.
	Legacy bool
	queues map[int]*Vring
}

// In reads a register.
func (v *VirtioMMIO) In(reg uint64) uint32 { v.M.t.Helper(); return v.M.Readl(v.Base + reg) }

// Out writes a register.
func (v *VirtioMMIO) Out(reg uint64, x uint32) { v.M.t.Helper(); v.M.Writel(v.Base+reg, x) }

// Status reads the device status.
func (v *VirtioMMIO) Status() uint32 { v.M.t.Helper(); return v.In(VStatus) }

// Reset resets the device and waits until it has.
func (v *VirtioMMIO) Reset() {
	v.M.t.Helper()
	v.Out(VStatus, 0)
	v.M.Eventually("the device to reset", func() bool { return v.Status() == 0 })
	v.Features, v.queues = 0, map[int]*Vring{}
}

// DeviceFeatures reads all 64 feature bits offered.
func (v *VirtioMMIO) DeviceFeatures() uint64 {
	v.M.t.Helper()
	v.Out(VDeviceFeaturesSel, 0)
	f := uint64(v.In(VDeviceFeatures))
	v.Out(VDeviceFeaturesSel, 1)
	return f | uint64(v.In(VDeviceFeatures))<<32
}

// Init takes the device through the start of the handshake (virtio 1.2 section
// 3.1.1), accepting those offered features that are wanted, and tells whether
// the device accepts them too. After it come the queues and DriverOK.
func (v *VirtioMMIO) Init(wanted uint64) bool {
	v.M.t.Helper()
	if magic := v.In(VMagic); magic != VirtioMagic {
		v.M.t.Fatalf("magic %#x", magic)
	}
	v.Legacy = v.In(VVersion) == 1
	v.Reset()
	v.Out(VStatus, StatusAcknowledge)
	v.Out(VStatus, StatusAcknowledge|StatusDriver)
	if v.Legacy {
		v.Out(VGuestPageSize, 4096)
	}
	v.Features = v.DeviceFeatures() & wanted
	v.Out(VDriverFeaturesSel, 0)
	v.Out(VDriverFeatures, uint32(v.Features))
	v.Out(VDriverFeaturesSel, 1)
	v.Out(VDriverFeatures, uint32(v.Features>>32))
	if v.Legacy {
		return true
	}
	v.Out(VStatus, StatusAcknowledge|StatusDriver|StatusFeaturesOK)
	return v.Status()&StatusFeaturesOK != 0
}

// DriverOK ends the handshake and gives the status that follows.
func (v *VirtioMMIO) DriverOK() uint32 {
	v.M.t.Helper()
	v.Out(VStatus, v.Status()|StatusDriverOK)
	return v.Status()
}

// Queue sets up queue n in fresh memory with at most size entries.
func (v *VirtioMMIO) Queue(n, size int, a *Alloc) *Vring {
	v.M.t.Helper()
	v.Out(VQueueSel, uint32(n))
	most := int(v.In(VQueueNumMax))
	if most == 0 {
		v.M.t.Fatalf("no queue %d", n)
	}
	size = min(size, most)
	r := newVring(v.M, size, a)
	v.Out(VQueueNum, uint32(size))
	if v.Legacy {
		v.Out(VQueueAlign, 4096)
		v.Out(VQueuePFN, uint32(r.Desc/4096))
	} else {
		for reg, addr := range map[uint64]uint64{VQueueDesc: r.Desc, VQueueDriver: r.Avail, VQueueDevice: r.Used} {
			v.Out(reg, uint32(addr))
			v.Out(reg+4, uint32(addr>>32))
		}
		v.Out(VQueueReady, 1)
	}
	v.queues[n] = r
	return r
}

// Kick notifies the device of queue n.
func (v *VirtioMMIO) Kick(n int) { v.M.t.Helper(); v.Out(VQueueNotify, uint32(n)) }

// Interrupts reads and acknowledges the interrupt status.
func (v *VirtioMMIO) Interrupts() uint32 {
	v.M.t.Helper()
	s := v.In(VInterruptStatus)
	if s != 0 {
		v.Out(VInterruptACK, s)
	}
	return s
}

// Config reads bytes of the device's configuration, as often as the generation
// changes meanwhile.
func (v *VirtioMMIO) Config(off uint64, n int) []byte {
	v.M.t.Helper()
	b := make([]byte, n)
	for range 100 {
		before := uint32(0)
		if !v.Legacy {
			before = v.In(VConfigGeneration)
		}
		for i := range b {
			b[i] = v.M.Readb(v.Base + VConfig + off + uint64(i))
		}
		if v.Legacy || v.In(VConfigGeneration) == before {
			return b
		}
	}
	v.M.t.Fatal("the configuration does not come to rest")
	return nil
}

// Alloc hands out guest memory from an address upwards. Nothing is freed.
type Alloc struct{ Next uint64 }

// Take gives n bytes at a multiple of align, which is a power of two.
func (a *Alloc) Take(n, align uint64) uint64 {
	p := (a.Next + align - 1) &^ (align - 1)
	a.Next = p + n
	return p
}

// Vring is the driver's side of a split virtqueue (virtio 1.2 section 2.7).
type Vring struct {
	// Desc, Avail and Used are where its parts are; they are laid out so that
	// they suit a legacy device.
	Desc, Avail, Used uint64
	// Size is the number of entries.
	Size int

	m        *Machine
	free     int
	availIdx uint16
	usedIdx  uint16
}

// Buffer is a part of a request.
type Buffer struct {
	Addr  uint64
	Len   uint32
	Write bool // by the device
}

func newVring(m *Machine, size int, a *Alloc) *Vring {
	n := uint64(size)
	availEnd := 16*n + 6 + 2*n
	used := (availEnd + 4095) &^ 4095
	base := a.Take(used+6+8*n, 4096)
	m.Memset(base, int(used+6+8*n), 0)
	return &Vring{Desc: base, Avail: base + 16*n, Used: base + used, Size: size, m: m}
}

// Add makes a chain of buffers available and gives its head.
func (r *Vring) Add(chain ...Buffer) uint16 {
	r.m.t.Helper()
	head := r.free
	for i, b := range chain {
		n := (head + i) % r.Size
		flags, next := uint16(0), uint16(0)
		if b.Write {
			flags |= 2
		}
		if i < len(chain)-1 {
			flags |= 1
			next = uint16((n + 1) % r.Size)
		}
		var d [16]byte
		binary.LittleEndian.PutUint64(d[0:], b.Addr)
		binary.LittleEndian.PutUint32(d[8:], b.Len)
		binary.LittleEndian.PutUint16(d[12:], flags)
		binary.LittleEndian.PutUint16(d[14:], next)
		r.m.Write(r.Desc+16*uint64(n), d[:])
	}
	r.free = (head + len(chain)) % r.Size
	r.m.Writew(r.Avail+4+2*uint64(int(r.availIdx)%r.Size), uint16(head))
	r.availIdx++
	r.m.Writew(r.Avail+2, r.availIdx)
	return uint16(head)
}

// Take gives the next used chain: its head and how many bytes were written.
func (r *Vring) Take() (head uint16, n uint32, ok bool) {
	r.m.t.Helper()
	if r.m.Readw(r.Used+2) == r.usedIdx {
		return 0, 0, false
	}
	e := r.m.Read(r.Used+4+8*uint64(int(r.usedIdx)%r.Size), 8)
	r.usedIdx++
	return uint16(binary.LittleEndian.Uint32(e)), binary.LittleEndian.Uint32(e[4:]), true
}

// Wait waits for the next used chain.
func (r *Vring) Wait() (head uint16, n uint32) {
	r.m.t.Helper()
	r.m.Eventually("a used buffer", func() bool {
		var ok bool
		head, n, ok = r.Take()
		return ok
	})
	return head, n
}
