package qtest

import (
	"fmt"
	"testing"
	"time"
)

// These tests step the clock themselves: with -rtc clock=vm the RTC goes by
// virtual time.

const rtcSecond = int64(time.Second)

// vmRTC starts a q35 whose RTC begins at a time. It has no PIT, which would
// tick through each of the days that tests step over.
func vmRTC(t *testing.T, base string) *RTC {
	t.Helper()
	return &RTC{q35(t, "-M", "q35,pit=off", "-rtc", "clock=vm,base="+base)}
}

// step moves the clock on.
func (r *RTC) step(d time.Duration) { r.M.t.Helper(); r.M.ClockStep(int64(d)) }

// want checks the time.
func (r *RTC) want(when string, s string) {
	r.M.t.Helper()
	if got := r.Time().Format("2006-01-02 15:04:05"); got != s {
		r.M.t.Errorf("%s: %s, want %s", when, got, s)
	}
}

// set writes a time as BCD bytes, century first.
func (r *RTC) set(century, year, month, day, hour, minute, second uint8) {
	r.M.t.Helper()
	for _, w := range []struct{ reg, v uint8 }{
		{RTCCentury, century}, {RTCYear, year}, {RTCMonth, month}, {RTCDay, day}, {RTCHours, hour}, {RTCMinutes, minute}, {RTCSeconds, second},
	} {
		r.Out(w.reg, w.v)
	}
}

// Midnight of the last day of a century in each format, and the leap year that
// follows.
func TestRTCRollover(t *testing.T) {
	t.Parallel()
	for _, mode := range []uint8{RTC24h, 0, RTC24h | RTCBinary, RTCBinary} {
		r := vmRTC(t, "1999-12-31T23:59:58")
		r.Out(RTCB, mode)
		r.want("at start", "1999-12-31 23:59:58")
		r.step(time.Second)
		r.want("a second later", "1999-12-31 23:59:59")
		r.step(time.Second)
		r.want("two seconds later", "2000-01-01 00:00:00")
		hour := map[uint8]uint8{RTC24h: 0, 0: 0x12, RTC24h | RTCBinary: 0, RTCBinary: 12}[mode]
		if h := r.In(RTCHours); h != hour {
			t.Errorf("mode %#x: midnight is hour %#x", mode, h)
		}
		r.step(59*24*time.Hour + 12*time.Hour)
		r.want("in the leap year", "2000-02-29 12:00:00")
		noon := map[uint8]uint8{RTC24h: 0x12, 0: 0x92, RTC24h | RTCBinary: 12, RTCBinary: 0x8c}[mode]
		if h := r.In(RTCHours); h != noon {
			t.Errorf("mode %#x: noon is hour %#x", mode, h)
		}
		if d := r.In(RTCDayOfWeek); d != 3 {
			t.Errorf("weekday %d, want Tuesday", d)
		}
	}
}

// With SET the clock stands, and what was written counts when it goes on.
func TestRTCSetFlag(t *testing.T) {
	t.Parallel()
	r := vmRTC(t, "2020-05-05T05:05:05")
	r.Out(RTCB, RTC24h|RTCSet)
	r.set(0x20, 0x11, 0x11, 0x02, 0x02, 0x04, 0x58)
	for range 2 {
		r.want("while set", "2011-11-02 02:04:58")
		r.step(time.Second)
	}
	r.Out(RTCB, RTC24h)
	r.want("released", "2011-11-02 02:04:58")
	r.step(time.Second)
	r.want("a second later", "2011-11-02 02:04:59")
	r.step(time.Second)
	r.want("two seconds later", "2011-11-02 02:05:00")
}

// With the divider in reset the clock stands. The first second after that is
// half a one.
func TestRTCDividerReset(t *testing.T) {
	t.Parallel()
	r := vmRTC(t, "2020-05-05T05:05:05")
	r.Out(RTCA, 0x76)
	r.set(0x20, 0x11, 0x11, 0x02, 0x02, 0x04, 0x58)
	r.step(3 * time.Second)
	r.want("in reset", "2011-11-02 02:04:58")
	r.Out(RTCA, 0x26)
	r.step(450 * time.Millisecond)
	r.want("less than half a second later", "2011-11-02 02:04:58")
	r.step(100 * time.Millisecond)
	r.want("more than half a second later", "2011-11-02 02:04:59")
	r.step(900 * time.Millisecond)
	r.want("not a second after that", "2011-11-02 02:04:59")
	r.step(100 * time.Millisecond)
	r.want("a second after that", "2011-11-02 02:05:00")
}

// UIP is set for the last 244 microseconds of a second, and not while the
// clock stands.
func TestRTCUpdateInProgress(t *testing.T) {
	t.Parallel()
	r := vmRTC(t, "2020-05-05T05:05:05")
	uip := func() bool { return r.In(RTCA)&0x80 != 0 }
	if uip() {
		t.Error("at the beginning of a second")
	}
	r.step(time.Second - 260*time.Microsecond)
	if uip() {
		t.Error("260 microseconds before the update")
	}
	r.step(30 * time.Microsecond)
	if !uip() {
		t.Error("not 230 microseconds before the update")
	}
	r.want("during the update", "2020-05-05 05:05:05")
	r.step(230 * time.Microsecond)
	if uip() {
		t.Error("after the update")
	}
	r.want("after the update", "2020-05-05 05:05:06")
	r.step(time.Second - 100*time.Microsecond)
	r.Out(RTCB, RTC24h|RTCSet)
	if uip() {
		t.Error("while the clock is set")
	}
}

// The alarm comes at its second, once, in each format, and with bytes that
// match any; its flag goes with a read of register C.
func TestRTCAlarm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode, hour, minute, second uint8
		after                      time.Duration
	}{
		{RTC24h, 0x13, 0x00, 0x10, 70 * time.Second},
		{0, 0x81, 0x00, 0x10, 70 * time.Second},
		{RTC24h | RTCBinary, 13, 0, 10, 70 * time.Second},
		{RTCBinary, 0x81, 0, 10, 70 * time.Second},
		{RTC24h, 0xff, 0x00, 0x10, 70 * time.Second},
		{RTC24h, 0xff, 0xff, 0x02, 2 * time.Second},
		{RTC24h, 0xc0, 0xc0, 0xc0, time.Second},
		{RTC24h, 0x12, 0x58, 0x00, 24*time.Hour - 60*time.Second},
	} {
		t.Run(fmt.Sprintf("%#x %#x:%#x:%#x", c.mode, c.hour, c.minute, c.second), func(t *testing.T) {
			t.Parallel()
			r := vmRTC(t, "2020-05-05T12:59:00")
			r.M.InterceptIn("ioapic")
			r.Out(RTCHrAlarm, c.hour)
			r.Out(RTCMinAlarm, c.minute)
			r.Out(RTCSecAlarm, c.second)
			r.In(RTCC)
			r.Out(RTCB, c.mode|RTCAIE)
			r.step(c.after - 10*time.Millisecond)
			if r.M.IRQ(8) {
				t.Fatal("too early")
			}
			r.step(20 * time.Millisecond)
			if !r.M.IRQ(8) {
				t.Fatal("no interrupt")
			}
			if v := r.In(RTCC); v&(RTCIRQF|RTCAF) != RTCIRQF|RTCAF {
				t.Errorf("register C %#x", v)
			}
			if r.M.IRQ(8) {
				t.Error("the line stays high")
			}
			if v := r.In(RTCC); v != 0 {
				t.Errorf("register C %#x when read again", v)
			}
		})
	}
}

// The update interrupt comes every second; SET ends it.
func TestRTCUpdateInterrupt(t *testing.T) {
	t.Parallel()
	r := vmRTC(t, "2020-05-05T12:59:00")
	r.M.InterceptIn("ioapic")
	r.In(RTCC)
	r.Out(RTCB, RTC24h|RTCUIE)
	for range 5 {
		r.step(990 * time.Millisecond)
		if r.M.IRQ(8) {
			t.Fatal("too early")
		}
		r.step(10 * time.Millisecond)
		if !r.M.IRQ(8) {
			t.Fatal("no interrupt")
		}
		if v := r.In(RTCC); v&(RTCIRQF|RTCUF) != RTCIRQF|RTCUF {
			t.Errorf("register C %#x", v)
		}
	}
	r.Out(RTCB, RTC24h|RTCUIE|RTCSet)
	if b := r.In(RTCB); b&RTCUIE != 0 {
		t.Errorf("register B %#x: SET clears UIE", b)
	}
	r.step(5 * time.Second)
	if r.M.IRQ(8) {
		t.Error("an interrupt while the clock is set")
	}
}

// Guests that change the rate after each periodic interrupt lose no time.
func TestRTCRateChanges(t *testing.T) {
	t.Parallel()
	r := vmRTC(t, "2020-05-05T12:59:00")
	r.M.InterceptIn("ioapic")
	next := func() (now int64) {
		for range 1000 {
			if now = r.M.ClockNext(); r.M.IRQ(8) {
				break
			}
		}
		if c := r.In(RTCC); c&RTCPF == 0 {
			t.Fatalf("register C %#x", c)
		}
		return now
	}
	const code8Hz, code2Hz = 13, 15
	r.Out(RTCA, code8Hz)
	r.Out(RTCB, RTC24h|RTCPIE)
	start := next()
	var end int64
	const rounds = 20
	for range rounds {
		r.Out(RTCA, code2Hz)
		next()
		r.Out(RTCA, code8Hz)
		end = next()
	}
	want := rounds * (rtcSecond/2 + rtcSecond/8)
	if d := end - start - want; d < -rtcSecond/100 || d > rtcSecond/100 {
		t.Errorf("%d ns for periods of %d ns", end-start, want)
	}
}

// The time that a guest sets is told to clients, by how far it is from the
// time that the clock would have had.
func TestRTCChangeEvent(t *testing.T) {
	t.Parallel()
	r := vmRTC(t, "2020-05-05T12:00:00")
	r.Out(RTCB, RTC24h|RTCSet)
	r.set(0x20, 0x20, 0x05, 0x05, 0x13, 0x00, 0x00)
	r.Out(RTCB, RTC24h)
	e := r.M.QMP.WaitEvent("RTC_CHANGE")
	if d := member(e, "offset"); d != 3600.0 {
		t.Errorf("event %v", e)
	}
	if p := member(e, "qom-path"); p != "/machine/unattached/device[2]/rtc" {
		t.Errorf("event %v", e)
	}
}

// Whatever a guest writes, the clock answers.
func TestRTCAnyWrites(t *testing.T) {
	t.Parallel()
	r := vmRTC(t, "2020-05-05T12:00:00")
	seed := uint32(1)
	random := func() uint8 { seed = seed*1664525 + 1013904223; return uint8(seed >> 24) }
	for range 1000 {
		if reg := random() & 0x3f; random()&1 == 0 {
			r.Out(reg, random())
		} else {
			r.In(reg)
		}
		if random() < 16 {
			r.step(time.Duration(random()) * 100 * time.Millisecond)
		}
	}
	if r.In(RTCD) != 0x80 {
		t.Error("the battery is dead")
	}
}
