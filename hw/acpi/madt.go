package acpi

import "fmt"

// Interrupt controller structure types (ACPI 6.4 table 5.21).
const (
	madtLocalAPIC         = 0
	madtIOAPIC            = 1
	madtSourceOverride    = 2
	madtLocalAPICNMI      = 4
	madtLocalX2APIC       = 9
	madtLocalX2APICNMI    = 10
	madtFlagPCATCompat    = 1
	madtProcessorEnabled  = 1
	madtRevision          = 3
	maxXAPICID            = 254
	allProcessors8        = 0xff
	allProcessors32       = 0xffffffff
	nmiPin                = 1 // LINT1, where PCs have always wired NMI
	localAPICDefaultPAddr = 0xfee00000
)

// CPU is one processor slot. Its position in [MADT.CPUs] is its ACPI
// processor UID.
type CPU struct {
	APICID uint32
	// Absent marks a slot that may only be filled later.
	Absent bool
}

// IOAPIC is an I/O interrupt controller whose first pin is the global system
// interrupt GSIBase.
type IOAPIC struct {
	ID      uint8
	Addr    uint32
	GSIBase uint32
}

// SourceOverride says that the ISA interrupt Source arrives as GSI, with the
// MPS INTI flags Flags (0 conforms to the bus, 0xd is level, active high).
type SourceOverride struct {
	Source uint8
	GSI    uint32
	Flags  uint16
}

// MADT describes the interrupt controllers of an x86 machine (ACPI 6.4
// section 5.2.12). LINT1 of all processors is NMI.
type MADT struct {
	// LocalAPICAddr is 0xfee00000 when zero.
	LocalAPICAddr uint32
	// CPUs with an APIC id above 254 become x2APIC entries.
	CPUs      []CPU
	IOAPICs   []IOAPIC
	Overrides []SourceOverride
}

func (m MADT) build(oem OEM) ([]byte, error) {
	if len(m.CPUs) == 0 {
		return nil, fmt.Errorf("acpi: a MADT without processors")
	}
	t := newTable("APIC", madtRevision, oem)
	if m.LocalAPICAddr == 0 {
		m.LocalAPICAddr = localAPICDefaultPAddr
	}
	t.u32(m.LocalAPICAddr)
	t.u32(madtFlagPCATCompat)
	x2apic := false
	for uid, cpu := range m.CPUs {
		var flags uint32
		if !cpu.Absent {
			flags = madtProcessorEnabled
		}
		if cpu.APICID <= maxXAPICID && uid < allProcessors8 {
			t.u8(madtLocalAPIC, 8, uint8(uid), uint8(cpu.APICID))
			t.u32(flags)
			continue
		}
		x2apic = x2apic || cpu.APICID > maxXAPICID
		t.u8(madtLocalX2APIC, 16, 0, 0)
		t.u32(cpu.APICID)
		t.u32(flags)
		t.u32(uint32(uid))
	}
	for _, io := range m.IOAPICs {
		t.u8(madtIOAPIC, 12, io.ID, 0)
		t.u32(io.Addr)
		t.u32(io.GSIBase)
	}
	for _, o := range m.Overrides {
		t.u8(madtSourceOverride, 10, 0 /* ISA */, o.Source)
		t.u32(o.GSI)
		t.u16(o.Flags)
	}
	if x2apic {
		t.u8(madtLocalX2APICNMI, 12)
		t.u16(0)
		t.u32(allProcessors32)
		t.u8(nmiPin, 0, 0, 0)
	} else {
		t.u8(madtLocalAPICNMI, 6, allProcessors8)
		t.u16(0)
		t.u8(nmiPin)
	}
	return t.finish(), nil
}
