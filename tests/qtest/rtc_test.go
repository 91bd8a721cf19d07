package qtest

import (
	"slices"
	"testing"
	"time"
)

// TestRTCTime: the clock shows UTC, in each of its four formats.
func TestRTCTime(t *testing.T) {
	t.Parallel()
	r := &RTC{microvm(t)}
	if b := r.In(RTCB); b != RTC24h {
		t.Errorf("register B after reset %#x, want %#x", b, RTC24h)
	}
	if d := r.In(RTCD); d != 0x80 {
		t.Errorf("register D %#x: the battery is dead", d)
	}
	for _, mode := range []uint8{RTC24h, 0, RTC24h | RTCBinary, RTCBinary} {
		r.Out(RTCB, mode)
		// Between a read that crosses a second and the host's clock.
		var diff time.Duration
		for range 5 {
			if diff = time.Since(r.Time()); diff > -2*time.Second && diff < 2*time.Second {
				break
			}
		}
		if diff < -2*time.Second || diff > 2*time.Second {
			t.Errorf("mode %#x: the clock is off by %v", mode, diff)
		}
	}
}

// TestRTCSet: a time that the guest sets stays set, across a system reset too.
func TestRTCSet(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	r := &RTC{m}
	r.Out(RTCB, RTCSet|RTC24h|RTCBinary)
	for reg, v := range map[uint8]uint8{RTCSeconds: 10, RTCMinutes: 20, RTCHours: 11, RTCDay: 29, RTCMonth: 2, RTCYear: 24,
		RTCCentury: 20, RTCDayOfWeek: 5} {
		r.Out(reg, v)
	}
	r.Out(RTCB, RTC24h|RTCBinary)
	want := time.Date(2024, 2, 29, 11, 20, 10, 0, time.UTC)
	near := func(when string) {
		t.Helper()
		if d := r.Time().Sub(want); d < 0 || d > 20*time.Second {
			t.Errorf("%s: %v, want %v or a little later", when, r.Time(), want)
		}
	}
	near("after setting")
	m.QMP.Must("system_reset", nil, nil)
	m.QMP.WaitEvent("RESET")
	near("after a reset")
}

// TestRTCPeriodic: the periodic interrupt comes at the rate of register A in
// virtual time, on IOAPIC pin 8, and reading register C lowers the line.
func TestRTCPeriodic(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	r := &RTC{m}
	m.InterceptIn("ioapic")
	r.In(RTCC)
	r.Out(RTCA, 0x26) // 1024 Hz
	r.Out(RTCB, RTC24h|RTCPIE)
	const second = 1_000_000_000
	n := 0
	for range 64 {
		m.ClockStep(second/1024 + 1)
		if m.IRQ(8) {
			n++
			if c := r.In(RTCC); c&(RTCIRQF|RTCPF) != RTCIRQF|RTCPF {
				t.Errorf("register C %#x", c)
			}
			if m.IRQ(8) {
				t.Fatal("reading register C leaves the line high")
			}
		}
	}
	if n < 63 || n > 64 {
		t.Errorf("%d interrupts in 64 periods", n)
	}
	r.Out(RTCB, RTC24h)
	r.In(RTCC)
	m.IRQLog()
	m.ClockStep(second)
	if l := m.IRQLog(); slices.Contains(l, "raise 8") {
		t.Errorf("an interrupt when off: %q", l)
	}
}

// TestRTCAlarmRegisters: CMOS beyond the clock is memory, and the index port's
// top bit is not part of the index.
func TestRTCCMOS(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	r := &RTC{m}
	for i := 0x40; i < 0x80; i++ {
		r.Out(uint8(i), uint8(i)^0x5a)
	}
	for i := 0x40; i < 0x80; i++ {
		if v := r.In(uint8(i) | 0x80); v != uint8(i)^0x5a {
			t.Errorf("CMOS %#x: %#x", i, v)
		}
	}
	if v := m.Inb(0x70); v != 0xff {
		t.Errorf("the index port reads %#x, want 0xff", v)
	}
}

// TestNoRTC: rtc=off leaves the ports to nobody.
func TestNoRTC(t *testing.T) {
	t.Parallel()
	r := &RTC{Start(t, "-nodefaults", "-M", "microvm,rtc=off")}
	for _, reg := range []uint8{RTCA, RTCB, RTCD} {
		if v := r.In(reg); v != 0xff {
			t.Errorf("register %#x: %#x", reg, v)
		}
	}
}
