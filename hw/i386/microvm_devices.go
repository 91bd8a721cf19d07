package i386

import (
	"errors"
	"slices"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/acpi"
	"github.com/gqemu/gqemu/hw/i386/boot"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/hw/nvram"
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
		d, err := m.host.NewSysBus("virtio-mmio", nil)
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
		if m.pics, err = intc.NewPICPair(h, bus); err != nil {
			return err
		}
	}
	if m.pit != "off" && !inKernel {
		if _, err := h.Create("isa-pit", bus, nil); err != nil {
			return err
		}
	}
	// KVM guests have kvmclock: by default the RTC is for the others.
	if m.rtc == "on" || m.rtc == "auto" && m.board.Accel.Name() != "kvm" {
		_, err := h.Create("mc146818rtc", bus, func(d qdev.Device) error {
			return qom.Set(d, "base_year", qom.JSON(int64(2000)))
		})
		if err != nil {
			return err
		}
		m.hasRTC = true
	}
	if m.isaSerial {
		return m.initSerial(bus)
	}
	return nil
}

// initSerial makes the one port there is. As in QEMU, further -serial have no
// device.
func (m *Microvm) initSerial(bus *qdev.Bus) error {
	if len(m.board.Serials) == 0 || m.board.Serials[0] == "" {
		return nil
	}
	_, err := m.host.Create("isa-serial", bus, func(d qdev.Device) error {
		return qom.Set(d, "chardev", qom.JSON(m.board.Serials[0]))
	})
	m.serial = err == nil
	return err
}

func (m *Microvm) initFwCfg() error {
	d, err := m.host.NewSysBus("fw_cfg_io", func(d qdev.Device) error { return qom.AddChild(m, "fw_cfg", d) })
	if err != nil {
		return err
	}
	f := d.(*nvram.FwCfg)
	smp := m.board.SMP
	var noGraphic uint16
	if m.board.NoGraphic {
		noGraphic = 1
	}
	// Firmware reserves what it needs of it itself.
	ram := []boot.Range{{Size: m.lowRAM(), Type: boot.E820RAM}}
	if rest := m.board.RAM.Size() - m.lowRAM(); rest > 0 {
		ram = append(ram, boot.Range{Addr: above4G, Size: rest, Type: boot.E820RAM})
	}
	return errors.Join(
		f.AddFile("etc/e820", boot.EncodeE820(ram)),
		f.AddBytes(nvram.KeyUUID, m.board.UUID[:]),
		f.AddUint16(nvram.KeyNoGraphic, noGraphic),
		f.AddUint16(nvram.KeyNBCPUs, uint16(smp.CPUs)),
		f.AddUint16(nvram.KeyMaxCPUs, uint16(smp.MaxCPUs)),
		f.AddUint64(nvram.KeyRAMSize, m.board.RAM.Size()),
		f.AddUint32(nvram.KeyIRQ0Override, 1),
	)
}
