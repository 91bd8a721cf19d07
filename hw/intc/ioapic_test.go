package intc_test

import (
	"slices"
	"testing"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/hw/isa"
)

const ioapicBase = 0xfec00000

// ioapic is a machine with one IOAPIC.
type ioapic struct {
	*hwtest.Machine
	a *intc.IOAPIC
}

func newIOAPIC(t testing.TB, gsiBase int) ioapic {
	t.Helper()
	m := hwtest.New(t, isa.RegisterTypes, intc.RegisterTypes)
	a := hwtest.Add(m, "ioapic", nil, func(a *intc.IOAPIC) error { a.GSIBase = gsiBase; return nil })
	if err := a.MapMMIO(0, ioapicBase); err != nil {
		t.Fatal(err)
	}
	return ioapic{m, a}
}

func (i ioapic) get(index uint8) uint32 {
	i.Writel(ioapicBase, uint32(index))
	return i.Readl(ioapicBase + 0x10)
}

func (i ioapic) set(index uint8, v uint32) {
	i.Writel(ioapicBase, uint32(index))
	i.Writel(ioapicBase+0x10, v)
}

func (i ioapic) setEntry(pin int, e uint64) {
	i.set(uint8(0x11+2*pin), uint32(e>>32))
	i.set(uint8(0x10+2*pin), uint32(e))
}

func (i ioapic) pin(n int, level bool) { i.Do(func() { i.a.GPIOIn("", n).Set(level) }) }

func (i ioapic) wantMSIs(t *testing.T, what string, want ...accel.MSI) {
	t.Helper()
	if got := i.IRQ.TakeMSIs(); !slices.Equal(got, want) {
		t.Errorf("%s: sent %x, want %x", what, got, want)
	}
}

const (
	level  = 1 << 15
	masked = 1 << 16
)

// Version, ID and the reset state of the table are the 82093AA's.
func TestIOAPICRegisters(t *testing.T) {
	i := newIOAPIC(t, 0)
	if v := i.get(1); v != 0x170020 {
		t.Errorf("version %#x", v)
	}
	i.set(0, 0xff000000)
	if v := i.get(0); v != 0x0f000000 {
		t.Errorf("id %#x", v)
	}
	for n := range 24 {
		if lo, hi := i.get(uint8(0x10+2*n)), i.get(uint8(0x11+2*n)); lo != masked || hi != 0 {
			t.Errorf("entry %d after reset: %#x %#x", n, hi, lo)
		}
	}
	i.setEntry(3, 0xff<<56|0xffff)
	if v := i.get(0x16); v != 0xffff&^(1<<12|1<<14) {
		t.Errorf("read-only bits were written: %#x", v)
	}
	if v := i.get(0x40); v != 0 {
		t.Errorf("an index beyond the table reads %#x", v)
	}
	i.Writeb(ioapicBase+0x10, 0xff) // only 32-bit accesses reach the window
	if v := i.Readb(ioapicBase + 0x10); v != 0 {
		t.Errorf("a byte of the window reads %#x", v)
	}
}

// A rising edge sends one message; none while masked, and the edge is lost.
func TestIOAPICEdge(t *testing.T) {
	i := newIOAPIC(t, 24)
	i.setEntry(5, 3<<56|1<<11|1<<8|0x41)
	want := accel.MSI{Addr: 0xfee03004, Data: 0x141} // the destination mode is part of the address
	if r, ok := i.IRQ.Route(29); !ok || r.Masked || r.MSI.Addr != want.Addr {
		t.Errorf("route of GSI 29: %+v %t", r, ok)
	}
	i.pin(5, true)
	i.pin(5, true)
	i.wantMSIs(t, "an edge", want)
	i.pin(5, false)
	i.pin(5, true)
	i.wantMSIs(t, "the next edge", want)

	i.set(0x1a, masked|0x41)
	if r, _ := i.IRQ.Route(29); !r.Masked || r.MSI.Addr != want.Addr {
		t.Errorf("route of a masked pin: %+v, want its last message", r)
	}
	i.pin(5, false)
	i.pin(5, true)
	i.setEntry(5, 0x41)
	i.wantMSIs(t, "an edge while masked")
}

// A level-triggered line sends again only after EOI and while it is high.
func TestIOAPICLevel(t *testing.T) {
	i := newIOAPIC(t, 24)
	i.setEntry(1, level|0x51)
	want := accel.MSI{Addr: 0xfee00000, Data: 0x51 | 1<<15 | 1<<14}
	i.pin(1, true)
	i.wantMSIs(t, "asserted", want)
	if v := i.get(0x12); v&(1<<14) == 0 {
		t.Errorf("remote IRR is clear: %#x", v)
	}
	i.pin(1, false)
	i.pin(1, true)
	i.wantMSIs(t, "before EOI")
	i.Do(func() { i.a.EOI(0x50) })
	i.wantMSIs(t, "EOI of another vector")
	i.Do(func() { i.a.EOI(0x51) })
	i.wantMSIs(t, "EOI while high", want)
	i.pin(1, false)
	i.Writel(ioapicBase+0x40, 0x51) // the EOI register
	i.wantMSIs(t, "EOI while low")
	if v := i.get(0x12); v&(1<<14) != 0 {
		t.Errorf("remote IRR is set after EOI: %#x", v)
	}

	i.setEntry(1, masked|level|0x51)
	i.pin(1, true)
	i.wantMSIs(t, "masked")
	i.setEntry(1, level|0x51)
	i.wantMSIs(t, "unmasked while high", want)
	i.setEntry(1, masked|level|0x51) // Linux masks a threaded interrupt, and ends it so
	i.Do(func() { i.a.EOI(0x51) })
	i.setEntry(1, level|0x51)
	i.wantMSIs(t, "unmasked after an EOI while masked", want)
}

// Switching an entry to edge and back ends its interrupt, which is how
// guests without the EOI register do it.
func TestIOAPICEdgeClearsRemoteIRR(t *testing.T) {
	i := newIOAPIC(t, 24)
	i.setEntry(2, level|0x60)
	i.pin(2, true)
	i.IRQ.TakeMSIs()
	i.set(0x14, masked|0x60)
	i.set(0x14, level|0x60)
	if got := i.IRQ.TakeMSIs(); len(got) != 1 {
		t.Errorf("sent %x, want the interrupt again", got)
	}
}

// ISA line 0 is pin 2 of the first IOAPIC, and pin 0 of any other is itself.
func TestIOAPICPin0(t *testing.T) {
	first := newIOAPIC(t, 0)
	first.setEntry(0, 0x30)
	first.setEntry(2, 0x32)
	first.pin(0, true)
	first.wantMSIs(t, "line 0 of the first", accel.MSI{Addr: 0xfee00000, Data: 0x32})
	second := newIOAPIC(t, 24)
	second.setEntry(0, 0x30)
	second.setEntry(2, 0x32)
	second.pin(0, true)
	second.wantMSIs(t, "line 0 of the second", accel.MSI{Addr: 0xfee00000, Data: 0x30})
}

// ExtINT entries leave the interrupt to the PIC.
func TestIOAPICExtINT(t *testing.T) {
	i := newIOAPIC(t, 24)
	i.setEntry(4, 7<<8)
	i.pin(4, true)
	i.wantMSIs(t, "ExtINT")
	if r, ok := i.IRQ.Route(28); ok && !r.Masked {
		t.Errorf("route %+v", r)
	}
}

// Routes are told once per change, not per write.
func TestIOAPICRouteUpdates(t *testing.T) {
	i := newIOAPIC(t, 0)
	i.setEntry(7, masked|0x40)
	i.setEntry(7, masked|0x41)
	if n := i.IRQ.RouteCalls(); n != 0 {
		t.Errorf("%d route updates for a masked pin", n)
	}
	i.setEntry(7, 0x41)
	i.setEntry(7, 0x41)
	if n := i.IRQ.RouteCalls(); n != 1 {
		t.Errorf("%d route updates, want 1", n)
	}
	i.Do(i.a.Reset)
	if r, _ := i.IRQ.Route(7); !r.Masked {
		t.Error("the pin is not masked after reset")
	}
}

// A line that stays high for ever does not keep the guest from running, and
// is not forgotten either.
func TestIOAPICStorm(t *testing.T) {
	i := newIOAPIC(t, 0)
	i.setEntry(10, level|0x70)
	i.pin(10, true)
	n := 0
	for ; len(i.IRQ.TakeMSIs()) == 1; n++ {
		if n > 20000 {
			t.Fatal("the storm never rests")
		}
		i.Do(func() { i.a.EOI(0x70) })
	}
	i.Step(10e6)
	if got := i.IRQ.TakeMSIs(); len(got) != 1 {
		t.Errorf("after the rest: %x", got)
	}
}

// A pin whose device holds it high through a reset interrupts once the guest
// has set the IOAPIC up again.
func TestIOAPICResetKeepsLines(t *testing.T) {
	i := newIOAPIC(t, 0)
	i.pin(9, true)
	i.Do(i.a.Reset)
	i.setEntry(9, level|0x33)
	if got := i.IRQ.TakeMSIs(); len(got) != 1 {
		t.Errorf("sent %x", got)
	}
}

func FuzzIOAPIC(f *testing.F) {
	f.Add([]byte{6, 0, 0, 0x12, 0, 0, 6, 0x10, 0, 0x41, 0x80, 0, 6, 0x40, 0, 0x41, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		i := newIOAPIC(t, 0)
		for n := range data {
			i.pin(int(data[n]&31)%24, data[n]&0x80 != 0)
			if n%6 == 0 && n+6 <= len(data) {
				i.Fuzz(i.Memory, ioapicBase, 0x48, data[n:n+6])
			}
		}
	})
}
