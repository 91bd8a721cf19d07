package qtest

import "testing"

// TestIOAPICRegisters: id, version and the redirection table after reset, on
// both.
func TestIOAPICRegisters(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	for i, base := range []uint64{IOAPICBase, IOAPIC2Base} {
		a := &IOAPIC{m, base}
		if v := a.In(1); v != 0x00170020 {
			t.Errorf("IOAPIC %d: version %#x, want 24 pins, version 0x20", i, v)
		}
		for pin := range 24 {
			if e := a.Entry(pin); e != RTEMasked {
				t.Errorf("IOAPIC %d pin %d: %#x after reset, want masked", i, pin, e)
			}
		}
		a.Out(0, 0xff000000)
		if v := a.In(0); v != 0x0f000000 {
			t.Errorf("IOAPIC %d: id %#x, 4 bits remain", i, v)
		}
		a.SetEntry(3, 0xab00_0000_0000_0031)
		if e := a.Entry(3); e != 0xab00_0000_0000_0031 {
			t.Errorf("IOAPIC %d: entry %#x", i, e)
		}
		// Delivery status and remote IRR are not the guest's to write.
		a.SetEntry(4, 0xffff_ffff|RTEMasked)
		if e := a.Entry(4); e&(RTERemoteIRR|1<<12) != 0 {
			t.Errorf("IOAPIC %d: entry %#x has read-only bits", i, e)
		}
		// Indices without a register read zero and take writes.
		for _, reg := range []uint32{0x03, 0x0f, 0x40, 0xff} {
			a.Out(reg, 0xffffffff)
			if v := a.In(reg); v != 0 && reg != 0x03 {
				t.Errorf("IOAPIC %d register %#x: %#x", i, reg, v)
			}
		}
	}
}

// TestIOAPICLevel: a level-triggered pin whose interrupt was delivered shows
// remote IRR until the end of interrupt, and again if the line is still high.
func TestIOAPICLevel(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	a := &IOAPIC{m, IOAPICBase}
	a.SetEntry(10, 0x51|RTELevel)
	m.SetIRQ("ioapic", "unnamed-gpio-in", 10, 1)
	if e := a.Entry(10); e&RTERemoteIRR == 0 {
		t.Fatalf("entry %#x: not delivered", e)
	}
	a.EOI(0x52)
	if e := a.Entry(10); e&RTERemoteIRR == 0 {
		t.Errorf("entry %#x: another vector's end ended it", e)
	}
	a.EOI(0x51)
	if e := a.Entry(10); e&RTERemoteIRR == 0 {
		t.Errorf("entry %#x: the line is still high, it must be delivered again", e)
	}
	m.SetIRQ("ioapic", "unnamed-gpio-in", 10, 0)
	a.EOI(0x51)
	if e := a.Entry(10); e&RTERemoteIRR != 0 {
		t.Errorf("entry %#x after the end", e)
	}
}

// TestPIC: a request shows in IRR, is acknowledged by priority, stays in
// service until EOI, and the slave's come through the cascade.
func TestPIC(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	master, slave := InitPICs(m, 0x20)
	pics := picPaths(t, m)
	master.Mask(0x00)
	slave.Mask(0x00)
	m.SetIRQ(pics[0], "unnamed-gpio-in", 3, 1)
	if v := master.IRR(); v != 1<<3 {
		t.Errorf("IRR %#x", v)
	}
	m.SetIRQ(pics[1], "unnamed-gpio-in", 4, 1)
	if v := master.IRR(); v != 1<<3|1<<2 {
		t.Errorf("IRR %#x with the cascade", v)
	}
	if v := master.Poll(); v != 0x80|2 {
		t.Errorf("poll %#x, want the cascade: line 2 comes before 3", v)
	}
	if v := master.ISR(); v != 1<<2 {
		t.Errorf("ISR %#x", v)
	}
	slave.Poll()
	slave.EOI()
	master.EOI()
	m.SetIRQ(pics[1], "unnamed-gpio-in", 4, 0)
	m.SetIRQ(pics[0], "unnamed-gpio-in", 3, 0)
}

// picPaths finds the master and the slave.
func picPaths(t *testing.T, m *Machine) []string {
	t.Helper()
	var l []string
	for _, p := range m.QMP.QOMList("/machine/unattached") {
		if c, ok := p.Child(); ok && c == "isa-i8259" {
			l = append(l, "/machine/unattached/"+p.Name)
		}
	}
	if len(l) != 2 {
		t.Fatalf("PICs: %q", l)
	}
	if m.QMP.QOMGet(l[0], "master") != true {
		l[0], l[1] = l[1], l[0]
	}
	return l
}

// TestInterceptOut: the output of a device is told, and still reaches what it
// leads to.
func TestInterceptOut(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	r := &RTC{m}
	m.InterceptOut(findType(t, m.QMP, "/machine/unattached", "mc146818rtc"))
	r.Out(RTCA, 0x26)
	r.Out(RTCB, RTC24h|RTCPIE)
	m.ClockStep(1_000_000_000)
	equal(t, "output", m.IRQLog(), []string{"raise 0"})
	if v := (&PIC{m, 0xa0}).IRR(); v&1 == 0 {
		t.Errorf("the PIC did not get it: IRR %#x", v)
	}
	r.In(RTCC)
	equal(t, "output", m.IRQLog(), []string{"lower 0"})
}
