package pci

// Bits of the slot registers (PCI Express 3.0 section 7.8.9 to 7.8.11).
const (
	sltCapButton     = 1 << 0
	sltCapPower      = 1 << 1
	sltCapAttention  = 1 << 3
	sltCapPowerLight = 1 << 4
	sltCapSurprise   = 1 << 5
	sltCapHotplug    = 1 << 6
	sltCapInterlock  = 1 << 17
	sltCapNumShift   = 19

	sltCtlButton      = 1 << 0
	sltCtlPresence    = 1 << 3
	sltCtlCommand     = 1 << 4
	sltCtlInterrupt   = 1 << 5
	sltCtlAttOff      = 3 << 6
	sltCtlPowerOn     = 1 << 8 // power indicator
	sltCtlPowerOff    = 3 << 8
	sltCtlPowerDown   = 1 << 10 // power controller
	sltCtlToggleLatch = 1 << 11
	sltCtlEvents      = sltCtlButton | sltCtlPresence | sltCtlCommand

	sltStaButton   = 1 << 0
	sltStaPresence = 1 << 3
	sltStaCommand  = 1 << 4
	sltStaPresent  = 1 << 6
	sltStaLatch    = 1 << 7
	sltStaEvents   = sltStaButton | sltStaPresence | sltStaCommand
)

// slot is the slot of a port.
type slot struct {
	e        *express
	power    bool // there is a power controller
	signaled bool // an enabled event waits for the guest
}

// addSlot gives a port a slot with a number.
func (e *express) addSlot(number uint16, hotplug, hideHotplug, power bool) {
	f, at := e.f, e.at
	s := &slot{e: e, power: power}
	e.slot = s
	f.set16(at+expFlags, f.u16(at+expFlags)|expSlotBit)
	cap := uint32(number)<<sltCapNumShift | sltCapInterlock | sltCapButton | sltCapAttention | sltCapPowerLight
	writable := uint16(sltCtlEvents | sltCtlInterrupt | sltCtlAttOff | sltCtlPowerOff)
	if power {
		cap |= sltCapPower
		writable |= sltCtlPowerDown
	}
	if hotplug {
		cap |= sltCapSurprise
		if !hideHotplug {
			cap |= sltCapHotplug
		}
	}
	f.set32(at+expSltCap, cap)
	f.allow16(at+expSltCtl, writable)
	f.clear16(at+expSltSta, sltStaEvents)
	s.reset()
}

// device is what is in the slot, nil for nothing.
func (s *slot) device() *Function {
	if b := s.e.f.bridge; b != nil {
		for _, f := range b.bus.devices {
			if f != nil {
				return f
			}
		}
	}
	return nil
}

// changed follows a device that was put in or taken out before the guest looks.
func (s *slot) changed() {
	f, at := s.e.f, s.e.at
	d := s.device()
	sta := f.u16(at+expSltSta) &^ sltStaPresent
	if d != nil {
		sta |= sltStaPresent
	}
	f.set16(at+expSltSta, sta)
	s.e.linkUp(d)
}

func (s *slot) reset() {
	f, at := s.e.f, s.e.at
	ctl := uint16(sltCtlAttOff | sltCtlPowerOff)
	if s.power {
		if s.device() != nil {
			ctl = sltCtlAttOff | sltCtlPowerOn
		} else {
			ctl |= sltCtlPowerDown
		}
	}
	f.set16(at+expSltCtl, ctl)
	f.set16(at+expSltSta, 0)
	s.signaled = false
	s.changed()
}

// wrote follows the guest: each write to slot control is a command, which is
// complete at once.
func (s *slot) wrote(at int, v uint32, size int) {
	f, base := s.e.f, s.e.at
	if !overlaps(at, size, base+expSltCtl, 4) {
		return
	}
	if overlaps(at, size, base+expSltCtl, 2) {
		var ctl uint32 // the word as written, what was not written zero
		if shift := 8 * (base + expSltCtl - at); shift >= 0 {
			ctl = v >> shift
		} else {
			ctl = v << -shift
		}
		if ctl&sltCtlToggleLatch != 0 {
			f.set16(base+expSltSta, f.u16(base+expSltSta)^sltStaLatch)
		}
		s.event(sltStaCommand)
		return
	}
	s.notify()
}

// event notes that something has happened.
func (s *slot) event(bits uint16) {
	at := s.e.at + expSltSta
	s.e.f.set16(at, s.e.f.u16(at)|bits)
	s.notify()
}

// notify interrupts when the first enabled event comes, and lowers the line when
// the last has gone.
func (s *slot) notify() {
	f, at := s.e.f, s.e.at
	ctl, sta := f.u16(at+expSltCtl), f.u16(at+expSltSta)
	now := ctl&sltCtlInterrupt != 0 && ctl&sta&sltCtlEvents != 0
	if now == s.signaled {
		return
	}
	s.signaled = now
	if f.MSIXEnabled() || f.MSIEnabled() {
		if now {
			f.Interrupt(0)
		}
		return
	}
	f.SetINTx(now)
}
