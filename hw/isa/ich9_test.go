package isa_test

import (
	"slices"
	"testing"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/qdev"
)

// lpc is a bridge with its PM registers where firmware puts them; line is the
// system control interrupt.
func lpc(t testing.TB) (m *hwtest.Machine, l *isa.ICH9, line *hwtest.Line) {
	t.Helper()
	m = hwtest.New(t, isa.RegisterTypes)
	line = m.NewLine()
	m.Do(func() {
		var err error
		if l, err = isa.NewICH9(m.Host, append(make([]*qdev.IRQ, 9), line.IRQ), nil); err != nil {
			t.Fatal(err)
		}
		if err := l.EnablePM(); err != nil {
			t.Fatal(err)
		}
		qdev.Reset(l)
	})
	return m, l, line
}

// Bit 2 of the reset control register resets, the others are kept as far as
// there are any.
func TestResetControl(t *testing.T) {
	m, _, _ := lpc(t)
	m.Outb(isa.ResetPort, 0xfb)
	if v := m.Inb(isa.ResetPort); v != 0x0a {
		t.Errorf("it reads %#x", v)
	}
	if got := m.Asked.Take(); len(got) != 0 {
		t.Errorf("asked for %v", got)
	}
	m.Outb(isa.ResetPort, isa.ResetValue)
	if got := m.Asked.Take(); !slices.Equal(got, []string{"reset"}) {
		t.Errorf("asked for %v", got)
	}
}

// Status bits go by writing ones, byte by byte too, and the line follows
// status and enable.
func TestPMEvents(t *testing.T) {
	m, l, line := lpc(t)
	const sts, en = isa.PM1EventPort, isa.PM1EventPort + 2
	m.Outb(en+1, 1)
	m.Do(l.PM().PowerButton)
	if !line.Level || m.Inb(sts+1) != 1 {
		t.Fatalf("line %v, status %#x", line.Level, m.Inb(sts+1))
	}
	m.Outb(sts, 0xff)
	if !line.Level {
		t.Error("a write to the other byte cleared the event")
	}
	m.Outb(sts+1, 1)
	if line.Level || m.Inb(sts+1) != 0 {
		t.Errorf("line %v, status %#x", line.Level, m.Inb(sts+1))
	}
	m.Do(l.PM().PowerButton)
	m.Do(func() { qdev.Reset(l) })
	if line.Level || m.Inw(sts) != 0 || m.Inw(en) != 0 {
		t.Error("a reset leaves the event")
	}
}

// S5 powers off; other sleep types have no effect.
func TestPMSleep(t *testing.T) {
	m, _, _ := lpc(t)
	for typ := range uint16(8) {
		m.Outw(isa.PM1ControlPort, 1<<13|typ<<10)
		got := m.Asked.Take()
		if want := typ == 0; want != slices.Equal(got, []string{"poweroff"}) || !want && len(got) > 0 {
			t.Errorf("type %d: asked for %v", typ, got)
		}
		if v := m.Inw(isa.PM1ControlPort); v != typ<<10 {
			t.Errorf("type %d: control reads %#x", typ, v)
		}
	}
}

// A timer event that was not enabled does not wake anyone, but is there when
// it is looked for.
func TestPMTimerStatus(t *testing.T) {
	m, _, line := lpc(t)
	m.Step(3e9) // the top bit changes after 2.34 s
	if line.Level || m.Inw(isa.PM1EventPort)&1 == 0 {
		t.Errorf("line %v, status %#x", line.Level, m.Inw(isa.PM1EventPort))
	}
	m.Outw(isa.PM1EventPort+2, 1)
	if !line.Level {
		t.Error("the line is low with event and enable")
	}
	m.Outw(isa.PM1EventPort, 1)
	m.Step(1.6e9)
	if line.Level {
		t.Error("too early")
	}
	m.Step(0.1e9)
	if !line.Level {
		t.Error("no event at the next change")
	}
}

// A channel that was reset is masked and forgets what was half written.
func TestDMAMasterClear(t *testing.T) {
	m, l, _ := lpc(t)
	m.Do(func() {
		if err := isa.NewDMA(m.Host, l.ISA(), nil); err != nil {
			t.Fatal(err)
		}
		l.ISA().Reset()
	})
	m.Outb(0x0a, 0)
	m.Outb(0x00, 0x11) // low byte only
	m.Outb(0x0d, 0)
	if v := m.Inb(0x0f); v != 0x0f {
		t.Errorf("mask %#x", v)
	}
	m.Outb(0x00, 0x34)
	m.Outb(0x00, 0x12)
	if lo, hi := m.Inb(0x00), m.Inb(0x00); lo != 0x34 || hi != 0x12 {
		t.Errorf("address %#x%02x", hi, lo)
	}
	m.Outb(0x09, 4|2)
	if v := m.Inb(0x08); v != 1<<6 {
		t.Errorf("status %#x with a request of channel 2", v)
	}
}

// Whatever a guest does to the registers, they answer.
func FuzzICH9(f *testing.F) {
	f.Add([]byte{0x04, 0x00, 0x02, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, l, _ := lpc(t)
		m.Do(func() {
			if err := isa.NewDMA(m.Host, l.ISA(), nil); err != nil {
				t.Fatal(err)
			}
		})
		data = data[:min(len(data), 3000)]
		for _, block := range []struct {
			first uint64
			n     int
		}{{isa.PMBase, 0x80}, {0x00, 0x10}, {0x80, 0x10}, {0xc0, 0x20}, {isa.APMPort, 2}, {isa.ResetPort, 1}} {
			m.Fuzz(m.IO, block.first, block.n, data)
		}
	})
}
