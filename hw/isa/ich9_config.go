package isa

import (
	"encoding/binary"
	"errors"

	"github.com/gqemu/gqemu/memory"
)

// This file is the bridge's configuration space (ICH9 datasheet 316972, section
// 13.1): where the power management and chipset registers are, and where PCI
// interrupts lead.

// Offsets in configuration space.
const (
	cfgPMBase   = 0x40
	cfgACPICtl  = 0x44
	cfgPIRQA    = 0x60 // to PIRQD
	cfgPIRQE    = 0x68 // to PIRQH
	cfgGenPM1   = 0xa0
	cfgRCBA     = 0xf0
	acpiEnable  = 1 << 7
	sciSelect   = 7
	smiLock     = 1 << 4
	pirqOff     = 1 << 7
	rcbaEnable  = 1
	pmBaseMask  = 0xff80
	pmBaseBits  = 0xff87
	rcbaMask    = 0xffffc000
	pirqs       = 8
	firstPIRQ   = 16 // the line of PIRQA at the IOAPIC
	isaIRQs     = 16
	defaultPIRQ = 0x80
)

func (l *ICH9) initConfig() {
	l.AllowConfig(cfgPMBase, pmBaseBits, 4)
	l.resetRegisters()
}

func (l *ICH9) resetRegisters() {
	for at := 0x40; at < 0x100; at += 4 {
		l.StoreConfig(at, 0, 4)
	}
	l.StoreConfig(cfgPMBase, 1, 4) // it is for I/O
	l.StoreConfig(cfgPIRQA, defaultPIRQ*0x01010101, 4)
	l.StoreConfig(cfgPIRQE, defaultPIRQ*0x01010101, 4)
	l.AllowConfig(cfgGenPM1, 0xff, 1)
}

func (l *ICH9) resetConfig() {
	l.resetRegisters()
	l.chip.reset()
	l.place()
	l.updatePIC(isaIRQs)
}

// WroteConfig is part of pci.ConfigWriter.
func (l *ICH9) WroteConfig(at int, _ uint32, size int) {
	if at < cfgACPICtl+4 && at+size > cfgPMBase || at+size > cfgRCBA && at < cfgRCBA+4 {
		l.place()
		l.pm.update()
	}
	if at < cfgPIRQE+4 && at+size > cfgPIRQA {
		l.updatePIC(isaIRQs)
	}
	if l.Config(cfgGenPM1, 1)&smiLock != 0 {
		l.AllowConfig(cfgGenPM1, 0xff&^smiLock, 1)
	}
}

// place puts the registers where configuration space says.
func (l *ICH9) place() {
	m := l.Host().Map
	pmBase, rcba := l.Config(cfgPMBase, 4), l.Config(cfgRCBA, 4)
	err := m.Update(func() error {
		return errors.Join(
			m.Move(l.pmRegion, uint64(pmBase&pmBaseMask)),
			m.SetEnabled(l.pmRegion, l.Config(cfgACPICtl, 1)&acpiEnable != 0),
			m.Move(l.chip.region, uint64(rcba&rcbaMask)),
			m.SetEnabled(l.chip.region, rcba&rcbaEnable != 0))
	})
	if err != nil {
		l.Host().Log.Error().Err(err).Msg("placing the LPC bridge's registers")
	}
}

// sciLines are what the selection in ACPI control stands for (section 13.1.4).
var sciLines = [sciSelect + 1]int{9, 10, 11, 9, 20, 21, 9, 9}

func (l *ICH9) sciLine() int { return sciLines[l.Config(cfgACPICtl, 1)&sciSelect] }

// setSCI drives the system control interrupt.
func (l *ICH9) setSCI(level bool) {
	l.sci = level
	if n := l.sciLine(); n < isaIRQs {
		l.updatePIC(n)
	} else {
		l.gsi[n].Set(level || l.pirq[n-firstPIRQ])
	}
}

// pirqIRQ is the ISA interrupt that a PCI interrupt line leads to, isaIRQs or
// more for none.
func (l *ICH9) pirqIRQ(n int) int {
	at := cfgPIRQA + n
	if n >= 4 {
		at = cfgPIRQE + n - 4
	}
	v := l.Config(at, 1)
	if v&pirqOff != 0 {
		return isaIRQs
	}
	return int(v & 0xf)
}

// SetPIRQ drives PCI interrupt line n, 0 for PIRQA. It reaches the IOAPIC, and
// the PIC where firmware has led it.
func (l *ICH9) SetPIRQ(n int, level bool) {
	l.pirq[n] = level
	l.gsi[firstPIRQ+n].Set(level || l.sci && l.sciLine() == firstPIRQ+n)
	if irq := l.pirqIRQ(n); irq < isaIRQs {
		l.updatePIC(irq)
	}
}

// updatePIC drives an ISA interrupt by all that leads there; isaIRQs stands for
// every one that was or is led to.
func (l *ICH9) updatePIC(irq int) {
	var level, led [isaIRQs]bool
	if n := l.sciLine(); n < isaIRQs {
		level[n], led[n] = l.sci, true
	}
	for n, on := range l.pirq {
		if to := l.pirqIRQ(n); to < isaIRQs {
			level[to], led[to] = level[to] || on, true
		}
	}
	for n := range level {
		if n != irq && irq != isaIRQs {
			continue
		}
		// A line that no more leads anywhere is let go.
		if led[n] || l.chip.led[n] {
			l.chip.led[n] = led[n]
			l.gsi[n].Set(level[n])
		}
	}
}

// Chipset configuration registers (section 10.1): 16 KiB at RCBA.
const (
	chipLen   = 16 << 10
	chipD31IR = 0x3140
	chipD29IR = 0x3144
	chipD28IR = 0x3146
	chipD27IR = 0x3148
	chipD26IR = 0x314c
	chipD25IR = 0x3150
	chipGCS   = 0x3410
	dirReset  = 0x3210
	gcsReset  = 1 << 5
)

// chipConfig is those registers, and the interrupts that they route.
type chipConfig struct {
	region *memory.Region
	data   [chipLen]byte
	led    [isaIRQs]bool // ISA interrupts that PCI lines or the SCI lead to
	lpc    *ICH9
}

func (c *chipConfig) init(l *ICH9) {
	c.lpc = l
	c.region = memory.NewIO("lpc-rcrb-mmio", chipLen, memory.OpsFuncs{ReadFunc: c.read, WriteFunc: c.write}, memory.Access{ImplMax: 4})
	c.reset()
}

func (c *chipConfig) reset() {
	clear(c.data[:])
	for _, at := range []int{chipD31IR, chipD29IR, chipD28IR, chipD27IR, chipD26IR, chipD25IR} {
		binary.LittleEndian.PutUint16(c.data[at:], dirReset)
	}
	binary.LittleEndian.PutUint32(c.data[chipGCS:], gcsReset)
}

func (c *chipConfig) read(offset uint64, size int) uint64 {
	var b [8]byte
	copy(b[:size], c.data[offset:])
	return binary.LittleEndian.Uint64(b[:])
}

func (c *chipConfig) write(offset, v uint64, size int) {
	change := func() {
		for i := range size {
			c.data[offset+uint64(i)] = byte(v >> (8 * i))
		}
	}
	if b := c.lpc.PCIBus(); b != nil && offset < chipD25IR+2 && offset+uint64(size) > chipD31IR {
		b.Reroute(change)
		return
	}
	change()
}

// RoutePIRQ is the PCI interrupt line, 0 for PIRQA, that pin 0 to 3 of a device
// on the root bus leads to: the functions of the hub itself as the chipset
// registers say, the rest by slot.
func (l *ICH9) RoutePIRQ(devfn, pin int) int {
	slot := devfn >> 3
	at := 0
	switch slot {
	case 31:
		at = chipD31IR
	case 29:
		at = chipD29IR
	case 28:
		at = chipD28IR
	case 27:
		at = chipD27IR
	case 26:
		at = chipD26IR
	case 25:
		at = chipD25IR
	case 30:
		return 4 + pin
	default:
		return 4 + (slot+pin)%4
	}
	return int(binary.LittleEndian.Uint16(l.chip.data[at:])>>(4*pin)) & 7
}

// FirmwareSettings are the configuration registers that firmware sets before an
// operating system starts.
type FirmwareSettings struct {
	// PM puts the power management registers at PMBase.
	PM bool
	// IRQs are the ISA interrupts of PIRQA to PIRQH.
	IRQs [pirqs]uint8
}

// rcbaPlace is where firmware puts the chipset registers.
const rcbaPlace = 0xfed1c000

// SetUp does what firmware does to the bridge.
func (l *ICH9) SetUp(s FirmwareSettings) {
	if s.PM {
		l.SetConfig(cfgPMBase, PMBase|1, 4)
		l.SetConfig(cfgACPICtl, acpiEnable, 1)
	}
	l.SetConfig(cfgRCBA, rcbaPlace|rcbaEnable, 4)
	for n, irq := range s.IRQs {
		at := cfgPIRQA + n
		if n >= 4 {
			at = cfgPIRQE + n - 4
		}
		l.SetConfig(at, uint32(irq), 1)
	}
}
