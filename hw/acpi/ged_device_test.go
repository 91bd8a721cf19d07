package acpi_test

import (
	"testing"

	"github.com/gqemu/gqemu/hw/acpi"
	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/qom"
)

const (
	gedSelector = 0xfea00000
	gedRegs     = 0xfea00200
)

type gedMachine struct {
	*hwtest.Machine
	ged              *acpi.GEDDevice
	line             *hwtest.Line
	resets, powerOff int
}

func newGED(t testing.TB, events uint32) *gedMachine {
	t.Helper()
	m := &gedMachine{Machine: hwtest.New(t, acpi.RegisterTypes)}
	m.line = m.NewLine()
	m.ged = hwtest.Add(m.Machine, "acpi-ged", nil, func(d *acpi.GEDDevice) error {
		d.OnReset = func() { m.resets++ }
		d.OnPowerOff = func() { m.powerOff++ }
		return qom.Set(d, "ged-event", qom.JSON(int64(events)))
	})
	m.ged.ConnectIRQ(0, m.line.IRQ)
	for region, addr := range map[int]uint64{acpi.GEDSelectorRegion: gedSelector, acpi.GEDRegsRegion: gedRegs} {
		if err := m.ged.MapMMIO(region, addr); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// The power button is one edge and one selector bit, which reading clears.
func TestGEDPowerButton(t *testing.T) {
	m := newGED(t, acpi.GEDEventPowerDown)
	if !m.ged.PowerButton() || m.line.Raised != 1 || m.line.Level {
		t.Errorf("edges %d, level %t", m.line.Raised, m.line.Level)
	}
	m.Writel(gedSelector, 0xffffffff) // read-only
	if sel := m.Readl(gedSelector); sel != 2 {
		t.Errorf("selector %#x", sel)
	}
	if sel := m.Readl(gedSelector); sel != 0 {
		t.Errorf("selector %#x when read again", sel)
	}
	m.ged.PowerButton()
	m.Do(m.ged.Reset)
	if sel := m.Readl(gedSelector); sel != 0 {
		t.Errorf("selector %#x after reset", sel)
	}
}

// A device that does not report the button says so.
func TestGEDWithoutPowerButton(t *testing.T) {
	m := newGED(t, acpi.GEDEventMemoryHotplug)
	if m.ged.PowerButton() || m.line.Raised != 0 {
		t.Error("the button was reported")
	}
}

// Only S5 with the enable bit powers off, and only 0x42 resets.
func TestGEDSleepAndReset(t *testing.T) {
	m := newGED(t, 0)
	for v := range 256 {
		m.Writeb(gedRegs, uint8(v))
		if want := v&0x3c == 0x34; (m.powerOff == 1) != want {
			t.Errorf("sleep control %#x powers off: %t", v, m.powerOff == 1)
		}
		m.powerOff = 0
		m.Writeb(gedRegs+1, uint8(v))
		m.Writeb(gedRegs+2, uint8(v))
		if want := v == 0x42; (m.resets == 1) != want {
			t.Errorf("reset register %#x resets: %t", v, m.resets == 1)
		}
		m.resets = 0
	}
	for off := range uint64(3) {
		if v := m.Readb(gedRegs + off); v != 0 {
			t.Errorf("register %d reads %#x", off, v)
		}
	}
}

func FuzzGED(f *testing.F) {
	f.Add([]byte{4, 0, 2, 0x34, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newGED(t, 3)
		m.Fuzz(m.Memory, gedSelector, 0x203, data)
	})
}
