package kvm

import (
	"fmt"
	"testing"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/memory"
)

func port(name string, n uint64) *memory.Region {
	return memory.NewIO(name, n, memory.OpsFuncs{}, memory.Access{})
}

// Writes to ports that nothing answers stay in the kernel, far more of them
// than its ring has room for; reads and the ports of devices come out.
func TestWritesToDeadPortsCauseNoExit(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	if !m.vm.caps.coalescedPIO {
		t.Skip("needs KVM_CAP_COALESCED_PIO")
	}
	m.check(m.mem.Add(m.ports, port("end", 1), 0xf4, 0))
	done := make(chan struct{}, 1)
	dead, reads, live := 0, 0, 0
	m.h.pio = func(p uint16, data []byte, write bool) {
		switch {
		case p == 0xf4:
			if live++; live == 4 {
				done <- struct{}{}
			}
		case write:
			dead++
		default:
			reads++
			for i := range data {
				data[i] = 0xff
			}
		}
	}
	m.boot(
		0xbb, 0x04, 0x00, // mov bx, 4
		0xb9, 0x64, 0x00, // again: mov cx, 100
		0xba, 0xf8, 0x0c, // more: mov dx, 0xcf8
		0x66, 0xef, // out dx, eax
		0xe2, 0xf9, // loop more
		0xba, 0xfc, 0x0c, // mov dx, 0xcfc
		0x66, 0xed, // in eax, dx
		0xe6, 0xf4, // out 0xf4, al
		0x4b,       // dec bx
		0x75, 0xec, // jnz again
		0xeb, 0xfe, // jmp $
	)
	m.vm.Resume()
	receive(t, done, "end of the code")
	m.pause()
	if dead != 0 || reads != 4 || live != 4 {
		t.Errorf("exits for %d writes to dead ports, %d reads and %d writes to a device, want 0, 4 and 4", dead, reads, live)
	}
}

// A port is dead no longer when a device comes to it, and again when the
// device has gone.
func TestDeadPortsFollowTheDevices(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	if !m.vm.caps.coalescedPIO {
		t.Skip("needs KVM_CAP_COALESCED_PIO")
	}
	m.check(m.mem.Add(m.ports, port("end", 1), 0xf4, 0))
	done := make(chan struct{}, 1)
	var log []string
	m.h.pio = func(p uint16, data []byte, _ bool) {
		log = append(log, fmt.Sprintf("%x=%x", p, data))
		if p == 0xf4 {
			done <- struct{}{}
		}
	}
	v := m.boot()
	run := func(al byte) {
		m.code(
			0xb0, al, // mov al, al
			0xe6, 0x80, // out 0x80, al
			0xe6, 0xf4, // out 0xf4, al
			0xeb, 0xfe, // jmp $
		)
		m.real(v)
		m.vm.Resume()
		receive(t, done, "end of the code")
		m.pause()
	}
	run(1)
	dev := port("dev", 1)
	m.check(m.mem.Add(m.ports, dev, 0x80, 0))
	run(2)
	m.check(m.mem.Remove(dev))
	run(3)
	if got, want := fmt.Sprint(log), "[f4=01 80=02 f4=02 f4=03]"; got != want {
		t.Errorf("handler got %s, want %s", got, want)
	}
}

func TestDeadPortsAreWhatTheDevicesLeave(t *testing.T) {
	d := deadPorts{}
	for _, r := range []portRange{{0x70, 0x71}, {0, 0x1f}, {0x20, 0x21}, {0x24, 0x2f}, {0xfff0, 0xffff}} {
		m := memory.Section{Addr: r.first, Last: r.last}
		if err := d.add(m); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := fmt.Sprint(d.gaps()), "[{48 111} {114 65519}]"; got != want {
		t.Errorf("gaps are %s, want %s", got, want)
	}
	d.remove(memory.Section{Addr: 0xfff0, Last: 0xffff})
	if got, want := fmt.Sprint(d.gaps()), "[{48 111} {114 65535}]"; got != want {
		t.Errorf("gaps are %s, want %s", got, want)
	}
}
