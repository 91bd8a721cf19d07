package i386

import (
	"encoding/binary"

	"github.com/gqemu/gqemu/accel"
)

// mpTableAddr is where the tables of the MultiProcessor specification go
// without ACPI: in the area of the BIOS, where kernels look for them.
const mpTableAddr = 0xf0000

// Sizes and entry types (MultiProcessor specification 1.4, chapter 4).
const (
	mpFloatingLen = 16
	mpHeaderLen   = 44
	mpProcessor   = 0
	mpBus         = 1
	mpIOAPIC      = 2
	mpIOInterrupt = 3
	mpLocal       = 4

	mpEnabled = 1 << 0 // of processors and IOAPICs
	mpBoot    = 1 << 1

	mpINT, mpNMI, mpExtINT = 0, 1, 3

	lapicVersion  = 0x14
	ioapicVersion = 0x20
)

// mpTable is the floating pointer structure at addr and the configuration
// table behind it. It tells a guest without ACPI of its processors and of the
// IOAPIC, to whose pins the ISA lines lead, line 0 to pin 2.
func mpTable(cpus []accel.CPUConfig, addr uint32) []byte {
	le := binary.LittleEndian
	t := make([]byte, mpHeaderLen)
	count := 0
	add := func(entry ...byte) {
		t = append(t, entry...)
		count++
	}
	for _, c := range cpus {
		flags := byte(mpEnabled)
		if c.Index == 0 {
			flags |= mpBoot
		}
		e := make([]byte, 20)
		copy(e, []byte{mpProcessor, byte(c.APICID), lapicVersion, flags})
		for _, l := range c.CPUID {
			if l.Function == 1 {
				le.PutUint32(e[4:], l.EAX)
				le.PutUint32(e[8:], l.EDX)
			}
		}
		add(e...)
	}
	add(mpBus, 0, 'I', 'S', 'A', ' ', ' ', ' ')
	add(le.AppendUint32([]byte{mpIOAPIC, 0, ioapicVersion, mpEnabled}, ioapicBase)...)
	for line := range byte(isaLines) {
		pin := line
		switch line {
		case 0:
			pin = 2
		case 2: // the cascade of the PICs
			continue
		}
		add(mpIOInterrupt, mpINT, 0, 0, 0, line, 0, pin)
	}
	add(mpLocal, mpExtINT, 0, 0, 0, 0, 0, 0) // LINT0 of the boot CPU
	add(mpLocal, mpNMI, 0, 0, 0, 0, 0xff, 1) // LINT1 of all

	copy(t, "PCMP")
	le.PutUint16(t[4:], uint16(len(t)))
	t[6] = 4 // 1.4
	copy(t[8:], "BOCHSCPU0.1         ")
	le.PutUint16(t[34:], uint16(count))
	le.PutUint32(t[36:], 0xfee00000) // local APICs
	t[7] = checksum(t)

	f := make([]byte, mpFloatingLen, mpFloatingLen+len(t))
	copy(f, "_MP_")
	le.PutUint32(f[4:], addr+mpFloatingLen)
	f[8], f[9] = mpFloatingLen/16, 4
	f[10] = checksum(f)
	return append(f, t...)
}

// checksum makes the sum of all bytes zero.
func checksum(b []byte) byte {
	var sum byte
	for _, c := range b {
		sum += c
	}
	return -sum
}
