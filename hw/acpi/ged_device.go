package acpi

import (
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// GEDDevice is the "acpi-ged" device, the hardware behind the ACPI0013 node
// that [GED] describes: an event selector with an interrupt, and the
// platform's sleep and reset registers (ACPI 6.4 sections 4.8.3.7, 4.8.3.6
// and 5.6.9).
type GEDDevice struct {
	qdev.SysBus
	events uint32 // GEDEvent bits that the device reports

	// OnReset and OnPowerOff are what the guest's writes cause. Nil ignores
	// them. Called with the VM lock held, from within the guest's access.
	OnReset, OnPowerOff func()

	irq     *qdev.IRQ
	pending uint32 // the event selector
}

// Regions of the device, as MapMMIO numbers them.
const (
	GEDSelectorRegion = 0
	GEDMemHPRegion    = 1 // for memory hotplug, which no machine here has
	GEDRegsRegion     = 2
)

const memHPLen = 24 // bytes

// Realize makes the regions and the interrupt output.
func (d *GEDDevice) Realize(*qdev.Host) error {
	for _, r := range []*memory.Region{
		memory.NewIO("acpi-ged", GEDSelectorLen, memory.OpsFuncs{ReadFunc: d.readSelector},
			memory.Access{ValidMin: 4, ValidMax: 4}),
		memory.NewContainer("memhp container", memHPLen),
		memory.NewIO("acpi-ged-regs", GEDRegCount, memory.OpsFuncs{WriteFunc: d.writeReg},
			memory.Access{ValidMax: 1}),
	} {
		if err := d.InitMMIO(r); err != nil {
			return err
		}
	}
	return d.InitIRQ(&d.irq)
}

// Reset forgets events that the guest has not seen.
func (d *GEDDevice) Reset() { d.pending = 0 }

// PowerButton presses the power button. It tells whether the device reports
// the button at all.
func (d *GEDDevice) PowerButton() bool {
	if d.events&GEDEventPowerDown == 0 {
		return false
	}
	d.pending |= GEDEventPowerDown
	d.irq.Pulse()
	return true
}

// readSelector gives the pending events and forgets them.
func (d *GEDDevice) readSelector(uint64, int) uint64 {
	events := d.pending
	d.pending = 0
	return uint64(events)
}

func (d *GEDDevice) writeReg(offset, value uint64, _ int) {
	switch offset {
	case GEDRegSleepControl:
		typ := value >> SleepTypeShift & SleepTypeMask
		if value&SleepEnable != 0 && typ == SleepTypeS5 && d.OnPowerOff != nil {
			d.OnPowerOff()
		}
	case GEDRegReset:
		if value == GEDResetValue && d.OnReset != nil {
			d.OnReset()
		}
	}
}

// RegisterTypes adds the generic event device.
func RegisterTypes(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "acpi-ged", Parent: "sys-bus-device",
		New: func() qom.Object { return new(GEDDevice) },
		Class: &qdev.Class{BusType: "System", Desc: "ACPI Generic Event Device",
			NotUserCreatable: true, NotHotpluggable: true},
		Properties: []*qom.Property{
			qdev.Field("ged-event", func(d *GEDDevice) *uint32 { return &d.events }, 0),
		},
	})
}
