package i386

import (
	"github.com/gqemu/gqemu/hw/acpi"
	"github.com/gqemu/gqemu/hw/isa"
)

// sciIRQ is the system control interrupt.
const sciIRQ = 9

// tables describes the machine to the guest.
func (m *Q35) tables() (acpi.Tables, error) {
	c := acpi.PCConfig{
		OEM: acpi.OEM{ID: m.oemID, TableID: m.oemTableID},
		FADT: acpi.FixedFADT{
			SCI: sciIRQ, SMICommand: isa.APMPort, Enable: isa.APMEnable, Disable: isa.APMDisable,
			PM1Event: isa.PM1EventPort, PM1Control: isa.PM1ControlPort, PMTimer: isa.PMTimerPort,
			GPE0: isa.GPE0Port, GPE0Len: isa.GPE0Len,
			ResetPort: isa.ResetPort, ResetValue: isa.ResetValue, Century: cmosCentury, I8042: m.i8042,
		},
		FwCfg: fwCfgPort, FwCfgDMA: true,
		Serial: m.serials,
		RTC:    &acpi.ISAPort{Base: rtcPort, IRQ: rtcIRQ},
	}
	for _, cpu := range m.cpus {
		c.MADT.CPUs = append(c.MADT.CPUs, acpi.CPU{APICID: cpu.VCPU.Config().APICID})
	}
	c.MADT.IOAPICs = []acpi.IOAPIC{{ID: 0, Addr: ioapicBase}}
	// The PIT is on pin 2. The SCI and what PCI interrupts share are levels.
	const levelHigh = 0xd
	c.MADT.Overrides = []acpi.SourceOverride{{Source: 0, GSI: 2}}
	for _, irq := range []uint8{5, sciIRQ, 10, 11} {
		c.MADT.Overrides = append(c.MADT.Overrides, acpi.SourceOverride{Source: irq, GSI: uint32(irq), Flags: levelHigh})
	}
	low, high := m.pci.holes()
	c.PCI = &acpi.PCIHost{ECAM: ecamBase, High: acpi.Window{First: high.Base, Last: high.Limit}}
	for _, w := range low {
		c.PCI.Memory = append(c.PCI.Memory, acpi.Window{First: w.Base, Last: w.Limit})
	}
	for _, f := range m.pci.bus.Functions() {
		c.PCI.Slots = append(c.PCI.Slots, uint32(f.Slot())<<16|uint32(f.Func()))
	}
	return acpi.BuildPC(c, acpiBase)
}
