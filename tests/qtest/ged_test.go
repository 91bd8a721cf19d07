package qtest

import (
	"slices"
	"testing"
)

// TestPowerButton: system_powerdown pulses IOAPIC pin 9, which is described to
// guests as edge-triggered, and leaves an event for the guest to take.
func TestPowerButton(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	g := &GED{m}
	m.InterceptIn("ioapic")
	m.QMP.Must("system_powerdown", nil, nil)
	m.QMP.ExpectEvents("POWERDOWN")
	m.Eventually("a pulse on pin 9", func() bool {
		m.Command("endianness")
		return slices.Contains(m.IRQLog(), "raise 9")
	})
	if m.IRQ(GEDIRQ) {
		t.Error("pin 9 stays high")
	}
	if e := g.Events(); e != GEDPowerDown {
		t.Errorf("events %#x, want %#x", e, GEDPowerDown)
	}
	if e := g.Events(); e != 0 {
		t.Errorf("events %#x after they were taken", e)
	}
}

// TestGuestPowerOff: S5 ends the process with status 0 and says that the guest
// asked.
func TestGuestPowerOff(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	g := &GED{m}
	g.Sleep(3)
	m.Writeb(GEDRegs, 5<<2) // S5 without the enable bit
	if s := m.QMP.Status(); s != "running" {
		t.Fatalf("state %s", s)
	}
	m.Send("writeb 0xfea00200 0x34\n")
	m.QMP.ExpectEvents(`SHUTDOWN {"guest": true, "reason": "guest-shutdown"}`)
	if code := m.Wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestGuestReset: the reset register resets the machine and says that the
// guest asked.
func TestGuestReset(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	a := &IOAPIC{m, IOAPICBase}
	a.SetEntry(1, 0x31)
	(&GED{m}).Reset()
	m.QMP.ExpectEvents(`RESET {"guest": true, "reason": "guest-reset"}`)
	if e := a.Entry(1); e != RTEMasked {
		t.Errorf("the IOAPIC kept %#x", e)
	}
	if s := m.QMP.Status(); s != "running" {
		t.Errorf("state %s", s)
	}
}
