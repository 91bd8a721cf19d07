package qtest

import "time"

// Registers of an MC146818.
const (
	RTCSeconds, RTCMinutes, RTCHours     = 0x00, 0x02, 0x04
	RTCSecAlarm, RTCMinAlarm, RTCHrAlarm = 0x01, 0x03, 0x05
	RTCDayOfWeek, RTCDay, RTCMonth       = 0x06, 0x07, 0x08
	RTCYear, RTCCentury                  = 0x09, 0x32
	RTCA, RTCB, RTCC, RTCD               = 0x0a, 0x0b, 0x0c, 0x0d
)

// Bits of the RTC's registers B and C.
const (
	RTCSet, RTCPIE, RTCAIE, RTCUIE, RTCBinary, RTC24h = 0x80, 0x40, 0x20, 0x10, 0x04, 0x02
	RTCIRQF, RTCPF, RTCAF, RTCUF                      = 0x80, 0x40, 0x20, 0x10
)

// RTC drives an MC146818 at ports 0x70 and 0x71.
type RTC struct{ M *Machine }

// In reads a register.
func (r *RTC) In(reg uint8) uint8 {
	r.M.t.Helper()
	r.M.Outb(0x70, reg)
	return r.M.Inb(0x71)
}

// Out writes a register.
func (r *RTC) Out(reg, v uint8) {
	r.M.t.Helper()
	r.M.Outb(0x70, reg)
	r.M.Outb(0x71, v)
}

// Time reads the clock as a guest does, in whatever mode it is.
func (r *RTC) Time() time.Time {
	r.M.t.Helper()
	b := r.In(RTCB)
	num := func(reg uint8) int {
		v := int(r.In(reg))
		if b&RTCBinary == 0 {
			v = v>>4*10 + v&15
		}
		return v
	}
	rawHour := r.In(RTCHours)
	hour := int(rawHour &^ 0x80)
	if b&RTCBinary == 0 {
		hour = hour>>4*10 + hour&15
	}
	if b&RTC24h == 0 {
		hour %= 12
		if rawHour&0x80 != 0 {
			hour += 12
		}
	}
	return time.Date(100*num(RTCCentury)+num(RTCYear), time.Month(num(RTCMonth)), num(RTCDay),
		hour, num(RTCMinutes), num(RTCSeconds), 0, time.UTC)
}
