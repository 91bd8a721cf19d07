package boot

import "testing"

// The format is the one of QEMU's microvm, whose plugged transports count
// down from the last.
func TestVirtIOMMIOArgs(t *testing.T) {
	got := VirtIOMMIOArgs([]Transport{{0xfeb00e00, 12}, {0xfeb00c00, 11}})
	if want := " virtio_mmio.device=512@0xfeb00e00:12 virtio_mmio.device=512@0xfeb00c00:11"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := VirtIOMMIOArgs(nil); got != "" {
		t.Errorf("no transport: %q", got)
	}
}

func TestVideoMode(t *testing.T) {
	for cmdline, want := range map[string]uint16{
		"vga=normal": 0xffff, "quiet vga=ext": 0xfffe, "vga=ask x": 0xfffd,
		"vga=791": 791, "vga=0x317 a": 0x317, "vga=010": 8, "vga=0": 0,
	} {
		if mode, ok, err := videoMode(cmdline); mode != want || !ok || err != nil {
			t.Errorf("%q: %#x, %v, %v", cmdline, mode, ok, err)
		}
	}
	if _, ok, err := videoMode("quiet"); ok || err != nil {
		t.Errorf("no vga=: %v, %v", ok, err)
	}
	for _, cmdline := range []string{"vga=", "vga=0b1", "vga=1_0", "vga=08", "vga=4294967296", "vga=0x"} {
		if mode, _, err := videoMode(cmdline); err == nil {
			t.Errorf("%q: %#x", cmdline, mode)
		}
	}
}
