package i386

import (
	"encoding/binary"
	"testing"

	"github.com/gqemu/gqemu/accel"
)

// A guest without ACPI finds the structure by its signature and checksum, and
// in the table all processors, the IOAPIC and where each ISA line arrives.
func TestMPTable(t *testing.T) {
	le := binary.LittleEndian
	leaf := []accel.CPUID{{Function: 0, EAX: 1}, {Function: 1, EAX: 0x663, EDX: 0x201}}
	b := mpTable([]accel.CPUConfig{{CPUID: leaf}, {Index: 1, APICID: 4, CPUID: leaf}}, mpTableAddr)
	f, c := b[:16], b[16:]
	if string(f[:4]) != "_MP_" || checksum(f) != 0 || f[8] != 1 || le.Uint32(f[4:]) != mpTableAddr+16 {
		t.Fatalf("floating pointer % x", f)
	}
	if string(c[:4]) != "PCMP" || checksum(c) != 0 || int(le.Uint16(c[4:])) != len(c) || le.Uint32(c[36:]) != 0xfee00000 {
		t.Fatalf("header % x", c[:44])
	}
	if len(b) > resetVector-mpTableAddr-0x100 {
		t.Errorf("%d bytes", len(b))
	}
	var cpus, lines, n int
	last := byte(0)
	for e := c[44:]; len(e) > 0; n++ {
		if e[0] < last {
			t.Errorf("entry type %d after %d", e[0], last)
		}
		last = e[0]
		size := 8
		switch e[0] {
		case mpProcessor:
			size = 20
			want := []byte{0, []byte{0, 4}[cpus], 0x14, []byte{3, 1}[cpus]}
			if string(e[:4]) != string(want) || le.Uint32(e[4:]) != 0x663 || le.Uint32(e[8:]) != 0x201 {
				t.Errorf("processor % x", e[:20])
			}
			cpus++
		case mpBus:
			if string(e[2:8]) != "ISA   " {
				t.Errorf("bus %q", e[2:8])
			}
		case mpIOAPIC:
			if e[3] != 1 || le.Uint32(e[4:]) != ioapicBase {
				t.Errorf("IOAPIC % x", e[:8])
			}
		case mpIOInterrupt:
			lines++
			if want := map[byte]byte{0: 2}[e[5]]; e[5] != 0 && e[7] != e[5] || e[5] == 0 && e[7] != want {
				t.Errorf("line %d at pin %d", e[5], e[7])
			}
		}
		e = e[size:]
	}
	if cpus != 2 || lines != 15 || n != int(le.Uint16(c[34:])) {
		t.Errorf("%d processors, %d lines, %d of %d entries", cpus, lines, n, le.Uint16(c[34:]))
	}
}
