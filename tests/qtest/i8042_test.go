package qtest

import "testing"

// kbd drives the keyboard controller.
type kbd struct{ *Machine }

func (k kbd) command(v uint8) { k.t.Helper(); k.Outb(0x64, v) }
func (k kbd) data(v uint8)    { k.t.Helper(); k.Outb(0x60, v) }
func (k kbd) status() uint8   { k.t.Helper(); return k.Inb(0x64) }

// reply reads a byte that has to be there, of the mouse or not.
func (k kbd) reply(mouse bool, want uint8) {
	k.t.Helper()
	s := k.status()
	if s&1 == 0 || s&0x20 != 0 != mouse {
		k.t.Fatalf("status %#x where %#x should be waiting", s, want)
	}
	if v := k.Inb(0x60); v != want {
		k.t.Errorf("read %#x, want %#x", v, want)
	}
}

// The self-test, the interface tests, the command byte and the ports.
func TestI8042Commands(t *testing.T) {
	t.Parallel()
	k := kbd{q35(t)}
	if s := k.status(); s != 0x18 {
		t.Errorf("status %#x after reset", s)
	}
	k.command(0xaa)
	k.reply(false, 0x55)
	if s := k.status(); s != 0x1c {
		t.Errorf("status %#x after the self-test", s)
	}
	for cmd, want := range map[uint8]uint8{0xa9: 0, 0xab: 0, 0x20: 3, 0xc0: 0x80, 0xd0: 0xcf} {
		k.command(cmd)
		k.reply(false, want)
	}
	k.command(0x60)
	k.data(0x65)
	k.command(0xa7)
	k.command(0x20)
	k.reply(false, 0x65|0x20)
	k.command(0xa8)
	k.command(0xad)
	k.command(0x20)
	k.reply(false, 0x65&^0x20|0x10)
	k.command(0xd2)
	k.data(0x42)
	k.reply(false, 0x42)
	k.command(0xd3)
	k.data(0x43)
	k.reply(true, 0x43)
}

// The keyboard answers, on line 1, and drivers find their mouse, on line 12.
func TestI8042Devices(t *testing.T) {
	t.Parallel()
	k := kbd{q35(t)}
	k.InterceptIn("ioapic")
	k.data(0xff)
	if !k.IRQ(1) {
		t.Error("no interrupt of the keyboard")
	}
	k.reply(false, 0xfa)
	k.reply(false, 0xaa)
	if k.IRQ(1) {
		t.Error("the line is high with nothing to read")
	}
	k.data(0xf2)
	for _, v := range []uint8{0xfa, 0xab, 0x83} {
		k.reply(false, v)
	}
	k.data(0xee)
	k.reply(false, 0xee)
	k.data(0x01) // no command
	k.reply(false, 0xfe)

	mouse := func(v uint8, want ...uint8) {
		t.Helper()
		k.command(0xd4)
		k.data(v)
		if !k.IRQ(12) {
			t.Error("no interrupt of the mouse")
		}
		for _, w := range want {
			k.reply(true, w)
		}
	}
	mouse(0xff, 0xfa, 0xaa, 0x00)
	mouse(0xf2, 0xfa, 0x00)
	for _, rate := range []uint8{200, 100, 80} {
		mouse(0xf3, 0xfa)
		mouse(rate, 0xfa)
	}
	mouse(0xf2, 0xfa, 0x03) // with a wheel
	mouse(0xe9, 0xfa, 0x00, 0x02, 80)
	mouse(0xeb, 0xfa, 0x08, 0, 0, 0)
}

// A guest resets the machine by the controller in any of three ways, and by
// the chipset.
func TestQ35GuestReset(t *testing.T) {
	t.Parallel()
	m := q35(t)
	k := kbd{m}
	for what, do := range map[string]func(){
		"pulse":           func() { k.command(0xfe) },
		"output port":     func() { k.command(0xd1); k.data(0x02) },
		"port 92":         func() { m.Outb(0x92, 1) },
		"chipset":         func() { m.Outb(0xcf9, 0x0e) },
		"chipset in two":  func() { m.Outb(0xcf9, 0x02); m.Outb(0xcf9, 0x06) },
		"pulse, all bits": func() { k.command(0xf0) },
	} {
		m.Outb(0x60, 0xee) // leaves something for the reset to clear
		do()
		if e := m.QMP.WaitEvent("RESET"); member(e, "reason") != "guest-reset" || member(e, "guest") != true {
			t.Errorf("%s: event %v", what, e)
		}
		if s := k.status(); s != 0x18 {
			t.Errorf("%s: status %#x after it", what, s)
		}
	}
	k.command(0xff) // pulses nothing
	k.command(0xfd)
	m.Outb(0xcf9, 2)
	if v := m.Inb(0xcf9); v != 2 {
		t.Errorf("reset control reads %#x", v)
	}
	m.QMP.Status()
	for _, e := range m.QMP.Events() {
		t.Errorf("event %v", e)
	}
}

// Port 0x92 keeps the gate of address line 20 and resets on a rising bit 0
// only.
func TestPort92(t *testing.T) {
	t.Parallel()
	m := q35(t)
	if v := m.Inb(0x92); v != 0 {
		t.Errorf("%#x after power-on", v)
	}
	m.Command("irq_intercept_out /machine/unattached/device[13] a20")
	m.Outb(0x92, 2)
	if !m.IRQ(0) {
		t.Error("the gate's line is low")
	}
	if v := m.Inb(0x92); v != 2 {
		t.Errorf("%#x with the gate open", v)
	}
	m.Outb(0x92, 3)
	m.QMP.WaitEvent("RESET")
	if v := m.Inb(0x92); v != 2 {
		t.Errorf("%#x after a reset: the gate stays, the bit is armed again", v)
	}
	m.Outb(0x92, 3)
	m.QMP.WaitEvent("RESET")
}

// Without i8042 there is none.
func TestNoI8042(t *testing.T) {
	t.Parallel()
	m := q35(t, "-M", "q35,i8042=off")
	if v := m.Inb(0x64); v != 0xff {
		t.Errorf("port 0x64 reads %#x", v)
	}
}
