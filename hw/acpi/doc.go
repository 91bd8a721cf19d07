// Package acpi builds the ACPI tables a machine hands to its guest.
//
// It has two halves. The lower one is an assembler for AML, the byte code of
// the DSDT (ACPI 6.4 chapter 20): typed terms such as [Device], [Method] or
// [ResourceTemplate] are composed in Go and turned into bytes by [Assemble].
// The upper one writes the fixed-layout tables (RSDP, XSDT, FADT, MADT) and,
// in [BuildMicrovm], the complete set of a microvm machine, linked for the
// guest-physical address it will be placed at.
//
// Both are pure functions of their arguments: bytes out, no guest memory.
// Values may be used from any goroutine as long as they are not modified at
// the same time. Beside them stands the one device that only ACPI knows of,
// the generic event device.
package acpi
