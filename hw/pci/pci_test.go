package pci

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// bench is a host bridge with a root bus, and the test its guest.
type bench struct {
	*hwtest.Machine
	root  *rootBridge
	lines []bool // of the root bus, as last driven
	noise int    // calls of the lines
}

type rootBridge struct {
	qdev.SysBus
	HostState
	bus *Bus
}

func (r *rootBridge) PCIBus() *Bus { return r.bus }

// gadget is a function with registers of every kind.
type gadget struct {
	Function
	bars  func(g *gadget, h *qdev.Host) error
	ident Identity
}

func (g *gadget) Identity() Identity {
	if g.ident == (Identity{}) {
		return Identity{Vendor: 0x1234, Device: 0x5678, Revision: 9, Class: 0x00ff, Express: true}
	}
	return g.ident
}

func (g *gadget) RealizePCI(h *qdev.Host) error {
	g.SetPin(1)
	if g.bars != nil {
		return g.bars(g, h)
	}
	return nil
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{lines: make([]bool, 8)}
	b.Machine = hwtest.New(t, RegisterTypes, func(r *qom.Registry) {
		r.Register(qom.Type{Name: "root", Parent: "pcie-host-bridge", New: func() qom.Object { return new(rootBridge) }})
		r.Register(qom.Type{Name: "gadget", Parent: "pci-device", New: func() qom.Object { return new(gadget) }})
	})
	b.root = hwtest.Add[*rootBridge](b.Machine, "root", nil, nil)
	b.Do(func() {
		mem := memory.NewContainer("pci", memory.MaxSize)
		b.must(b.Map.Add(b.System, mem, 0, -1))
		var err error
		b.root.bus, err = NewRootBus(b.Host, "PCIE", "pcie.0", b.root, mem, b.Ports, len(b.lines),
			func(devfn, pin int) int { return 4 + swizzle(devfn, pin) },
			func(n int, level bool) { b.lines[n] = level; b.noise++ })
		b.must(err)
		c := NewConfigAccess(b.root.bus)
		b.must(b.Map.Add(b.Ports, c.AddressRegion(), ConfigAddressPort, 0))
		b.must(b.Map.Add(b.Ports, c.DataRegion(), ConfigDataPort, 0))
		b.must(b.Map.Add(b.System, c.ECAMRegion(), ecam, 0))
	})
	return b
}

const ecam = 0x40000000

func (b *bench) must(err error) {
	b.T.Helper()
	if err != nil {
		b.T.Fatal(err)
	}
}

// add makes a device by the way that -device takes.
func (b *bench) add(driver, id, bus string, props ...string) (qdev.Device, error) {
	r := qdev.Request{Driver: driver, ID: id, Bus: bus}
	for i := 0; i < len(props); i += 2 {
		r.Props = append(r.Props, qdev.Prop{Name: props[i], Value: qom.Keyval(props[i+1])})
	}
	var d qdev.Device
	var err error
	b.Do(func() { d, err = b.Add(r) })
	return d, err
}

func (b *bench) port(id, chassis string, props ...string) *Port {
	b.T.Helper()
	d, err := b.add("pcie-root-port", id, "", append([]string{"chassis", chassis}, props...)...)
	b.must(err)
	return d.(*Port)
}

// gadget puts one on a bus, with what set declares.
func (b *bench) gadget(bus *Bus, set func(g *gadget, h *qdev.Host) error) *gadget {
	b.T.Helper()
	return hwtest.Add(b.Machine, "gadget", bus.Qdev, func(g *gadget) error { g.bars = set; return nil })
}

func bdf(bus, devfn int) uint64 { return ecam + uint64(bus)<<20 + uint64(devfn)<<12 }

// What a guest reads of a port, and what its writes leave, is recorded from
// QEMU.
func TestPortRegisters(t *testing.T) {
	for driver, slot := range map[string]string{"pcie-root-port": "1", "ioh3420": "2"} {
		b := newBench(t)
		if _, err := b.add(driver, "rp", "", "chassis", "1", "slot", slot, "addr", "2"); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open("testdata/" + driver + ".txt")
		b.must(err)
		defer f.Close()
		reg := func(at uint32) uint32 { b.Outl(ConfigAddressPort, 1<<31|2<<11|at); return b.Inl(ConfigDataPort) }
		set := func(at, v uint32) { b.Outl(ConfigAddressPort, 1<<31|2<<11|at); b.Outl(ConfigDataPort, v) }
		seen := map[uint32]bool{}
		for s := bufio.NewScanner(f); s.Scan(); {
			if strings.HasPrefix(s.Text(), "#") {
				continue
			}
			var at, reset, ones, zeroes uint32
			n, _ := fmt.Sscanf(s.Text(), "%x %x %x %x", &at, &reset, &ones, &zeroes)
			seen[at] = true
			if n == 2 {
				if v := b.Readl(bdf(0, 2<<3) + uint64(at)); v != reset {
					t.Errorf("%s: extended %#x is %#08x, want %#08x", driver, at, v, reset)
				}
				continue
			}
			if v := reg(at); v != reset {
				t.Errorf("%s: %#x is %#08x, want %#08x", driver, at, v, reset)
			}
			set(at, 0xffffffff)
			if v := reg(at); v != ones {
				t.Errorf("%s: %#x is %#08x after ones, want %#08x", driver, at, v, ones)
			}
			set(at, 0)
			if v := reg(at); v != zeroes {
				t.Errorf("%s: %#x is %#08x after zeroes, want %#08x", driver, at, v, zeroes)
			}
			set(at, reset)
		}
		for at := uint32(0); at < ExpressConfigSize; at += 4 {
			if v := b.Readl(bdf(0, 2<<3) + uint64(at)); !seen[at] && v != 0 {
				t.Errorf("%s: %#x is %#08x, QEMU has nothing there", driver, at, v)
			}
		}
	}
}

// Addresses are given and refused in QEMU's words.
func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		props []string // of each device, comma-separated
		want  string
	}{
		{[]string{"addr=3", "addr=3.1"}, "PCI: single function device can't be populated in function 3.1"},
		{[]string{"addr=3.1", "addr=3"}, "PCI: 3.0 indicates single function, but 3.1 is already populated."},
		{[]string{"addr=3.1", "addr=3,multifunction=on"}, ""},
		{[]string{"addr=3.1", "addr=3.2"}, ""},
		{[]string{"addr=1f.7"}, ""},
		{[]string{"addr=0x1f.0x7"}, ""},
		{[]string{"addr=3", "addr=3"}, "PCI: slot 3 function 0 not available for gadget, in use by gadget,id=(null)"},
		{[]string{"addr=20"}, "Property 'gadget.addr' doesn't take value '20'"},
		{[]string{"addr=1.8"}, "Property 'gadget.addr' doesn't take value '1.8'"},
		{[]string{"addr=1."}, "Property 'gadget.addr' doesn't take value '1.'"},
		{[]string{"addr="}, "Property 'gadget.addr' doesn't take value ''"},
		{[]string{"addr=-2"}, "Property 'gadget.addr' doesn't take value '-2'"},
		{[]string{"romsize=3"}, "ROM size 3 is not a power of two"},
		{[]string{"romfile=/nonexistent"}, "failed to find romfile \"/nonexistent\""},
		{[]string{"failover_pair_id=x"}, "failover primary device is not an Ethernet device"},
		{[]string{"acpi-index=16384"}, "acpi-index should be less or equal to 16383"},
		{[]string{"acpi-index=2", "acpi-index=2"}, "a PCI device with acpi-index = 2 already exist"},
	} {
		b := newBench(t)
		var err error
		for _, p := range c.props {
			var props []string
			for kv := range strings.SplitSeq(p, ",") {
				k, v, _ := strings.Cut(kv, "=")
				props = append(props, k, v)
			}
			if err != nil {
				t.Fatalf("%v: %v", c.props, err)
			}
			before := len(b.root.bus.Functions())
			if _, err = b.add("gadget", "", "", props...); err != nil && len(b.root.bus.Functions()) != before {
				t.Errorf("%v: a refused device stays on the bus", c.props)
			}
		}
		if got := fmt.Sprint(err); got != c.want && (err != nil || c.want != "") {
			t.Errorf("%v: %v, want %s", c.props, err, c.want)
		}
	}
}

// A bus takes 32 devices of one function.
func TestFullBus(t *testing.T) {
	b := newBench(t)
	for range slots {
		if _, err := b.add("gadget", "", ""); err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.add("gadget", "", "")
	if fmt.Sprint(err) != "PCI: no slot/function available for gadget, all in use or reserved" {
		t.Errorf("%v", err)
	}
}

// Ports with the same chassis and slot are refused; a link warns of a slot
// that no guest looks at.
func TestPorts(t *testing.T) {
	b := newBench(t)
	var said []string
	b.Report = func(s string) { said = append(said, s) }
	p := b.port("rp0", "1")
	if p.PCIBus().Qdev.BusName() != "rp0" {
		t.Errorf("the bus is called %s", p.PCIBus().Qdev.BusName())
	}
	if _, err := b.add("pcie-root-port", "", "", "chassis", "1"); fmt.Sprint(err) != "Can't add chassis slot, error -16" {
		t.Errorf("a second port of chassis 1: %v", err)
	}
	if _, err := b.add("gadget", "", "rp0", "addr", "1"); err != nil || len(said) != 1 ||
		said[0] != "warning: PCI: slot 1 is not valid for gadget, parent device only allows plugging into slot 0." {
		t.Errorf("slot 1 of a link: %v, %q", err, said)
	}
}

// A port shows what is in its slot, and powers it after a reset.
func TestSlotPresence(t *testing.T) {
	b := newBench(t)
	p := b.port("rp0", "1")
	at := bdf(0, p.DevFn()) + uint64(p.exp.at)
	if v := b.Readw(at + expSltSta); v&sltStaPresent != 0 {
		t.Errorf("an empty slot's status is %#x", v)
	}
	g, err := b.add("gadget", "g", "rp0")
	b.must(err)
	b.Do(b.root.bus.Qdev.Reset)
	if sta, lnk, ctl := b.Readw(at+expSltSta), b.Readw(at+expLnkSta), b.Readw(at+expSltCtl); sta&sltStaPresent == 0 ||
		lnk&lnkStaActive == 0 || ctl&sltCtlPowerDown != 0 {
		t.Errorf("slot status %#x, link status %#x, slot control %#x with a device", sta, lnk, ctl)
	}
	b.Do(func() { qdev.Delete(g) })
	if sta, lnk := b.Readw(at+expSltSta), b.Readw(at+expLnkSta); sta&sltStaPresent != 0 || lnk&lnkStaActive != 0 {
		t.Errorf("slot status %#x, link status %#x when it has gone", sta, lnk)
	}
}

// Events of a slot interrupt once, when their enable and the slot's are on.
func TestSlotEvents(t *testing.T) {
	b := newBench(t)
	p := b.port("rp0", "1")
	cfg := bdf(0, p.DevFn())
	at := cfg + uint64(p.exp.at)
	b.Writew(at+expSltCtl, sltCtlPresence|sltCtlInterrupt)
	b.Writew(at+expSltSta, 0xffff) // that write's own completion
	line := func() bool { return b.lines[4+swizzle(p.DevFn(), 0)] }
	b.Do(func() { p.exp.slot.event(sltStaButton) })
	if line() {
		t.Error("an event that is not enabled interrupts")
	}
	b.Do(func() { p.exp.slot.event(sltStaPresence) })
	if !line() {
		t.Error("an enabled event does not interrupt")
	}
	b.Writew(at+expSltSta, sltStaPresence)
	if line() {
		t.Error("the line stays up when the event is cleared")
	}
	b.Writew(at+expSltCtl, sltCtlPresence|sltCtlInterrupt|sltCtlToggleLatch)
	if v := b.Readw(at + expSltSta); v&sltStaLatch == 0 || v&sltStaCommand == 0 {
		t.Errorf("slot status %#x after the latch was toggled", v)
	}
	// By message, with MSI-X.
	b.Writew(cfg+regCommand, cmdMemory|cmdMaster)
	b.Writel(cfg+regBAR0, 0x80000000)
	b.Writel(0x80000000, 0xfee00000)
	b.Writel(0x80000008, 0x41)
	b.Writel(0x8000000c, 0)
	b.Writew(cfg+uint64(p.msix.at)+2, msixEnable)
	b.Writew(at+expSltSta, 0xffff)
	b.Do(func() { p.exp.slot.event(sltStaPresence) })
	if m := b.IRQ.TakeMSIs(); len(m) != 1 || m[0] != (accel.MSI{Addr: 0xfee00000, Data: 0x41}) || line() {
		t.Errorf("messages %v, line %v", m, line())
	}
}
