package qtest

// The generic event device of microvm (QEMU docs/specs/acpi_hw_reduced_hotplug.rst
// and hw/acpi/generic_event_device).
const (
	GEDSelector   = 0xfea00000 // 32 bits: pending events, cleared by reading
	GEDRegs       = 0xfea00200 // sleep control, sleep status, reset
	GEDIRQ        = 9          // its line, IOAPIC pin 9
	GEDPowerDown  = 1 << 1     // the event of the power button
	gedResetValue = 0x42
)

// GED drives the event device.
type GED struct{ M *Machine }

// Events takes the pending events.
func (g *GED) Events() uint32 { g.M.t.Helper(); return g.M.Readl(GEDSelector) }

// Sleep writes the sleep control register: SLP_EN and a sleep type.
func (g *GED) Sleep(typ uint8) { g.M.t.Helper(); g.M.Writeb(GEDRegs, 0x20|typ<<2) }

// PowerOff enters S5.
func (g *GED) PowerOff() { g.M.t.Helper(); g.Sleep(5) }

// Reset writes the reset register.
func (g *GED) Reset() { g.M.t.Helper(); g.M.Writeb(GEDRegs+2, gedResetValue) }
