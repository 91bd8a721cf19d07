package qdev

import (
	"fmt"
	"strings"

	"github.com/gqemu/gqemu/qom"
)

// Prop is a property a client sets on a new device.
type Prop struct {
	Name  string
	Value qom.Value
}

// Request is a -device or device_add.
type Request struct {
	Driver string // type name; required
	ID     string // "" for an anonymous device
	Bus    string // bus= path; "" takes the first fitting bus with room
	Props  []Prop // in the order in which they are set
}

// HintError is an error with a line of advice that follows it on a
// terminal; QMP clients do not see it.
type HintError struct {
	Err  error
	Hint string
}

func (e *HintError) Error() string { return e.Err.Error() }
func (e *HintError) Unwrap() error { return e.Err }

// ErrorHint is the advice as it is printed, with its line end.
func (e *HintError) ErrorHint() string { return e.Hint + "\n" }

// CheckID tells whether an id is well-formed.
func CheckID(id string) error {
	ok := id != "" && isLetter(id[0])
	for i := 1; ok && i < len(id); i++ {
		ok = isLetter(id[i]) || id[i] >= '0' && id[i] <= '9' || strings.IndexByte("-._", id[i]) >= 0
	}
	if ok {
		return nil
	}
	return &HintError{
		Err:  fmt.Errorf("Parameter 'id' expects an identifier"),
		Hint: "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.",
	}
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// DeviceType finds the type that a user may create under a driver name.
func (h *Host) DeviceType(driver string) (*qom.Type, error) {
	t := h.Types.Lookup(driver)
	if t == nil || !t.IsA("device") {
		return nil, fmt.Errorf("'%s' is not a valid device model name", driver)
	}
	if t.Abstract {
		return nil, fmt.Errorf("Parameter 'driver' expects a non-abstract device type")
	}
	c := ClassOf(t)
	if c.NotUserCreatable || h.Ready && c.NotHotpluggable {
		return nil, fmt.Errorf("Parameter 'driver' expects a pluggable device type")
	}
	return t, nil
}

// Add makes, places and realizes a device. On failure nothing is left.
func (h *Host) Add(r Request) (Device, error) {
	if r.Driver == "" {
		return nil, fmt.Errorf("Parameter 'driver' is missing")
	}
	t, err := h.DeviceType(r.Driver)
	if err != nil {
		return nil, err
	}
	bus, err := h.chooseBus(t, r)
	if err != nil {
		return nil, err
	}
	if h.Ready && bus != nil && bus.hotplug == nil {
		return nil, fmt.Errorf("Bus '%s' does not support hotplugging", bus.name)
	}
	d, err := h.New(r.Driver)
	if err != nil {
		return nil, err
	}
	if err := h.place(d, r, bus); err != nil {
		Delete(d)
		return nil, err
	}
	return d, nil
}

func (h *Host) chooseBus(t *qom.Type, r Request) (*Bus, error) {
	want := ClassOf(t).BusType
	if r.Bus != "" {
		bus, err := h.FindBus(r.Bus)
		if err != nil {
			return nil, err
		}
		if !qom.IsA(bus, want) {
			return nil, fmt.Errorf("Device '%s' can't go on %s bus", t.Name, bus.TypeName())
		}
		return bus, nil
	}
	if want == "" {
		return nil, nil
	}
	bus := h.SysBus.search("", want)
	if bus == nil || bus.Full() {
		return nil, fmt.Errorf("No '%s' bus found for device '%s'", want, t.Name)
	}
	return bus, nil
}

func (h *Host) place(d Device, r Request, bus *Bus) error {
	s := d.Qdev()
	if r.ID != "" {
		if qom.Child(h.Peripheral, r.ID) != nil {
			return fmt.Errorf("Duplicate device ID '%s'", r.ID)
		}
		s.id = r.ID
		if err := qom.AddChild(h.Peripheral, r.ID, d); err != nil {
			return err
		}
	} else if err := qom.AddChild(h.PeripheralAnon, "device[*]", d); err != nil {
		return err
	}
	for _, p := range r.Props {
		if err := qom.Set(d, p.Name, p.Value); err != nil {
			return err
		}
	}
	if bus != nil {
		if err := bus.Attach(d); err != nil {
			return err
		}
	}
	return Realize(d)
}

// NotFoundError is a device that does not exist.
type NotFoundError struct{ ID string }

func (e *NotFoundError) Error() string { return fmt.Sprintf("Device '%s' not found", e.ID) }

// QAPIClass is the QMP error class.
func (e *NotFoundError) QAPIClass() string { return "DeviceNotFound" }

// Find resolves the id of device_del and friends: an id, or a path.
func (h *Host) Find(id string) (Device, error) {
	var o qom.Object
	if strings.HasPrefix(id, "/") {
		o, _ = qom.Resolve(h.Root, id, "")
	} else {
		o = h.Peripheral
		if id != "" {
			o = qom.Child(h.Peripheral, id)
		}
	}
	if o == nil {
		return nil, &NotFoundError{id}
	}
	d, ok := o.(Device)
	if !ok {
		return nil, fmt.Errorf("%s is not a hotpluggable device", id)
	}
	return d, nil
}

// Unplug starts the removal of a device. It is complete when the bus's
// handler says so.
func (h *Host) Unplug(d Device) error {
	s := d.Qdev()
	if s.unplugging {
		return fmt.Errorf("Device %s is already in the process of unplug", s.id)
	}
	if s.bus != nil && s.bus.hotplug == nil {
		return fmt.Errorf("Bus '%s' does not support hotplugging", s.bus.name)
	}
	if !s.Hotpluggable() || s.bus == nil {
		return fmt.Errorf("Device '%s' does not support hotplugging", s.TypeName())
	}
	return s.bus.hotplug.UnplugRequest(d)
}
