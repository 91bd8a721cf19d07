package timer

import "math/bits"

// counter is one of the 8254's counters. Its methods take the time now, in
// nanoseconds, since all that happens follows from it.
type counter struct {
	mode   uint8 // 0 to 5
	bcd    bool
	access uint8 // which bytes of the count are read and written
	gate   bool

	loaded    bool  // a count was written since the mode was
	triggered bool  // modes 1 and 5: the gate has risen since
	count     int64 // what is counted down from, 1 to fullCount
	reload    int64 // what the next trigger loads
	start     int64 // when counting began
	frozen    int64 // ticks counted when the gate fell

	lowWritten bool  // the low byte of a pair was written: low
	low        uint8 //
	highNext   bool  // the next read is of the high byte

	countLatched, statusLatched bool
	latch                       uint16
	status                      uint8
}

const (
	accessLow  = 1
	accessHigh = 2
	accessBoth = 3

	fullCount    = 0x10000
	fullCountBCD = 10000
)

// ticks is how many clocks the counter has counted.
func (c *counter) ticks(now int64) int64 {
	if c.stopped() {
		return c.frozen
	}
	hi, lo := bits.Mul64(uint64(max(now-c.start, 0)), PITHz)
	q, _ := bits.Div64(hi, lo, 1e9) // hi < 1e9 for any 63-bit time
	return int64(q)
}

// at is the time of a tick.
func (c *counter) at(tick int64) int64 {
	hi, lo := bits.Mul64(uint64(tick), 1e9)
	q, rem := bits.Div64(hi, lo, PITHz)
	if rem > 0 {
		q++
	}
	return c.start + int64(q)
}

// stopped tells whether a low gate holds the count.
func (c *counter) stopped() bool { return !c.gate && c.mode != 1 && c.mode != 5 }

// idle tells whether nothing is counted: no count yet, or no trigger.
func (c *counter) idle() bool { return !c.loaded || (c.mode == 1 || c.mode == 5) && !c.triggered }

// periodic modes start over by themselves.
func (c *counter) periodic() bool { return c.mode == 2 || c.mode == 3 }

// pulses tells whether the output is only low for one tick at a time.
func (c *counter) pulses() bool { return c.mode == 2 || c.mode == 4 || c.mode == 5 }

// value is the counting element.
func (c *counter) value(now int64) uint16 {
	if c.idle() {
		return c.encode(c.reload)
	}
	d := c.ticks(now)
	switch c.mode {
	case 2:
		return c.encode(c.count - d%c.count)
	case 3: // counts by two, twice in a period
		return c.encode(c.count - 2*d%c.count)
	}
	full := c.full()
	return c.encode(((c.count-d)%full + full) % full)
}

func (c *counter) full() int64 {
	if c.bcd {
		return fullCountBCD
	}
	return fullCount
}

func (c *counter) encode(n int64) uint16 {
	if !c.bcd {
		return uint16(n)
	}
	var out uint16
	for shift := 0; shift < 16; shift += 4 {
		out |= uint16(n%10) << shift
		n /= 10
	}
	return out
}

func (c *counter) decode(v uint16) int64 {
	n := int64(v)
	if c.bcd {
		n = 0
		for shift := 12; shift >= 0; shift -= 4 {
			n = n*10 + int64(v>>shift&0xf)
		}
	}
	if n == 0 {
		return c.full()
	}
	return n
}

// output is the level of OUT.
func (c *counter) output(now int64) bool {
	if c.idle() {
		return c.mode != 0
	}
	d := c.ticks(now)
	switch c.mode {
	case 0, 1:
		return d >= c.count
	case 2:
		return c.stopped() || d%c.count != c.count-1
	case 3:
		return c.stopped() || d%c.count < (c.count+1)/2
	default:
		return d != c.count
	}
}

// nextChange is when the output changes next of itself; for modes that pulse,
// when it rises.
func (c *counter) nextChange(now int64) (int64, bool) {
	if c.idle() || c.stopped() {
		return 0, false
	}
	d := c.ticks(now)
	switch c.mode {
	case 0, 1:
		return c.at(c.count), d < c.count
	case 2:
		return c.at(d - d%c.count + c.count), c.count > 1
	case 3:
		half, phase := (c.count+1)/2, d%c.count
		if phase < half {
			return c.at(d - phase + half), c.count > 1
		}
		return c.at(d - phase + c.count), c.count > 1
	default:
		return c.at(c.count + 1), d <= c.count
	}
}

// program is a control word for the counter.
func (c *counter) program(v uint8, now int64) {
	c.frozen = c.ticks(now)
	c.mode = v >> 1 & 7
	if c.mode > 5 {
		c.mode -= 4 // bit 3 does not count in modes 2 and 3
	}
	c.bcd, c.access = v&1 != 0, v>>4&3
	c.loaded, c.triggered = false, false
	c.lowWritten, c.highNext, c.countLatched, c.statusLatched = false, false, false, false
}

// write is a byte of the count. It tells whether the count is complete.
func (c *counter) write(v uint8, now int64) bool {
	switch {
	case c.access == accessLow:
		c.load(uint16(v), now)
	case c.access == accessHigh:
		c.load(uint16(v)<<8, now)
	case !c.lowWritten:
		c.low, c.lowWritten = v, true
		return false
	default:
		c.lowWritten = false
		c.load(uint16(v)<<8|uint16(c.low), now)
	}
	return true
}

func (c *counter) load(v uint16, now int64) {
	c.reload, c.loaded = c.decode(v), true
	if c.mode != 1 && c.mode != 5 { // those wait for the gate
		c.restart(now)
	}
}

func (c *counter) restart(now int64) { c.count, c.start, c.frozen = c.reload, now, 0 }

func (c *counter) setGate(level bool, now int64) {
	switch {
	case level == c.gate:
	case !level:
		c.frozen = c.ticks(now)
		c.gate = false
	default:
		c.gate = true
		switch c.mode {
		case 0, 4: // goes on where it was
			resumed := c.frozen
			c.start = 0
			c.start = now - c.at(resumed)
		case 1, 5:
			c.triggered = c.loaded
			c.restart(now)
		default:
			c.restart(now)
		}
	}
}

func (c *counter) latchCount(now int64) {
	if !c.countLatched {
		c.latch, c.countLatched = c.value(now), true
	}
}

func (c *counter) latchStatus(now int64) {
	if c.statusLatched {
		return
	}
	c.statusLatched = true
	c.status = c.access<<4 | c.mode<<1
	if c.output(now) {
		c.status |= 0x80
	}
	if !c.loaded {
		c.status |= 0x40 // null count
	}
	if c.bcd {
		c.status |= 0x01
	}
}

// read is a byte of the status if that is latched, else of the latch, else
// of the counting element.
func (c *counter) read(now int64) uint8 {
	if c.statusLatched {
		c.statusLatched = false
		return c.status
	}
	v := c.latch
	if !c.countLatched {
		v = c.value(now)
	}
	high := c.access == accessHigh || c.access == accessBoth && c.highNext
	if c.access == accessBoth {
		c.highNext = !c.highNext
	}
	if !c.highNext {
		c.countLatched = false
	}
	if high {
		return uint8(v >> 8)
	}
	return uint8(v)
}
