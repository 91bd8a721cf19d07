package virtio

import (
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Registers of virtio-mmio (virtio 1.2 sections 4.2.2 and 4.2.4).
const (
	regMagic             = 0x000
	regVersion           = 0x004
	regDeviceID          = 0x008
	regVendorID          = 0x00c
	regDeviceFeatures    = 0x010
	regDeviceFeaturesSel = 0x014
	regDriverFeatures    = 0x020
	regDriverFeaturesSel = 0x024
	regGuestPageSize     = 0x028 // legacy
	regQueueSel          = 0x030
	regQueueNumMax       = 0x034
	regQueueNum          = 0x038
	regQueueAlign        = 0x03c // legacy
	regQueuePFN          = 0x040 // legacy
	regQueueReady        = 0x044
	regQueueNotify       = 0x050
	regInterruptStatus   = 0x060
	regInterruptACK      = 0x064
	regStatus            = 0x070
	regQueueDescLow      = 0x080
	regQueueDescHigh     = 0x084
	regQueueDriverLow    = 0x090
	regQueueDriverHigh   = 0x094
	regQueueDeviceLow    = 0x0a0
	regQueueDeviceHigh   = 0x0a4
	regSHMSel            = 0x0ac
	regSHMLenLow         = 0x0b0
	regSHMLenHigh        = 0x0b4
	regSHMBaseLow        = 0x0b8
	regSHMBaseHigh       = 0x0bc
	regConfigGeneration  = 0x0fc
	regConfig            = 0x100

	mmioMagic = 0x74726976 // "virt"

	// MMIOSize is the length of the register window in bytes.
	MMIOSize = 0x200
)

// Bits of InterruptStatus.
const (
	interruptQueue  = 1 << 0
	interruptConfig = 1 << 1
)

// MMIO is one virtio-mmio transport, the type "virtio-mmio". It has a bus for
// one device; without a device it shows device id 0, which drivers pass over.
type MMIO struct {
	qdev.SysBus
	forceLegacy            bool
	formatTransportAddress bool
	flags                  uint64 // bits flagIOEventFD and flagIRQFD

	region *memory.Region
	irq    *qdev.IRQ
	dev    *State // nil without a device

	// What the driver has written and may write again. Reset clears it.
	deviceFeaturesSel uint32
	driverFeaturesSel uint32
	pageShift         uint
	queueSel          uint32
	interruptStatus   uint32

	queueEvents queueEvents
}

// Bits of MMIO.flags.
const (
	flagIOEventFD = iota
	flagIRQFD
)

func mmioType() qom.Type {
	return qom.Type{
		Name: "virtio-mmio", Parent: "sys-bus-device",
		New: func() qom.Object { return new(MMIO) },
		Properties: []*qom.Property{
			qdev.Field("format_transport_address", func(m *MMIO) *bool { return &m.formatTransportAddress }, true),
			qdev.Field("force-legacy", func(m *MMIO) *bool { return &m.forceLegacy }, true),
			qdev.Bit("ioeventfd", func(m *MMIO) *uint64 { return &m.flags }, flagIOEventFD, true),
			qdev.Bit("x-irqfd", func(m *MMIO) *uint64 { return &m.flags }, flagIRQFD, true),
		},
	}
}

// Realize is part of qdev.Realizer.
func (m *MMIO) Realize(h *qdev.Host) error {
	m.region = memory.NewIO("virtio-mmio", MMIOSize, m, memory.Access{})
	if err := m.InitMMIO(m.region); err != nil {
		return err
	}
	if err := m.InitIRQ(&m.irq); err != nil {
		return err
	}
	bus, err := h.NewBus("virtio-mmio-bus", "", m, 1)
	if err != nil {
		return err
	}
	m.Defer(bus.Remove)
	// Firmware knows a transport and what is behind it as one.
	bus.FWPath = func(qdev.Device) string { return "" }
	return nil
}

// Reset is part of qdev.Resetter. The device on the bus was reset before.
func (m *MMIO) Reset() {
	m.connectEvents()
	m.deviceFeaturesSel, m.driverFeaturesSel, m.pageShift, m.queueSel = 0, 0, 0, 0
	m.setInterrupts(0)
}

// Attach is part of Transport. All queues' notifications are made to signal
// their eventfds in one step, so that many queues cost the accelerator one
// update.
func (m *MMIO) Attach(s *State) error {
	m.dev = s
	if err := m.exposeEvents(); err != nil {
		return err
	}
	if m.flags>>flagIOEventFD&1 == 0 {
		return nil
	}
	fds := m.kicks()
	err := m.addKicks(fds)
	if err != nil {
		// What failed was not taken; what did not is taken back.
		m.removeKicks(fds)
		m.hideEvents()
		m.dev = nil
	}
	return err
}

// Detach is part of Transport.
func (m *MMIO) Detach() {
	if m.flags>>flagIOEventFD&1 != 0 {
		m.removeKicks(m.kicks())
	}
	m.hideEvents()
	m.dev = nil
	m.Reset()
}

// kicks lists a match of QueueNotify for each queue.
func (m *MMIO) kicks() []memory.IOEventFD {
	var out []memory.IOEventFD
	for i := range m.dev.queues {
		out = append(out, memory.IOEventFD{
			Offset: regQueueNotify, Size: 4, Match: true, Data: uint64(i), FD: m.dev.queues[i].Kick.FD(),
		})
	}
	return out
}

func (m *MMIO) addKicks(fds []memory.IOEventFD) error {
	h := m.Host()
	return h.Map.Update(func() error {
		for _, e := range fds {
			if err := h.Map.AddIOEventFD(m.region, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *MMIO) removeKicks(fds []memory.IOEventFD) {
	h := m.Host()
	err := h.Map.Update(func() error {
		for _, e := range fds {
			if err := h.Map.RemoveIOEventFD(m.region, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.Log.Error().Err(err).Msg("virtio-mmio: removing ioeventfds")
	}
}

// Legacy is part of Transport.
func (m *MMIO) Legacy() bool { return m.forceLegacy }

// InterruptQueue is part of Transport.
func (m *MMIO) InterruptQueue(int) {
	m.queueEvents.relayed++
	if m.queueEvents.direct {
		m.pulse()
		return
	}
	m.setInterrupts(m.interruptStatus | interruptQueue)
}

// InterruptConfig is part of Transport.
func (m *MMIO) InterruptConfig() { m.setInterrupts(m.interruptStatus | interruptConfig) }

// setInterrupts changes InterruptStatus; the line is high while a bit is set.
func (m *MMIO) setInterrupts(v uint32) {
	m.interruptStatus = v
	m.irq.Set(v != 0)
}

// acknowledge is a write of InterruptACK. Where a bit is left that came after
// the driver had read the status, the line falls for a moment: on an
// edge-triggered line nobody would hear of that bit otherwise, nor of any
// later one.
func (m *MMIO) acknowledge(v uint32) {
	left := m.interruptStatus &^ v
	if left != 0 && left != m.interruptStatus {
		m.irq.Set(false)
	}
	m.setInterrupts(left)
}
