package virtio

// How a driver sets a queue up. Transports call these; a move that is not
// allowed is counted and has no effect.

// writable is queue n while the driver may change it.
func (s *State) writable(n int, what string) *Queue {
	q := s.Queue(n)
	switch {
	case q == nil:
		s.Illegal("%s of queue %d of %d", what, n, len(s.queues))
	case q.Ready:
		s.Illegal("%s of queue %d, which is in use", what, n)
	default:
		return q
	}
	return nil
}

// SetQueueSize takes the size of queue n.
func (s *State) SetQueueSize(n int, size uint32) {
	if q := s.writable(n, "size"); q != nil {
		if err := q.setSize(size, s.Packed()); err != nil {
			s.Illegal("queue %d: %v", n, err)
		}
	}
}

// SetQueueAlign takes the alignment of a legacy ring in bytes.
func (s *State) SetQueueAlign(n int, align uint32) {
	if q := s.writable(n, "alignment"); q != nil {
		if !isPow2(uint64(align)) {
			s.Illegal("queue %d: alignment %d", n, align)
			return
		}
		q.Align = align
	}
}

// QueueArea names one of a queue's three areas.
type QueueArea int

// The areas of a queue (virtio 1.2 section 2.6).
const (
	AreaDesc QueueArea = iota
	AreaDriver
	AreaDevice
)

// SetQueueAddr takes 32 bits of the address of an area, word 0 or 1.
func (s *State) SetQueueAddr(n int, area QueueArea, word int, v uint32) {
	q := s.writable(n, "address")
	if q == nil {
		return
	}
	addr := [...]*uint64{AreaDesc: &q.Desc, AreaDriver: &q.Avail, AreaDevice: &q.Used}[area]
	shift := 32 * word
	*addr = *addr&^(uint64(1<<32-1)<<shift) | uint64(v)<<shift
}

// SetQueueReady hands queue n over to the device, or takes it back.
func (s *State) SetQueueReady(n int, on bool) {
	q := s.Queue(n)
	switch {
	case q == nil:
		s.Illegal("ready of queue %d of %d", n, len(s.queues))
	case on == q.Ready:
	case !on:
		q.Ready = false
		if s.status.Has(StatusDriverOK) {
			s.model.StopQueue(n)
		}
	case s.status.Has(StatusDriverOK):
		s.Illegal("queue %d handed over in status %s", n, s.status)
	default:
		if err := s.checkQueue(q); err != nil {
			s.Illegal("queue %d: %v", n, err)
			return
		}
		q.Ready = true
	}
}

func (s *State) checkQueue(q *Queue) error {
	// The size may have been chosen before the kind of ring.
	if err := q.setSize(uint32(q.Num), s.Packed()); err != nil {
		return err
	}
	return q.check(s.Packed())
}

// SetLegacyRing hands the ring at a guest physical address over to the
// device. Address 0 resets the device, as in QEMU: a legacy driver that takes
// one queue back is taking all.
func (s *State) SetLegacyRing(n int, addr uint64) {
	if addr == 0 {
		s.Reset()
		return
	}
	q := s.writable(n, "ring")
	if q == nil {
		return
	}
	if s.status.Has(StatusDriverOK) {
		s.Illegal("queue %d handed over in status %s", n, s.status)
		return
	}
	err := q.setSize(uint32(q.Num), false)
	if err == nil {
		err = q.setLegacyRing(addr)
	}
	if err != nil {
		s.Illegal("queue %d: %v", n, err)
		return
	}
	q.Ready = true
}
