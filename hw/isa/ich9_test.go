package isa_test

import (
	"slices"
	"testing"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/hw/pci"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// host is a root bus for the bridge to sit on.
type host struct {
	qdev.SysBus
	pci.HostState
	bus *pci.Bus
}

func (h *host) PCIBus() *pci.Bus { return h.bus }

// lpc is a bridge with its PM registers where firmware puts them; line is the
// system control interrupt.
func lpc(t testing.TB) (m *hwtest.Machine, l *isa.ICH9, line *hwtest.Line) {
	t.Helper()
	m, l, lines := bridge(t)
	m.Do(func() { l.SetUp(isa.FirmwareSettings{PM: true}) })
	return m, l, lines[9]
}

// bridge is one as it is after a reset, with a line on each of its outputs.
func bridge(t testing.TB) (m *hwtest.Machine, l *isa.ICH9, lines []*hwtest.Line) {
	t.Helper()
	m = hwtest.New(t, pci.RegisterTypes, isa.RegisterTypes, isa.RegisterICH9, func(r *qom.Registry) {
		r.Register(qom.Type{Name: "host", Parent: "pcie-host-bridge", New: func() qom.Object { return new(host) }})
	})
	var gsi []*qdev.IRQ
	for range 24 {
		line := m.NewLine()
		lines, gsi = append(lines, line), append(gsi, line.IRQ)
	}
	h := hwtest.Add[*host](m, "host", nil, nil)
	m.Do(func() {
		var err error
		h.bus, err = pci.NewRootBus(m.Host, "PCIE", "pcie.0", h, m.System, m.Ports, 8,
			func(devfn, pin int) int { return l.RoutePIRQ(devfn, pin) }, func(n int, on bool) { l.SetPIRQ(n, on) })
		if err != nil {
			t.Fatal(err)
		}
		c := pci.NewConfigAccess(h.bus)
		for at, r := range map[uint64]*memory.Region{pci.ConfigAddressPort: c.AddressRegion(), pci.ConfigDataPort: c.DataRegion()} {
			if err := m.Map.Add(m.Ports, r, at, 0); err != nil {
				t.Fatal(err)
			}
		}
	})
	l = hwtest.Add(m, "ICH9-LPC", h.bus.Qdev, func(d *isa.ICH9) error { return qom.Set(d, "addr", qom.JSON("1f.0")) })
	m.Do(func() {
		l.ConnectGSI(gsi)
		qdev.Reset(l)
	})
	return m, l, lines
}

// Bit 2 of the reset control register resets, the others are kept as far as
// there are any.
func TestResetControl(t *testing.T) {
	m, _, _ := lpc(t)
	m.Outb(isa.ResetPort, 0xfb)
	if v := m.Inb(isa.ResetPort); v != 0x0a {
		t.Errorf("it reads %#x", v)
	}
	if got := m.Asked.Take(); len(got) != 0 {
		t.Errorf("asked for %v", got)
	}
	m.Outb(isa.ResetPort, isa.ResetValue)
	if got := m.Asked.Take(); !slices.Equal(got, []string{"reset"}) {
		t.Errorf("asked for %v", got)
	}
}

// Status bits go by writing ones, byte by byte too, and the line follows
// status and enable.
func TestPMEvents(t *testing.T) {
	m, l, line := lpc(t)
	const sts, en = isa.PM1EventPort, isa.PM1EventPort + 2
	m.Outb(en+1, 1)
	m.Do(l.PM().PowerButton)
	if !line.Level || m.Inb(sts+1) != 1 {
		t.Fatalf("line %v, status %#x", line.Level, m.Inb(sts+1))
	}
	m.Outb(sts, 0xff)
	if !line.Level {
		t.Error("a write to the other byte cleared the event")
	}
	m.Outb(sts+1, 1)
	if line.Level || m.Inb(sts+1) != 0 {
		t.Errorf("line %v, status %#x", line.Level, m.Inb(sts+1))
	}
	m.Do(l.PM().PowerButton)
	m.Do(func() { qdev.Reset(l); l.SetUp(isa.FirmwareSettings{PM: true}) })
	if line.Level || m.Inw(sts) != 0 || m.Inw(en) != 0 {
		t.Error("a reset leaves the event")
	}
}

// S5 powers off; other sleep types have no effect.
func TestPMSleep(t *testing.T) {
	m, _, _ := lpc(t)
	for typ := range uint16(8) {
		m.Outw(isa.PM1ControlPort, 1<<13|typ<<10)
		got := m.Asked.Take()
		if want := typ == 0; want != slices.Equal(got, []string{"poweroff"}) || !want && len(got) > 0 {
			t.Errorf("type %d: asked for %v", typ, got)
		}
		if v := m.Inw(isa.PM1ControlPort); v != typ<<10 {
			t.Errorf("type %d: control reads %#x", typ, v)
		}
	}
}

// A timer event that was not enabled does not wake anyone, but is there when
// it is looked for.
func TestPMTimerStatus(t *testing.T) {
	m, _, line := lpc(t)
	m.Step(3e9) // the top bit changes after 2.34 s
	if line.Level || m.Inw(isa.PM1EventPort)&1 == 0 {
		t.Errorf("line %v, status %#x", line.Level, m.Inw(isa.PM1EventPort))
	}
	m.Outw(isa.PM1EventPort+2, 1)
	if !line.Level {
		t.Error("the line is low with event and enable")
	}
	m.Outw(isa.PM1EventPort, 1)
	m.Step(1.6e9)
	if line.Level {
		t.Error("too early")
	}
	m.Step(0.1e9)
	if !line.Level {
		t.Error("no event at the next change")
	}
}

// A channel that was reset is masked and forgets what was half written.
func TestDMAMasterClear(t *testing.T) {
	m, l, _ := lpc(t)
	m.Do(func() {
		if err := isa.NewDMA(m.Host, l.ISA(), nil); err != nil {
			t.Fatal(err)
		}
		l.ISA().Reset()
	})
	m.Outb(0x0a, 0)
	m.Outb(0x00, 0x11) // low byte only
	m.Outb(0x0d, 0)
	if v := m.Inb(0x0f); v != 0x0f {
		t.Errorf("mask %#x", v)
	}
	m.Outb(0x00, 0x34)
	m.Outb(0x00, 0x12)
	if lo, hi := m.Inb(0x00), m.Inb(0x00); lo != 0x34 || hi != 0x12 {
		t.Errorf("address %#x%02x", hi, lo)
	}
	m.Outb(0x09, 4|2)
	if v := m.Inb(0x08); v != 1<<6 {
		t.Errorf("status %#x with a request of channel 2", v)
	}
}

// Whatever a guest does to the registers, they answer.
func FuzzICH9(f *testing.F) {
	f.Add([]byte{0x04, 0x00, 0x02, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, l, _ := lpc(t)
		m.Do(func() {
			if err := isa.NewDMA(m.Host, l.ISA(), nil); err != nil {
				t.Fatal(err)
			}
		})
		data = data[:min(len(data), 3000)]
		for _, block := range []struct {
			first uint64
			n     int
		}{{isa.PMBase, 0x80}, {0x00, 0x10}, {0x80, 0x10}, {0xc0, 0x20}, {isa.APMPort, 2}, {isa.ResetPort, 1}} {
			m.Fuzz(m.IO, block.first, block.n, data)
		}
	})
}

// config is a guest's access to the bridge's configuration space.
func config(m *hwtest.Machine, at uint32) uint32 {
	m.Outl(pci.ConfigAddressPort, 1<<31|0x1f<<11|at&^3)
	return m.Inl(pci.ConfigDataPort)
}

func setConfig(m *hwtest.Machine, at, v uint32) {
	m.Outl(pci.ConfigAddressPort, 1<<31|0x1f<<11|at&^3)
	m.Outl(pci.ConfigDataPort, v)
}

// What a guest reads of the bridge, and what its writes leave, is QEMU's.
func TestLPCRegisters(t *testing.T) {
	m, _, _ := bridge(t)
	for _, r := range [][4]uint32{
		{0x00, 0x29188086, 0x29188086, 0x29188086}, {0x04, 0, 0x507, 0}, {0x08, 0x06010002, 0x06010002, 0x06010002},
		{0x2c, 0x11001af4, 0x11001af4, 0x11001af4}, {0x40, 1, 0xff87, 0}, {0x44, 0, 0xffffffff, 0},
		{0x60, 0x80808080, 0xffffffff, 0}, {0x68, 0x80808080, 0xffffffff, 0}, {0xa0, 0, 0xffffffff, 0x10}, {0xf0, 0, 0xffffffff, 0},
	} {
		at := r[0]
		if v := config(m, at); v != r[1] {
			t.Errorf("%#x is %#08x, want %#08x", at, v, r[1])
		}
		setConfig(m, at, 0xffffffff)
		if v := config(m, at); v != r[2] {
			t.Errorf("%#x is %#08x after ones, want %#08x", at, v, r[2])
		}
		setConfig(m, at, 0)
		if v := config(m, at); v != r[3] {
			t.Errorf("%#x is %#08x after zeroes, want %#08x", at, v, r[3])
		}
	}
}

// PCI interrupt lines reach their pins of the IOAPIC always, and the interrupts
// of the PIC that they are led to, together with others.
func TestPIRQRouting(t *testing.T) {
	m, l, lines := bridge(t)
	if a, b := l.RoutePIRQ(3<<3, 1), l.RoutePIRQ(31<<3|2, 2); a != 4 || b != 2 {
		t.Errorf("slot 3 pin B leads to %d, slot 31 pin C to %d", a, b)
	}
	m.Do(func() { l.SetPIRQ(4, true) })
	if !lines[20].Level || lines[10].Level {
		t.Error("PIRQE did not reach pin 20 alone")
	}
	setConfig(m, 0x68, 0x80800a0a) // E and F to 10
	if !lines[10].Level {
		t.Error("PIRQE does not reach interrupt 10")
	}
	m.Do(func() { l.SetPIRQ(5, true); l.SetPIRQ(4, false) })
	if !lines[10].Level || lines[20].Level || !lines[21].Level {
		t.Error("PIRQF does not hold interrupt 10")
	}
	setConfig(m, 0x68, 0x80800b0a)
	if lines[10].Level || !lines[11].Level {
		t.Error("PIRQF was not led elsewhere")
	}
	setConfig(m, 0x68, 0x80808080)
	if lines[11].Level {
		t.Error("an interrupt that nothing leads to stays up")
	}
}

// The registers at RCBA route the interrupts of the hub's own slots.
func TestChipsetRegisters(t *testing.T) {
	m, l, _ := bridge(t)
	setConfig(m, 0xf0, 0xfed1c001)
	const d31ir = 0xfed1c000 + 0x3140
	if v := m.Readw(d31ir); v != 0x3210 {
		t.Fatalf("D31IR is %#x", v)
	}
	m.Writew(d31ir, 0x4567)
	if n := l.RoutePIRQ(31<<3, 1); n != 6 {
		t.Errorf("pin B leads to %d", n)
	}
	setConfig(m, 0xf0, 0)
	if v := m.Readw(d31ir); v == 0x4567 {
		t.Error("the registers answer when they are switched off")
	}
}

// Whatever a guest writes to the bridge, its lines are down and its registers
// gone after a reset.
func FuzzLPC(f *testing.F) {
	f.Add([]byte{4, 0x60, 0, 0x0a, 0, 0, 6, 0xf0, 0, 0x01, 0xc0, 0xd1})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, l, lines := bridge(t)
		m.Do(func() { l.SetPIRQ(1, true) })
		for rest := data; len(rest) >= 6; rest = rest[6:] {
			m.Outl(pci.ConfigAddressPort, 1<<31|0x1f<<11|uint32(rest[1]&^3))
			m.Fuzz(m.IO, pci.ConfigDataPort, 4, rest[:6])
		}
		m.Fuzz(m.Memory, 0xfed1c000, 16<<10, data)
		m.Fuzz(m.IO, isa.PMBase, 0x80, data)
		m.Do(func() { l.SetPIRQ(1, false); qdev.Reset(l) })
		for n, line := range lines {
			if line.Level {
				t.Fatalf("line %d is up", n)
			}
		}
		if v := config(m, 0x40); v != 1 {
			t.Fatalf("PMBASE is %#x", v)
		}
	})
}
