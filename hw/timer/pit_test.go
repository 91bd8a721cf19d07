package timer_test

import (
	"testing"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/hw/timer"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

type pit struct {
	*hwtest.Machine
	p    *timer.PIT
	line *hwtest.Line
}

func newPIT(t testing.TB) pit {
	t.Helper()
	m := hwtest.New(t, isa.RegisterTypes, timer.RegisterTypes)
	line := m.NewLine()
	bridge, err := isa.New(m.Host, []*qdev.IRQ{line.IRQ})
	if err != nil {
		t.Fatal(err)
	}
	p := pit{m, hwtest.Add[*timer.PIT](m, "isa-pit", bridge.ISA(), nil), line}
	p.Do(p.p.Reset)
	return p
}

// set programs a counter with both bytes of a count.
func (p pit) set(n int, mode uint8, count uint16) {
	p.Outb(0x43, uint8(n)<<6|0x30|mode<<1)
	p.Outb(0x40+uint16(n), uint8(count))
	p.Outb(0x40+uint16(n), uint8(count>>8))
}

// latch reads a counter by the latch command.
func (p pit) latch(n int) uint16 {
	p.Outb(0x43, uint8(n)<<6)
	lo := p.Inb(0x40 + uint16(n))
	return uint16(lo) | uint16(p.Inb(0x40+uint16(n)))<<8
}

// ticks lets n clocks of the counters pass, rounded up to nanoseconds.
func (p pit) ticks(n int64) { p.Step((n*1e9 + timer.PITHz - 1) / timer.PITHz) }

// Mode 0 counts down and raises the line once, at the end.
func TestPITMode0(t *testing.T) {
	p := newPIT(t)
	p.set(0, 0, 1000)
	if p.line.Level {
		t.Error("the output is high before the end")
	}
	p.ticks(400)
	if v := p.latch(0); v != 600 {
		t.Errorf("count %d after 400 ticks", v)
	}
	raised := p.line.Raised
	p.ticks(599)
	if p.line.Level {
		t.Error("one tick early")
	}
	p.ticks(2)
	if !p.line.Level || p.line.Raised != raised+1 {
		t.Errorf("level %t, %d edges", p.line.Level, p.line.Raised-raised)
	}
	p.ticks(200000)
	if p.line.Raised != raised+1 {
		t.Error("more than one interrupt")
	}
	p.set(0, 0, 10)
	if p.line.Level {
		t.Error("a new count does not lower the output")
	}
}

// Mode 2 interrupts once per period, also when the host is late.
func TestPITMode2(t *testing.T) {
	p := newPIT(t)
	p.set(0, 2, 11932) // 100 Hz
	raised := p.line.Raised
	p.Step(1e9)
	if n := p.line.Raised - raised; n != 99 && n != 100 {
		t.Errorf("%d interrupts in a second, want about 100", n)
	}
}

// Mode 3 is high for one half of the period and low for the other.
func TestPITMode3(t *testing.T) {
	p := newPIT(t)
	p.set(0, 3, 1001)
	for i := range int64(3) {
		for _, at := range []struct {
			tick int64
			high bool
		}{{0, true}, {500, true}, {501, false}, {1000, false}} {
			d := p.at(i*1001 + at.tick)
			p.Step(d - p.Clock.Now())
			if p.line.Level != at.high {
				t.Errorf("period %d, tick %d: level %t", i, at.tick, p.line.Level)
			}
		}
	}
}

// at is the time of a tick since the clock's zero, when a counter loaded
// then has counted it.
func (p pit) at(tick int64) int64 { return (tick*1e9 + timer.PITHz - 1) / timer.PITHz }

// Mode 4 strobes once.
func TestPITMode4(t *testing.T) {
	p := newPIT(t)
	p.set(0, 4, 100)
	raised := p.line.Raised
	p.ticks(99)
	if p.line.Raised != raised {
		t.Error("early")
	}
	p.ticks(10000)
	if p.line.Raised != raised+1 || !p.line.Level {
		t.Errorf("%d strobes", p.line.Raised-raised)
	}
}

// Modes 1 and 5 wait for the gate; modes 0 and 2 stop without it.
func TestPITGate(t *testing.T) {
	p := newPIT(t)
	gate := func(on bool) { p.Do(func() { p.p.SetGate(on) }) }
	out := func() (on bool) { p.Do(func() { on = p.p.Output(2) }); return on }
	p.set(2, 1, 100)
	p.ticks(1000)
	if !out() {
		t.Error("mode 1 ran without a trigger")
	}
	gate(true)
	if out() {
		t.Error("mode 1 is high after the trigger")
	}
	p.ticks(101)
	if !out() {
		t.Error("mode 1 is low after its time")
	}
	gate(false)
	p.set(2, 0, 100)
	p.ticks(1000)
	if v := p.latch(2); v != 100 || out() {
		t.Errorf("mode 0 counted to %d with the gate low", v)
	}
	gate(true)
	p.ticks(40)
	gate(false)
	p.ticks(1000)
	gate(true)
	p.ticks(20)
	if v := p.latch(2); v < 39 || v > 41 {
		t.Errorf("count %d after 60 ticks with the gate high", v)
	}
	p.ticks(50)
	if !out() {
		t.Error("mode 0 does not end")
	}
}

// Counts read and written by byte, in binary and BCD.
func TestPITAccess(t *testing.T) {
	p := newPIT(t)
	p.Outb(0x43, 0x90) // counter 2, low byte
	p.Outb(0x42, 0x80)
	if v := p.Inb(0x42); v != 0x80 {
		t.Errorf("low byte %#x", v)
	}
	p.Outb(0x43, 0xa0) // high byte
	p.Outb(0x42, 0x12)
	if v := p.Inb(0x42); v != 0x12 {
		t.Errorf("high byte %#x", v)
	}
	p.Outb(0x43, 0x71) // counter 1, both, mode 0, BCD
	p.Outb(0x41, 0x34)
	p.Outb(0x41, 0x12)
	p.ticks(35)
	if v := p.latch(1); v != 0x1199 {
		t.Errorf("BCD count %#x", v)
	}
	p.set(0, 2, 0)
	p.ticks(1)
	if v := p.latch(0); v != 0xffff {
		t.Errorf("count %#x, one tick below 65536", v)
	}
}

// The read-back command latches status and count of several counters.
func TestPITReadBack(t *testing.T) {
	p := newPIT(t)
	p.set(0, 2, 1000)
	p.Outb(0x43, 0x74) // counter 1: mode 2, no count yet
	p.ticks(10)
	p.Outb(0x43, 0xc6) // both of counters 0 and 1
	p.ticks(100)
	if s := p.Inb(0x40); s != 0xb4 {
		t.Errorf("status of counter 0: %#x", s)
	}
	if lo, hi := p.Inb(0x40), p.Inb(0x40); int(lo)|int(hi)<<8 != 990 {
		t.Errorf("count %d, want that of the latch", int(lo)|int(hi)<<8)
	}
	if s := p.Inb(0x41); s != 0xf4 {
		t.Errorf("status of counter 1: %#x, want null count", s)
	}
}

// After reset counter 0 interrupts 18.2 times a second; the input pin stops
// that.
func TestPITReset(t *testing.T) {
	p := newPIT(t)
	raised := p.line.Raised
	p.Step(10e9)
	if n := p.line.Raised - raised; n != 182 {
		t.Errorf("%d interrupts in 10 s", n)
	}
	p.Do(func() { p.p.GPIOIn("", 0).Set(true) })
	raised = p.line.Raised
	p.Step(1e9)
	if p.line.Raised != raised {
		t.Error("interrupts although switched off")
	}
}

// The shortest periods do not keep the host busy.
func TestPITShortPeriods(t *testing.T) {
	for _, mode := range []uint8{2, 3} {
		for _, count := range []uint16{1, 2, 3} {
			p := newPIT(t)
			p.set(0, mode, count)
			raised := p.line.Raised
			p.Step(100e6)
			if n := p.line.Raised - raised; n > 5000 {
				t.Errorf("mode %d, count %d: %d interrupts in 0.1 s", mode, count, n)
			}
		}
	}
}

// Clients find QEMU's names.
func TestPITTree(t *testing.T) {
	p := newPIT(t)
	for name, want := range map[string]any{
		"iobase":              uint64(0x40),
		"unnamed-gpio-out[0]": "/machine/unattached/non-qdev-gpio[0]",
		"unnamed-gpio-in[0]":  "/machine/unattached/device[1]/unnamed-gpio-in[0]",
		"pit[0]":              "/machine/unattached/device[1]/pit[0]",
	} {
		if got, err := qom.Get(p.p, name); err != nil || got != want {
			t.Errorf("%s = %v, %v", name, got, err)
		}
	}
}

func FuzzPIT(f *testing.F) {
	f.Add([]byte{4, 3, 0, 0x34, 0, 0, 4, 0, 0, 1, 0, 0, 4, 0, 0, 0, 0, 0, 0xf0, 0, 0, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newPIT(t)
		for len(data) >= 6 {
			p.Fuzz(p.IO, 0x40, 4, data[:6])
			p.Do(func() { p.p.SetGate(data[5]&1 != 0) })
			data = data[6:]
		}
	})
}
