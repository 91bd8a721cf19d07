package rtc_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/hw/rtc"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// base is the time at which the machines of these tests start.
var base = time.Date(2023, time.December, 31, 23, 58, 57, 0, time.UTC)

type machine struct {
	*hwtest.Machine
	d    *rtc.MC146818
	line *hwtest.Line
}

func newRTC(t testing.TB, props ...string) machine {
	t.Helper()
	m := hwtest.New(t, isa.RegisterTypes, rtc.RegisterTypes)
	line := m.NewLine()
	bridge, err := isa.New(m.Host, []*qdev.IRQ{8: line.IRQ})
	if err != nil {
		t.Fatal(err)
	}
	d := hwtest.Add(m, "mc146818rtc", bridge.ISA(), func(d *rtc.MC146818) error {
		d.Source = rtc.VMClock(m.Clock, base.UnixNano())
		if err := qom.Set(d, "base_year", qom.Keyval("2000")); err != nil {
			return err
		}
		for i := 0; i+1 < len(props); i += 2 {
			if err := qom.Set(d, props[i], qom.Keyval(props[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
	m.Do(d.Reset)
	return machine{m, d, line}
}

func (m machine) get(reg uint8) uint8 {
	m.Outb(0x70, reg)
	return m.Inb(0x71)
}

func (m machine) set(reg, v uint8) {
	m.Outb(0x70, reg)
	m.Outb(0x71, v)
}

// clock reads century, year, month, day, weekday, hours, minutes, seconds.
func (m machine) clock() string {
	return fmt.Sprintf("%02x%02x-%02x-%02x %02x %02x:%02x:%02x",
		m.get(0x32), m.get(9), m.get(8), m.get(7), m.get(6), m.get(4), m.get(2), m.get(0))
}

func (m machine) wantClock(t *testing.T, what, want string) {
	t.Helper()
	if got := m.clock(); got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// The time reads in BCD and 24 hours at first, in the other forms on demand,
// and goes on through a new year.
func TestTimeForms(t *testing.T) {
	m := newRTC(t)
	if a, b, d := m.get(0x0a), m.get(0x0b), m.get(0x0d); a != 0x26 || b != 0x02 || d != 0x80 {
		t.Errorf("A %#x B %#x D %#x", a, b, d)
	}
	m.wantClock(t, "at first", "2023-12-31 01 23:58:57")
	m.Step(64e9)
	m.wantClock(t, "next year", "2024-01-01 02 00:00:01")
	m.set(0x0b, 0x06)
	m.wantClock(t, "binary", "1418-01-01 02 00:00:01")
	m.set(0x0b, 0x00)
	m.wantClock(t, "12 hours, midnight", "2024-01-01 02 12:00:01")
	m.Step(12 * 3600e9)
	m.wantClock(t, "12 hours, noon", "2024-01-01 02 92:00:01")
	m.Step(3600e9)
	m.wantClock(t, "12 hours, 1 pm", "2024-01-01 02 81:00:01")
}

// Without a base year of 2000 the century byte is 0 and years count from
// 1980, for which the property stands.
func TestBaseYear(t *testing.T) {
	m := newRTC(t, "base_year", "1980")
	m.wantClock(t, "1980", "0043-12-31 01 23:58:57")
}

// A guest sets the time by SET and reads it back; clients are told how far
// it is off.
func TestSetTime(t *testing.T) {
	m := newRTC(t)
	m.Step(2e8)
	m.set(0x0b, 0x82)
	for reg, v := range map[uint8]uint8{0x32: 0x20, 9: 0x24, 8: 0x02, 7: 0x28, 4: 0x23, 2: 0x59, 0: 0x30} {
		m.set(reg, v)
	}
	m.Step(5e9)
	if s := m.get(0); s != 0x30 {
		t.Errorf("seconds %#x while halted", s)
	}
	m.Posted.Take()
	m.set(0x0b, 0x02)
	m.Step(31e9)
	m.wantClock(t, "31 s later", "2024-02-29 05 00:00:01")
	want := time.Date(2024, 2, 28, 23, 59, 30, 0, time.UTC).Unix() - base.Unix() - 5
	events := m.Posted.Take()
	if len(events) != 1 || events[0].Name != "RTC_CHANGE" ||
		fmt.Sprint(events[0].Data) != fmt.Sprintf("{%d %s}", want, qom.Path(m.d)) {
		t.Errorf("events %v, want RTC_CHANGE by %d", events, want)
	}
	m.set(4, 0x12) // while it runs
	m.wantClock(t, "hours set", "2024-02-29 05 12:00:01")
}

// The first update follows the release of the divider by half a second.
func TestDividerReset(t *testing.T) {
	m := newRTC(t)
	m.Step(7e8)
	m.set(0x0a, 0x76)
	m.Step(10e9)
	m.wantClock(t, "held", "2023-12-31 01 23:58:57")
	m.set(0x0a, 0x26)
	m.Step(499e6)
	m.wantClock(t, "499 ms later", "2023-12-31 01 23:58:57")
	if a := m.get(0x0a); a != 0x26 {
		t.Errorf("A %#x", a)
	}
	m.Step(0.9e6)
	if a := m.get(0x0a); a != 0xa6 {
		t.Errorf("A %#x just before the update", a)
	}
	m.Step(0.2e6)
	m.wantClock(t, "500 ms later", "2023-12-31 01 23:58:58")
}

// The alarm comes at its time, once, and wakes a halted guest by the line.
func TestAlarm(t *testing.T) {
	for _, c := range []struct {
		name     string
		b        uint8
		alarm    [3]uint8 // hours, minutes, seconds
		after    int64    // seconds
		periodic int64    // seconds until the next one, 0 for a day
	}{
		{"BCD", 0x22, [3]uint8{0x23, 0x59, 0x10}, 13, 0},
		{"binary", 0x26, [3]uint8{0, 0, 5}, 68, 0},
		{"12 hours", 0x20, [3]uint8{0x92, 0x00, 0x00}, 12*3600 + 63, 0},
		{"each minute", 0x22, [3]uint8{0xff, 0xc0, 0x30}, 33, 60},
		{"tomorrow", 0x22, [3]uint8{0x23, 0x58, 0x57}, 24 * 3600, 0},
	} {
		m := newRTC(t)
		m.set(0x0b, c.b)
		m.set(5, c.alarm[0])
		m.set(3, c.alarm[1])
		m.set(1, c.alarm[2])
		m.get(0x0c)
		m.Step(c.after*1e9 - 1)
		if m.line.Level {
			t.Errorf("%s: early", c.name)
		}
		m.Step(1)
		if !m.line.Level {
			t.Errorf("%s: no interrupt", c.name)
		}
		if f := m.get(0x0c); f&0xa0 != 0xa0 {
			t.Errorf("%s: flags %#x", c.name, f)
		}
		if m.line.Level {
			t.Errorf("%s: reading the flags leaves the line high", c.name)
		}
		next := c.periodic
		if next == 0 {
			next = 24 * 3600
		}
		raised := m.line.Raised
		m.Step(next*1e9 - 1)
		if m.line.Raised != raised {
			t.Errorf("%s: again too early", c.name)
		}
		m.Step(1)
		if m.line.Raised != raised+1 {
			t.Errorf("%s: not again after %d s", c.name, next)
		}
	}
}

// UF comes each second; its interrupt is off while the time is set.
func TestUpdateEnded(t *testing.T) {
	m := newRTC(t)
	m.get(0x0c)
	m.Step(1e9)
	if f := m.get(0x0c); f&0x90 != 0x10 {
		t.Errorf("flags %#x, want UF without an interrupt", f)
	}
	m.set(0x0b, 0x12)
	for range 3 {
		raised := m.line.Raised
		m.Step(1e9)
		if m.line.Raised != raised+1 || m.get(0x0c)&0x90 != 0x90 {
			t.Error("no interrupt after a second")
		}
	}
	m.set(0x0b, 0x92)
	if b := m.get(0x0b); b != 0x82 {
		t.Errorf("B %#x: SET leaves UIE", b)
	}
	m.Step(5e9)
	if m.line.Level || m.get(0x0c)&0x10 != 0 {
		t.Error("updates while the time is set")
	}
	m.set(0x0b, 0x02)
	m.Step(1e9)
	m.set(0x0b, 0x12)
	if !m.line.Level {
		t.Error("enabling the interrupt with the flag set does not interrupt")
	}
}

// The periodic interrupt has the rate of register A, and ticks nobody takes
// are lost.
func TestPeriodic(t *testing.T) {
	for rate, hz := range map[uint8]int{1: 256, 3: 8192, 6: 1024, 15: 2} {
		m := newRTC(t)
		m.set(0x0a, 0x20|rate)
		m.set(0x0b, 0x42)
		n := 0
		for end := m.Clock.Now() + 1e9; m.Clock.Now() < end; {
			next, ok := m.Clock.Next()
			if !ok {
				t.Fatalf("rate %d: nothing is due", rate)
			}
			m.Step(next - m.Clock.Now())
			if m.line.Level && m.get(0x0c)&0xc0 == 0xc0 {
				n++
			}
		}
		if n < hz-1 || n > hz+1 {
			t.Errorf("rate %d: %d interrupts in a second, want %d", rate, n, hz)
		}
		raised := m.line.Raised
		m.Step(1e9)
		m.get(0x0c)
		if m.line.Raised != raised+1 || m.line.Level {
			t.Errorf("rate %d: ticks are not lost", rate)
		}
	}
}

// lost_tick_policy=slew makes up for ticks as fast as they are taken.
func TestPeriodicSlew(t *testing.T) {
	m := newRTC(t, "lost_tick_policy", "slew")
	m.set(0x0a, 0x2f) // 2 Hz
	m.set(0x0b, 0x42)
	m.Step(5e9)
	n := 0
	for m.line.Level && n < 100 {
		m.get(0x0c)
		n++
	}
	if n != 10 {
		t.Errorf("%d interrupts for 5 s at 2 Hz", n)
	}
}

// CMOS RAM keeps what the machine and the guest put there, through a reset,
// and its limits hold.
func TestCMOS(t *testing.T) {
	m := newRTC(t)
	m.d.SetCMOS(0x34, 0xab)
	m.d.SetCMOS(0, 0x99)
	m.d.SetCMOS(-1, 1)
	m.d.SetCMOS(128, 1)
	m.set(0x7f, 0xcd)
	m.set(0x0b, 0x72)
	m.Do(m.d.Reset)
	if a, b := m.get(0x34), m.get(0x7f|0x80); a != 0xab || b != 0xcd {
		t.Errorf("CMOS %#x %#x", a, b)
	}
	if b := m.get(0x0b); b != 0x02 {
		t.Errorf("B %#x after reset", b)
	}
	if a, b := m.get(0x37), m.get(0x32); a != b {
		t.Errorf("the PS/2 century byte is %#x, not %#x", a, b)
	}
	if v := m.Inb(0x70); v != 0xff {
		t.Errorf("the index reads %#x", v)
	}
	if m.d.CMOS(0x34) != 0xab || m.d.CMOS(128) != 0 || m.d.CMOS(-1) != 0 {
		t.Error("CMOS differs")
	}
}

// Dates that are none do no harm.
func TestNonsenseDates(t *testing.T) {
	m := newRTC(t)
	for _, b := range []uint8{0x02, 0x06, 0x00} {
		m.set(0x0b, b)
		for _, v := range []uint8{0x00, 0xff, 0x99, 0x80} {
			for _, reg := range []uint8{0x32, 9, 8, 7, 6, 4, 2, 0} {
				m.set(reg, v)
				m.Step(2e9)
				m.clock()
				_ = m.d.Tm()
			}
		}
	}
}

// By default the clock shows the host's UTC.
func TestHostTime(t *testing.T) {
	m := hwtest.New(t, isa.RegisterTypes, rtc.RegisterTypes)
	bridge, err := isa.New(m.Host, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := hwtest.Add[*rtc.MC146818](m, "mc146818rtc", bridge.ISA(), nil)
	got, err := qom.Get(d, "date")
	if err != nil {
		t.Fatal(err)
	}
	tm := got.(map[string]any)
	at := time.Date(int(tm["tm_year"].(int64))+1900, time.Month(tm["tm_mon"].(int64)+1), int(tm["tm_mday"].(int64)),
		int(tm["tm_hour"].(int64)), int(tm["tm_min"].(int64)), int(tm["tm_sec"].(int64)), 0, time.UTC)
	if off := time.Since(at); off < -time.Second || off > 5*time.Second {
		t.Errorf("the guest's time is %v off", off)
	}
}

// Policies that need what is not there, and lines that are not, are refused.
func TestRefused(t *testing.T) {
	m := newRTC(t)
	for prop, want := range map[[2]string]string{
		{"lost_tick_policy", "merge"}: "mc146818rtc: Invalid lost tick policy.",
		{"lost_tick_policy", "x"}:     "mc146818rtc: Parameter 'lost_tick_policy' does not accept value 'x'",
		{"irq", "16"}:                 `mc146818rtc: Maximum value for "irq" is: 15`,
	} {
		_, err := m.Create("mc146818rtc", m.d.Bus(), func(d qdev.Device) error {
			return qom.Set(d, prop[0], qom.Keyval(prop[1]))
		})
		if err == nil || err.Error() != want {
			t.Errorf("%v: %v, want %s", prop, err, want)
		}
	}
}

// Clients find QEMU's names.
func TestTree(t *testing.T) {
	m := newRTC(t)
	for _, name := range []string{"rtc[0]", "rtc-index[0]"} {
		if qom.Child(m.d, name) == nil {
			t.Errorf("no %s", name)
		}
	}
	for name, want := range map[string]any{"base_year": int64(0), "iobase": uint64(0x70), "irq": uint64(8),
		"lost_tick_policy": "discard"} {
		if got, err := qom.Get(m.d, name); err != nil || got != want {
			t.Errorf("%s = %v, %v, want %v", name, got, err, want)
		}
	}
}

func FuzzRTC(f *testing.F) {
	f.Add([]byte{4, 0, 0, 0x0b, 0, 0, 4, 1, 0, 0x72, 0, 0, 0xf0, 0, 0, 0xff, 0xff, 0xff, 4, 0, 0, 0x0c, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newRTC(t, "lost_tick_policy", []string{"discard", "slew"}[len(data)&1])
		m.Fuzz(m.IO, 0x70, 2, data)
		m.clock()
	})
}
