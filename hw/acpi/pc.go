package acpi

import (
	"encoding/binary"
	"fmt"
)

// PCConfig is all that the tables of a PC depend on.
type PCConfig struct {
	OEM  OEM
	MADT MADT
	FADT FixedFADT
	// FwCfg is the first port of the fw_cfg device, 0 for none; FwCfgDMA
	// says that it has the DMA register.
	FwCfg    uint16
	FwCfgDMA bool
	// Serial are the COM ports, COM1 first; at most 9.
	Serial []ISAPort
	RTC    *ISAPort
	// PCI is the host bridge, nil for a PC without.
	PCI *PCIHost
}

// facsLen is the length and the alignment of the FACS (ACPI 6.4 section
// 5.2.10).
const facsLen = 64

// BuildPC builds the tables of a PC with fixed hardware: FACS, DSDT, FADT,
// MADT, XSDT and the RSDP. As with [BuildMicrovm] all of them lie in one block
// for addr, a multiple of 64 below 4 GiB.
func BuildPC(cfg PCConfig, addr uint64) (Tables, error) {
	if addr%facsLen != 0 || addr > 1<<32-TablesMaxLen {
		return Tables{}, fmt.Errorf("acpi: tables at %#x", addr)
	}
	oem, err := cfg.OEM.resolve()
	if err != nil {
		return Tables{}, err
	}
	aml, err := cfg.dsdt()
	if err != nil {
		return Tables{}, err
	}
	b := linker{addr: addr}
	b.put(make([]byte, facsLen)) // the RSDP, filled in last
	facs := b.put(buildFACS())
	dsdt := b.put(buildDSDT(oem, aml))
	madt, err := cfg.MADT.build(oem)
	if err != nil {
		return Tables{}, err
	}
	fadtAddr, madtAddr := b.put(cfg.FADT.build(oem, facs, dsdt)), b.put(madt)
	list := []uint64{fadtAddr, madtAddr}
	if cfg.PCI != nil {
		list = append(list, b.put(buildMCFG(oem, cfg.PCI.ECAM)))
	}
	xsdt := b.put(buildXSDT(oem, list...))
	copy(b.data, buildRSDP(oem, xsdt))
	if len(b.data) > TablesMaxLen {
		return Tables{}, fmt.Errorf("acpi: tables of %d bytes, more than %d", len(b.data), TablesMaxLen)
	}
	return Tables{Addr: addr, Data: b.data, RSDP: addr}, nil
}

// buildFACS makes the structure that firmware and operating system share. It
// has no header of the common kind.
func buildFACS() []byte {
	b := make([]byte, facsLen)
	copy(b, "FACS")
	binary.LittleEndian.PutUint32(b[4:], facsLen)
	return b
}

func (cfg *PCConfig) dsdt() ([]byte, error) {
	// The type that powers the PC off is 0.
	off := Scope(`\`, Name("_S5", Package(Integer(0), Integer(0), Integer(0), Integer(0))))
	fwCfg := cfg.FwCfg
	if cfg.PCI != nil {
		fwCfg = 0 // not on the ISA bus
	}
	isa, err := isaDevices(fwCfg, cfg.FwCfgDMA, cfg.Serial, cfg.RTC)
	if err != nil {
		return nil, err
	}
	if cfg.FADT.I8042 {
		isa = append(isa, keyboardDevice(), mouseDevice())
	}
	if cfg.PCI == nil {
		return Assemble(Scope("_SB", isa...), off)
	}
	besides := []Term{gpe0Device(cfg.FADT.GPE0, cfg.FADT.GPE0Len)}
	if cfg.FwCfg != 0 {
		besides = append(besides, fwCfgDevice(cfg.FwCfg, cfg.FwCfgDMA))
	}
	return Assemble(append(cfg.PCI.objects(isa, besides), off)...)
}

func keyboardDevice() Term {
	return Device("KBD",
		Name("_HID", EISAID("PNP0303")),
		Name("_STA", Integer(0xf)),
		Name("_CRS", ResourceTemplate(
			IO{Min: 0x60, Max: 0x60, Align: 1, Len: 1},
			IO{Min: 0x64, Max: 0x64, Align: 1, Len: 1},
			IRQNoFlags(1),
		)),
	)
}

func mouseDevice() Term {
	return Device("MOU",
		Name("_HID", EISAID("PNP0F13")),
		Name("_STA", Integer(0xf)),
		Name("_CRS", ResourceTemplate(IRQNoFlags(12))),
	)
}
