package acpi

import (
	"encoding/binary"
	"fmt"
)

// FADT flags and boot architecture flags (ACPI 6.4 tables 5.10 and 5.11).
const (
	fadtResetRegSup   = 1 << 10
	fadtHWReducedACPI = 1 << 20
	fadtBootArch8042  = 1 << 1
	fadtBootArchNoRTC = 1 << 5
)

// Offsets of the fields that a hardware-reduced platform fills in (ACPI 6.4
// table 5.9); all the others are zero there.
const (
	fadtDSDT         = 40
	fadtBootArch     = 109
	fadtFlags        = 112
	fadtResetReg     = 116
	fadtResetValue   = 128
	fadtXDSDT        = 140
	fadtSleepControl = 244
	fadtSleepStatus  = 256
	fadtHypervisorID = 268

	fadtRevision5Len = 268
	fadtRevision6Len = 276
)

// FADT describes a hardware-reduced platform: no fixed power management
// hardware, but a sleep control and a sleep status register, both one byte
// wide (ACPI 6.4 section 4.8.3.7), and a reset register.
type FADT struct {
	// Revision is 5, QEMU's choice for microvm, or 6; 0 means 5.
	Revision byte
	// I8042 says that a PS/2 controller is present.
	I8042 bool
	// NoRTC says that there is no CMOS clock at its usual ports.
	NoRTC bool
	// SleepControl and SleepStatus are where the guest asks for a sleep
	// state and learns of a wake-up.
	SleepControl, SleepStatus GenericAddress
	// Reset is where writing ResetValue resets the machine.
	Reset      GenericAddress
	ResetValue uint8
	// HypervisorVendor is an identification; revision 6 only.
	HypervisorVendor [8]byte
}

// build makes the table for a DSDT at a guest-physical address.
func (f FADT) build(oem OEM, dsdt uint64) ([]byte, error) {
	length := fadtRevision5Len
	switch f.Revision {
	case 0:
		f.Revision = 5
	case 5:
	case 6:
		length = fadtRevision6Len
	default:
		return nil, fmt.Errorf("acpi: FADT revision %d is not supported", f.Revision)
	}
	t := newTable("FACP", f.Revision, oem)
	t.zero(length - headerLen)
	le := binary.LittleEndian
	if dsdt < 1<<32 {
		le.PutUint32(t[fadtDSDT:], uint32(dsdt))
	}
	le.PutUint64(t[fadtXDSDT:], dsdt)
	var arch uint16
	if f.I8042 {
		arch |= fadtBootArch8042
	}
	if f.NoRTC {
		arch |= fadtBootArchNoRTC
	}
	le.PutUint16(t[fadtBootArch:], arch)
	flags := uint32(fadtHWReducedACPI)
	if f.Reset != (GenericAddress{}) {
		flags |= fadtResetRegSup
	}
	le.PutUint32(t[fadtFlags:], flags)
	f.Reset.put(t[fadtResetReg:])
	t[fadtResetValue] = f.ResetValue
	f.SleepControl.put(t[fadtSleepControl:])
	f.SleepStatus.put(t[fadtSleepStatus:])
	if f.Revision >= 6 {
		copy(t[fadtHypervisorID:], f.HypervisorVendor[:])
	}
	return t.finish(), nil
}
