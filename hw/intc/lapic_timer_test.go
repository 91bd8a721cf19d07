package intc_test

import (
	"testing"
)

// ticks counts the timer's interrupts while time passes in steps.
func (l *lapics) ticks(steps int, ns int64) (n int) {
	for range steps {
		l.Step(ns)
		for range l.take(0) {
			n++
			l.set(0, eoi, 0)
		}
	}
	return n
}

func newTimer(t *testing.T) *lapics {
	l := newLAPICs(t, 1)
	l.enable()
	l.set(0, divid, 0xb)
	l.set(0, lvtTimer, 0x40)
	return l
}

// A count goes down once in each period of the divider, and interrupts at 0.
func TestLAPICTimerOneShot(t *testing.T) {
	for conf, by := range map[uint32]int64{0xb: 1, 0: 2, 1: 4, 2: 8, 3: 16, 8: 32, 9: 64, 0xa: 128} {
		l := newTimer(t)
		l.set(0, divid, conf|0xfffffff4)
		if v := l.get(0, divid); v != conf {
			t.Errorf("divider %#x reads %#x", conf, v)
		}
		l.set(0, initialCount, 1000)
		if n := l.ticks(1, 400*by); n != 0 {
			t.Errorf("by %d: %d interrupts too early", by, n)
		}
		if v := l.get(0, current); v != 600 {
			t.Errorf("by %d: count %d, want 600", by, v)
		}
		if n := l.ticks(1, 600*by-1); n != 0 {
			t.Errorf("by %d: %d interrupts too early", by, n)
		}
		if n := l.ticks(10, 1000*by); n != 1 {
			t.Errorf("by %d: %d interrupts, want 1", by, n)
		}
		if v := l.get(0, current); v != 0 {
			t.Errorf("by %d: count %d at the end", by, v)
		}
	}
}

func TestLAPICTimerPeriodic(t *testing.T) {
	l := newTimer(t)
	l.set(0, lvtTimer, 0x20040)
	l.set(0, initialCount, 1000000)
	if n := l.ticks(100, 100000); n != 10 {
		t.Errorf("%d interrupts in 10 periods", n)
	}
	l.Step(250000)
	if v := l.get(0, current); v != 750000 {
		t.Errorf("count %d, want 750000", v)
	}
	l.set(0, lvtTimer, 0x20040|masked)
	if n := l.ticks(30, 100000); n != 0 {
		t.Errorf("%d interrupts while masked", n)
	}
	if v := l.get(0, current); v != 750000 {
		t.Errorf("count %d while masked, want 750000", v)
	}
	l.set(0, lvtTimer, 0x20041)
	l.Step(750000)
	l.want(t, "unmasked", 0, 0x41)
	l.set(0, eoi, 0)
	l.set(0, initialCount, 0)
	if n := l.ticks(30, 100000); n != 0 {
		t.Errorf("%d interrupts of a timer that was stopped", n)
	}
}

// A period that no processor could follow is stretched.
func TestLAPICTimerStormIsSlowed(t *testing.T) {
	l := newTimer(t)
	l.set(0, lvtTimer, 0x20040)
	l.set(0, initialCount, 1)
	if n := l.ticks(10000, 100); n == 0 || n > 11 {
		t.Errorf("%d interrupts in 1 ms", n)
	}
}

// A count that ends while its entry is masked is lost.
func TestLAPICTimerOneShotMasked(t *testing.T) {
	l := newTimer(t)
	l.set(0, lvtTimer, 0x40|masked)
	l.set(0, initialCount, 1000)
	l.Step(2000)
	l.set(0, lvtTimer, 0x40)
	if n := l.ticks(10, 1000); n != 0 {
		t.Errorf("%d interrupts", n)
	}
	l.set(0, initialCount, 1000)
	l.set(0, lvtTimer, 0x40|masked)
	l.Step(500)
	l.set(0, lvtTimer, 0x40)
	if n := l.ticks(1, 500); n != 1 {
		t.Errorf("%d interrupts of a count that was masked for a while", n)
	}
}

// A new divider or mode takes the count on from where it stands.
func TestLAPICTimerChanges(t *testing.T) {
	l := newTimer(t)
	l.set(0, initialCount, 1000)
	l.Step(400)
	l.set(0, divid, 1)
	if v := l.get(0, current); v != 600 {
		t.Errorf("count %d, want 600", v)
	}
	if n := l.ticks(1, 2399); n != 0 {
		t.Errorf("%d interrupts too early", n)
	}
	if n := l.ticks(1, 1); n != 1 {
		t.Errorf("%d interrupts", n)
	}
	l.set(0, divid, 0xb)
	l.set(0, initialCount, 1000000)
	l.Step(300000)
	l.set(0, lvtTimer, 0x20040)
	if v := l.get(0, current); v != 700000 {
		t.Errorf("count %d, want 700000", v)
	}
	if n := l.ticks(27, 100000); n != 3 {
		t.Errorf("%d interrupts in 2.7 periods from 0.3 on", n)
	}
	l.set(0, lvtTimer, 0x40)
	if n := l.ticks(30, 100000); n != 1 {
		t.Errorf("%d interrupts after the last period", n)
	}
	l.set(0, initialCount, 1000)
	l.Do(func() { l.apics[0].Init() })
	if n := l.ticks(10, 1000); n != 0 {
		t.Errorf("%d interrupts after an INIT", n)
	}
}

// FuzzLAPIC has three processors write and read whatever they like, with
// messages and time in between: nothing panics, what is acknowledged is legal,
// and an interrupt that is announced can be taken.
func FuzzLAPIC(f *testing.F) {
	f.Add([]byte{1, 0xf, 0, 0xff, 1, 0, 1, 0x38, 0, 1, 0, 0})
	f.Add([]byte{1, 0x30, 0, 0x50, 0x40, 8, 9, 0x30, 0, 0xff, 0xc5, 0xc, 0x80, 0xff, 0x50, 0, 1, 0})
	f.Add([]byte{1, 0x32, 0, 0x40, 0, 2, 1, 0x38, 0, 1, 0, 0, 0xf0, 0, 0, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLAPICs(t, 3)
		l.enable()
		l.bus.EOI = func(uint8) { l.msi(0xff, false, 0x71|1<<15) }
		level := false
		for ; len(data) >= 6; data = data[6:] {
			cpu, v := int(data[0]>>2&3)%3, uint32(data[3])|uint32(data[4])<<8|uint32(data[5])<<16
			reg := int(data[1]) << 4
			if data[1] == 0x31 || data[1] == 2 || data[1] == 0xd {
				v <<= 8
			}
			switch data[0] >> 4 {
			case 0xf:
				l.Step(int64(v))
			case 0xe:
				l.Do(func() { l.apics[cpu].SetBase(uint64(v) << 8) })
			case 0xd:
				level = !level
				l.Do(func() { l.bus.SetExtINT(level, func() uint8 { return 0x20 }) })
			case 0xc:
				l.Do(func() {
					if l.apics[cpu].Signals().INIT {
						l.apics[cpu].Init()
					}
				})
			case 0xb:
				l.Do(func() { l.apics[cpu].SetTPR(data[3]) })
			case 8, 9:
				l.msi(data[1], data[2]&1 != 0, v)
			case 7:
				l.Do(func() {
					if a := l.apics[cpu]; a.Interrupt() {
						if n, ok := a.Acknowledge(); !ok || n < 16 {
							t.Fatalf("acknowledged %#x, %v", n, ok)
						}
					}
				})
			default:
				if data[0]&1 != 0 {
					l.set(cpu, reg, v)
				} else {
					l.get(cpu, reg)
				}
			}
		}
	})
}
