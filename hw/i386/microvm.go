// Package i386 is the PC machines: microvm, and what it shares with others
// to come.
package i386

import (
	"fmt"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/acpi"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/hw/machine"
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
	rtcPort     = 0x70
	rtcIRQ      = 8
	isaLines    = 16
)

// Microvm is QEMU's machine "microvm": a PC reduced to what a virtual machine
// needs, with virtio-mmio transports in place of PCI. It boots a kernel
// directly, without firmware.
type Microvm struct {
	x86State
	rtc, ioapic2, pcie                 string
	isaSerial, optionROMs, autoCmdline bool

	isaBus *isa.Bridge
	ged    *acpi.GEDDevice
	virtio []*transport // lowest address first
	hasRTC bool
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
	registerX86(r)
	registerQ35(r)
	r.Register(qom.Type{
		Name: "microvm-machine", Parent: "x86-machine",
		New: func() qom.Object { return new(Microvm) },
		Class: &machine.Class{
			Name: "microvm", Desc: "microvm (i386)", MaxCPUs: 288, DefaultCPU: "qemu64-x86_64-cpu",
			DefaultRAM: 128 << 20, RAMID: "microvm.ram", ACPI: true, NUMA: true, SplitIRQChip: true,
		},
		Properties: []*qom.Property{
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
	if err := m.begin(b); err != nil {
		return err
	}
	switch {
	case m.pcie == "on":
		return fmt.Errorf("machine microvm: pcie=on is not supported")
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

func (m *Microvm) initRAM() error { return m.mapRAM(m.lowRAM()) }

func (m *Microvm) initCPUs() error {
	model := m.board.CPU
	// There is no guest here to be migrated to a host with fewer.
	model.Features = append([]machine.CPUFeature{{Name: "host-phys-bits", Value: "on"}}, model.Features...)
	return m.x86State.initCPUs(model)
}

// Powerdown presses the power button, where there is one.
func (m *Microvm) Powerdown() {
	if m.ged != nil {
		m.ged.PowerButton()
	}
}
