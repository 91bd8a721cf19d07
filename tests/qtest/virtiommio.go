package qtest

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

// Queue sets up queue n in fresh memory with at most size entries, as a packed
// ring if that was negotiated.
func (v *VirtioMMIO) Queue(n, size int, a Allocator) *Vring {
	v.M.t.Helper()
	v.Out(VQueueSel, uint32(n))
	most := int(v.In(VQueueNumMax))
	if most == 0 {
		v.M.t.Fatalf("no queue %d", n)
	}
	size = min(size, most)
	r := newVring(v.M, size, a)
	r.EventIdx = v.Features&FeatureEventIdx != 0
	if v.Features&FeatureRingPacked != 0 {
		r.packed = newPackedVring(size)
	}
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
	if v.queues == nil {
		v.queues = map[int]*Vring{}
	}
	v.queues[n] = r
	return r
}

// Ring is the virtqueue that Queue set up as queue n, nil if it did not.
func (v *VirtioMMIO) Ring(n int) *Vring { return v.queues[n] }

// Kick notifies the device of queue n.
func (v *VirtioMMIO) Kick(n int) { v.M.t.Helper(); v.Out(VQueueNotify, uint32(n)) }

// KickIfNeeded notifies the device of queue n unless it does not want to know,
// and tells whether it did.
func (v *VirtioMMIO) KickIfNeeded(n int) bool {
	v.M.t.Helper()
	if !v.queues[n].NeedsKick() {
		return false
	}
	v.Kick(n)
	return true
}

// Exchange performs one request on queue n: it gives the device the bytes of
// out to read and room for in bytes to write, notifies it, and waits. It gives
// the bytes written. The memory comes from a.
func (v *VirtioMMIO) Exchange(n int, a Allocator, out []byte, in int) []byte {
	v.M.t.Helper()
	r := v.queues[n]
	if r == nil {
		v.M.t.Fatalf("queue %d was not set up", n)
	}
	var chain []Buffer
	if len(out) > 0 {
		b := Buffer{Addr: a.Take(uint64(len(out)), 16), Len: uint32(len(out))}
		v.M.Write(b.Addr, out)
		chain = append(chain, b)
	}
	var reply uint64
	if in > 0 {
		reply = a.Take(uint64(in), 16)
		v.M.Memset(reply, in, 0xcc)
		chain = append(chain, Buffer{Addr: reply, Len: uint32(in), Write: true})
	}
	head := r.Add(chain...)
	v.Kick(n)
	used, written := r.Wait()
	if used != head {
		v.M.t.Fatalf("queue %d: chain %d was used, not %d", n, used, head)
	}
	if int64(written) > int64(in) {
		v.M.t.Fatalf("queue %d: %d bytes were written where there is room for %d", n, written, in)
	}
	if h, ok := a.(*Heap); ok {
		defer func() {
			for _, b := range chain {
				h.Free(b.Addr)
			}
		}()
	}
	if written == 0 {
		return nil
	}
	return v.M.Read(reply, int(written))
}

// WaitInterrupt waits until all of bits are in the interrupt status (1 for a
// used buffer, 2 for a change of the configuration), and acknowledges them.
func (v *VirtioMMIO) WaitInterrupt(bits uint32) {
	v.M.t.Helper()
	v.M.Eventually("an interrupt", func() bool { return v.In(VInterruptStatus)&bits == bits })
	v.Out(VInterruptACK, bits)
}

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
