package misc_test

import (
	"slices"
	"testing"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/hw/misc"
	"github.com/gqemu/gqemu/hw/pci"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

func machine(t testing.TB) (*hwtest.Machine, *qdev.Bus) {
	t.Helper()
	m := hwtest.New(t, isa.RegisterTypes, misc.RegisterTypes)
	bridge, err := isa.New(m.Host, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m, bridge.ISA()
}

// Only a rising bit 0 resets; the gate's line follows bit 1.
func TestPort92(t *testing.T) {
	m, bus := machine(t)
	p := hwtest.Add[*misc.Port92](m, "port92", bus, nil)
	gate := m.NewLine()
	p.Connect("a20", 0, gate.IRQ)
	for _, c := range []struct {
		write  uint8
		resets bool
	}{{2, false}, {3, true}, {1, false}, {0, false}, {0xff, true}, {0xff, false}} {
		m.Outb(0x92, c.write)
		if got := m.Asked.Take(); slices.Equal(got, []string{"reset"}) != c.resets || !c.resets && len(got) > 0 {
			t.Errorf("%#x: asked for %v", c.write, got)
		}
		if gate.Level != (c.write&2 != 0) || m.Inb(0x92) != c.write {
			t.Errorf("%#x: gate %v, read %#x", c.write, gate.Level, m.Inb(0x92))
		}
	}
	m.Do(func() { qdev.Reset(p) })
	if v := m.Inb(0x92); v != 0xfe {
		t.Errorf("%#x after a reset", v)
	}
}

// A panic counts more than a crash kernel in the same write; unknown events
// are nobody's.
func TestPanicEvents(t *testing.T) {
	m, bus := machine(t)
	hwtest.Add[*misc.Panic](m, "pvpanic", bus, nil)
	for write, want := range map[uint8][]string{1: {"panicked"}, 2: {"crashloaded"}, 3: {"panicked"}, 4: nil, 0: nil} {
		m.Outb(0x505, write)
		if got := m.Asked.Take(); !slices.Equal(got, want) {
			t.Errorf("%#x: %v, want %v", write, got, want)
		}
	}
}

// pciHost is a root bus to test functions on.
type pciHost struct {
	qdev.SysBus
	pci.HostState
	bus *pci.Bus
}

func (h *pciHost) PCIBus() *pci.Bus { return h.bus }

// The function takes the same events where its register places them.
func TestPCIPanic(t *testing.T) {
	m := hwtest.New(t, pci.RegisterTypes, misc.RegisterPCITypes, func(r *qom.Registry) {
		r.Register(qom.Type{Name: "host", Parent: "pcie-host-bridge", New: func() qom.Object { return new(pciHost) }})
	})
	h := hwtest.Add[*pciHost](m, "host", nil, nil)
	m.Do(func() {
		var err error
		h.bus, err = pci.NewRootBus(m.Host, "PCIE", "pcie.0", h, m.System, m.Ports, 1,
			func(int, int) int { return 0 }, func(int, bool) {})
		if err != nil {
			t.Fatal(err)
		}
	})
	p := hwtest.Add[*misc.PCIPanic](m, "pvpanic-pci", h.bus.Qdev, nil)
	const place = 0x80000000
	m.Do(func() {
		p.SetConfig(0x10, place, 4)
		p.SetConfig(4, 2, 2)
	})
	if v := m.Readb(place); v != 3 {
		t.Errorf("it understands %#x", v)
	}
	for write, want := range map[uint8][]string{1: {"panicked"}, 2: {"crashloaded"}, 4: nil} {
		m.Writeb(place+1, write)
		if got := m.Asked.Take(); !slices.Equal(got, want) {
			t.Errorf("%#x: %v, want %v", write, got, want)
		}
	}
}

// The status is twice the value and one, whatever the access is wide.
func TestDebugExit(t *testing.T) {
	m, bus := machine(t)
	hwtest.Add[*misc.DebugExit](m, "isa-debug-exit", bus, func(d *misc.DebugExit) error {
		return qom.Set(d, "iosize", qom.JSON(int64(4)))
	})
	m.Outb(0x501, 0)
	m.Outw(0x501, 0x100)
	m.Outl(0x501, 3)
	if got := m.Asked.Take(); !slices.Equal(got, []string{"exit 1", "exit 513", "exit 7"}) {
		t.Errorf("%v", got)
	}
	for _, size := range []int64{0, 0x10000} {
		_, err := m.Create("isa-debug-exit", bus, func(d qdev.Device) error { return qom.Set(d, "iosize", qom.JSON(size)) })
		if err == nil {
			t.Errorf("%d ports at 0x501", size)
		}
	}
}
