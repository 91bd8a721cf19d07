package acpi

import "fmt"

// PCIHost describes a PCI Express host bridge like q35's, with the LPC bridge
// of an ICH9 at 1f.0 behind it.
type PCIHost struct {
	// ECAM is where configuration space for buses 0 to 255 is.
	ECAM uint64
	// Memory are the windows below 4 GiB, High the one above.
	Memory []Window
	High   Window
	// Slots are the device and function numbers on the root bus, (slot << 16
	// | function), that get an object.
	Slots []uint32
}

const (
	mcfgRevision = 1
	lpcName      = "SF8"
	lpcAddr      = 0x1f0000
	oscPCI       = UUID("33db4d5b-1ff7-401c-9657-7441c03dd766")

	// Bits of the capabilities that an operating system asks for (PCI Firmware
	// 3.2 section 4.5): it may have all but native hotplug.
	oscGranted = 0x1e

	oscUnknownUUID     = 1 << 2
	oscUnknownRevision = 1 << 3
	oscMasked          = 1 << 4

	pirqLines   = 8
	firstGSI    = 16 // of PIRQA at the IOAPIC
	pirqDisable = 0x80
)

// buildMCFG tells where configuration space is memory-mapped (PCI Firmware 3.2
// section 4.1.2).
func buildMCFG(oem OEM, base uint64) []byte {
	t := newTable("MCFG", mcfgRevision, oem)
	t.u64(0)
	t.u64(base)
	t.u16(0)      // segment
	t.u8(0, 0xff) // buses
	t.u32(0)
	return t.finish()
}

// objects are those of the bridge and of what is on it; lpc are the devices on
// the ISA bus, and besides those directly below the bridge.
func (p *PCIHost) objects(lpc, besides []Term) []Term {
	crs := []Resource{
		WordBusNumber{0, 0xff},
		IO{Min: 0xcf8, Max: 0xcf8, Align: 1, Len: 8},
		WordIO{0, 0xcf7},
		WordIO{0xd00, 0xffff},
		DWordMemory{Window{0xa0000, 0xbffff}, true},
	}
	for _, w := range p.Memory {
		crs = append(crs, DWordMemory{w, false})
	}
	if p.High.Last > p.High.First {
		crs = append(crs, QWordMemory{Base: p.High.First, Len: p.High.Last - p.High.First + 1, Cacheable: true})
	}
	bridge := append([]Term{
		Name("_HID", EISAID("PNP0A08")),
		Name("_CID", EISAID("PNP0A03")),
		Name("_ADR", Integer(0)),
		Name("_UID", Integer(0)),
		oscMethod(),
		Name("_CRS", ResourceTemplate(crs...)),
	}, prtObjects()...)
	bridge = append(bridge, besides...)
	for _, s := range p.Slots {
		if s != lpcAddr {
			bridge = append(bridge, Device(slotName(s), Name("_ADR", Integer(s))))
		}
	}
	bridge = append(bridge, Device(lpcName, append([]Term{
		Name("_ADR", Integer(lpcAddr)),
		OperationRegion("PIRQ", PCIConfig, 0x60, 0x0c),
	}, lpc...)...))
	sb := []Term{
		Device("PCI0", bridge...),
		Device("DRAC",
			Name("_HID", String("PNP0C01")),
			Name("_CRS", ResourceTemplate(DWordMemory{Window{p.ECAM, p.ECAM + 256<<20 - 1}, false})),
		),
		Field("PCI0."+lpcName+".PIRQ", ByteAcc,
			FieldUnit{"PRQA", 8}, FieldUnit{"PRQB", 8}, FieldUnit{"PRQC", 8}, FieldUnit{"PRQD", 8}, FieldUnit{"", 32},
			FieldUnit{"PRQE", 8}, FieldUnit{"PRQF", 8}, FieldUnit{"PRQG", 8}, FieldUnit{"PRQH", 8}),
	}
	sb = append(sb, linkMethods()...)
	for n := range pirqLines {
		sb = append(sb, picLink(n))
	}
	for n := range pirqLines {
		sb = append(sb, apicLink(n))
	}
	return []Term{
		Name("PICF", Integer(0)),
		Method("_PIC", 1, false, Store(Arg(0), Path("PICF"))),
		Scope("_SB", sb...),
	}
}

// slotName is the name of the object of a device and function on the root bus,
// as in "S08".
func slotName(addr uint32) string { return fmt.Sprintf("S%02X", addr>>16<<3|addr&7) }

// oscMethod lets the operating system take over what the platform leaves to it
// (ACPI 6.4 section 6.2.11).
func oscMethod() Term {
	word := func(offset int, name string) Term { return CreateDWordField(Arg(3), Integer(offset), name) }
	fail := func(bits int) Term { return Or(Path("CDW1"), Integer(bits), Path("CDW1")) }
	return Method("_OSC", 4, false,
		word(0, "CDW1"),
		If(LEqual(Arg(0), oscPCI),
			word(4, "CDW2"),
			word(8, "CDW3"),
			Store(Path("CDW3"), Local(0)),
			And(Local(0), Integer(oscGranted), Local(0)),
			If(LNot(LEqual(Arg(1), Integer(1))), fail(oscUnknownRevision)),
			If(LNot(LEqual(Path("CDW3"), Local(0))), fail(oscMasked)),
			Store(Local(0), Path("CDW3")),
		),
		Else(fail(oscUnknownUUID)),
		Return(Arg(3)),
	)
}

// pirqOf is the interrupt line, 0 for PIRQA, of a slot's pin on the root bus.
// It is what the chipset's registers say after a reset.
func pirqOf(slot, pin int) int {
	switch {
	case slot == 30:
		return 4 + pin
	case slot >= 25:
		return pin
	}
	return 4 + (slot+pin)%4
}

// prtObjects are the routing tables for PIC and APIC mode (ACPI 6.4 section
// 6.2.13).
func prtObjects() []Term {
	table := func(prefix string) Term {
		var entries []Term
		for slot := range 32 {
			for pin := range 4 {
				entries = append(entries, Package(Integer(slot<<16|0xffff), Integer(pin),
					Path(prefix+string(rune('A'+pirqOf(slot, pin)))), Integer(0)))
			}
		}
		return Package(entries...)
	}
	return []Term{
		Name("PRTP", table("LNK")),
		Name("PRTA", table("GSI")),
		Method("_PRT", 0, false,
			If(LEqual(Path("PICF"), Integer(0)), Return(Path("PRTP"))),
			Else(Return(Path("PRTA")))),
	}
}

// linkInterrupt is a shared interrupt, high and a level.
func linkInterrupt(gsis ...uint32) Term {
	return ResourceTemplate(Interrupt{Consumer: true, Shared: true, GSIs: gsis})
}

// interruptOffset is where the number is in such a descriptor.
const interruptOffset = 5

// linkMethods are what the links to the PIC have in common: the status and the
// setting that a routing register stands for.
func linkMethods() []Term {
	return []Term{
		Method("IQST", 1, false,
			If(And(Integer(pirqDisable), Arg(0), Discard), Return(Integer(9))),
			Return(Integer(0xb))),
		Method("IQCR", 1, true,
			Name("PRR0", linkInterrupt(0)),
			CreateDWordField(Path("PRR0"), Integer(interruptOffset), "PRRI"),
			And(Arg(0), Integer(0xf), Path("PRRI")),
			Return(Path("PRR0"))),
	}
}

// picLink leads a line to an interrupt of the PIC, by its routing register.
func picLink(n int) Term {
	letter := string(rune('A' + n))
	register := Path("PRQ" + letter)
	return Device("LNK"+letter,
		Name("_HID", EISAID("PNP0C0F")),
		Name("_UID", Integer(n)),
		Name("_PRS", linkInterrupt(5, 10, 11)),
		Method("_STA", 0, false, Return(Call("IQST", register))),
		Method("_DIS", 0, false, Or(register, Integer(pirqDisable), register)),
		Method("_CRS", 0, false, Return(Call("IQCR", register))),
		Method("_SRS", 1, false,
			CreateDWordField(Arg(0), Integer(interruptOffset), "PRRI"),
			Store(Path("PRRI"), register)),
	)
}

// apicLink is a line at its pin of the IOAPIC, which cannot be changed.
func apicLink(n int) Term {
	gsi := uint32(firstGSI + n)
	return Device("GSI"+string(rune('A'+n)),
		Name("_HID", EISAID("PNP0C0F")),
		Name("_UID", Integer(gsi)),
		Name("_PRS", linkInterrupt(gsi)),
		Name("_CRS", linkInterrupt(gsi)),
		Method("_DIS", 0, false),
		Method("_SRS", 1, false),
	)
}

// gpe0Device keeps the ports of general purpose events from PCI functions.
func gpe0Device(port uint16, length uint8) Term {
	return Device("GPE0",
		Name("_HID", String("PNP0A06")),
		Name("_UID", String("GPE0 resources")),
		Name("_STA", Integer(0xb)),
		Name("_CRS", ResourceTemplate(IO{Min: port, Max: port, Align: 1, Len: length})),
	)
}

// Call evaluates a method.
func Call(method string, args ...Term) Term { return call{method, args} }

type call struct {
	method string
	args   []Term
}

func (c call) encode(e *encoder) {
	e.nameString(c.method)
	e.terms(c.args)
}
