package qtest

import (
	"strings"
	"testing"
)

// q35 starts the default machine.
func q35(t testing.TB, more ...string) *Machine {
	t.Helper()
	return Start(t, append([]string{"-nodefaults"}, more...)...)
}

// cmos reads a byte of the CMOS RAM.
func cmos(m *Machine, addr uint8) uint8 {
	m.t.Helper()
	m.Outb(0x70, addr)
	return m.Inb(0x71)
}

func cmosWord(m *Machine, addr uint8) int { return int(cmos(m, addr)) | int(cmos(m, addr+1))<<8 }

// Without -M the machine is q35, and clients see that it is the default.
func TestDefaultMachine(t *testing.T) {
	t.Parallel()
	m := q35(t)
	var typ string
	m.QMP.Must("qom-get", map[string]any{"path": "/machine", "property": "type"}, &typ)
	if typ != "pc-q35-8.2-machine" {
		t.Errorf("the machine is a %s", typ)
	}
	var list []struct {
		Name, Alias      string
		IsDefault        bool   `json:"is-default"`
		CPUMax           int    `json:"cpu-max"`
		HotpluggableCPUs bool   `json:"hotpluggable-cpus"`
		RAM              string `json:"default-ram-id"`
	}
	m.QMP.Must("query-machines", nil, &list)
	for _, e := range list {
		isQ35 := e.Name == "pc-q35-8.2"
		if e.IsDefault != isQ35 {
			t.Errorf("%s: is-default %v", e.Name, e.IsDefault)
		}
		if isQ35 && (e.Alias != "q35" || e.CPUMax != 1024 || !e.HotpluggableCPUs || e.RAM != "pc.ram") {
			t.Errorf("%+v", e)
		}
	}
}

// RAM lies below the hole of PCI and from 4 GiB on, and the CMOS RAM tells of
// it.
func TestQ35Memory(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, c := range []struct {
		args      string
		low, high uint64 // MiB
	}{
		{"-m 128", 128, 0},
		{"-m 2815", 2815, 0},    // just below 0xb0000000
		{"-m 2816", 2048, 768},  // from there on half of 4 GiB
		{"-m 6144", 2048, 4096}, //
		{"-m 3G -M q35,max-ram-below-4g=1G", 1024, 2048},
	} {
		t.Run(strings.ReplaceAll(c.args, " ", ""), func(t *testing.T) {
			t.Parallel()
			m := q35(t, Args(c.args)...)
			hole := c.low * mib
			m.Writeq(hole-8, 0x1122334455667788)
			if v := m.Readq(hole - 8); v != 0x1122334455667788 {
				t.Errorf("the last word below the hole reads %#x", v)
			}
			m.Writeq(hole, 1)
			if v := m.Readq(hole); v != 0 {
				t.Errorf("the hole reads %#x", v)
			}
			end := uint64(1<<32) + c.high*mib
			if c.high > 0 {
				m.Writeq(end-8, 0x99)
				if v := m.Readq(end - 8); v != 0x99 {
					t.Errorf("the last word of RAM reads %#x", v)
				}
			}
			if v := m.Readq(end); v != 0 {
				t.Errorf("behind RAM: %#x", v)
			}
			if v := cmosWord(m, 0x15); v != 640 {
				t.Errorf("base memory %d KiB", v)
			}
			want := min(int(c.low)*1024-1024, 0xffff)
			if a, b := cmosWord(m, 0x17), cmosWord(m, 0x30); a != want || b != want {
				t.Errorf("extended memory %d and %d KiB, want %d", a, b, want)
			}
			if v, want := cmosWord(m, 0x34), (int(c.low)-16)*16; v != want {
				t.Errorf("memory above 16 MiB: %d, want %d", v, want)
			}
			if v := cmosWord(m, 0x5b) | int(cmos(m, 0x5d))<<16; v != int(c.high)*16 {
				t.Errorf("memory above 4 GiB: %d, want %d", v, c.high*16)
			}
		})
	}
}

// The CMOS RAM tells firmware of processors, floppies and equipment, and a
// reset leaves it alone.
func TestQ35CMOS(t *testing.T) {
	t.Parallel()
	m := q35(t, "-smp", "3")
	for range 2 {
		for addr, want := range map[uint8]uint8{0x0f: 0, 0x10: 0, 0x12: 0, 0x14: 6, 0x38: 0x30, 0x3d: 0x12, 0x5f: 2} {
			if v := cmos(m, addr); v != want {
				t.Errorf("CMOS %#x is %#x, want %#x", addr, v, want)
			}
		}
		m.Outb(0x70, 0x60)
		m.Outb(0x71, 0xa5)
		m.QMP.Must("system_reset", nil, nil)
		m.QMP.WaitEvent("RESET")
		if v := cmos(m, 0x60); v != 0xa5 {
			t.Errorf("CMOS 0x60 is %#x after a reset", v)
		}
	}
}

// Devices stand where QEMU's clients look for them.
func TestQ35Paths(t *testing.T) {
	t.Parallel()
	m := q35(t)
	for path, want := range map[string]string{
		"/machine/q35/ioapic":                   "ioapic",
		"/machine/fw_cfg":                       "fw_cfg_io",
		"/machine/unattached/device[2]":         "ICH9-LPC",
		"/machine/unattached/device[2]/rtc":     "mc146818rtc",
		"/machine/unattached/device[2]/isa.0":   "ISA",
		"/machine/unattached/device[3]":         "i8257",
		"/machine/unattached/device[5]":         "isa-i8259",
		"/machine/unattached/device[6]":         "isa-i8259",
		"/machine/unattached/device[8]":         "isa-pit",
		"/machine/unattached/device[9]":         "isa-pcspk",
		"/machine/unattached/device[10]":        "i8042",
		"/machine/unattached/device[10]/ps2kbd": "ps2-kbd",
		"/machine/unattached/device[13]":        "port92",
		"ioapic":                                "ioapic",
	} {
		var typ string
		m.QMP.Must("qom-get", map[string]any{"path": path, "property": "type"}, &typ)
		if typ != want {
			t.Errorf("%s is a %s, want %s", path, typ, want)
		}
	}
	var now map[string]int
	m.QMP.Must("qom-get", map[string]any{"path": "/machine", "property": "rtc-time"}, &now)
	if now["tm_year"] < 120 {
		t.Errorf("rtc-time %v", now)
	}
}

// A property that asks for what is not there is refused with its name.
func TestQ35Refusals(t *testing.T) {
	t.Parallel()
	refused(t, map[string]string{
		"-M q35,sata=on":                "machine q35: sata=on is not supported",
		"-M q35,usb=on":                 "machine q35: usb=on is not supported",
		"-M q35,smm=on":                 "System Management Mode not supported by this hypervisor.",
		"-M q35,max-ram-below-4g=5G":    "Machine option 'max-ram-below-4g=5368709120' expects size less than or equal to 4G",
		"-M q35,foo=1":                  "Property 'pc-q35-8.2-machine.foo' not found",
		"-device virtio-rng-pci":        "-device virtio-rng-pci: 'virtio-rng-pci' is not a valid device model name",
		"-device ICH9-LPC":              "-device ICH9-LPC: Parameter 'driver' expects a pluggable device type",
		"-M q35,x-oem-id=1234567":       "User specified x-oem-id value is bigger than 6 bytes in size",
		"-M q35,bus-lock-ratelimit=100": "machine q35: bus-lock-ratelimit is not supported",
	})
}

// Four serial ports are where a PC has them, each with its line.
func TestQ35Serial(t *testing.T) {
	t.Parallel()
	m := q35(t, Args("-serial null -serial none -serial null -serial null")...)
	for port, want := range map[uint16]bool{0x3f8: true, 0x2f8: false, 0x3e8: true, 0x2e8: true} {
		m.Outb(port+7, 0x5a)
		if there := m.Inb(port+7) == 0x5a; there != want {
			t.Errorf("serial port %#x: %v", port, there)
		}
	}
	m.InterceptIn("ioapic")
	m.Outb(0x2e8+1, 2) // THRE
	if !m.IRQ(3) || m.IRQ(4) {
		t.Errorf("the fourth port raises %v", m.IRQLog())
	}
}

// Port 0x61 gates the PIT's counter 2 and shows its output.
func TestSpeakerPort(t *testing.T) {
	t.Parallel()
	m := q35(t)
	m.Outb(0x61, 0)
	m.Outb(0x43, 0xb0) // counter 2, mode 0, both bytes
	m.Outb(0x42, 0)
	m.Outb(0x42, 0x10)
	out := func() bool { return m.Inb(0x61)&0x20 != 0 }
	m.ClockStep(100e6)
	if out() {
		t.Error("the counter ran with its gate low")
	}
	m.Outb(0x61, 1)
	if m.Inb(0x61)&3 != 1 {
		t.Error("the gate does not read back")
	}
	m.ClockStep(1e6)
	if out() {
		t.Error("0x1000 ticks are more than a millisecond")
	}
	m.ClockStep(3e6)
	if !out() {
		t.Error("0x1000 ticks are less than 4 milliseconds")
	}
	if a, b := m.Inb(0x61)&0x10, m.Inb(0x61)&0x10; a == b {
		t.Error("the refresh bit does not toggle")
	}
}

// The DMA controllers' registers: addresses and counts by the flip-flop, the
// mask, and page registers.
func TestDMARegisters(t *testing.T) {
	t.Parallel()
	m := q35(t)
	if v := m.Inb(0x0f); v != 0xf {
		t.Errorf("mask %#x after reset", v)
	}
	m.Outb(0x0c, 0)
	m.Outb(0x04, 0x34)
	m.Outb(0x04, 0x12)
	if lo, hi := m.Inb(0x04), m.Inb(0x04); lo != 0x34 || hi != 0x12 {
		t.Errorf("address %#x %#x", hi, lo)
	}
	m.Outb(0xd8, 0)
	m.Outb(0xc8, 0x78)
	m.Outb(0xc8, 0x56)
	if lo, hi := m.Inb(0xc8), m.Inb(0xc8); lo != 0x78 || hi != 0x56 {
		t.Errorf("address of channel 6 %#x %#x", hi, lo)
	}
	m.Outb(0x0a, 2)
	if v := m.Inb(0x0f); v != 0xb {
		t.Errorf("mask %#x with channel 2 free", v)
	}
	for _, port := range []uint16{0x81, 0x82, 0x83, 0x87, 0x89, 0x8a, 0x8b, 0x8f} {
		m.Outb(port, uint8(port)^0xff)
	}
	for _, port := range []uint16{0x81, 0x82, 0x83, 0x87, 0x89, 0x8a, 0x8b, 0x8f} {
		if v := m.Inb(port); v != uint8(port)^0xff {
			t.Errorf("page register %#x: %#x", port, v)
		}
	}
}

// refused starts the emulator with each of the arguments and expects exit
// status 1 and the end of its message.
func refused(t *testing.T, messages map[string]string) {
	t.Helper()
	for args, want := range messages {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			p := Spawn(t, Config{Args: append(Args("-nodefaults -display none -accel qtest"), Args(args)...)})
			if code := p.Wait(); code != 1 {
				t.Errorf("exit status %d", code)
			}
			if got := strings.TrimSpace(p.Stderr()); !strings.HasSuffix(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}
