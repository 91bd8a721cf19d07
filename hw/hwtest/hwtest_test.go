package hwtest

import (
	"testing"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/memory"
)

// The helpers reach RAM and regions with the width they name.
func TestAccess(t *testing.T) {
	m := New(t)
	m.Writeq(0x1000, 0x8877665544332211)
	if a, b, c, d := m.Readb(0x1007), m.Readw(0x1002), m.Readl(0x1004), m.Readq(0x1000); a != 0x88 || b != 0x4433 ||
		c != 0x88776655 || d != 0x8877665544332211 {
		t.Errorf("read %#x %#x %#x %#x", a, b, c, d)
	}
	var last uint64
	var size int
	r := memory.NewIO("x", 4, memory.OpsFuncs{WriteFunc: func(off, v uint64, n int) { last, size = v, n }}, memory.Access{})
	m.must(m.Map.Add(m.Ports, r, 0x80, 0))
	m.Outw(0x82, 0xbeef)
	if last != 0xbeef || size != 2 {
		t.Errorf("the region saw %#x of %d bytes", last, size)
	}
	if v := m.Inl(0x3000); v != 0xffffffff {
		t.Errorf("a port nobody answers reads %#x", v)
	}
}

// Messages and run state changes are recorded once and in order.
func TestRecord(t *testing.T) {
	m := New(t)
	sent := m.IRQ.MSISent()
	for i := range uint32(3) {
		m.must(m.Interrupts.SendMSI(accel.MSI{Addr: 0xfee00000, Data: i}))
	}
	<-sent
	if got := m.IRQ.TakeMSIs(); len(got) != 3 || got[2].Data != 2 || len(m.IRQ.TakeMSIs()) != 0 {
		t.Errorf("recorded %v", got)
	}
	var seen []bool
	cancel := m.Run.OnChange(func(on bool) error { seen = append(seen, on); return nil })
	m.must(m.State.Set(false))
	m.must(m.State.Set(true))
	cancel()
	m.must(m.State.Set(false))
	if len(seen) != 2 || seen[0] || !seen[1] {
		t.Errorf("run state changes: %v", seen)
	}
}
