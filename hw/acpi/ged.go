package acpi

// The generic event device of hardware-reduced QEMU machines has two register
// blocks. The first one is a single 32-bit register, the event selector: a
// read returns the pending events as a bit mask and clears them. The second
// one, [GEDRegCount] bytes, holds the platform's sleep and reset registers,
// which the FADT points to.
const (
	GEDSelectorLen = 4 // bytes

	GEDEventMemoryHotplug uint32 = 1 << 0
	GEDEventPowerDown     uint32 = 1 << 1 // the power button was pressed

	GEDRegSleepControl = 0
	GEDRegSleepStatus  = 1
	GEDRegReset        = 2
	GEDRegCount        = 3

	// GEDResetValue resets the machine when written to GEDRegReset.
	GEDResetValue = 0x42

	// SleepTypeS5 in bits 2 to 4 of the sleep control register, together
	// with SleepEnable, powers the machine off (ACPI 6.4 table 4.18).
	SleepTypeS5    = 5
	SleepTypeShift = 2
	SleepTypeMask  = 7
	SleepEnable    = 1 << 5
)

// notifyButtonPressed is the notification value of a power button (ACPI 6.4
// table 5.159).
const notifyButtonPressed Integer = 0x80

// GED is where the generic event device lives and which events it reports.
type GED struct {
	SelectorAddr uint64 // guest-physical address of the event selector
	RegsAddr     uint64 // guest-physical address of the sleep and reset registers
	GSI          uint32 // edge-triggered, active high
	// PowerButton makes the device report [GEDEventPowerDown] to a PNP0C0C
	// power button.
	PowerButton bool
}

// device is the ACPI0013 node. Its _EVT method runs on each interrupt and
// turns the event bits into notifications (ACPI 6.4 section 5.6.9).
func (g GED) device() Term {
	evt := []Term{Store(Path("ESEL"), Local(0))}
	if g.PowerButton {
		bit := Integer(GEDEventPowerDown)
		evt = append(evt, If(LEqual(And(Local(0), bit, Discard), bit),
			Notify(Path("PWRB"), notifyButtonPressed)))
	}
	return Device("GED",
		Name("_HID", String("ACPI0013")),
		Name("_UID", String("GED")),
		Name("_CRS", ResourceTemplate(Interrupt{Consumer: true, Edge: true, GSIs: []uint32{g.GSI}})),
		OperationRegion("EREG", SystemMemory, g.SelectorAddr, GEDSelectorLen),
		Field("EREG", DWordAcc|WriteAsZeros, FieldUnit{"ESEL", 8 * GEDSelectorLen}),
		// Serialized: the selector is cleared by the read.
		Method("_EVT", 1, true, evt...),
	)
}

func powerButton() Term {
	return Device("PWRB",
		Name("_HID", String("PNP0C0C")),
		Name("_UID", Integer(0)),
	)
}

func (g GED) register(offset uint64) GenericAddress {
	return GenericAddress{Space: SystemMemory, BitWidth: 8, Address: g.RegsAddr + offset}
}
