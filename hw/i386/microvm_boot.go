package i386

import (
	"fmt"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/acpi"
	"github.com/gqemu/gqemu/hw/i386/boot"
)

// acpiBase is where the tables go: in the area below 1 MiB that kernels
// search for the RSDP. The memory map reserves it.
const (
	acpiBase = 0xe0000
	acpiSize = 0x20000
)

// initBoot opens the kernel and checks that it fits.
func (m *Microvm) initBoot() error {
	if m.Kernel == "" {
		if m.board.Accel.Name() != "qtest" {
			return fmt.Errorf("machine microvm boots without firmware: -kernel is needed")
		}
		return nil
	}
	p := boot.Params{
		Kernel: m.Kernel, Initrd: m.Initrd, Cmdline: m.Append,
		RAM: boot.RAM{Below4G: m.lowRAM(), Above4G: m.board.RAM.Size() - m.lowRAM(), Above4GBase: above4G},
	}
	if m.acpiOn() {
		p.Reserved = []boot.Range{{Addr: acpiBase, Size: acpiSize, Type: boot.E820Reserved}}
	}
	var err error
	m.image, err = boot.Open(p)
	return err
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
	if m.image == nil {
		return nil
	}
	if m.acpiTables != nil {
		m.image.SetRSDP(m.acpiTables.RSDP)
	}
	return m.image.SetCmdline(m.cmdline())
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
	if m.serial {
		c.Serial = []acpi.ISAPort{{Base: serialPort, IRQ: serialIRQ}}
	}
	if m.hasRTC {
		c.RTC = &acpi.ISAPort{Base: rtcPort, IRQ: rtcIRQ}
	} else {
		// Linux would wait a second for a clock, reading its ports ten
		// thousand times.
		c.NoRTC = true
	}
	for i, t := range m.virtio {
		for _, b := range t.dev.Qdev().Buses() {
			if len(b.Devices()) > 0 {
				c.VirtIO = append(c.VirtIO, acpi.VirtIOMMIO{Index: i, Addr: uint32(t.addr), Len: virtioStep, GSI: uint32(t.gsi)})
			}
		}
	}
	return acpi.BuildMicrovm(c, acpiBase)
}

// Reset resets all devices and vCPUs and puts what firmware would have put
// into memory there again: the guest may have overwritten it.
func (m *Microvm) Reset() error {
	m.host.SysBus.Reset()
	if r, ok := m.board.Accel.(accel.ChipResetter); ok {
		if err := r.ResetChips(); err != nil {
			return err
		}
	}
	for _, c := range m.cpus {
		if err := c.VCPU.Reset(); err != nil {
			return err
		}
	}
	mem := m.host.Memory
	if t := m.acpiTables; t != nil {
		if err := mem.WriteAt(t.Data, t.Addr); err != nil {
			return err
		}
	}
	if m.image == nil {
		return nil
	}
	m.quietPICs()
	if err := mem.WriteAt(resetStub, resetVector); err != nil {
		return err
	}
	if !m.acpiOn() {
		var cpus []accel.CPUConfig
		for _, c := range m.cpus {
			cpus = append(cpus, c.VCPU.Config())
		}
		if err := mem.WriteAt(mpTable(cpus, mpTableAddr), mpTableAddr); err != nil {
			return err
		}
	}
	e, err := m.image.Load(mem)
	if err != nil {
		return err
	}
	return m.cpus[0].VCPU.SetBoot(bootState(e))
}

// resetVector is where firmware begins, and where a kernel on a
// hardware-reduced platform without EFI jumps in real mode to reboot.
const resetVector = 0xffff0

// resetStub stands there in the firmware's place: it resets the machine by a
// triple fault.
var resetStub = []byte{
	0xb8, 0x00, 0xf0, // mov ax, 0xf000
	0x8e, 0xd8, // mov ds, ax
	0x0f, 0x01, 0x1e, 0x00, 0xff, // lidt [0xff00]: zeroes, so no vector is in the table
	0xcc, // int3
}

// quietPICs leaves the PICs as firmware does, initialised and masked: a kernel
// that is told of a hardware-reduced platform never touches them, and the PIT
// ticks from power-on.
func (m *Microvm) quietPICs() {
	if m.pics == nil {
		return
	}
	for _, w := range []struct {
		port  uint64
		value byte
	}{
		{0x20, 0x11}, {0x21, 0x08}, {0x21, 1 << 2}, {0x21, 0x01}, // ICW1 to 4, vectors 0x08
		{0xa0, 0x11}, {0xa1, 0x70}, {0xa1, 2}, {0xa1, 0x01}, // vectors 0x70
		{0x21, 0xff}, {0xa1, 0xff}, // OCW1: all masked
	} {
		m.host.IO.Access(w.port, []byte{w.value}, true)
	}
}

func bootState(e boot.Entry) accel.BootState {
	mode := accel.ModeProtected32
	if e.Mode == boot.Long64 {
		mode = accel.ModeLong64
	}
	return accel.BootState{
		Mode: mode, RIP: e.RIP, RSI: e.RSI, RBX: e.RBX, RSP: e.RSP, CR3: e.CR3,
		GDTBase: e.GDTBase, GDTLimit: e.GDTLimit, CodeSel: e.CS.Selector, DataSel: e.Data.Selector,
	}
}
