package qdev

// Pather is a bus's owner that says where the devices on the bus are, as their
// saved state would be named: "0000:00:02.0".
type Pather interface {
	// DevicePath is the place of a device on one of the owner's buses.
	DevicePath(d Device) string
}

// DevPath is the place of a device, "" if its bus has no names for places.
func DevPath(d Device) string {
	b := d.Qdev().Bus()
	if b == nil {
		return ""
	}
	if p, ok := b.Owner().(Pather); ok {
		return p.DevicePath(d)
	}
	return ""
}
