package system

import "github.com/gqemu/gqemu/hw/pci"

// queryPCI lists the machine's root buses with all that is behind them.
func (v *VM) queryPCI(none) ([]PciInfo, error) {
	list := []PciInfo{}
	for _, b := range pci.RootBuses(v.host) {
		list = append(list, PciInfo{Bus: int64(b.Number()), Devices: pciDevices(b)})
	}
	return list, nil
}

func pciDevices(b *pci.Bus) []PciDevice {
	list := []PciDevice{}
	for _, f := range b.Functions() {
		list = append(list, pciDevice(f))
	}
	return list
}

func pciDevice(f *pci.Function) PciDevice {
	i := f.Info()
	d := PciDevice{
		Bus: int64(i.Bus), Slot: int64(i.Slot), Function: int64(i.Func), ClassInfo: PciDeviceClass{Class: int64(i.Class)},
		ID: PciDeviceID{Device: int64(i.Device), Vendor: int64(i.Vendor)}, IRQPin: int64(i.Pin), QdevID: f.ID(), Regions: []PciRegion{},
	}
	if i.ClassName != "" {
		d.ClassInfo.Desc = &i.ClassName
	}
	if i.Pin != 0 {
		irq := int64(i.IRQ)
		d.IRQ = &irq
	}
	for _, r := range f.Regions() {
		region := PciRegion{BAR: int64(r.BAR), Type: "io", Address: int64(r.Addr), Size: int64(r.Size)}
		if !r.IO {
			region.Type, region.Prefetch, region.Mem64 = "memory", &r.Prefetch, &r.Mem64
		}
		d.Regions = append(d.Regions, region)
	}
	br, ok := f.Bridge()
	if !ok {
		vendor, subsystem := int64(i.SubVendor), int64(i.Subsystem)
		d.ID.SubsystemVendor, d.ID.Subsystem = &vendor, &subsystem
		return d
	}
	span := func(w pci.Window) PciMemoryRange { return PciMemoryRange{Base: int64(w.Base), Limit: int64(w.Limit)} }
	d.Bridge = &PciBridgeInfo{Bus: PciBusInfo{
		Number: int64(br.Primary), Secondary: int64(br.Secondary), Subordinate: int64(br.Subordinate),
		IO: span(br.IO), Memory: span(br.Memory), Prefetchable: span(br.Prefetchable),
	}}
	// A bus without a number cannot be reached.
	if b := f.SecondaryBus(); br.Secondary != 0 {
		d.Bridge.Devices = pciDevices(b)
	}
	return d
}
