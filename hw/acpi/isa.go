package acpi

import (
	"fmt"
	"slices"
)

// isaDevices are the devices below \_SB that microvm and PCs have in common,
// in QEMU's order.
func isaDevices(fwCfg uint16, fwCfgDMA bool, serial []ISAPort, rtc *ISAPort) ([]Term, error) {
	var list []Term
	if fwCfg != 0 {
		list = append(list, fwCfgDevice(fwCfg, fwCfgDMA))
	}
	if len(serial) > 9 {
		return nil, fmt.Errorf("acpi: %d serial ports, at most 9 can be named", len(serial))
	}
	// The ISA bus lists what was added last first.
	for i, port := range slices.Backward(serial) {
		list = append(list, serialDevice(i+1, port))
	}
	if rtc != nil {
		list = append(list, rtcDevice(*rtc))
	}
	return list, nil
}

func serialDevice(number int, port ISAPort) Term {
	return Device(fmt.Sprintf("COM%d", number),
		Name("_HID", EISAID("PNP0501")),
		Name("_UID", Integer(number)),
		Name("_STA", Integer(0xf)),
		Name("_CRS", ResourceTemplate(
			IO{Min: port.Base, Max: port.Base, Len: 8},
			IRQNoFlags(port.IRQ),
		)),
	)
}

// rtcDevice claims eight ports, as real chips do; only two are used.
func rtcDevice(port ISAPort) Term {
	return Device("RTC",
		Name("_HID", EISAID("PNP0B00")),
		Name("_CRS", ResourceTemplate(
			IO{Min: port.Base, Max: port.Base, Align: 1, Len: 8},
			IRQNoFlags(port.IRQ),
		)),
	)
}

func fwCfgDevice(base uint16, dma bool) Term {
	size := uint8(2) // selector and data
	if dma {
		size = 12 // and, after a gap, the 64-bit DMA address
	}
	return Device("FWCF",
		Name("_HID", String("QEMU0002")),
		Name("_STA", Integer(0xb)), // present and working, but not shown to users
		Name("_CRS", ResourceTemplate(IO{Min: base, Max: base, Align: 1, Len: size})),
	)
}
