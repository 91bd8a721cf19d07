package qtest

import (
	"fmt"
	"testing"
)

// TestEmptyTransports: each of the 24 transports answers with the magic, its
// version and device id 0, as the standard asks of a slot without a device
// (virtio 1.2 section 4.2.2.2), and takes any write without harm.
func TestEmptyTransports(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		args    []string
		version uint32
	}{
		{"legacy", nil, 1},
		{"modern", []string{"-global", "virtio-mmio.force-legacy=false"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := microvm(t, c.args...)
			for i := range VirtioSlots {
				v := &VirtioMMIO{M: m, Base: SlotAddr(i)}
				have := [4]uint32{v.In(VMagic), v.In(VVersion), v.In(VDeviceID), v.In(VVendorID)}
				if want := [4]uint32{VirtioMagic, c.version, 0, VirtioVendor}; have != want {
					t.Errorf("slot %d: %#x, want %#x", i, have, want)
				}
				for reg := uint64(0); reg < VirtioStep; reg += 4 {
					v.Out(reg, 0xffffffff)
					if x := v.In(reg); reg > VVendorID && x != 0 {
						t.Errorf("slot %d register %#x reads %#x", i, reg, x)
					}
				}
			}
			if x := m.Readl(SlotAddr(VirtioSlots)); x != 0 {
				t.Errorf("behind the last slot: %#x", x)
			}
		})
	}
}

// TestTransportCount: without the second IOAPIC there are eight transports.
func TestTransportCount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		props string
		want  int
	}{{"", 24}, {",ioapic2=off", 8}, {",acpi=off", 8}, {",ioapic2=on", 24}} {
		t.Run("microvm"+c.props, func(t *testing.T) {
			t.Parallel()
			m := Start(t, "-nodefaults", "-M", "microvm"+c.props)
			n := 0
			for m.Readl(SlotAddr(n)) == VirtioMagic {
				n++
			}
			if n != c.want {
				t.Errorf("%d transports, want %d", n, c.want)
			}
			for i := range n {
				path := fmt.Sprintf("/machine/unattached/device[%d]", i+3)
				_ = m.QMP.QOMList(path)
			}
		})
	}
}
