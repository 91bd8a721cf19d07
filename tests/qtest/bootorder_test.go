package qtest

import (
	"strings"
	"testing"
)

// bootOrder is CMOS 0x3d and 0x38 as one number, first device lowest, as
// QEMU's own test has it.
func bootOrder(m *Machine) int { return int(cmos(m, 0x38)) | int(cmos(m, 0x3d))<<8 }

// TestCMOSBootOrder: -boot's order is in the CMOS RAM; once= holds until the first
// reset, and resets after that change nothing.
func TestCMOSBootOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args         string
		first, later int
	}{
		{"", 0x1230, 0x1230},
		{"-boot c", 0x0200, 0x0200},
		{"-boot nda", 0x3410, 0x3410},
		{"-boot order=", 0, 0},
		{"-boot order= -boot order=c", 0x0200, 0x0200},
		{"-boot once=a", 0x0100, 0x1230},
		{"-boot once=a,order=c", 0x0100, 0x0200},
		{"-boot once=d -boot order=nda", 0x0300, 0x3410},
		{"-boot once=a -boot once=b -boot once=c", 0x0200, 0x1230},
		{"-no-fd-bootchk", 0x1231, 0x1231},
		{"-boot once=a -no-fd-bootchk", 0x0101, 0x1231},
	} {
		t.Run(strings.ReplaceAll(c.args, " ", ""), func(t *testing.T) {
			t.Parallel()
			m := q35(t, Args(c.args)...)
			if v := bootOrder(m); v != c.first {
				t.Errorf("first %#04x, want %#04x", v, c.first)
			}
			for range 2 {
				m.QMP.Must("system_reset", nil, nil)
				m.QMP.WaitEvent("RESET")
				if v := bootOrder(m); v != c.later {
					t.Errorf("after a reset %#04x, want %#04x", v, c.later)
				}
			}
		})
	}
}

// TestBootOrderErrors: what a PC cannot boot from is refused in QEMU's words.
func TestBootOrderErrors(t *testing.T) {
	t.Parallel()
	refused(t, map[string]string{
		"-boot acdn":    "Too many boot devices for PC",
		"-boot e":       "Invalid boot device for PC: 'e'",
		"-boot order=q": "Invalid boot device 'q'",
		"-boot once=cc": "Boot device 'c' was given twice",
	})
}

// TestFwCfgBoot: what -boot says beside the order is in fw_cfg.
func TestFwCfgBoot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args, file string
		want       []byte // nil for no file
	}{
		{"", "etc/boot-fail-wait", []byte{0xff, 0xff, 0xff, 0xff}},
		{"-boot reboot-timeout=15", "etc/boot-fail-wait", []byte{15, 0, 0, 0}},
		{"", "etc/boot-menu-wait", nil},
		{"-boot splash-time=300", "etc/boot-menu-wait", []byte{0x2c, 1}},
	} {
		m := q35(t, Args(c.args)...)
		f := &FwCfg{M: m, Scratch: 0x10000}
		e, ok := f.Find(c.file)
		if ok != (c.want != nil) {
			t.Errorf("%q: %s is there: %v", c.args, c.file, ok)
		} else if ok && (int(e.Size) != len(c.want) || string(f.File(c.file)) != string(c.want)) {
			t.Errorf("%q: %s is % x", c.args, c.file, f.File(c.file))
		}
	}
	f := &FwCfg{M: q35(t, "-boot", "menu=on"), Scratch: 0x10000}
	if v := f.U16(0x000e); v != 1 {
		t.Errorf("boot menu %d", v)
	}
	f = &FwCfg{M: q35(t, "-smp", "3,sockets=1,cores=3,threads=1,maxcpus=3"), Scratch: 0x10000}
	for key, want := range map[uint16]uint16{0x000e: 0, 0x0005: 3, 0x000f: 3, 0x0004: 0} {
		if v := f.U16(key); v != want {
			t.Errorf("item %#x is %d, want %d", key, v, want)
		}
	}
	if v := f.U64(0x0003); v != 128<<20 {
		t.Errorf("RAM size %#x", v)
	}
	if v := f.Item(0x000d, 32); string(v) != string(make([]byte, 32)) {
		t.Errorf("NUMA % x", v)
	}
}
