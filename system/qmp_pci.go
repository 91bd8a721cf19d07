package system

// PciInfo is one entry of query-pci: a bus.
type PciInfo struct {
	Bus     int64       `qapi:"bus"`
	Devices []PciDevice `qapi:"devices"`
}

// PciDevice is one device on a bus.
type PciDevice struct {
	Bus       int64          `qapi:"bus"`
	Slot      int64          `qapi:"slot"`
	Function  int64          `qapi:"function"`
	ClassInfo PciDeviceClass `qapi:"class_info"`
	ID        PciDeviceID    `qapi:"id"`
	IRQ       *int64         `qapi:"irq,optional"`
	IRQPin    int64          `qapi:"irq_pin"`
	QdevID    string         `qapi:"qdev_id"`
	Bridge    *PciBridgeInfo `qapi:"pci_bridge,optional"`
	Regions   []PciRegion    `qapi:"regions"`
}

// PciDeviceClass is a class code.
type PciDeviceClass struct {
	Desc  *string `qapi:"desc,optional"`
	Class int64   `qapi:"class"`
}

// PciDeviceID names a device's maker and model.
type PciDeviceID struct {
	Device          int64  `qapi:"device"`
	Vendor          int64  `qapi:"vendor"`
	Subsystem       *int64 `qapi:"subsystem,optional"`
	SubsystemVendor *int64 `qapi:"subsystem-vendor,optional"`
}

// PciBridgeInfo is the part of a device that is a bridge.
type PciBridgeInfo struct {
	Bus     PciBusInfo  `qapi:"bus"`
	Devices []PciDevice `qapi:"devices,optional"`
}

// PciBusInfo is a bus behind a bridge, with the windows to it.
type PciBusInfo struct {
	Number       int64          `qapi:"number"`
	Secondary    int64          `qapi:"secondary"`
	Subordinate  int64          `qapi:"subordinate"`
	IO           PciMemoryRange `qapi:"io_range"`
	Memory       PciMemoryRange `qapi:"memory_range"`
	Prefetchable PciMemoryRange `qapi:"prefetchable_range"`
}

// PciMemoryRange has the first and the last address of a window.
type PciMemoryRange struct {
	Base  int64 `qapi:"base"`
	Limit int64 `qapi:"limit"`
}

// PciRegion is what a base address register places.
type PciRegion struct {
	BAR      int64  `qapi:"bar"`
	Type     string `qapi:"type"`
	Address  int64  `qapi:"address"` // -1 if it has none
	Size     int64  `qapi:"size"`
	Prefetch *bool  `qapi:"prefetch,optional"`
	Mem64    *bool  `qapi:"mem_type_64,optional"`
}

// registerPCI adds the command of QAPI module pci.
func (v *VM) registerPCI() { register(v, "query-pci", v.queryPCI) }
