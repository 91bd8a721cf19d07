package acpi

import "encoding/binary"

// FixedFADT describes a platform with ACPI fixed hardware at I/O ports (ACPI
// 6.4 section 4.8): PM1 registers, a power management timer of 24 bits and a
// block of general purpose events. The power button is the fixed one.
type FixedFADT struct {
	SCI uint16 // interrupt, level-triggered, active high
	// A write of Enable to port SMICommand hands the hardware to the
	// operating system, one of Disable takes it back.
	SMICommand      uint16
	Enable, Disable uint8
	// First ports. The event block is 4 bytes long, the control block 2.
	PM1Event, PM1Control, PMTimer, GPE0 uint16
	GPE0Len                             uint8 // bytes
	// ResetPort takes ResetValue to reset the machine.
	ResetPort  uint16
	ResetValue uint8
	// Century is the CMOS byte with the century, 0 for none.
	Century uint8
	I8042   bool
}

// Offsets of the fields of fixed hardware (ACPI 6.4 table 5.9).
const (
	fadtFACS       = 36
	fadtIntModel   = 44 // reserved since ACPI 2.0: 1 is APIC
	fadtSCI        = 46
	fadtSMICommand = 48
	fadtEnable     = 52
	fadtDisable    = 53
	fadtPM1Event   = 56
	fadtPM1Control = 64
	fadtPMTimer    = 76
	fadtGPE0       = 80
	fadtPM1EvtLen  = 88
	fadtPM1CntLen  = 89
	fadtPMTimerLen = 91
	fadtGPE0Len    = 92
	fadtC2Latency  = 96
	fadtC3Latency  = 98
	fadtCentury    = 108
	fadtXPM1Event  = 148
	fadtXPM1Cnt    = 172
	fadtXPMTimer   = 208
	fadtXGPE0      = 220

	fadtRevision3Len = 244

	fadtWBINVD        = 1 << 0
	fadtProcC1        = 1 << 2
	fadtNoSleepButton = 1 << 5
	fadtRTCS4         = 1 << 7
	fadtPlatformClock = 1 << 15 // the timer is to be preferred over the TSC

	noSuchState = 0xfff // microseconds: longer than any that counts as C2 or C3
)

// build makes the table, of revision 3 as QEMU's for PCs.
func (f FixedFADT) build(oem OEM, facs, dsdt uint64) []byte {
	t := newTable("FACP", 3, oem)
	t.zero(fadtRevision3Len - headerLen)
	le := binary.LittleEndian
	le.PutUint32(t[fadtFACS:], uint32(facs))
	le.PutUint32(t[fadtDSDT:], uint32(dsdt))
	le.PutUint64(t[fadtXDSDT:], dsdt)
	t[fadtIntModel] = 1
	le.PutUint16(t[fadtSCI:], f.SCI)
	le.PutUint32(t[fadtSMICommand:], uint32(f.SMICommand))
	t[fadtEnable], t[fadtDisable] = f.Enable, f.Disable
	for _, b := range []struct {
		port            uint16
		len             uint8
		old, oldLen, at int
	}{
		{f.PM1Event, 4, fadtPM1Event, fadtPM1EvtLen, fadtXPM1Event},
		{f.PM1Control, 2, fadtPM1Control, fadtPM1CntLen, fadtXPM1Cnt},
		{f.PMTimer, 4, fadtPMTimer, fadtPMTimerLen, fadtXPMTimer},
		{f.GPE0, f.GPE0Len, fadtGPE0, fadtGPE0Len, fadtXGPE0},
	} {
		le.PutUint32(t[b.old:], uint32(b.port))
		t[b.oldLen] = b.len
		GenericAddress{Space: SystemIO, BitWidth: 8 * b.len, Address: uint64(b.port)}.put(t[b.at:])
	}
	le.PutUint16(t[fadtC2Latency:], noSuchState)
	le.PutUint16(t[fadtC3Latency:], noSuchState)
	t[fadtCentury] = f.Century
	if f.I8042 {
		le.PutUint16(t[fadtBootArch:], fadtBootArch8042)
	}
	le.PutUint32(t[fadtFlags:], fadtWBINVD|fadtProcC1|fadtNoSleepButton|fadtRTCS4|fadtPlatformClock|fadtResetRegSup)
	GenericAddress{Space: SystemIO, BitWidth: 8, Address: uint64(f.ResetPort)}.put(t[fadtResetReg:])
	t[fadtResetValue] = f.ResetValue
	return t.finish()
}
