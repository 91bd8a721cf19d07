package acpi

import (
	"cmp"
	"fmt"
	"slices"
)

// VirtIOMMIO is one virtio-mmio transport that has a device plugged in.
type VirtIOMMIO struct {
	Index int    // the number in its bus name, 0 to 99
	Addr  uint32 // guest-physical address of the registers
	Len   uint32 // bytes, 512 when zero
	GSI   uint32 // active high
	Edge  bool   // edge-triggered rather than level-triggered
}

// ISAPort is a device on the ISA bus: its first port and its interrupt.
type ISAPort struct {
	Base uint16
	IRQ  int // 0 to 15
}

// MicrovmConfig is all that a microvm's tables depend on.
type MicrovmConfig struct {
	OEM  OEM
	MADT MADT
	GED  GED
	// FwCfg is the first port of the fw_cfg device, 0 for none; FwCfgDMA
	// says that it has the DMA register.
	FwCfg    uint16
	FwCfgDMA bool
	// Serial are the COM ports, COM1 first; at most 9.
	Serial []ISAPort
	// RTC is the real-time clock, nil for none. NoRTC tells the guest that
	// there is none; otherwise it has to find out.
	RTC   *ISAPort
	NoRTC bool
	I8042 bool
	// VirtIO are the transports to describe, in any order.
	VirtIO []VirtIOMMIO
	// FADTRevision is 5 or 6, 0 meaning 5.
	FADTRevision byte
}

// TablesBase is where to put a microvm's tables when no firmware does: the
// 128 KiB below 1 MiB, where an operating system that was not told of the
// RSDP scans for it (ACPI 6.4 section 5.2.5.1). TablesMaxLen is their bound.
const (
	TablesBase   = 0xe0000
	TablesMaxLen = 0x20000
)

// Tables is a linked set of tables, ready to be copied to guest memory.
type Tables struct {
	Addr uint64 // guest-physical address the pointers inside were made for
	Data []byte
	RSDP uint64 // guest-physical address of the RSDP, inside Data
}

// BuildMicrovm builds the tables of a hardware-reduced microvm machine as
// QEMU does: DSDT, FADT, MADT, XSDT and the RSDP. All of them lie in one block
// for the guest-physical address addr, which must be a multiple of 16. The
// block starts with the RSDP, so with [TablesBase] it is where a scan finds
// it.
func BuildMicrovm(cfg MicrovmConfig, addr uint64) (Tables, error) {
	if addr%16 != 0 {
		return Tables{}, fmt.Errorf("acpi: tables at %#x: not a multiple of 16", addr)
	}
	if addr > addr+TablesMaxLen {
		return Tables{}, fmt.Errorf("acpi: tables at %#x: beyond the address space", addr)
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
	b.put(make([]byte, rsdpLen)) // filled in last, when the XSDT's place is known
	dsdt := b.put(buildDSDT(oem, aml))

	fadt, err := cfg.fadt().build(oem, dsdt)
	if err != nil {
		return Tables{}, err
	}
	madt, err := cfg.MADT.build(oem)
	if err != nil {
		return Tables{}, err
	}
	fadtAddr, madtAddr := b.put(fadt), b.put(madt)
	xsdt := b.put(buildXSDT(oem, fadtAddr, madtAddr))
	copy(b.data, buildRSDP(oem, xsdt))
	if len(b.data) > TablesMaxLen {
		return Tables{}, fmt.Errorf("acpi: tables of %d bytes, more than %d", len(b.data), TablesMaxLen)
	}
	return Tables{Addr: addr, Data: b.data, RSDP: addr}, nil
}

// linker lays tables out one after the other.
type linker struct {
	addr uint64
	data []byte
}

// put appends a table on a 16-byte boundary and returns its address.
func (l *linker) put(t []byte) uint64 {
	l.data = append(l.data, make([]byte, -len(l.data)&15)...)
	at := l.addr + uint64(len(l.data))
	l.data = append(l.data, t...)
	return at
}

func (cfg *MicrovmConfig) fadt() FADT {
	return FADT{
		Revision:         cfg.FADTRevision,
		I8042:            cfg.I8042,
		NoRTC:            cfg.NoRTC,
		SleepControl:     cfg.GED.register(GEDRegSleepControl),
		SleepStatus:      cfg.GED.register(GEDRegSleepStatus),
		Reset:            cfg.GED.register(GEDRegReset),
		ResetValue:       GEDResetValue,
		HypervisorVendor: [8]byte{'Q', 'E', 'M', 'U'},
	}
}

// dsdt is the AML of the machine's devices, in the order QEMU has them.
func (cfg *MicrovmConfig) dsdt() ([]byte, error) {
	sb, err := isaDevices(cfg.FwCfg, cfg.FwCfgDMA, cfg.Serial, cfg.RTC)
	if err != nil {
		return nil, err
	}
	sb = append(sb, cfg.GED.device(), powerButton())

	// The system bus, too, has its last transport first.
	virtio := slices.Clone(cfg.VirtIO)
	slices.SortFunc(virtio, func(a, b VirtIOMMIO) int { return cmp.Compare(b.Index, a.Index) })
	for i, v := range virtio {
		if v.Index < 0 || v.Index > 99 {
			return nil, fmt.Errorf("acpi: virtio-mmio transport %d cannot be named", v.Index)
		}
		if i > 0 && virtio[i-1].Index == v.Index {
			return nil, fmt.Errorf("acpi: virtio-mmio transport %d given twice", v.Index)
		}
		sb = append(sb, virtioDevice(v))
	}
	return Assemble(
		Scope("_SB", sb...),
		Scope(`\`, Name("_S5", Package(Integer(SleepTypeS5), Integer(0), Integer(0), Integer(0)))),
	)
}

func virtioDevice(v VirtIOMMIO) Term {
	if v.Len == 0 {
		v.Len = 512
	}
	return Device(fmt.Sprintf("VR%02d", v.Index),
		Name("_HID", String("LNRO0005")),
		Name("_UID", Integer(v.Index)),
		Name("_CCA", Integer(1)),
		Name("_CRS", ResourceTemplate(
			Memory32Fixed{Base: v.Addr, Len: v.Len},
			Interrupt{Consumer: true, Edge: v.Edge, GSIs: []uint32{v.GSI}},
		)),
	)
}
