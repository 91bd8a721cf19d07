package pci

import (
	"fmt"

	"github.com/gqemu/gqemu/qdev"
)

// Region is what a base address register places, for those who look.
type Region struct {
	BAR             int
	IO              bool
	Prefetch, Mem64 bool
	Addr            uint64 // ^0 where it is not mapped
	Size            uint64 // bytes
}

// Regions lists the base address registers that there are.
func (f *Function) Regions() []Region {
	var out []Region
	for n, b := range f.bars {
		if b != nil {
			out = append(out, Region{BAR: n, IO: b.io(), Prefetch: !b.io() && b.kind&BARPrefetch != 0, Mem64: b.wide(),
				Addr: b.addr, Size: b.size})
		}
	}
	return out
}

// Window is a range of a bridge's, both ends included, as the registers say:
// Limit may lie below Base.
type Window struct{ Base, Limit uint64 }

// BridgeInfo is what a bridge's registers say of the buses.
type BridgeInfo struct {
	Primary, Secondary, Subordinate uint8
	IO, Memory, Prefetchable        Window
}

// Bridge tells of a bridge's buses; ok is false for other functions.
func (f *Function) Bridge() (info BridgeInfo, ok bool) {
	if f.bridge == nil {
		return BridgeInfo{}, false
	}
	w := func(n int) Window { s := f.window(n); return Window{s.first, s.last} }
	return BridgeInfo{f.u8(regPrimary), f.u8(regSecondary), f.u8(regSubordinate), w(windowIO), w(windowMem), w(windowPref)}, true
}

// Info is what a function's header says of it.
type Info struct {
	Bus, Slot, Func      int
	Class                uint16
	ClassName            string // "" for one without a name
	Vendor, Device       uint16
	SubVendor, Subsystem uint16 // zero for bridges
	IRQ, Pin             uint8
}

// Info reads the header.
func (f *Function) Info() Info {
	i := Info{Bus: f.bus.Number(), Slot: f.Slot(), Func: f.Func(), Class: f.u16(regClass), ClassName: classNames[f.u16(regClass)],
		Vendor: f.u16(regVendor), Device: f.u16(regDevice), IRQ: f.u8(regIntLine), Pin: f.u8(regIntPin)}
	if f.bridge == nil {
		i.SubVendor, i.Subsystem = f.u16(regSubVendor), f.u16(regSubsystem)
	}
	return i
}

// RootBuses lists a machine's root buses.
func RootBuses(h *qdev.Host) []*Bus {
	var out []*Bus
	for _, d := range h.SysBus.Devices() {
		if p, ok := d.(Parent); ok && p.PCIBus() != nil {
			out = append(out, p.PCIBus())
		}
	}
	return out
}

// Describe is the lines that `info qtree` has of a function.
func (f *Function) Describe() []string {
	if f.bus == nil {
		return nil
	}
	i := f.Info()
	name := i.ClassName
	if name == "" {
		name = fmt.Sprintf("Class %04x", i.Class)
	}
	lines := []string{fmt.Sprintf("class %s, addr %02x:%02x.%x, pci id %04x:%04x (sub %04x:%04x)",
		name, i.Bus, i.Slot, i.Func, i.Vendor, i.Device, i.SubVendor, i.Subsystem)}
	for _, r := range f.Regions() {
		kind := "mem"
		if r.IO {
			kind = "i/o"
		}
		lines = append(lines, fmt.Sprintf("bar %d: %s at 0x%x [0x%x]", r.BAR, kind, r.Addr, r.Addr+r.Size-1))
	}
	return lines
}

// classNames are QEMU's names of class codes.
var classNames = map[uint16]string{
	0x0001: "VGA controller", 0x0100: "SCSI controller", 0x0101: "IDE controller", 0x0102: "Floppy controller",
	0x0103: "IPI controller", 0x0104: "RAID controller", 0x0106: "SATA controller", 0x0107: "SAS controller",
	0x0180: "Storage controller", 0x0200: "Ethernet controller", 0x0201: "Token Ring controller",
	0x0202: "FDDI controller", 0x0203: "ATM controller", 0x0280: "Network controller", 0x0300: "VGA controller",
	0x0301: "XGA controller", 0x0302: "3D controller", 0x0380: "Display controller", 0x0400: "Video controller",
	0x0401: "Audio controller", 0x0402: "Phone", 0x0403: "Audio controller", 0x0480: "Multimedia controller",
	0x0500: "RAM controller", 0x0501: "Flash controller", 0x0580: "Memory controller", 0x0600: "Host bridge",
	0x0601: "ISA bridge", 0x0602: "EISA bridge", 0x0603: "MC bridge", 0x0604: "PCI bridge", 0x0605: "PCMCIA bridge",
	0x0606: "NUBUS bridge", 0x0607: "CARDBUS bridge", 0x0608: "RACEWAY bridge", 0x0680: "Bridge", 0x0700: "Serial port",
	0x0701: "Parallel port", 0x0800: "Interrupt controller", 0x0801: "DMA controller", 0x0802: "Timer", 0x0803: "RTC",
	0x0900: "Keyboard", 0x0901: "Pen", 0x0902: "Mouse", 0x0a00: "Dock station", 0x0b00: "i386 cpu",
	0x0c00: "Firewire controller", 0x0c01: "Access bus controller", 0x0c02: "SSA controller", 0x0c03: "USB controller",
	0x0c04: "Fibre channel controller", 0x0c05: "SMBus",
}
