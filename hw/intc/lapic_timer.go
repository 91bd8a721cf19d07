package intc

import "github.com/gqemu/gqemu/clock"

// lapicTimer is the timer of a local APIC (SDM section 11.5.4). Its clock
// before the divider has a period of 1 ns, as in QEMU and KVM. Guarded by the
// VM lock and, as it looks at the local vector table, by Bus.mu.
type lapicTimer struct {
	apic    *LAPIC
	clock   *clock.Clock
	alarm   *clock.Timer
	initial uint32
	divide  uint32
	start   int64 // when the count was initial, ns of virtual time
	fired   bool  // a one-shot count has reached 0
}

// minPeriod is the least time between two interrupts of a periodic timer, in
// ns, so that a guest cannot keep the VM lock busy.
const minPeriod = 100e3

func (t *lapicTimer) init(a *LAPIC, c *clock.Clock) {
	t.apic, t.clock = a, c
	t.alarm = c.NewTimer(t.expire)
}

func (t *lapicTimer) reset() {
	t.initial, t.divide, t.start, t.fired = 0, 0, 0, false
	t.alarm.Stop()
}

// shift is the binary logarithm of the divider.
func (t *lapicTimer) shift() uint { return uint((t.divide&3|t.divide>>1&4)+1) & 7 }

func (t *lapicTimer) periodic() bool { return t.apic.lvt[lvtTimer]&lvtPeriodic != 0 }

// period is the time from the initial count to 0, in ns.
func (t *lapicTimer) period() int64 { return int64(t.initial) << t.shift() }

// current is the current count.
func (t *lapicTimer) current() uint32 {
	if t.initial == 0 {
		return 0
	}
	ticks := uint64(t.clock.Now()-t.start) >> t.shift()
	switch {
	case t.periodic():
		return t.initial - uint32(ticks%uint64(t.initial))
	case t.fired || ticks >= uint64(t.initial):
		return 0
	default:
		return t.initial - uint32(ticks)
	}
}

// load starts a count, or with 0 stops it.
func (t *lapicTimer) load(initial uint32) {
	t.initial, t.start, t.fired = initial, t.clock.Now(), false
	t.arm()
}

func (t *lapicTimer) setDivide(v uint32) { t.change(func() { t.divide = v & 0xb }) }

// change does something that changes how the count goes on, from where it
// stands.
func (t *lapicTimer) change(do func()) {
	count := t.current()
	do()
	if t.initial != 0 {
		t.start = t.clock.Now() - int64(t.initial-count)<<t.shift()
	}
	t.arm()
}

// arm sets the alarm for the next end of the count. A one-shot count that ends
// while the entry is masked is over; a periodic one goes on unseen.
func (t *lapicTimer) arm() {
	switch {
	case t.initial == 0:
		t.alarm.Stop()
	case !t.periodic():
		if t.fired {
			t.alarm.Stop()
		} else {
			t.alarm.Set(t.start + t.period())
		}
	case t.apic.lvt[lvtTimer]&lvtMasked != 0:
		t.fired = false
		t.alarm.Stop()
	default:
		t.fired = false
		now, period := t.clock.Now(), t.period()
		next := t.start + ((now-t.start)/period+1)*period
		if period < minPeriod {
			next = max(next, now+minPeriod)
		}
		t.alarm.Set(next)
	}
}

// expire is the alarm. The VM lock is held.
func (t *lapicTimer) expire() {
	a := t.apic
	a.Bus.mu.Lock()
	defer a.Bus.mu.Unlock()
	t.fired = !t.periodic()
	a.local(lvtTimer)
	t.arm()
}
