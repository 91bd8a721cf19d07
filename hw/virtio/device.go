package virtio

import (
	"errors"
	"fmt"

	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/qdev"
)

// Model is what a kind of device does. State calls it with the VM lock held.
type Model interface {
	// ReadConfig fills buf with the configuration space from offset on, as it
	// is now. The range is within the space. On an error the driver reads
	// what it read before.
	ReadConfig(offset int, buf []byte) error
	// WriteConfig takes what a driver wrote. The range is within the space.
	WriteConfig(offset int, data []byte) error
	// Start is called when the driver has set DRIVER_OK: features and queues
	// are final until Reset. It may finish later; then done is closed, and
	// the driver's access is held up until it is. Nil: it has finished. A
	// device that cannot start calls State.NeedsReset.
	Start() (done <-chan struct{})
	// Reset ends all use of guest memory and of the queues. The driver or
	// the machine is resetting the device, which may be in any state. ok is
	// false for a device that cannot be reset now. It may let go of the VM
	// lock while it waits for the device.
	Reset() (ok bool)
	// StopQueue ends the use of one queue that the driver takes back while
	// the device is live.
	StopQueue(n int)
}

// Transport is how a guest reaches a device. The device that owns a bus of a
// type derived from "virtio-bus" implements it. Called with the VM lock held.
type Transport interface {
	// Attach connects a device whose State is complete, Detach takes it off.
	Attach(s *State) error
	Detach()
	// Legacy tells whether the guest sees the legacy interface.
	Legacy() bool
	// InterruptQueue tells the driver that a queue has used buffers,
	// InterruptConfig that the configuration or the status has changed.
	InterruptQueue(n int)
	InterruptConfig()
}

// Device is anything that embeds State.
type Device interface {
	qdev.Device
	Virtio() *State
}

// Setup is what a device offers when it is plugged in.
type Setup struct {
	DeviceID   uint32 // virtio 1.2 chapter 5
	ConfigSize int    // in bytes
	Features   uint64 // of the device itself; the guest sees an allow-list
	Queues     int    // 1 to MaxQueues
	QueueMax   uint16 // size of each queue
	Model      Model
}

// State is what every virtio device has. Guarded by the VM lock.
type State struct {
	qdev.State
	// properties is the word of features that properties turn off or on.
	properties         uint64
	useStarted         bool
	useDisabledFlag    bool
	disableLegacyCheck bool

	id        uint32
	model     Model
	transport Transport
	legacy    bool
	offered   uint64
	driver    uint64 // features as the driver wrote them
	status    Status
	queues    []Queue
	config    configSpace
	illegal   uint64
	local     *Local // nil when something outside serves the queues
	// resetting is closed at the end of the reset under way, nil without one.
	resetting chan struct{}
}

// Virtio makes State satisfy Device.
func (s *State) Virtio() *State { return s }

// Plug connects the device to the transport whose bus it sits on. It is
// called in Realize, and undone with it.
func (s *State) Plug(c Setup) error {
	if c.Queues < 1 || c.Queues > MaxQueues || c.QueueMax < 1 || c.QueueMax > MaxQueueSize {
		return fmt.Errorf("virtio: %d queues of %d", c.Queues, c.QueueMax)
	}
	bus := s.Bus()
	if bus == nil {
		return errors.New("virtio: device is on no bus")
	}
	t, ok := bus.Owner().(Transport)
	if !ok {
		return fmt.Errorf("virtio: bus %s has no transport", bus.BusName())
	}
	s.id, s.model, s.transport, s.legacy = c.DeviceID, c.Model, t, t.Legacy()
	s.offered = offer(c.Features, s.properties, s.legacy)
	s.config = configSpace{size: c.ConfigSize}
	s.queues = make([]Queue, c.Queues)
	s.Defer(func() {
		for i := range s.queues {
			if k := s.queues[i].Kick; k != nil {
				k.Close()
			}
		}
		s.queues, s.model, s.transport = nil, nil, nil
	})
	for i := range s.queues {
		q := &s.queues[i]
		q.Max = c.QueueMax
		k, err := sys.NewEventfd()
		if err != nil {
			return fmt.Errorf("virtio: queue %d: %w", i, err)
		}
		q.Kick = k
		q.reset()
	}
	s.clear()
	if err := t.Attach(s); err != nil {
		return err
	}
	s.Defer(t.Detach)
	return nil
}

// DeviceID tells the kind of device.
func (s *State) DeviceID() uint32 { return s.id }

// Status is the device status field. It becomes 0 when a reset is complete.
func (s *State) Status() Status { return s.status }

// Legacy tells whether the guest sees the legacy interface.
func (s *State) Legacy() bool { return s.legacy }

// Offered are the features the guest may choose from.
func (s *State) Offered() uint64 { return s.offered }

// Negotiated are the features that driver and device have agreed on.
func (s *State) Negotiated() uint64 { return s.driver & s.offered }

// HasFeature tells whether feature bit n was negotiated.
func (s *State) HasFeature(n uint) bool { return s.Negotiated()&bit(n) != 0 }

// Packed tells whether the queues are packed rings.
func (s *State) Packed() bool { return s.HasFeature(FeatureRingPacked) }

// Queues is the number of queues.
func (s *State) Queues() int { return len(s.queues) }

// Queue is queue n as the driver has set it up, nil when there is none.
func (s *State) Queue(n int) *Queue {
	if n < 0 || n >= len(s.queues) {
		return nil
	}
	return &s.queues[n]
}

// QueueMax is the largest size that queue n takes, 0 when there is no such
// queue. It is a power of two unless packed rings were negotiated.
func (s *State) QueueMax(n int) uint16 {
	q := s.Queue(n)
	switch {
	case q == nil:
		return 0
	case s.Packed():
		return q.Max
	}
	return q.splitMax()
}

// Illegal counts a move that the specification does not allow.
func (s *State) Illegal(format string, args ...any) {
	s.illegal++
	if e := s.Host().Log.Debug(); e.Enabled() {
		e.Str("device", s.ID()).Str("type", s.TypeName()).Msgf("virtio: guest error: "+format, args...)
	}
}

// IllegalMoves is how many moves of the guest were ignored.
func (s *State) IllegalMoves() uint64 { return s.illegal }

// SetFeatures takes 32 of the driver's feature bits, word 0 or 1.
func (s *State) SetFeatures(word int, v uint32) {
	if s.status&(StatusFeaturesOK|StatusDriverOK) != 0 {
		s.Illegal("features written in status %s", s.status)
		return
	}
	shift := 32 * word
	s.driver = s.driver&^(uint64(1<<32-1)<<shift) | uint64(v)<<shift
}

// featuresOK tells whether the device works with the driver's features.
func (s *State) featuresOK() bool {
	return s.legacy || s.driver&^s.offered == 0 && s.driver&bit(FeatureVersion1) != 0
}

// SetStatus takes the driver's write of the status field. When done is not
// nil, the access is to wait for it. A reset is complete when it returns, and
// a write that meets one waits for its end, both without the VM lock: the
// device may be unplugged meanwhile.
func (s *State) SetStatus(v uint8) (done <-chan struct{}) {
	s.settle()
	if s.model == nil {
		return nil
	}
	if v == 0 {
		s.Reset()
		return nil
	}
	old := s.status
	next, ok := old.next(Status(v), s.legacy)
	if !ok {
		s.Illegal("status %s after %s", Status(v), old)
		return nil
	}
	if next&^old&StatusFeaturesOK != 0 && !s.featuresOK() {
		// The driver reads the bit back to learn of it (virtio 1.2 section
		// 3.1.1, step 6).
		s.Illegal("features %#x of %#x", s.driver, s.offered)
		next &^= StatusFeaturesOK
		if !s.legacy {
			next &^= StatusDriverOK
		}
	}
	s.status = next
	if next&^old&StatusDriverOK != 0 {
		return s.model.Start()
	}
	return nil
}

// Reset is a reset of the device, by the driver or the machine. The VM lock
// may be let go until it is complete; the status reads as before meanwhile,
// and the device may be unplugged.
func (s *State) Reset() {
	s.settle()
	if s.model == nil {
		return
	}
	// What the Model tells the driver on the way is of the past, and so is
	// what another CPU writes.
	done := make(chan struct{})
	s.resetting = done
	ok := s.model.Reset()
	s.resetting = nil
	close(done)
	s.clear()
	if !ok {
		s.NeedsReset()
	}
}

// settle waits, without the VM lock, for the end of a reset under way.
func (s *State) settle() {
	for s.resetting != nil {
		done, lock := s.resetting, s.Host().Lock
		lock.Unlock()
		<-done
		lock.Lock()
	}
}

func (s *State) clear() {
	s.status, s.driver = 0, 0
	for i := range s.queues {
		s.queues[i].reset()
	}
}

// NeedsReset tells the driver that the device does not work until it is
// reset. Legacy drivers have no way to see it.
func (s *State) NeedsReset() {
	if s.legacy || s.transport == nil || s.resetting != nil || s.status.Has(StatusNeedsReset) {
		return
	}
	s.status |= StatusNeedsReset
	if s.status.Has(StatusDriverOK) {
		s.transport.InterruptConfig()
	}
}

// QueueUsed is called by the device when it has used buffers of queue n. A
// device does not interrupt a driver that is not ready.
func (s *State) QueueUsed(n int) {
	if s.transport != nil && s.resetting == nil && s.status.Has(StatusDriverOK) {
		s.transport.InterruptQueue(n)
	}
}

// Notify is a driver's notification of queue n that did not go to the
// queue's eventfd by itself. A queue that this process serves is served before
// it returns.
func (s *State) Notify(n uint32) {
	if n >= uint32(len(s.queues)) {
		s.Illegal("notification of queue %d of %d", n, len(s.queues))
		return
	}
	s.queues[n].Notified++
	if s.local != nil {
		s.local.kicked(int(n))
		return
	}
	if err := s.queues[n].Kick.Signal(); err != nil {
		s.Host().Log.Error().Err(err).Str("device", s.ID()).Uint32("queue", n).Msg("virtio: kick")
	}
}
