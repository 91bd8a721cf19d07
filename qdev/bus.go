package qdev

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gqemu/gqemu/qom"
)

// Bus is what devices sit on. It is an object of a type derived from "bus".
type Bus struct {
	qom.State
	name    string
	owner   Device // the device that provides it, nil for the main system bus
	devices []Device
	nextIdx int
	max     int // devices it takes, 0 for any number
	hotplug HotplugHandler
	// FWPath names a device on this bus in firmware paths, "" for not at all;
	// nil uses the device's FWName alone.
	FWPath func(Device) string
	// Check refuses a device before it is put on the bus; nil takes all.
	Check func(Device) error
}

// HotplugHandler makes devices come and go on a bus while the VM runs.
type HotplugHandler interface {
	// Plug follows a device's realize.
	Plug(Device) error
	// UnplugRequest asks for a device to go: at once, or when the guest
	// agrees.
	UnplugRequest(Device) error
}

// NewBus makes a bus that dev provides; dev is nil for the main system bus.
// An empty name is made of the device's id or the type, as in "isa.0".
func (h *Host) NewBus(typ, name string, dev Device, max int) (*Bus, error) {
	o, err := h.Types.New(typ)
	if err != nil {
		return nil, err
	}
	b := o.(*Bus)
	b.owner, b.max = dev, max
	switch {
	case name != "":
		b.name = name
	case dev != nil && dev.Qdev().id != "":
		b.name = fmt.Sprintf("%s.%d", dev.Qdev().id, len(dev.Qdev().buses))
	default:
		if h.busIDs == nil {
			h.busIDs = map[string]int{}
		}
		b.name = fmt.Sprintf("%s.%d", strings.ToLower(typ), h.busIDs[typ])
		h.busIDs[typ]++
	}
	if dev != nil {
		if err := qom.AddChild(dev, b.name, b); err != nil {
			return nil, err
		}
		s := dev.Qdev()
		s.buses = append(s.buses, b)
	}
	return b, nil
}

// Remove takes a bus off the device that provides it.
func (b *Bus) Remove() {
	if b.owner != nil {
		s := b.owner.Qdev()
		s.buses = slices.DeleteFunc(s.buses, func(x *Bus) bool { return x == b })
	}
	qom.Unparent(b)
}

// BusName is the bus's name, as in bus=NAME.
func (b *Bus) BusName() string { return b.name }

// Owner is the device that provides the bus, nil for the main system bus.
func (b *Bus) Owner() Device { return b.owner }

// Devices lists what sits on the bus, in the order it came.
func (b *Bus) Devices() []Device { return slices.Clone(b.devices) }

// Full tells whether no further device fits.
func (b *Bus) Full() bool { return b.max > 0 && len(b.devices) >= b.max }

// SetHotplug makes devices on the bus hotpluggable.
func (b *Bus) SetHotplug(h HotplugHandler) { b.hotplug = h }

// Hotplug is the bus's handler, nil where it does not support hotplugging.
func (b *Bus) Hotplug() HotplugHandler { return b.hotplug }

// Reset resets all devices on the bus.
func (b *Bus) Reset() {
	for _, d := range b.Devices() {
		Reset(d)
	}
}

// Attach puts a device on the bus.
func (b *Bus) Attach(d Device) error {
	if b.Check != nil {
		if err := b.Check(d); err != nil {
			return err
		}
	}
	b.devices = append(b.devices, d)
	d.Qdev().bus = b
	name := fmt.Sprintf("child[%d]", b.nextIdx)
	b.nextIdx++
	return qom.AddLink(b, name, d.QOM().TypeName(), func() qom.Object { return d })
}

func (b *Bus) remove(d Device) {
	b.devices = slices.DeleteFunc(b.devices, func(x Device) bool { return x == d })
	d.Qdev().bus = nil
	for _, p := range qom.Properties(b) {
		if p.IsLink() {
			if v, _ := p.Get(b); v == qom.Path(d) {
				qom.RemoveProperty(b, p.Name)
			}
		}
	}
}

// newest lists devices as QEMU's searches meet them: the latest first.
func (b *Bus) newest() []Device {
	d := b.Devices()
	slices.Reverse(d)
	return d
}

// search finds, at b and below, a bus of the given name or type ("" for
// any), one with room if there is one.
func (b *Bus) search(name, typ string) *Bus {
	var full *Bus
	if (name == "" || b.name == name) && (typ == "" || qom.IsA(b, typ)) {
		if name != "" || !b.Full() {
			return b
		}
		full = b
	}
	for _, d := range b.newest() {
		buses := slices.Clone(d.Qdev().buses)
		slices.Reverse(buses)
		for _, c := range buses {
			if f := c.search(name, typ); f != nil {
				if name != "" || !f.Full() {
					return f
				}
				if full == nil {
					full = f
				}
			}
		}
	}
	return full
}

// FindBus resolves the bus= of a device: a bus's name, anywhere, or a path
// of alternating device and bus names that begins with "/" or a bus's name.
func (h *Host) FindBus(path string) (*Bus, error) {
	b := h.SysBus
	elems := strings.Split(strings.Trim(path, "/"), "/")
	if !strings.HasPrefix(path, "/") {
		if b = h.SysBus.search(elems[0], ""); b == nil {
			return nil, fmt.Errorf("Bus '%s' not found", elems[0])
		}
		elems = elems[1:]
	}
	for len(elems) > 0 && elems[0] != "" {
		d := b.findDevice(elems[0])
		if d == nil {
			return nil, &HintError{fmt.Errorf("Device '%s' not found", elems[0]), b.list()}
		}
		buses := d.Qdev().buses
		if len(elems) == 1 {
			switch len(buses) {
			case 0:
				return nil, fmt.Errorf("Device '%s' has no child bus", elems[0])
			case 1:
				b = buses[0]
			default:
				return nil, fmt.Errorf("Device '%s' has multiple child buses", elems[0])
			}
			break
		}
		i := slices.IndexFunc(buses, func(c *Bus) bool { return c.name == elems[1] })
		if i < 0 {
			return nil, fmt.Errorf("Bus '%s' not found", elems[1])
		}
		b, elems = buses[i], elems[2:]
	}
	if b.Full() {
		return nil, fmt.Errorf("Bus '%s' is full", path)
	}
	return b, nil
}

// list is the devices on the bus, as advice to whoever looks for one.
func (b *Bus) list() string {
	out := fmt.Sprintf("devices at \"%s\":", b.name)
	sep := " "
	for _, d := range b.newest() {
		out += fmt.Sprintf("%s\"%s\"", sep, d.QOM().TypeName())
		if id := d.Qdev().id; id != "" {
			out += fmt.Sprintf("/\"%s\"", id)
		}
		sep = ", "
	}
	return out
}

// findDevice finds a device on the bus by id, or else by type.
func (b *Bus) findDevice(name string) Device {
	for _, d := range b.newest() {
		if d.Qdev().id == name {
			return d
		}
	}
	for _, d := range b.newest() {
		if d.QOM().TypeName() == name {
			return d
		}
	}
	return nil
}
