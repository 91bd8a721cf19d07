package virtio

import (
	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// CallSource is a device that signals an eventfd when it has used buffers of a
// queue. It waits for them itself as well, and calls State.QueueUsed when it
// finds a signal there; a transport that leads the eventfds to the driver
// keeps it from finding one.
type CallSource interface {
	// CallFD is the eventfd of queue n, -1 for none. It stays the same from
	// realize to unrealize.
	CallFD(n int) int
}

// queueEvents is how a device's eventfds become interrupts.
//
// By itself a virtio-mmio driver cannot do without this process: it learns
// what happened from InterruptStatus, which has to be set for it. But bit 0
// only says that a queue may have something, and a driver that looks and finds
// nothing has lost nothing. So while an interrupt controller takes the
// eventfds as edges of the line, bit 0 always reads 1, from DRIVER_OK to reset,
// and acknowledging it does nothing; only bit 1, a change of the configuration,
// comes from here.
//
// A line that is level-triggered would never fall then. So the input decides,
// at each moment, by how the guest has set it up (qdev.EventInput), and at
// each change the driver gets one interrupt that may be superfluous, so that
// none can be missing.
type queueEvents struct {
	bound   *qdev.Events // nil when the line was not asked, or cannot
	direct  bool         // the line takes the eventfds
	ack     *sys.Eventfd // where acknowledgements of bit 0 go; nil unless direct
	relayed uint64       // interrupts of queues that passed through this process
	shown   []string     // properties that clients see
}

// EdgeTriggered tells whether the guest is best told that the transport's line
// is edge-triggered: its eventfds can be interrupts then.
func (m *MMIO) EdgeTriggered() bool { return m.callFDs() != nil }

// callFDs are the eventfds of the device, nil unless they can be interrupts.
func (m *MMIO) callFDs() []int {
	if m.dev == nil || m.flags>>flagIRQFD&1 == 0 || !m.irq.TakesEvents() {
		return nil
	}
	c, ok := m.dev.Self().(CallSource)
	if !ok {
		return nil
	}
	var fds []int
	for n := range m.dev.queues {
		if fd := c.CallFD(n); fd >= 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// connectEvents has the line take the device's eventfds while the driver is
// ready.
func (m *MMIO) connectEvents() {
	q := &m.queueEvents
	if ready := m.dev != nil && m.dev.Status().Has(StatusDriverOK); ready == (q.bound != nil) {
		return
	} else if !ready {
		m.irq.Unbind()
		q.bound = nil
		if q.direct {
			q.direct = false
			m.removeAck()
		}
		m.setInterrupts(m.interruptStatus)
		return
	}
	if fds := m.callFDs(); fds != nil {
		q.bound = &qdev.Events{FDs: fds, Changed: m.eventsChanged}
		if !m.irq.Bind(q.bound) {
			q.bound = nil
		}
	}
}

// eventsChanged is called when the line begins or ceases to take the eventfds.
func (m *MMIO) eventsChanged(direct bool) {
	m.queueEvents.direct = direct
	if !direct {
		// The driver may have come to read bit 0 and not yet done so.
		m.removeAck()
		m.setInterrupts(m.interruptStatus | interruptQueue)
		return
	}
	m.addAck()
	pending := m.interruptStatus != 0
	m.interruptStatus &^= interruptQueue
	m.setInterrupts(m.interruptStatus)
	if pending {
		// It came while the input was masked, perhaps, and made no edge that
		// counts.
		m.pulse()
	}
}

// pulse makes an edge and leaves the line as it should be.
func (m *MMIO) pulse() {
	m.irq.Set(false)
	m.irq.Set(true)
	m.setInterrupts(m.interruptStatus)
}

// readInterrupts is what InterruptStatus reads.
func (m *MMIO) readInterrupts() uint32 {
	if m.queueEvents.direct {
		return m.interruptStatus | interruptQueue
	}
	return m.interruptStatus
}

// ackEvent matches the acknowledgement of bit 0 alone. While that does
// nothing, the accelerator takes it for us: nobody ever looks at the eventfd.
func (m *MMIO) ackEvent() memory.IOEventFD {
	return memory.IOEventFD{
		Offset: regInterruptACK, Size: 4, Match: true, Data: interruptQueue, FD: m.queueEvents.ack.FD(),
	}
}

func (m *MMIO) addAck() {
	q := &m.queueEvents
	if m.flags>>flagIOEventFD&1 == 0 {
		return
	}
	var err error
	if q.ack, err = sys.NewEventfd(); err == nil {
		if err = m.Host().Map.AddIOEventFD(m.region, m.ackEvent()); err == nil {
			return
		}
		// What was not taken is not asked for again.
		_ = m.Host().Map.RemoveIOEventFD(m.region, m.ackEvent())
		q.ack.Close()
		q.ack = nil
	}
	m.Host().Log.Warn().Err(err).Msg("virtio-mmio: acknowledgements will pass through this process")
}

func (m *MMIO) removeAck() {
	q := &m.queueEvents
	if q.ack == nil {
		return
	}
	if err := m.Host().Map.RemoveIOEventFD(m.region, m.ackEvent()); err != nil {
		m.Host().Log.Error().Err(err).Msg("virtio-mmio: removing an ioeventfd")
	}
	q.ack.Close()
	q.ack = nil
}

// exposeEvents shows clients how the device's interrupts travel, when there is
// more than one way.
func (m *MMIO) exposeEvents() error {
	m.queueEvents.relayed = 0
	if _, ok := m.dev.Self().(CallSource); !ok {
		return nil
	}
	for _, p := range []*qom.Property{
		qom.NewProperty("x-irqfd-active", "bool", nil, func(m *MMIO) any { return m.queueEvents.direct }, nil, nil),
		qom.NewProperty("x-relayed-interrupts", "uint64", nil, func(m *MMIO) any { return m.queueEvents.relayed }, nil, nil),
	} {
		if err := qom.AddProperty(m, p); err != nil {
			m.hideEvents()
			return err
		}
		m.queueEvents.shown = append(m.queueEvents.shown, p.Name)
	}
	return nil
}

func (m *MMIO) hideEvents() {
	for _, name := range m.queueEvents.shown {
		qom.RemoveProperty(m, name)
	}
	m.queueEvents.shown = nil
}
