package pci

import (
	"fmt"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
)

// Parent is a device that provides a PCI bus: a host bridge or a bridge.
type Parent interface {
	qdev.Device
	PCIBus() *Bus
}

const slots = 32

// pins is the number of interrupt lines of a slot.
const pins = 4

// Bus is a PCI bus.
type Bus struct {
	Qdev    *qdev.Bus
	devices [slots * 8]*Function
	express bool
	// bridge is the one that leads to the bus, nil for a root bus.
	bridge *Function
	// mem and ports hold the regions of the functions behind.
	mem, ports *memory.Region
	// onlySlot0 is a link: it has room for one device.
	onlySlot0 bool

	// Root buses: where a slot's pin (0 is INTA) leads, and that line.
	route  func(devfn, pin int) int
	line   func(n int, level bool)
	counts []int // functions that pull each line
}

// NewRootBus makes the bus of a host bridge. mem and ports are the containers
// for what functions map. route tells which of lines interrupt lines pin, 0
// to 3, of a device leads to; line drives one.
func NewRootBus(h *qdev.Host, typ, name string, owner qdev.Device, mem, ports *memory.Region,
	lines int, route func(devfn, pin int) int, line func(n int, level bool)) (*Bus, error) {
	q, err := h.NewBus(typ, name, owner, 0)
	if err != nil {
		return nil, err
	}
	return &Bus{Qdev: q, express: typ == "PCIE", mem: mem, ports: ports,
		route: route, line: line, counts: make([]int, lines)}, nil
}

// Root tells whether the bus is that of a host bridge.
func (b *Bus) Root() bool { return b.bridge == nil }

// Number is the bus number: 0 for a root bus, else what the guest has given.
func (b *Bus) Number() int {
	if b.Root() {
		return 0
	}
	return int(b.bridge.u8(regSecondary))
}

// Functions lists what sits on the bus by address.
func (b *Bus) Functions() []*Function {
	var out []*Function
	for _, f := range b.devices {
		if f != nil {
			out = append(out, f)
		}
	}
	return out
}

// At is the function at an address, nil for none. A slot of a link other than
// the first does not answer.
func (b *Bus) At(devfn int) *Function { return b.devices[devfn&0xff] }

// occupied follows a device that came or went: the slot above shows it.
func (b *Bus) occupied() {
	if b.bridge != nil && b.bridge.exp != nil && b.bridge.exp.slot != nil {
		b.bridge.exp.slot.changed()
	}
}

// find is the bus of a number, at b or below it.
func (b *Bus) find(number int) *Bus {
	if b.Number() == number {
		return b
	}
	for _, f := range b.devices {
		if f == nil || f.bridge == nil {
			continue
		}
		if n := int(f.u8(regSecondary)); n == 0 || n > number || int(f.u8(regSubordinate)) < number {
			continue
		}
		if found := f.bridge.bus.find(number); found != nil {
			return found
		}
	}
	return nil
}

// place gives the function its address on a bus.
func (f *Function) place(b *Bus) error {
	name := f.TypeName()
	at := int(f.addr)
	if at < 0 {
		for at = 0; at < len(b.devices) && b.devices[at] != nil; at += 8 {
		}
		if at >= len(b.devices) {
			return fmt.Errorf("PCI: no slot/function available for %s, all in use or reserved", name)
		}
	}
	if other := b.devices[at]; other != nil {
		return fmt.Errorf("PCI: slot %d function %d not available for %s, in use by %s,id=%s",
			at>>3, at&7, name, other.TypeName(), orNull(other.ID()))
	}
	first := b.devices[at&^7]
	if f.Hotplugged() && first != nil && at&7 != 0 {
		return fmt.Errorf("PCI: slot %d function 0 already occupied by %s, new func %s cannot be exposed to guest.",
			at>>3, first.TypeName(), name)
	}
	if err := f.checkMultifunction(b, at); err != nil {
		return err
	}
	f.bus, f.devfn, f.addr = b, at, int32(at)
	b.devices[at] = f
	if b.onlySlot0 && at>>3 != 0 && f.Host().Report != nil {
		f.Host().Report(fmt.Sprintf("warning: PCI: slot %d is not valid for %s, parent device only allows plugging into slot 0.",
			at>>3, name))
	}
	return nil
}

// checkMultifunction holds a slot to its function 0: either it says that there
// are others, or there are none.
func (f *Function) checkMultifunction(b *Bus, at int) error {
	slot := at >> 3
	if at&7 != 0 {
		first := b.devices[at&^7]
		if first != nil && !first.flag(flagMultifunction) {
			return fmt.Errorf("PCI: single function device can't be populated in function %x.%x", slot, at&7)
		}
		return nil
	}
	if f.flag(flagMultifunction) {
		return nil
	}
	for n := 1; n < 8; n++ {
		if b.devices[at+n] != nil {
			return fmt.Errorf("PCI: %x.0 indicates single function, but %x.%x is already populated.", slot, slot, n)
		}
	}
	return nil
}

func orNull(id string) string {
	if id == "" {
		return "(null)"
	}
	return id
}
