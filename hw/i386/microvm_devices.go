package i386

import (
	"slices"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/acpi"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// initVirtio makes the virtio-mmio transports. A -device takes the first
// free one that QEMU's search meets, which is the one made last.
func (m *Microvm) initVirtio() error {
	count, first := 8, 5
	switch {
	case m.secondIOAPIC():
		count, first = ioapicPins, ioapicPins
	case m.acpiOn():
		first = 16
	}
	for i := range count {
		t := &transport{addr: virtioBase + uint64(i)*virtioStep, gsi: first + i}
		d, err := m.host.NewSysBus("virtio-mmio", m.place)
		if err != nil {
			return err
		}
		sys := d.(qdev.SysBusDevice).Sys()
		if err := sys.MapMMIO(0, t.addr); err != nil {
			return err
		}
		sys.ConnectIRQ(0, m.gsi[t.gsi])
		t.dev = d
		m.virtio = append(m.virtio, t)
	}
	return nil
}

// plugged lists the transports that have a device, highest address first.
func (m *Microvm) plugged() []*transport {
	var out []*transport
	for _, t := range slices.Backward(m.virtio) {
		for _, b := range t.dev.Qdev().Buses() {
			if len(b.Devices()) > 0 {
				out = append(out, t)
			}
		}
	}
	return out
}

func (m *Microvm) initGED() error {
	if !m.acpiOn() {
		return nil
	}
	d, err := m.host.NewSysBus("acpi-ged", func(d qdev.Device) error {
		if err := m.place(d); err != nil {
			return err
		}
		return qom.Set(d, "ged-event", qom.JSON(int64(acpi.GEDEventPowerDown)))
	})
	if err != nil {
		return err
	}
	m.ged = d.(*acpi.GEDDevice)
	m.ged.OnReset = m.board.Power.GuestReset
	m.ged.OnPowerOff = m.board.Power.GuestPoweroff
	if err := m.ged.MapMMIO(0, gedSelector); err != nil {
		return err
	}
	if err := m.ged.MapMMIO(acpi.GEDRegsRegion, gedRegs); err != nil {
		return err
	}
	m.ged.ConnectIRQ(0, m.gsi[gedIRQ])
	return nil
}

// initISA makes what sits on the ISA bus, as far as it is wanted and not in
// the kernel.
func (m *Microvm) initISA() error {
	h, bus := m.host, m.isaBus.ISA()
	inKernel := m.irqchip == accel.IRQChipOn
	if m.pic != "off" && !inKernel {
		var err error
		if m.pics, err = intc.NewPICPair(h, bus, m.place); err != nil {
			return err
		}
	}
	if m.pit != "off" && !inKernel {
		if _, err := h.Create("isa-pit", bus, m.place); err != nil {
			return err
		}
	}
	// KVM guests have kvmclock: by default the RTC is for the others.
	if m.rtc == "on" || m.rtc == "auto" && m.board.Accel.Name() != "kvm" {
		if _, err := m.newRTC(bus, m.place); err != nil {
			return err
		}
		m.hasRTC = true
	}
	if m.isaSerial {
		// As in QEMU, further -serial have no device.
		return m.initSerial(bus, 1)
	}
	return nil
}

func (m *Microvm) initFwCfg() error {
	_, err := m.newFwCfg(m, m.lowRAM(), m.board.SMP.MaxCPUs)
	return err
}
