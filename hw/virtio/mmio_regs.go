package virtio

import "math/bits"

// Read is part of memory.Ops.
func (m *MMIO) Read(offset uint64, size int) uint64 {
	if m.dev == nil {
		// Drivers probe every transport; these three registers keep them
		// from complaining, and device id 0 from doing more.
		switch offset {
		case regMagic, regVersion, regVendorID:
			return uint64(m.identity(offset))
		}
		return 0
	}
	if offset >= regConfig {
		return m.dev.ReadConfig(offset-regConfig, size)
	}
	if size != 4 {
		m.dev.Illegal("virtio-mmio: read of %d bytes at %#x", size, offset)
		return 0
	}
	return uint64(m.readRegister(offset))
}

func (m *MMIO) identity(offset uint64) uint32 {
	switch {
	case offset == regMagic:
		return mmioMagic
	case offset == regVendorID:
		return VendorQEMU
	case m.forceLegacy:
		return 1
	}
	return 2
}

func (m *MMIO) readRegister(offset uint64) uint32 {
	s := m.dev
	sel := int(m.queueSel)
	switch offset {
	case regMagic, regVersion, regVendorID:
		return m.identity(offset)
	case regDeviceID:
		return s.DeviceID()
	case regDeviceFeatures:
		if m.deviceFeaturesSel > 1 {
			return 0
		}
		return uint32(s.Offered() >> (32 * m.deviceFeaturesSel))
	case regQueueNumMax:
		return uint32(s.QueueMax(sel))
	case regInterruptStatus:
		return m.readInterrupts()
	case regStatus:
		return uint32(s.Status())
	case regSHMLenLow, regSHMLenHigh, regSHMBaseLow, regSHMBaseHigh:
		// No region: its length is -1 (virtio 1.2 section 4.2.2).
		return 0xffffffff
	}
	q := s.Queue(sel)
	switch {
	case m.forceLegacy && offset == regQueuePFN:
		if q == nil || !q.Ready {
			return 0
		}
		return uint32(q.Desc >> m.pageShift)
	case !m.forceLegacy && offset == regQueueReady:
		if q != nil && q.Ready {
			return 1
		}
		return 0
	case !m.forceLegacy && offset == regConfigGeneration:
		return s.ConfigGeneration()
	}
	m.dev.Illegal("virtio-mmio: read of register %#x", offset)
	return 0
}

// Write is part of memory.Ops.
func (m *MMIO) Write(offset, value uint64, size int) {
	switch {
	case m.dev == nil:
	case offset >= regConfig:
		m.dev.WriteConfig(offset-regConfig, value, size)
	case size != 4:
		m.dev.Illegal("virtio-mmio: write of %d bytes at %#x", size, offset)
	case m.writeCommon(offset, uint32(value)):
	case m.forceLegacy && m.writeLegacy(offset, uint32(value)):
	case !m.forceLegacy && m.writeModern(offset, uint32(value)):
	default:
		m.dev.Illegal("virtio-mmio: write of %#x to register %#x", value, offset)
	}
}

// writeCommon takes a write to a register that both versions have.
func (m *MMIO) writeCommon(offset uint64, v uint32) bool {
	s := m.dev
	switch offset {
	case regDeviceFeaturesSel:
		m.deviceFeaturesSel = v
	case regDriverFeatures:
		switch {
		case m.driverFeaturesSel == 0, m.driverFeaturesSel == 1 && !m.forceLegacy:
			s.SetFeatures(int(m.driverFeaturesSel), v)
		case v != 0:
			// Linux writes the upper half, zero, whatever the version.
			s.Illegal("virtio-mmio: features %#x with selector %d", v, m.driverFeaturesSel)
		}
	case regDriverFeaturesSel:
		m.driverFeaturesSel = v
	case regQueueSel:
		if v >= MaxQueues {
			return false // the selection stays, as in QEMU
		}
		m.queueSel = v
	case regQueueNum:
		s.SetQueueSize(int(m.queueSel), v)
	case regQueueNotify:
		s.Notify(v)
	case regInterruptACK:
		m.acknowledge(v)
	case regStatus:
		m.writeStatus(v)
	case regSHMSel:
		// There is no region to select.
	default:
		return false
	}
	return true
}

func (m *MMIO) writeStatus(v uint32) {
	// The register has eight bits, the others are ignored.
	done := m.dev.SetStatus(uint8(v))
	if uint8(v) == 0 {
		m.softReset()
	}
	m.connectEvents()
	if done == nil {
		return
	}
	h := m.Host()
	if h.Await != nil {
		h.Await(done)
		return
	}
	h.Lock.Unlock()
	<-done
	h.Lock.Lock()
}

// softReset is the transport's part of a reset by the driver.
func (m *MMIO) softReset() {
	if m.dev == nil {
		return // unplugged while it was being reset
	}
	if m.dev.Status().Has(StatusNeedsReset) {
		// The reset failed; what the transport has to say of it stays.
		m.connectEvents()
		m.deviceFeaturesSel, m.driverFeaturesSel, m.queueSel = 0, 0, 0
		return
	}
	shift := m.pageShift
	m.Reset()
	// Linux writes GuestPageSize once, before it resets the device.
	m.pageShift = shift
}

func (m *MMIO) writeLegacy(offset uint64, v uint32) bool {
	s := m.dev
	switch offset {
	case regGuestPageSize:
		if bits.OnesCount32(v) != 1 {
			return false
		}
		m.pageShift = uint(bits.TrailingZeros32(v))
	case regQueueAlign:
		s.SetQueueAlign(int(m.queueSel), v)
	case regQueuePFN:
		s.SetLegacyRing(int(m.queueSel), uint64(v)<<m.pageShift)
		if v == 0 {
			m.softReset()
		}
	default:
		return false
	}
	return true
}

func (m *MMIO) writeModern(offset uint64, v uint32) bool {
	s := m.dev
	sel := int(m.queueSel)
	switch offset {
	case regQueueReady:
		s.SetQueueReady(sel, v&1 != 0)
	case regQueueDescLow:
		s.SetQueueAddr(sel, AreaDesc, 0, v)
	case regQueueDescHigh:
		s.SetQueueAddr(sel, AreaDesc, 1, v)
	case regQueueDriverLow:
		s.SetQueueAddr(sel, AreaDriver, 0, v)
	case regQueueDriverHigh:
		s.SetQueueAddr(sel, AreaDriver, 1, v)
	case regQueueDeviceLow:
		s.SetQueueAddr(sel, AreaDevice, 0, v)
	case regQueueDeviceHigh:
		s.SetQueueAddr(sel, AreaDevice, 1, v)
	default:
		return false
	}
	return true
}
