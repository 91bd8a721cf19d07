package cli

import (
	"strconv"
	"time"
)

// RTC is -rtc, understood.
type RTC struct {
	// Base is when the guest's clock begins: "utc", "localtime", or "" for
	// Start.
	Base  string
	Start time.Time
	// Clock is what it goes by: "host" (the host's wall clock), "rt" (the host's
	// time since boot) or "vm" (the guest's virtual time).
	Clock string
	// Slew has lost ticks made up for (driftfix=slew).
	Slew bool
}

// RTC checks -rtc. To be called before the machine is made; QEMU's complaints
// have no location then.
func (c *Config) RTC() (RTC, error) {
	r := RTC{Base: "utc", Clock: "host"}
	if v, ok := c.rtc.Get("base"); ok {
		switch v {
		case "utc", "localtime":
			r.Base = v
		default:
			t, ok := parseDateTime(v)
			if !ok {
				return r, &DescError{Desc: "invalid datetime format", Hint: "valid formats: '2006-06-17T16:01:21' or '2006-06-17'\n"}
			}
			r.Base, r.Start = "", t
		}
	}
	if v, ok := c.rtc.Get("clock"); ok {
		switch v {
		case "host", "rt", "vm":
			r.Clock = v
		default:
			return r, errf("invalid option value '%s'", v)
		}
	}
	if v, ok := c.rtc.Get("driftfix"); ok {
		switch v {
		case "slew":
			r.Slew = true
		case "none":
		default:
			return r, errf("invalid option value '%s'", v)
		}
	}
	return r, nil
}

// parseDateTime reads a date, or a date and a time, in UTC. As in QEMU, what
// follows is not looked at, and values out of range carry over.
func parseDateTime(s string) (time.Time, bool) {
	var n [6]int
	count := 0
	rest := s
	for i, sep := range []byte{'-', '-', 'T', ':', ':', 0} {
		v, r, ok := scanInt(rest)
		if !ok {
			break
		}
		n[i] = v
		count++
		if rest = r; sep == 0 || rest == "" || rest[0] != sep {
			break
		}
		rest = rest[1:]
	}
	if count < 3 {
		return time.Time{}, false
	}
	if count < 6 {
		n[3], n[4], n[5] = 0, 0, 0
	}
	for _, v := range n {
		if v < -100000 || v > 100000 {
			return time.Time{}, false
		}
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], 0, time.UTC)
	return t, t.Unix() != -1
}

// scanInt takes a decimal number off s, as scanf's %d does.
func scanInt(s string) (n int, rest string, ok bool) {
	for s != "" && (s[0] == ' ' || s[0] >= '\t' && s[0] <= '\r') {
		s = s[1:]
	}
	end := 0
	if end < len(s) && (s[0] == '-' || s[0] == '+') {
		end++
	}
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	n, err := strconv.Atoi(s[:end])
	return n, s[end:], err == nil
}
