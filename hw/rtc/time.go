package rtc

import (
	"time"

	"github.com/gqemu/gqemu/qom"
)

// This file is what the registers mean: the guest's time in them, alarms and
// the periodic rate, and when which flag of register C is due.

// running tells whether the time counts.
func (d *MC146818) running() bool {
	return d.cmos[regB]&bSET == 0 && d.cmos[regA]&aDivider <= dividerRun
}

// now is the guest's time, in nanoseconds since 1970. While the clock is
// halted it goes on and means nothing but the phase of the second.
func (d *MC146818) now() int64 { return d.Source() + d.offset }

// mod is n modulo m, never negative.
func mod(n, m int64) int64 { return ((n % m) + m) % m }

// encode is a number as a register holds it.
func (d *MC146818) encode(n int) uint8 {
	if d.cmos[regB]&bDM != 0 {
		return uint8(n)
	}
	return uint8(n/10<<4 | n%10)
}

func (d *MC146818) decode(v uint8) int {
	if d.cmos[regB]&bDM != 0 {
		return int(v)
	}
	return int(v>>4)*10 + int(v&0xf)
}

// decodeHour is the hour, 0 to 23 if it is one, in 12 or 24 hour form.
func (d *MC146818) decodeHour(v uint8) int {
	if d.cmos[regB]&b24H != 0 {
		return d.decode(v)
	}
	h := d.decode(v&0x7f) % 12
	if v&0x80 != 0 {
		h += 12
	}
	return h
}

// storeTime writes the guest's time into the registers.
func (d *MC146818) storeTime() {
	t := time.Unix(0, d.now()).UTC()
	d.cmos[regSeconds] = d.encode(t.Second())
	d.cmos[regMinutes] = d.encode(t.Minute())
	if d.cmos[regB]&b24H != 0 {
		d.cmos[regHours] = d.encode(t.Hour())
	} else {
		d.cmos[regHours] = d.encode((t.Hour()+11)%12 + 1)
		if t.Hour() >= 12 {
			d.cmos[regHours] |= 0x80
		}
	}
	d.cmos[regWeekday] = d.encode(int(t.Weekday()) + 1)
	d.cmos[regDay] = d.encode(t.Day())
	d.cmos[regMonth] = d.encode(int(t.Month()))
	year := int(mod(int64(t.Year())-int64(d.baseYear), 10000))
	d.cmos[regYear] = d.encode(year % 100)
	d.cmos[regCentury] = d.encode(year / 100)
}

// registerTime is what the registers say. A date that is none, such as
// February 30, is the one as many days after the month began.
func (d *MC146818) registerTime() time.Time {
	year := d.decode(d.cmos[regYear]) + 100*d.decode(d.cmos[regCentury]) + int(d.baseYear)
	// Beyond this a nanosecond count has no room.
	year = min(max(year, 1678+1), 2262-1)
	return time.Date(year, time.Month(d.decode(d.cmos[regMonth])), d.decode(d.cmos[regDay]),
		d.decodeHour(d.cmos[regHours]), d.decode(d.cmos[regMinutes]), d.decode(d.cmos[regSeconds]), 0, time.UTC)
}

// change is the RTC_CHANGE event.
type change struct {
	Offset  int64  `qapi:"offset"` // seconds between the time set and the one it started from
	QOMPath string `qapi:"qom-path"`
}

// loadTime sets the guest's time to that of the registers, at a phase of the
// second.
func (d *MC146818) loadTime(phase int64) {
	t := d.registerTime()
	src := d.Source()
	d.offset = t.UnixNano() + phase - src
	d.second = d.now() / second
	if h := d.Host(); h.Events != nil {
		h.Events.Post("RTC_CHANGE", change{t.Unix() - src/second, qom.Path(d)})
	}
	d.update()
}

// Tm is the guest's time as the "rtc-time" property shows it: the members of
// C's struct tm.
func (d *MC146818) Tm() map[string]any {
	t := time.Unix(0, d.now()).UTC()
	if !d.running() {
		t = d.registerTime()
	}
	return map[string]any{
		"tm_year": int64(t.Year() - 1900),
		"tm_mon":  int64(t.Month()) - 1,
		"tm_mday": int64(t.Day()),
		"tm_hour": int64(t.Hour()),
		"tm_min":  int64(t.Minute()),
		"tm_sec":  int64(t.Second()),
	}
}

// period is the periodic interrupt's in cycles of 32768 Hz, 0 for none.
func (d *MC146818) period() int64 {
	rate := d.cmos[regA] & aRate
	if rate == 0 || d.cmos[regA]&aDivider > dividerRun {
		return 0
	}
	if rate <= 2 {
		rate += 7
	}
	return 1 << (rate - 1)
}

// cycles is virtual time in cycles of 32768 Hz.
func (d *MC146818) cycles() int64 {
	now := d.Host().Clock.Now()
	return now/second*32768 + now%second*32768/second
}

// periods counts the periods that are over since the phase began.
func (d *MC146818) periods() int64 {
	p := d.period()
	if p == 0 {
		return 0
	}
	return max(d.cycles()-d.phase, 0) / p
}

// periodEnd is the virtual time when the given count is reached.
func (d *MC146818) periodEnd(count int64) int64 {
	cycles := d.phase + count*d.period()
	return cycles/32768*second + (cycles%32768*second+32767)/32768
}

// setRate writes register A. The first period at another rate began when the
// last one at the old rate ended, as guests find it in QEMU.
func (d *MC146818) setRate(a uint8) {
	last := d.cycles()
	old := d.period()
	if old != 0 {
		last = d.phase + d.periods()*old
	}
	d.cmos[regA] = a &^ aUIP
	if d.period() != old {
		d.phase = last
	}
	d.periodic = d.periods()
}

// alarmAfter is the first second after one that the alarm matches.
func (d *MC146818) alarmAfter(after int64) (int64, bool) {
	const day = 24 * 60 * 60
	match := func(reg uint8, n int, decode func(uint8) int) bool {
		v := d.cmos[reg]
		return v&alarmAny == alarmAny || decode(v) == n
	}
	if s := d.cmos[regSecondsAlarm]; s&alarmAny != alarmAny && d.decode(s) > 59 {
		return 0, false // spares looking for it in each minute
	}
	midnight := after - mod(after, day)
	for hour := range 48 {
		if !match(regHoursAlarm, hour%24, d.decodeHour) {
			continue
		}
		for minute := range 60 {
			start := midnight + int64(hour*3600+minute*60)
			if start+59 <= after || !match(regMinutesAlarm, minute, d.decode) {
				continue
			}
			for sec := range 60 {
				if t := start + int64(sec); t > after && match(regSecondsAlarm, sec, d.decode) {
					return t, true
				}
			}
		}
	}
	return 0, false
}

// catchUp sets the flags for what has come about since it did so last.
func (d *MC146818) catchUp() {
	if n := d.periods(); n > d.periodic {
		if d.lostTick == "slew" && d.cmos[regB]&bPIE != 0 {
			missed := n - d.periodic
			if d.cmos[regC]&cPF == 0 {
				missed-- // this one is not lost
			}
			d.lost = int(min(int64(d.lost)+missed, maxLost))
		}
		d.periodic = n
		d.cmos[regC] |= cPF
	}
	if !d.running() {
		return
	}
	switch sec := d.now() / second; {
	case sec < d.second: // the host's clock was set back
		d.second = sec
	case sec > d.second:
		d.cmos[regC] |= cUF
		if at, ok := d.alarmAfter(d.second); ok && at <= sec {
			d.cmos[regC] |= cAF
		}
		d.second = sec
	}
}

// update drives the line and sets the timer to the next flag that would
// raise it.
func (d *MC146818) update() {
	b := d.cmos[regB]
	pending := d.cmos[regC]&b&cFlags != 0
	d.cmos[regC] &^= cIRQF
	if pending {
		d.cmos[regC] |= cIRQF
	}
	if pending != d.level {
		d.level = pending
		d.out.Set(pending)
	}

	d.timer.Stop()
	wanted := b & cFlags &^ d.cmos[regC]
	if d.lostTick == "slew" {
		wanted |= b & bPIE
	}
	virtual := d.Host().Clock.Now()
	deadline, armed := int64(0), false
	at := func(t int64) {
		if !armed || t < deadline {
			deadline, armed = t, true
		}
	}
	if wanted&cPF != 0 && d.period() != 0 {
		at(d.periodEnd(d.periodic + 1))
	}
	if d.running() {
		now := d.now()
		if wanted&cUF != 0 {
			at(virtual + (d.second+1)*second - now)
		}
		if wanted&cAF != 0 {
			if t, ok := d.alarmAfter(d.second); ok {
				at(virtual + t*second - now)
			}
		}
	}
	if armed {
		d.timer.Set(deadline)
	}
}
