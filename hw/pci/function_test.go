package pci

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
)

// register makes a region that reads as a constant.
func register(name string, size, value uint64) *memory.Region {
	return memory.NewIO(name, size, memory.OpsFuncs{ReadFunc: func(uint64, int) uint64 { return value }}, memory.Access{})
}

// allBARs has one of each kind.
func allBARs(g *gadget, _ *qdev.Host) error {
	for _, b := range []struct {
		n    int
		kind BARKind
		r    *memory.Region
	}{
		{0, BARMem32, register("mem", 0x1000, 0x11)}, {1, BARIO, register("io", 0x20, 0x22)},
		{2, BARMem64 | BARPrefetch, register("pref", 1<<20, 0x33)},
	} {
		if err := g.AddBAR(b.n, b.kind, b.r); err != nil {
			return err
		}
	}
	return nil
}

// A guest sizes registers by ones, places them, and switches them on; a region
// is where the register says, and nowhere else.
func TestBARs(t *testing.T) {
	b := newBench(t)
	g := b.gadget(b.root.bus, allBARs)
	cfg := bdf(0, g.DevFn())
	for i, want := range []uint32{0xfffff000, 0xffffffe1, 0xfff0000c, 0xffffffff, 0} {
		at := cfg + regBAR0 + uint64(4*i)
		b.Writel(at, 0xffffffff)
		if v := b.Readl(at); v != want {
			t.Errorf("register %d is sized as %#x, want %#x", i, v, want)
		}
	}
	b.Writel(cfg+regBAR0, 0x80000000)
	b.Writel(cfg+regBAR0+4, 0xc000)
	b.Writel(cfg+regBAR0+8, 0x00100000)
	b.Writel(cfg+regBAR0+12, 0x20)
	if v := b.Readl(0x80000000); v != 0 {
		t.Errorf("with its decoder off memory reads %#x", v)
	}
	b.Writew(cfg+regCommand, cmdMemory)
	if mem, io, pref := b.Readl(0x80000000), b.Inl(0xc000), b.Readl(0x2000100000); mem != 0x11 || io != ^uint32(0) || pref != 0x33 {
		t.Errorf("memory on: %#x %#x %#x", mem, io, pref)
	}
	b.Writew(cfg+regCommand, cmdIO)
	if mem, io := b.Readl(0x80000000), b.Inl(0xc000); mem != 0 || io != 0x22 {
		t.Errorf("ports on: %#x %#x", mem, io)
	}
	b.Writew(cfg+regCommand, cmdIO|cmdMemory)
	b.Writel(cfg+regBAR0, 0x80002000)
	if old, now := b.Readl(0x80000000), b.Readl(0x80002000); old != 0 || now != 0x11 {
		t.Errorf("moved: %#x at the old place, %#x at the new", old, now)
	}
	// While it is being sized, and at 0, it is nowhere.
	for _, v := range []uint32{0xffffffff, 0} {
		b.Writel(cfg+regBAR0, v)
		if at := g.Regions()[0].Addr; at != unmapped {
			t.Errorf("%#x puts it at %#x", v, at)
		}
	}
	b.Do(func() { qdev.Reset(g) })
	if v := b.Inl(0xc000); v != ^uint32(0) || b.Readl(cfg+regBAR0+12) != 0 || b.Readw(cfg+regCommand) != 0 {
		t.Errorf("after a reset %#x at the port, command %#x", v, b.Readw(cfg+regCommand))
	}
}

// Behind a bridge a region is seen through a window only, and a bus by its
// number only.
func TestBridge(t *testing.T) {
	b := newBench(t)
	p := b.port("rp0", "1")
	g := b.gadget(p.PCIBus(), allBARs)
	port := bdf(0, p.DevFn())
	if v := b.Readl(bdf(1, 0)); v != ^uint32(0) {
		t.Errorf("a bus without a number has %#x on it", v)
	}
	b.Writel(port+regPrimary, 0x00010100)
	if v := b.Readl(bdf(1, 0)); v != 0x56781234 {
		t.Fatalf("on bus 1 there is %#x", v)
	}
	if v := b.Readl(bdf(1, 8)); v != ^uint32(0) {
		t.Errorf("slot 1 of a link has %#x", v)
	}
	cfg := bdf(1, 0)
	b.Writel(cfg+regBAR0, 0x80100000)
	b.Writel(cfg+regBAR0+4, 0xc000)
	b.Writel(cfg+regBAR0+12, 0x20)
	b.Writew(cfg+regCommand, cmdMemory|cmdIO)
	b.Writew(port+regCommand, cmdMemory|cmdIO)
	see := func() []uint32 { return []uint32{b.Readl(0x80100000), b.Inl(0xc000), b.Readl(0x2000000000)} }
	none := []uint32{0, ^uint32(0), 0}
	if got := see(); !slices.Equal(got, none) {
		t.Errorf("through closed windows: %#x", got)
	}
	b.Writel(port+regMemBase, 0x80108010)
	b.Writew(port+regIOBase, 0xc0c0)
	b.Writel(port+regPrefBase, 0x00110001)
	b.Writel(port+regPrefBaseHigh, 0x20)
	b.Writel(port+regPrefLimitHigh, 0x20)
	if got := see(); !slices.Equal(got, []uint32{0x11, 0x22, 0x33}) {
		t.Errorf("through open windows: %#x", got)
	}
	b.Writel(port+regMemBase, 0x80208020)
	if v := b.Readl(0x80100000); v != 0 {
		t.Errorf("outside of the window: %#x", v)
	}
	b.Writew(port+regBridgeControl, ctlSecondaryReset)
	if v := b.Readw(cfg + regCommand); v != 0 {
		t.Errorf("command %#x after the bus was reset", v)
	}
	b.Writew(port+regCommand, 0)
	if got := see(); !slices.Equal(got, none) {
		t.Errorf("with the bridge off: %#x", got)
	}
	b.Do(func() { qdev.Delete(g) })
	if v := b.Readl(cfg); v != ^uint32(0) {
		t.Errorf("what was taken out reads %#x", v)
	}
}

// A pin comes out of the root bus as the slots on its way say; functions share
// a line, and a guest can disable theirs.
func TestINTx(t *testing.T) {
	b := newBench(t)
	p := b.port("rp0", "1", "addr", "3")
	behind := b.gadget(p.PCIBus(), nil)
	beside, err := b.add("gadget", "", "", "addr", "7") // swizzles to the same line
	b.must(err)
	other := beside.(*gadget)
	line := func() bool { return b.lines[4+3] }
	b.Do(func() { behind.SetINTx(true) })
	if !line() || b.noise != 1 {
		t.Fatalf("lines %v after %d changes", b.lines, b.noise)
	}
	b.Do(func() { other.SetINTx(true); behind.SetINTx(false) })
	if !line() || b.noise != 1 {
		t.Error("the line went down while another function pulls it")
	}
	cfg := bdf(0, other.DevFn())
	b.Writew(cfg+regCommand, cmdIntxDisable)
	if line() || b.Readw(cfg+regStatus)&statusIntx == 0 {
		t.Errorf("disabled: line %v, status %#x", line(), b.Readw(cfg+regStatus))
	}
	b.Writew(cfg+regCommand, 0)
	b.Do(func() { b.root.bus.Reroute(func() { b.root.bus.route = func(int, int) int { return 1 } }) })
	if line() || !b.lines[1] {
		t.Errorf("lines %v after the route changed", b.lines)
	}
	b.Do(func() { qdev.Delete(other) })
	if b.lines[1] {
		t.Error("a function that has gone holds a line")
	}
}

// Masked messages wait, and are sent when the guest unmasks them; the vector is
// in the low bits.
func TestMSI(t *testing.T) {
	b := newBench(t)
	g := b.gadget(b.root.bus, func(g *gadget, _ *qdev.Host) error { return g.AddMSI(0, 4, true, true) })
	at := bdf(0, g.DevFn()) + uint64(g.msi.at)
	b.Writew(bdf(0, g.DevFn())+regCommand, cmdMaster)
	b.Writel(at+4, 0xfee01000)
	b.Writew(at+12, 0x50)
	b.Writew(at+2, msiEnable|7<<msiEnabledShift)
	if v := b.Readw(at + 2); v>>msiEnabledShift&7 != 2 {
		t.Errorf("message control %#x: more vectors than there are", v)
	}
	b.Writel(at+16, 1<<3)
	b.Do(func() { g.Interrupt(2); g.Interrupt(3); g.Interrupt(9) })
	if m := b.IRQ.TakeMSIs(); !slices.Equal(m, []accel.MSI{{Addr: 0xfee01000, Data: 0x52}}) || b.Readl(at+20) != 1<<3 {
		t.Errorf("sent %v, pending %#x", m, b.Readl(at+20))
	}
	b.Writel(at+16, 0)
	if m := b.IRQ.TakeMSIs(); !slices.Equal(m, []accel.MSI{{Addr: 0xfee01000, Data: 0x53}}) || b.Readl(at+20) != 0 {
		t.Errorf("unmasked: sent %v, pending %#x", m, b.Readl(at+20))
	}
	b.Writew(bdf(0, g.DevFn())+regCommand, 0)
	b.Do(func() { g.Interrupt(0) })
	if m := b.IRQ.TakeMSIs(); len(m) > 0 {
		t.Errorf("without bus mastering: sent %v", m)
	}
	// To memory, where a guest may look.
	b.Writew(bdf(0, g.DevFn())+regCommand, cmdMaster)
	b.Writel(at+4, 0x2000)
	b.Do(func() { g.Interrupt(1) })
	if v := b.Readl(0x2000); v != 0x51 {
		t.Errorf("memory has %#x", v)
	}
}

// user records what it is told of vectors.
type user struct {
	open map[int]accel.MSI
	came map[int]bool
}

func (u *user) UseVector(v int, m accel.MSI) error { u.open[v] = m; return nil }
func (u *user) ReleaseVector(v int)                { delete(u.open, v) }
func (u *user) PollVector(v int) bool              { return u.came[v] }

// msixGadget has vectors in a region of its own, and its guest has switched
// them on at 0x80000000.
func (b *bench) msixGadget(vectors int) (g *gadget, at uint64) {
	g = b.gadget(b.root.bus, func(g *gadget, _ *qdev.Host) error { return g.AddExclusiveMSIX(1, vectors) })
	cfg := bdf(0, g.DevFn())
	b.Writel(cfg+regBAR0+4, 0x80000000)
	b.Writew(cfg+regCommand, cmdMemory|cmdMaster)
	return g, cfg + uint64(g.msix.at)
}

// MSI-X masks each vector and all of them; what comes meanwhile is pending. A
// user is told of every change.
func TestMSIX(t *testing.T) {
	b := newBench(t)
	g, at := b.msixGadget(3)
	u := &user{map[int]accel.MSI{}, map[int]bool{}}
	b.Do(func() { g.SetVectorUser(u) })
	entry := func(v int) uint64 { return 0x80000000 + uint64(v)*msixEntryLen }
	for v := range 3 {
		b.Writel(entry(v), 0xfee00000)
		b.Writel(entry(v)+8, uint32(0x60+v))
	}
	b.Writew(at+2, msixEnable)
	b.Do(func() { g.Interrupt(1) })
	if m := b.IRQ.TakeMSIs(); len(m) != 0 || b.Readl(0x80000800) != 1<<1 {
		t.Errorf("masked from power-on: sent %v, pending %#x", m, b.Readl(0x80000800))
	}
	b.Writel(entry(1)+msixVectorCtrl, 0)
	if m := b.IRQ.TakeMSIs(); !slices.Equal(m, []accel.MSI{{Addr: 0xfee00000, Data: 0x61}}) || u.open[1].Data != 0x61 || len(u.open) != 1 {
		t.Errorf("unmasked: sent %v, open %v", m, u.open)
	}
	b.Writel(entry(1)+8, 0x99)
	if u.open[1].Data != 0x99 {
		t.Errorf("the user has %v for a new message", u.open[1])
	}
	b.Writew(at+2, msixEnable|msixMaskAll)
	u.came[1] = true
	if v := b.Readl(0x80000800); len(u.open) != 0 || v != 1<<1 {
		t.Errorf("all masked: open %v, pending %#x", u.open, v)
	}
	b.Writew(at+2, msixEnable)
	if m := b.IRQ.TakeMSIs(); !slices.Equal(m, []accel.MSI{{Addr: 0xfee00000, Data: 0x99}}) {
		t.Errorf("unmasked again: sent %v", m)
	}
	b.Do(func() { qdev.Reset(g) })
	if len(u.open) != 0 || g.MSIXEnabled() {
		t.Errorf("after a reset: open %v", u.open)
	}
	b.Do(func() { g.NotifyMSIX(-1); g.NotifyMSIX(3) })
}

// A table that does not fit, registers that do not exist, and capabilities
// that overlap are refused.
func TestRefusals(t *testing.T) {
	b := newBench(t)
	for name, set := range map[string]func(g *gadget, h *qdev.Host) error{
		"register 6": func(g *gadget, _ *qdev.Host) error { return g.AddBAR(6, BARMem32, register("x", 64, 0)) },
		"wide at 5":  func(g *gadget, _ *qdev.Host) error { return g.AddBAR(5, BARMem64, register("x", 64, 0)) },
		"3 bytes":    func(g *gadget, _ *qdev.Host) error { return g.AddBAR(0, BARMem32, register("x", 3, 0)) },
		"no vectors": func(g *gadget, _ *qdev.Host) error { return g.AddExclusiveMSIX(0, 0) },
		"too many":   func(g *gadget, _ *qdev.Host) error { return g.AddExclusiveMSIX(0, MaxMSIXVectors+1) },
		"3 vectors":  func(g *gadget, _ *qdev.Host) error { return g.AddMSI(0, 3, false, false) },
		"header":     func(g *gadget, _ *qdev.Host) error { _, err := g.AddCapability(CapPM, 0x20, 8); return err },
		"too long": func(g *gadget, _ *qdev.Host) error {
			_, err := g.AddVendorCapability(make([]byte, 200), nil)
			return err
		},
		"ext at 0x80": func(g *gadget, _ *qdev.Host) error { return g.AddExtCapability(ExtCapACS, 1, 0x80, 8) },
		"overlap": func(g *gadget, _ *qdev.Host) error {
			if _, err := g.AddCapability(CapPM, 0x40, 8); err != nil {
				return nil // the test then fails
			}
			_, err := g.AddCapability(CapVendor, 0x44, 8)
			return err
		},
	} {
		b.Do(func() {
			_, err := b.Create("gadget", b.root.bus.Qdev, func(d qdev.Device) error { d.(*gadget).bars = set; return nil })
			if err == nil {
				t.Errorf("%s: accepted", name)
			}
		})
	}
}

// Whatever a guest does to configuration space, tables and windows, the
// program stands, and a reset makes it as new.
func FuzzGuest(f *testing.F) {
	f.Add(binary.LittleEndian.AppendUint64(nil, 0x0706050403020100))
	f.Add([]byte{6, 0x04, 0x00, 7, 0, 0, 6, 0x14, 0x10, 0, 0, 0x80, 6, 0x20, 0, 0x10, 0x80, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBench(t)
		p := b.port("rp0", "1", "addr", "0")
		g := b.gadget(p.PCIBus(), func(g *gadget, h *qdev.Host) error {
			if err := g.AddExpress(0, Endpoint, 0); err != nil {
				return err
			}
			if err := g.AddMSI(0, 8, true, true); err != nil {
				return err
			}
			if err := g.AddBAR(2, BARMem64|BARPrefetch, register("pref", 1<<20, 0x33)); err != nil {
				return err
			}
			return g.AddExclusiveMSIX(0, 40)
		})
		g.SetVectorUser(&user{map[int]accel.MSI{}, map[int]bool{}})
		before := [2][]byte{slices.Clone(p.data), slices.Clone(g.data)}
		half := len(data) / 2
		b.Writel(bdf(0, 0)+regPrimary, 0x00010100)
		b.Fuzz(b.Memory, bdf(0, 0), ExpressConfigSize, data[:half])
		b.Fuzz(b.Memory, bdf(1, 0), ExpressConfigSize, data[half:])
		b.Fuzz(b.IO, ConfigAddressPort, 8, data)
		for _, r := range g.Regions() {
			if r.Addr != unmapped {
				b.Fuzz(b.Memory, r.Addr, int(r.Size), data)
			}
		}
		b.Do(func() {
			g.Interrupt(3)
			g.SetINTx(true)
			p.exp.slot.event(sltStaEvents)
			b.root.bus.Qdev.Reset()
		})
		for i, f := range []*Function{&p.Function, &g.Function} {
			for at := range headerLen {
				if f.data[at] != before[i][at] {
					t.Fatalf("%s: register %#x is %#x after a reset, was %#x", f.TypeName(), at, f.data[at], before[i][at])
				}
			}
		}
		for n, up := range b.lines {
			if up {
				t.Fatalf("line %d is up after a reset", n)
			}
		}
	})
}
