package system

import "github.com/gqemu/gqemu/monitor/hmp"

// infoPCI prints what query-pci tells.
func (h *human) infoPCI(c *hmp.Call) error {
	list, err := h.v.queryPCI(none{})
	if err != nil {
		return err
	}
	for _, bus := range list {
		for _, d := range bus.Devices {
			printPCIDevice(c, d)
		}
	}
	return nil
}

func printPCIDevice(c *hmp.Call, d PciDevice) {
	c.Printf("  Bus %2d, device %3d, function %d:\n    ", d.Bus, d.Slot, d.Function)
	if d.ClassInfo.Desc != nil {
		c.Print(*d.ClassInfo.Desc)
	} else {
		c.Printf("Class %04d", d.ClassInfo.Class)
	}
	c.Printf(": PCI device %04x:%04x\n", d.ID.Vendor, d.ID.Device)
	if d.ID.Subsystem != nil {
		c.Printf("      PCI subsystem %04x:%04x\n", *d.ID.SubsystemVendor, *d.ID.Subsystem)
	}
	if d.IRQ != nil {
		c.Printf("      IRQ %d, pin %c\n", *d.IRQ, 'A'+rune(d.IRQPin)-1)
	}
	if b := d.Bridge; b != nil {
		c.Printf("      BUS %d.\n", b.Bus.Number)
		c.Printf("      secondary bus %d.\n", b.Bus.Secondary)
		c.Printf("      subordinate bus %d.\n", b.Bus.Subordinate)
		c.Printf("      IO range [0x%04x, 0x%04x]\n", b.Bus.IO.Base, b.Bus.IO.Limit)
		c.Printf("      memory range [0x%08x, 0x%08x]\n", b.Bus.Memory.Base, b.Bus.Memory.Limit)
		c.Printf("      prefetchable memory range [0x%08x, 0x%08x]\n", b.Bus.Prefetchable.Base, b.Bus.Prefetchable.Limit)
	}
	for _, r := range d.Regions {
		first, last := uint64(r.Address), uint64(r.Address)+uint64(r.Size)-1
		if r.Prefetch == nil {
			c.Printf("      BAR%d: I/O at 0x%04x [0x%04x].\n", r.BAR, first, last)
			continue
		}
		bits, prefetch := 32, ""
		if *r.Mem64 {
			bits = 64
		}
		if *r.Prefetch {
			prefetch = " prefetchable"
		}
		c.Printf("      BAR%d: %d bit%s memory at 0x%08x [0x%08x].\n", r.BAR, bits, prefetch, first, last)
	}
	c.Printf("      id \"%s\"\n", d.QdevID)
	if d.Bridge != nil {
		for _, child := range d.Bridge.Devices {
			printPCIDevice(c, child)
		}
	}
}
