package i386

import (
	"github.com/gqemu/gqemu/hw/acpi"
	"github.com/gqemu/gqemu/hw/i386/boot"
)

// initBoot opens the kernel and checks that it fits.
func (m *Microvm) initBoot() error {
	if err := m.openKernel(m.lowRAM()); err != nil {
		return err
	}
	return m.checkFirmware()
}

// Complete puts together what depends on the cold-plugged devices.
func (m *Microvm) Complete() error {
	if m.acpiOn() {
		t, err := m.tables()
		if err != nil {
			return err
		}
		m.acpiTables = &t
	}
	return m.setCmdline(m.cmdline())
}

// cmdline is -append, and without ACPI the transports that have a device,
// which the kernel could not find otherwise.
func (m *Microvm) cmdline() string {
	if m.acpiOn() || !m.autoCmdline {
		return m.Append
	}
	var list []boot.Transport
	for _, t := range m.plugged() {
		list = append(list, boot.Transport{Base: t.addr, IRQ: uint32(t.gsi)})
	}
	return m.Append + boot.VirtIOMMIOArgs(list)
}

// tables describes the machine to the guest.
func (m *Microvm) tables() (acpi.Tables, error) {
	c := acpi.MicrovmConfig{
		OEM:      acpi.OEM{ID: m.oemID, TableID: m.oemTableID},
		GED:      acpi.GED{SelectorAddr: gedSelector, RegsAddr: gedRegs, GSI: gedIRQ, PowerButton: true},
		FwCfg:    fwCfgPort,
		FwCfgDMA: true,
	}
	for _, cpu := range m.cpus {
		c.MADT.CPUs = append(c.MADT.CPUs, acpi.CPU{APICID: cpu.VCPU.Config().APICID})
	}
	c.MADT.IOAPICs = []acpi.IOAPIC{{ID: 0, Addr: ioapicBase}}
	if m.secondIOAPIC() {
		c.MADT.IOAPICs = append(c.MADT.IOAPICs, acpi.IOAPIC{ID: 1, Addr: ioapic2Base, GSIBase: ioapicPins})
	}
	c.Serial = m.serials
	if m.hasRTC {
		c.RTC = &acpi.ISAPort{Base: rtcPort, IRQ: rtcIRQ}
	} else {
		// Linux would wait a second for a clock, reading its ports ten
		// thousand times.
		c.NoRTC = true
	}
	for i, t := range m.virtio {
		e, ok := t.dev.(interface{ EdgeTriggered() bool })
		edge := ok && e.EdgeTriggered()
		for _, b := range t.dev.Qdev().Buses() {
			if len(b.Devices()) > 0 {
				c.VirtIO = append(c.VirtIO, acpi.VirtIOMMIO{
					Index: i, Addr: uint32(t.addr), Len: virtioStep, GSI: uint32(t.gsi), Edge: edge,
				})
			}
		}
	}
	return acpi.BuildMicrovm(c, acpiBase)
}
