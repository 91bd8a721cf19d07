package i386

import (
	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// initInterrupts makes the IOAPICs and the lines that lead to interrupt
// controllers: line n of the first 16 reaches the PICs and the first IOAPIC,
// the rest an IOAPIC alone. With kernel-irqchip=on all of them lead to the
// kernel.
func (m *Microvm) initInterrupts() error {
	count := 1
	if m.secondIOAPIC() {
		count = 2
	}
	for n := range count * ioapicPins {
		m.gsi = append(m.gsi, m.host.NewIRQ(n, m.setGSI))
	}
	var err error
	if m.isaBus, err = isa.New(m.host, m.gsi[:isaLines]); err != nil || m.irqchip == accel.IRQChipOn {
		return err
	}
	for i := range count {
		if err := m.addIOAPIC(i); err != nil {
			return err
		}
	}
	return nil
}

func (m *Microvm) addIOAPIC(i int) error {
	h := m.host
	d, err := h.NewSysBus("ioapic", func(d qdev.Device) error {
		d.(*intc.IOAPIC).GSIBase = i * ioapicPins
		if i == 0 {
			// QEMU's clients find the first one here.
			return qom.AddChild(m, "ioapic", d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	a := d.(*intc.IOAPIC)
	m.ioapics = append(m.ioapics, a)
	return a.MapMMIO(0, ioapicBase+uint64(i)*(ioapic2Base-ioapicBase))
}

// setGSI carries a line's level to where it leads.
func (m *Microvm) setGSI(n int, level bool) {
	if m.irqchip == accel.IRQChipOn {
		if err := m.board.Accel.SetLine(n, level); err != nil {
			m.host.Log.Error().Err(err).Int("gsi", n).Msg("microvm: driving an interrupt line")
		}
		return
	}
	if n < isaLines && m.pics != nil {
		m.pics.Line(n).Set(level)
	}
	m.ioapics[n/ioapicPins].GPIOIn("", n%ioapicPins).Set(level)
}
