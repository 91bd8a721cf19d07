package i386

import (
	"encoding/binary"
	"testing"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/pci"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// hub is a host bridge over the machine's RAM, with configuration space by
// ports.
func hub(t testing.TB) (*hwtest.Machine, *pciHost) {
	t.Helper()
	m := hwtest.New(t, pci.RegisterTypes, func(r *qom.Registry) {
		registerPCIHost(r)
		registerMemoryHub(r)
	})
	p := hwtest.Add(m, "q35-pcihost", nil, func(p *pciHost) error {
		p.ram, p.lowRAM, p.exposeUnplaced = memory.NewRAM(m.RAM), hwtest.RAMSize, m.Unattached
		p.route, p.line = func(int, int) int { return 0 }, func(int, bool) {}
		return nil
	})
	// Something that a PCI function has there: where it has nothing, RAM is
	// seen, as in QEMU.
	m.Do(func() {
		vga := memory.NewIO("vga", 0x60000, memory.OpsFuncs{ReadFunc: func(uint64, int) uint64 { return onPCI }}, memory.Access{ImplMax: 1})
		if err := m.Map.Add(p.mem, vga, legacyVGA, 1); err != nil {
			t.Fatal(err)
		}
		qdev.Reset(p)
	})
	return m, p
}

// onPCI is what PCI's part of the legacy area reads as.
const onPCI = 0x99

func mchSet(m *hwtest.Machine, at uint32, v uint8) {
	m.Outl(pci.ConfigAddressPort, 1<<31|at&^3)
	m.Outb(uint16(pci.ConfigDataPort+at&3), v)
}

func mchGet(m *hwtest.Machine, at uint32) uint8 {
	m.Outl(pci.ConfigAddressPort, 1<<31|at&^3)
	return m.Inb(uint16(pci.ConfigDataPort + at&3))
}

// Each part of the legacy area is PCI's, RAM, or RAM that cannot be written, as
// its four bits say.
func TestPAM(t *testing.T) {
	m, p := hub(t)
	const area = 0xc4000 // the upper half of PAM1
	m.RAM.Bytes()[area], m.RAM.Bytes()[0xf0000], m.RAM.Bytes()[0xc0000] = 0x5a, 0x5b, 0x5c
	if v := m.Readb(area); v != onPCI {
		t.Errorf("at power-on it reads %#x", v)
	}
	mchSet(m, mchPAM0+1, pamRAM<<4)
	if v, below := m.Readb(area), m.Readb(0xc0000); v != 0x5a || below != onPCI {
		t.Errorf("as RAM it reads %#x, the area below %#x", v, below)
	}
	m.Writeb(area, 0x66)
	mchSet(m, mchPAM0+1, pamRead<<4)
	m.Writeb(area, 0x77)
	if v := m.Readb(area); v != 0x66 {
		t.Errorf("read-only it reads %#x", v)
	}
	mchSet(m, mchPAM0+1, 0)
	if v := m.Readb(area); v != onPCI {
		t.Errorf("as PCI's again it reads %#x", v)
	}
	mchSet(m, mchPAM0, pamRAM<<4)
	if v := m.Readb(0xf0000); v != 0x5b {
		t.Errorf("the BIOS area reads %#x", v)
	}
	m.Do(p.mch.setUp)
	if v := m.Readb(0xc0000); v != 0x5c {
		t.Errorf("set up as firmware does it reads %#x", v)
	}
}

// The video memory is RAM only while SMRAM is open, which the lock ends; what
// system management has of the end of RAM nobody sees.
func TestSMRAM(t *testing.T) {
	m, p := hub(t)
	m.RAM.Bytes()[legacyVGA] = 0x5a
	mchSet(m, mchSMRAM, smramOpen)
	if v := m.Readb(legacyVGA); v != 0x5a {
		t.Errorf("open: %#x", v)
	}
	const end = hwtest.RAMSize - 1
	m.RAM.Bytes()[end] = 0x5b
	mchSet(m, mchESMRAMC, esmramTSEG) // 1 MiB
	mchSet(m, mchSMRAM, smramOpen|smramEnable|smramLock)
	if v := mchGet(m, mchSMRAM); v != smramReset|smramEnable|smramLock || m.Readb(legacyVGA) != onPCI {
		t.Errorf("locked: register %#x, memory %#x", v, m.Readb(legacyVGA))
	}
	if v := m.Readb(end); v != 0xff {
		t.Errorf("the end of RAM reads %#x", v)
	}
	if v := m.Readb(hwtest.RAMSize - 1<<20 - 1); v != 0 {
		t.Errorf("RAM below it reads %#x", v)
	}
	mchSet(m, mchESMRAMC, 0)
	mchSet(m, mchSMRAM, smramOpen)
	if c, s := mchGet(m, mchESMRAMC), mchGet(m, mchSMRAM); c&esmramTSEG == 0 || s&(smramOpen|smramLock) != smramLock {
		t.Errorf("what is locked was changed: %#x %#x", c, s)
	}
	m.Do(func() { qdev.Reset(p) })
	if v := m.Readb(end); v != 0x5b {
		t.Errorf("after a reset the end of RAM reads %#x", v)
	}
}

// Configuration space is where the register says, and in the size it says.
func TestPCIEXBAR(t *testing.T) {
	m, p := hub(t)
	const at = 0x80000000
	mchSet(m, mchPCIEXBAR+3, at>>24)
	if v := m.Readl(at); v != 0 {
		t.Errorf("before it is enabled it reads %#x", v)
	}
	mchSet(m, mchPCIEXBAR, pciexEnable)
	if v := m.Readl(at); v != 0x29c08086 || p.mcfg() != at {
		t.Errorf("it reads %#x, MCFG is %#x", v, p.mcfg())
	}
	m.Do(func() { qdev.Reset(p) })
	if v := m.Readl(at); v != 0 || p.mcfg() != ^uint64(0) {
		t.Errorf("after a reset it reads %#x, MCFG is %#x", v, p.mcfg())
	}
}

// The size of the biggest TSEG is told to who asks for it.
func TestExtendedTSEG(t *testing.T) {
	m, _ := hub(t)
	m.Outl(pci.ConfigAddressPort, 1<<31|mchExtTSEG)
	m.Outw(pci.ConfigDataPort, extTSEGQuery)
	if v := m.Inw(pci.ConfigDataPort); v != 16 {
		t.Errorf("%d MiB", v)
	}
}

// Whatever a guest writes to the hub, RAM is as it was after a reset.
func FuzzHub(f *testing.F) {
	f.Add([]byte{4, 0x90, 0, 0x33, 0, 0, 4, 0x9d, 0, 0x4a, 0, 0})
	f.Add(binary.LittleEndian.AppendUint64(nil, 0xff9e04ff9d04))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, p := hub(t)
		for ; len(data) >= 6; data = data[6:] {
			m.Outl(pci.ConfigAddressPort, 1<<31|uint32(data[1]&^3))
			m.Fuzz(m.IO, pci.ConfigDataPort, 4, data[:6])
		}
		m.Do(func() { qdev.Reset(p) })
		m.Writel(0x1000, 0x12345678)
		m.Writel(hwtest.RAMSize-4, 0x12345678)
		if a, b := m.Readl(0x1000), m.Readl(hwtest.RAMSize-4); a != 0x12345678 || b != a || p.mcfg() != ^uint64(0) {
			t.Fatalf("RAM reads %#x and %#x", a, b)
		}
	})
}
