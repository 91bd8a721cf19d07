// Package i386 is the PC machines: microvm, and what it shares with others
// to come.
package i386

import (
	"fmt"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/acpi"
	"github.com/gqemu/gqemu/hw/i386/boot"
	"github.com/gqemu/gqemu/hw/i386/cpu"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/hw/machine"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// The memory map and interrupt lines of microvm, which are QEMU's.
const (
	maxBelow4G  = 0xc0000000 // bytes of RAM below the hole
	above4G     = 1 << 32
	gedSelector = 0xfea00000
	gedRegs     = 0xfea00200
	gedIRQ      = 9
	virtioBase  = 0xfeb00000
	virtioStep  = 0x200
	ioapicBase  = 0xfec00000
	ioapic2Base = 0xfec10000
	ioapicPins  = 24
	fwCfgPort   = 0x510
	serialPort  = 0x3f8
	serialIRQ   = 4
	rtcPort     = 0x70
	rtcIRQ      = 8
	isaLines    = 16
)

// Microvm is QEMU's machine "microvm": a PC reduced to what a virtual machine
// needs, with virtio-mmio transports in place of PCI. It boots a kernel
// directly, without firmware.
type Microvm struct {
	machine.State
	pic, pit, rtc, acpi, ioapic2, pcie, smm string
	isaSerial, optionROMs, autoCmdline      bool
	oemID, oemTableID                       string

	board   *machine.Board
	host    *qdev.Host
	irqchip accel.IRQChip
	cpus    []machine.CPU
	ioapics []*intc.IOAPIC
	pics    *intc.PICPair
	gsi     []*qdev.IRQ
	isaBus  *isa.Bridge
	ged     *acpi.GEDDevice
	virtio  []*transport // lowest address first
	serial  bool
	hasRTC  bool

	image      *boot.Image  // nil without -kernel
	acpiTables *acpi.Tables // nil with acpi=off
}

// transport is a virtio-mmio slot.
type transport struct {
	dev  qdev.Device
	addr uint64
	gsi  int
}

// RegisterTypes adds the machine.
func RegisterTypes(r *qom.Registry) {
	auto := func(name, desc string, f func(*Microvm) *string) *qom.Property {
		return qom.Enum(name, "OnOffAuto", qom.OnOffAuto, f, "auto", qom.Description(desc), qom.HideDefault())
	}
	flag := func(name, desc string, f func(*Microvm) *bool) *qom.Property {
		return qom.Field(name, f, true, qom.Description(desc), qom.HideDefault())
	}
	r.Register(qom.Type{Name: "x86-machine", Parent: "machine", Abstract: true})
	r.Register(qom.Type{
		Name: "microvm-machine", Parent: "x86-machine",
		New: func() qom.Object { return new(Microvm) },
		Class: &machine.Class{
			Name: "microvm", Desc: "microvm (i386)", MaxCPUs: 288, DefaultCPU: "qemu64-x86_64-cpu",
			DefaultRAM: 128 << 20, RAMID: "microvm.ram", ACPI: true, SplitIRQChip: true,
		},
		Properties: []*qom.Property{
			auto("smm", "Enable SMM", func(m *Microvm) *string { return &m.smm }),
			auto("acpi", "Enable ACPI", func(m *Microvm) *string { return &m.acpi }),
			auto("pit", "Enable i8254 PIT", func(m *Microvm) *string { return &m.pit }),
			auto("pic", "Enable i8259 PIC", func(m *Microvm) *string { return &m.pic }),
			oem("x-oem-table-id", "Override the default value of field OEM Table ID in ACPI table header."+
				"The string may be up to 8 bytes in size", 8, "BXPC    ", func(m *Microvm) *string { return &m.oemTableID }),
			oem("x-oem-id", "Override the default value of field OEMID in ACPI table header."+
				"The string may be up to 6 bytes in size", 6, "BOCHS ", func(m *Microvm) *string { return &m.oemID }),
			auto("ioapic2", "Enable second IO-APIC", func(m *Microvm) *string { return &m.ioapic2 }),
			flag("auto-kernel-cmdline", "Set off to disable adding virtio-mmio devices to the kernel cmdline",
				func(m *Microvm) *bool { return &m.autoCmdline }),
			auto("rtc", "Enable MC146818 RTC", func(m *Microvm) *string { return &m.rtc }),
			auto("pcie", "Enable PCIe", func(m *Microvm) *string { return &m.pcie }),
			flag("x-option-roms", "Set off to disable loading option ROMs", func(m *Microvm) *bool { return &m.optionROMs }),
			flag("isa-serial", "Set off to disable the instantiation an ISA serial port",
				func(m *Microvm) *bool { return &m.isaSerial }),
		},
	})
}

// oem declares a string of limited length for table headers.
func oem(name, desc string, limit int, def string, f func(*Microvm) *string) *qom.Property {
	p := qom.Field(name, f, def, qom.Description(desc), qom.TypeName("string"), qom.HideDefault())
	p.Set = func(o qom.Object, v qom.Value) error {
		s, err := v.Str(name)
		if err != nil {
			return err
		}
		if len(s) > limit {
			return fmt.Errorf("User specified %s value is bigger than %d bytes in size", name, limit)
		}
		*f(o.(*Microvm)) = fmt.Sprintf("%-*s", limit, s)
		return nil
	}
	return p
}

func (m *Microvm) acpiOn() bool { return m.acpi != "off" }

// secondIOAPIC follows QEMU: it takes ACPI, and by default no IOAPIC in the
// kernel, which knows of one only.
func (m *Microvm) secondIOAPIC() bool {
	switch m.ioapic2 {
	case "on":
		return m.acpiOn()
	case "off":
		return false
	}
	return m.acpiOn() && m.irqchip != accel.IRQChipOn
}

// IOAPICPins is how many IOAPIC pins there can be at the most.
func (m *Microvm) IOAPICPins() int { return 2 * ioapicPins }

// Init builds the machine.
func (m *Microvm) Init(b *machine.Board) error {
	m.board, m.host, m.irqchip = b, b.Host, b.Accel.IRQChip()
	switch {
	case b.RAM == nil:
		return fmt.Errorf("machine microvm needs memory")
	case m.pcie == "on":
		return fmt.Errorf("machine microvm: pcie=on is not supported")
	case m.Firmware != "":
		return fmt.Errorf("machine microvm: firmware is not supported, -kernel is booted directly")
	case m.ioapic2 == "on" && m.irqchip == accel.IRQChipOn:
		return fmt.Errorf("machine microvm: ioapic2=on needs kernel-irqchip=split or off")
	}
	for _, step := range []func() error{
		m.initRAM, m.initFwCfg, m.initCPUs, m.initInterrupts, m.initVirtio, m.initGED, m.initISA, m.initBoot,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// lowRAM is how much of the memory lies below the hole, in bytes.
func (m *Microvm) lowRAM() uint64 { return min(m.board.RAM.Size(), maxBelow4G) }

func (m *Microvm) initRAM() error {
	h := m.host
	ram := memory.NewRAM(m.board.RAM)
	low := memory.NewAlias("ram-below-4g", ram, 0, m.lowRAM())
	if err := h.ExposeRegion(h.Unattached, low); err != nil {
		return err
	}
	if err := h.Map.Add(h.System, low, 0, 0); err != nil {
		return err
	}
	rest := m.board.RAM.Size() - m.lowRAM()
	if rest == 0 {
		return nil
	}
	high := memory.NewAlias("ram-above-4g", ram, m.lowRAM(), rest)
	if err := h.ExposeRegion(h.Unattached, high); err != nil {
		return err
	}
	return h.Map.Add(h.System, high, above4G, 0)
}

func (m *Microvm) initCPUs() error {
	model := m.board.CPU
	if model.Name == "" {
		model.Name = "qemu64"
	}
	// There is no guest here to be migrated to a host with fewer.
	model.Features = append([]machine.CPUFeature{{Name: "host-phys-bits", Value: "on"}}, model.Features...)
	for i := range m.board.SMP.CPUs {
		c, err := cpu.New(m.host, m.board.Accel, model, m.board.SMP, i)
		if err != nil {
			return err
		}
		m.cpus = append(m.cpus, c)
	}
	return nil
}

// CPUs lists the vCPUs.
func (m *Microvm) CPUs() []machine.CPU { return m.cpus }

// Powerdown presses the power button, where there is one.
func (m *Microvm) Powerdown() {
	if m.ged != nil {
		m.ged.PowerButton()
	}
}

// EOI reaches the IOAPICs, whose level-triggered lines may still be high.
func (m *Microvm) EOI(vector uint8) {
	for _, a := range m.ioapics {
		a.EOI(vector)
	}
}
