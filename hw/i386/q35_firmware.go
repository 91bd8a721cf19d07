package i386

import (
	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/hw/pci"
)

// The ISA interrupts that PIRQA to PIRQH lead to, as firmware sets them, and the
// ELCR bits that make them levels.
var pirqIRQs = [pirqLines]uint8{10, 10, 11, 11, 10, 10, 11, 11}

const (
	elcr2Port = 0x4d1
	elcr2PIRQ = 1<<(10-8) | 1<<(11-8)
	// Ports below 0x1000 are the board's; of the rest firmware begins with the
	// last.
	firstIOPort, ioPorts, lastIOPort = 0x1000, 0xc000, 0xffff
)

// setUp does what firmware would before the kernel: the memory map, the places
// of the chipset's registers, and addresses and interrupts for all PCI
// functions.
func (m *Q35) setUp() {
	m.pci.mch.setUp()
	m.lpc.SetUp(isa.FirmwareSettings{PM: m.acpiOn(), IRQs: pirqIRQs})
	if m.irqchip != accel.IRQChipOn && m.pics != nil {
		m.host.IO.Access(elcr2Port, []byte{elcr2PIRQ}, true)
	}
	_, high := m.pci.holes()
	err := pci.Assign(m.pci.bus, pci.Resources{
		IO:    []pci.Window{{Base: ioPorts, Limit: lastIOPort}, {Base: firstIOPort, Limit: ioPorts - 1}},
		Mem32: []pci.Window{{Base: ecamBase + pci.ECAMSize, Limit: ioapicBase - 1}},
		Mem64: []pci.Window{high},
		IRQ:   func(devfn, pin int) uint8 { return pirqIRQs[m.lpc.RoutePIRQ(devfn, pin)] },
	})
	if err != nil {
		// The guest may still do better.
		m.host.Log.Warn().Err(err).Msg("assigning PCI addresses")
	}
}
