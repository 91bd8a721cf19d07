package input

import (
	"testing"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/qdev"
)

type rig struct {
	*hwtest.Machine
	c          *I8042
	kbd, mouse *hwtest.Line
}

func newRig(t testing.TB) *rig {
	t.Helper()
	m := hwtest.New(t, isa.RegisterTypes, RegisterTypes)
	r := &rig{Machine: m, kbd: m.NewLine(), mouse: m.NewLine()}
	bridge, err := isa.New(m.Host, []*qdev.IRQ{1: r.kbd.IRQ, 12: r.mouse.IRQ})
	if err != nil {
		t.Fatal(err)
	}
	r.c = hwtest.Add[*I8042](m, "i8042", bridge.ISA(), nil)
	m.Do(func() { qdev.Reset(bridge) })
	return r
}

func (r *rig) command(v uint8) { r.Outb(statusPort, v) }
func (r *rig) data(v uint8)    { r.Outb(dataPort, v) }

// Each byte of a reply is an edge of its own on the line.
func TestEachByteIsAnEdge(t *testing.T) {
	r := newRig(t)
	r.data(cmdGetID)
	for i := range 3 {
		if r.kbd.Raised != i+1 || !r.kbd.Level {
			t.Fatalf("byte %d: %d edges", i, r.kbd.Raised)
		}
		r.Inb(dataPort)
	}
	if r.kbd.Level {
		t.Error("the line is high with nothing to read")
	}
	if v := r.Inb(dataPort); v != 0x83 {
		t.Errorf("an empty buffer reads %#x, not the last byte", v)
	}
}

// A disabled device keeps its bytes until it is enabled.
func TestDisabledDevicesWait(t *testing.T) {
	r := newRig(t)
	r.data(cmdEnable)
	r.command(cmdKbdOff)
	if r.Inb(statusPort)&statusOBF != 0 || r.kbd.Level {
		t.Error("a byte of a disabled keyboard")
	}
	r.command(cmdKbdOn)
	if r.Inb(statusPort)&statusOBF == 0 || !r.kbd.Level {
		t.Error("the byte is gone")
	}
	r.Inb(dataPort)
	r.command(cmdWriteMouse)
	r.data(cmdEnable)
	r.command(cmdMouseOff)
	if r.Inb(statusPort)&statusOBF != 0 || r.mouse.Level {
		t.Error("a byte of a disabled mouse")
	}
	r.command(cmdMouseOn)
	if r.Inb(statusPort)&(statusOBF|statusAuxOBF) != statusOBF|statusAuxOBF || !r.mouse.Level {
		t.Error("the byte is gone")
	}
}

// A keyboard behind a controller that translates names itself otherwise.
func TestTranslation(t *testing.T) {
	r := newRig(t)
	r.command(cmdWriteMode)
	r.data(modeTranslate)
	r.data(cmdGetID)
	for i, want := range []uint8{replyACK, 0xab, 0x41} {
		if v := r.Inb(dataPort); v != want {
			t.Errorf("byte %d: %#x, want %#x", i, v, want)
		}
	}
}

// The reset line is pulsed by low bits 0 only, and asked for once each.
func TestResetLine(t *testing.T) {
	r := newRig(t)
	for cmd := 0xf0; cmd <= 0xff; cmd++ {
		r.command(uint8(cmd))
		want := 1 - cmd&1
		if got := r.Asked.Take(); len(got) != want || want == 1 && got[0] != "reset" {
			t.Errorf("command %#x: %v", cmd, got)
		}
	}
}

// A mouse that wraps echoes all but the end of that and a reset.
func TestMouseWrap(t *testing.T) {
	r := newRig(t)
	to := func(v uint8) []uint8 {
		r.command(cmdWriteMouse)
		r.data(v)
		var out []uint8
		for r.Inb(statusPort)&statusOBF != 0 {
			out = append(out, r.Inb(dataPort))
		}
		return out
	}
	to(0xee)
	for _, v := range []uint8{0x00, cmdEnable, cmdGetID, 0x55} {
		if got := to(v); len(got) != 1 || got[0] != v {
			t.Errorf("%#x is echoed as % x", v, got)
		}
	}
	if got := to(0xec); len(got) != 1 || got[0] != replyACK {
		t.Errorf("the end of wrap mode is answered with % x", got)
	}
	if got := to(cmdGetID); len(got) != 2 {
		t.Errorf("after wrap mode % x", got)
	}
}

// A host that never reads does not make the queue grow.
func TestQueueIsBounded(t *testing.T) {
	r := newRig(t)
	for range 1000 {
		r.data(cmdGetID)
		r.command(cmdWriteMouse)
		r.data(cmdGetID)
	}
	if a, b := len(r.c.kbd.queue), len(r.c.mouse.queue); a > maxQueue || b > maxQueue {
		t.Errorf("%d and %d bytes wait", a, b)
	}
}

// Whatever a guest does, the controller answers.
func FuzzI8042(f *testing.F) {
	f.Add([]byte{0xaa, 0x60, 0xd4, 0xf3, 200})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newRig(t)
		for i := 0; i+1 < len(data) && i < 4096; i += 2 {
			switch data[i] & 3 {
			case 0:
				r.command(data[i+1])
			case 1:
				r.data(data[i+1])
			case 2:
				r.Inb(dataPort)
			case 3:
				r.Inb(statusPort)
			}
		}
		if n := max(len(r.c.kbd.queue), len(r.c.mouse.queue)); n > maxQueue {
			t.Errorf("%d bytes wait", n)
		}
	})
}
