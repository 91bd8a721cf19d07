package i386

import (
	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/qom"
)

// initInterrupts makes the IOAPICs and the lines that lead to interrupt
// controllers.
func (m *Microvm) initInterrupts() error {
	count := 1
	if m.secondIOAPIC() {
		count = 2
	}
	m.initGSI(count * ioapicPins)
	d, err := m.host.NewSysBus("isabus-bridge", m.place)
	if err != nil {
		return err
	}
	m.isaBus = d.(*isa.Bridge)
	for n, irq := range m.gsi[:isaLines] {
		m.isaBus.SetIRQ(n, irq)
	}
	if m.irqchip == accel.IRQChipOn {
		return nil
	}
	for i := range count {
		var parent qom.Object
		if i == 0 {
			parent = m // QEMU's clients find the first one here
		}
		if err := m.addIOAPIC(parent); err != nil {
			return err
		}
	}
	return nil
}
