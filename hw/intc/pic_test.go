package intc_test

import (
	"testing"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/qom"
)

// pics is a machine with a pair of PICs, initialised as PCs do: vectors 0x30
// and 0x38, nothing masked.
type pics struct {
	*hwtest.Machine
	pair *intc.PICPair
}

func newPICs(t testing.TB) pics {
	t.Helper()
	m := hwtest.New(t, isa.RegisterTypes, intc.RegisterTypes)
	bridge, err := isa.New(m.Host, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := intc.NewPICPair(m.Host, bridge.ISA(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := pics{m, pair}
	p.Do(func() { pair.Master.Reset(); pair.Slave.Reset() })
	p.init(0x01)
	return p
}

func (p pics) init(icw4 uint8) {
	for _, w := range []struct {
		port uint16
		v    uint8
	}{{0x20, 0x11}, {0x21, 0x30}, {0x21, 4}, {0x21, icw4}, {0xa0, 0x11}, {0xa1, 0x38}, {0xa1, 2}, {0xa1, icw4}} {
		p.Outb(w.port, w.v)
	}
}

func (p pics) line(n int, level bool) { p.Do(func() { p.pair.Line(n).Set(level) }) }

func (p pics) wantVector(t *testing.T, what string, want uint8) {
	t.Helper()
	if !p.IRQ.ExtINT() {
		t.Errorf("%s: no interrupt, want vector %#x", what, want)
		return
	}
	p.Do(func() {
		if got := p.IRQ.Ack(); got != want {
			t.Errorf("%s: vector %#x, want %#x", what, got, want)
		}
	})
}

func (p pics) wantQuiet(t *testing.T, what string) {
	t.Helper()
	if p.IRQ.ExtINT() {
		t.Errorf("%s: an interrupt is offered", what)
	}
}

// Clients find the devices with QEMU's names and properties.
func TestPICProperties(t *testing.T) {
	p := newPICs(t)
	for path, want := range map[string]any{
		"/machine/unattached/device[1]/iobase":    uint64(0x20),
		"/machine/unattached/device[2]/elcr_addr": uint64(0x4d1),
		"/machine/unattached/device[2]/elcr_mask": uint64(0xde),
		"/machine/unattached/device[1]/master":    true,
	} {
		i := len(path) - len("/iobase")
		for path[i] != '/' {
			i--
		}
		o, _ := qom.Resolve(p.Root, path[:i], "isa-i8259")
		if o == nil {
			t.Fatalf("no %s", path[:i])
		}
		if got, err := qom.Get(o, path[i+1:]); err != nil || got != want {
			t.Errorf("%s = %v (%v), want %v", path, got, err, want)
		}
	}
	if got, err := qom.Get(p.pair.Slave, "unnamed-gpio-out[0]"); err != nil ||
		got != "/machine/unattached/device[1]/unnamed-gpio-in[2]" {
		t.Errorf("the slave leads to %v (%v)", got, err)
	}
}

// A request is offered once, in service until EOI, and blocks lower ones.
func TestPICPriority(t *testing.T) {
	p := newPICs(t)
	p.line(4, true)
	p.line(1, true)
	p.wantVector(t, "lines 1 and 4", 0x31)
	p.wantQuiet(t, "line 4 behind 1")
	p.Outb(0x20, 0x0b) // OCW3: read ISR
	if isr := p.Inb(0x20); isr != 1<<1 {
		t.Errorf("ISR %#x", isr)
	}
	p.line(0, true)
	p.wantVector(t, "line 0 in front of 1", 0x30)
	p.Outb(0x20, 0x20) // non-specific EOI
	p.wantQuiet(t, "line 1 in service still")
	p.Outb(0x20, 0x61) // specific EOI of 1
	p.wantVector(t, "line 4", 0x34)
	p.Outb(0x20, 0x20)
	p.wantQuiet(t, "all served")
}

// A mask keeps a request waiting.
func TestPICMask(t *testing.T) {
	p := newPICs(t)
	p.Outb(0x21, 0x08)
	p.line(3, true)
	p.wantQuiet(t, "masked")
	if irr := p.Inb(0x20); irr != 8 {
		t.Errorf("IRR %#x", irr)
	}
	p.Outb(0x21, 0)
	p.wantVector(t, "unmasked", 0x33)
}

// The slave's lines come with the slave's vectors, and need two EOIs.
func TestPICCascade(t *testing.T) {
	p := newPICs(t)
	p.line(8, true)
	p.line(12, true)
	p.wantVector(t, "line 8", 0x38)
	p.wantQuiet(t, "line 12 behind 8")
	p.Outb(0xa0, 0x20)
	p.wantQuiet(t, "the master's EOI is missing")
	p.Outb(0x20, 0x62)
	p.wantVector(t, "line 12", 0x3c)
	p.Outb(0xa0, 0x20)
	p.Outb(0x20, 0x20)
	p.wantQuiet(t, "all served")
}

// With automatic EOI nothing stays in service, on the slave either.
func TestPICAutoEOI(t *testing.T) {
	p := newPICs(t)
	p.init(0x03)
	p.line(9, true)
	p.line(10, true)
	p.line(5, true)
	p.wantVector(t, "line 9", 0x39)
	p.wantVector(t, "line 10", 0x3a)
	p.wantVector(t, "line 5", 0x35)
	p.wantQuiet(t, "all served")
}

// A level-triggered request that goes before it is served leaves vector 7,
// with nothing in service.
func TestPICSpurious(t *testing.T) {
	p := newPICs(t)
	p.Outb(0x4d0, 0xff)
	p.Outb(0x4d1, 0xff)
	if a, b := p.Inb(0x4d0), p.Inb(0x4d1); a != 0xf8 || b != 0xde {
		t.Errorf("ELCR %#x %#x", a, b)
	}
	p.line(5, true)
	if !p.IRQ.ExtINT() {
		t.Error("no interrupt")
	}
	p.line(5, false)
	p.wantQuiet(t, "withdrawn")
	p.Do(func() {
		if v := p.IRQ.Ack(); v != 0x37 {
			t.Errorf("vector %#x, want the spurious one", v)
		}
	})
	p.Outb(0x20, 0x0b)
	if isr := p.Inb(0x20); isr != 0 {
		t.Errorf("ISR %#x", isr)
	}
}

// A level-triggered line interrupts again after EOI while it is high, an
// edge-triggered one does not.
func TestPICLevel(t *testing.T) {
	p := newPICs(t)
	p.Outb(0x4d0, 0x20)
	p.line(5, true)
	p.line(6, true)
	p.wantVector(t, "level", 0x35)
	p.Outb(0x20, 0x20)
	p.wantVector(t, "level again", 0x35)
	p.line(5, false)
	p.Outb(0x20, 0x20)
	p.wantVector(t, "edge", 0x36)
	p.Outb(0x20, 0x20)
	p.wantQuiet(t, "edge once")
}

// Rotation gives the pin just served the lowest priority.
func TestPICRotate(t *testing.T) {
	p := newPICs(t)
	p.line(3, true)
	p.wantVector(t, "line 3", 0x33)
	p.Outb(0x20, 0xa0) // rotate on non-specific EOI
	p.line(3, false)
	p.line(3, true)
	p.line(4, true)
	p.line(0, true)
	p.wantVector(t, "4 is highest now", 0x34)
	p.Outb(0x20, 0x64)
	p.wantVector(t, "then 0", 0x30)
	p.Outb(0x20, 0x60)
	p.wantVector(t, "3 is last", 0x33)
	p.Outb(0x20, 0x63)
	p.Outb(0x20, 0xc7) // set priority: 7 lowest
	p.line(1, true)
	p.line(6, true)
	p.wantVector(t, "1 is before 6", 0x31)
}

// Special mask mode lets lower requests through a masked one in service.
func TestPICSpecialMask(t *testing.T) {
	p := newPICs(t)
	p.line(2+1, true)
	p.wantVector(t, "line 3", 0x33)
	p.line(6, true)
	p.wantQuiet(t, "line 6 behind 3")
	p.Outb(0x21, 0x08)
	p.wantQuiet(t, "masking 3 alone")
	p.Outb(0x20, 0x68) // special mask mode
	p.wantVector(t, "line 6", 0x36)
	p.Outb(0x20, 0x20) // ends 6, not the masked 3
	p.Outb(0x20, 0x0b)
	if isr := p.Inb(0x20); isr != 0x08 {
		t.Errorf("ISR %#x", isr)
	}
}

// A poll acknowledges by hand.
func TestPICPoll(t *testing.T) {
	p := newPICs(t)
	p.line(6, true)
	p.Outb(0x20, 0x0c)
	if v := p.Inb(0x20); v != 0x86 {
		t.Errorf("poll %#x", v)
	}
	p.wantQuiet(t, "in service")
	p.Outb(0x20, 0x0c)
	if v := p.Inb(0x20); v != 0 {
		t.Errorf("poll of nothing %#x", v)
	}
}

// Special fully nested mode lets a higher line of the slave interrupt a
// lower one that is in service.
func TestPICFullyNested(t *testing.T) {
	p := newPICs(t)
	p.init(0x11)
	p.line(12, true)
	p.wantVector(t, "line 12", 0x3c)
	p.line(9, true)
	p.wantVector(t, "line 9 within 12", 0x39)
}

// ICW1 forgets edges: a line that stayed high has to fall first.
func TestPICInitForgetsEdges(t *testing.T) {
	p := newPICs(t)
	p.line(4, true)
	p.init(0x01)
	p.wantQuiet(t, "after ICW1")
	p.line(4, false)
	p.line(4, true)
	p.wantVector(t, "a new edge", 0x34)
}

func FuzzPIC(f *testing.F) {
	f.Add([]byte{4, 0, 0, 0x11, 0, 0, 4, 1, 0, 0x30, 0, 0, 0x80, 0x82})
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newPICs(t)
		for n, b := range data {
			p.line(int(b&15), b&0x80 != 0)
			if n%6 != 0 || n+6 > len(data) {
				continue
			}
			p.Fuzz(p.IO, []uint64{0x20, 0xa0, 0x4d0}[int(b>>4)%3], 2, data[n:n+6])
			if p.IRQ.ExtINT() {
				p.Do(func() { p.IRQ.Ack() })
			}
		}
	})
}
