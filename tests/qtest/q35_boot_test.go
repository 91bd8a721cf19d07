package qtest

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// pvhKernel writes an ELF image with the note that PVH boot needs: one page of
// code at 1 MiB.
func pvhKernel(t *testing.T) string {
	t.Helper()
	const addr, align = 0x100000, 0x1000
	var note bytes.Buffer
	put := func(w *bytes.Buffer, v ...any) {
		for _, x := range v {
			if err := binary.Write(w, binary.LittleEndian, x); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(&note, uint32(4), uint32(8), uint32(18), []byte("Xen\x00"), uint64(addr)) // XEN_ELFNOTE_PHYS32_ENTRY
	var f bytes.Buffer
	put(&f, []byte("\x7fELF\x02\x01\x01"), make([]byte, 9), uint16(2), uint16(62), uint32(1), uint64(addr),
		uint64(64), uint64(0), uint32(0), uint16(64), uint16(56), uint16(2), uint16(0), uint16(0), uint16(0))
	put(&f, uint32(1), uint32(5), uint64(align), uint64(addr), uint64(addr), uint64(16), uint64(16), uint64(align))
	put(&f, uint32(4), uint32(4), uint64(0x200), uint64(0), uint64(0), uint64(note.Len()), uint64(note.Len()), uint64(4))
	f.Write(make([]byte, 0x200-f.Len()))
	f.Write(note.Bytes())
	f.Write(make([]byte, align-f.Len()))
	f.WriteString("\xf4\xeb\xfdgqemu test\x00\x00\x00")
	path := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(path, f.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestQ35Kernel: -kernel is loaded, at each reset anew, and the guest finds
// ACPI tables.
func TestQ35Kernel(t *testing.T) {
	t.Parallel()
	m := q35(t, "-kernel", pvhKernel(t), "-append", "a b")
	check := func() {
		t.Helper()
		if b := m.Read(0x100003, 10); string(b) != "gqemu test" {
			t.Errorf("at 1 MiB %q", b)
		}
		if b := m.Read(0xe0000, 8); string(b) != "RSD PTR " {
			t.Errorf("at 0xe0000 %q", b)
		}
	}
	check()
	m.Memset(0xe0000, 4096, 0)
	m.Memset(0x100000, 16, 0)
	m.QMP.Must("system_reset", nil, nil)
	m.QMP.WaitEvent("RESET")
	check()

	off := q35(t, "-M", "q35,acpi=off", "-kernel", pvhKernel(t))
	if b := off.Read(0xf0000, 4); string(b) != "_MP_" {
		t.Errorf("without ACPI at 0xf0000 %q", b)
	}
	if v := off.Inl(0x608); v != 0xffffffff {
		t.Errorf("without ACPI the timer reads %#x", v)
	}
}

// The power management hardware that the tables tell of.
const (
	pm1Status, pm1Enable, pm1Control, pmTimer = 0x600, 0x602, 0x604, 0x608
	smiCommand                                = 0xb2
	pwrbtn                                    = 1 << 8
)

// TestQ35PowerButton: system_powerdown sets the status bit, and raises line 9
// once the guest has enabled it, until it clears the status.
func TestQ35PowerButton(t *testing.T) {
	t.Parallel()
	m := q35(t, "-kernel", pvhKernel(t))
	m.InterceptIn("ioapic")
	if v := m.Inw(pm1Control); v&1 != 0 {
		t.Errorf("control %#x: ACPI is on at power-on", v)
	}
	m.Outb(smiCommand, 2)
	if v := m.Inw(pm1Control); v&1 != 1 {
		t.Errorf("control %#x after ACPI was asked for", v)
	}
	m.QMP.Must("system_powerdown", nil, nil)
	m.QMP.WaitEvent("POWERDOWN")
	if v := m.Inw(pm1Status); v != pwrbtn || m.IRQ(9) {
		t.Errorf("status %#x, line 9 %v", v, m.IRQ(9))
	}
	m.Outw(pm1Enable, pwrbtn)
	if !m.IRQ(9) {
		t.Error("line 9 is low with the event enabled")
	}
	m.Outw(pm1Status, pwrbtn)
	if v := m.Inw(pm1Status); v != 0 || m.IRQ(9) {
		t.Errorf("status %#x, line 9 %v after it was cleared", v, m.IRQ(9))
	}
	m.Outb(smiCommand, 3)
	if v := m.Inw(pm1Control); v&1 != 0 {
		t.Errorf("control %#x after ACPI was given up", v)
	}
}

// TestQ35PMTimer: 24 bits at 3.579545 MHz, and an event when the top bit
// changes.
func TestQ35PMTimer(t *testing.T) {
	t.Parallel()
	m := q35(t, "-M", "q35,pit=off", "-kernel", pvhKernel(t))
	m.InterceptIn("ioapic")
	start := m.Inl(pmTimer)
	m.ClockStep(1e9)
	if d := m.Inl(pmTimer) - start; d != 3579545 {
		t.Errorf("%d ticks in a second", d)
	}
	m.Outw(pm1Enable, 1)
	m.ClockStep(1300e6) // 2^23 ticks are 2.34 s
	if m.IRQ(9) {
		t.Error("the event is early")
	}
	m.ClockStep(100e6)
	if !m.IRQ(9) || m.Inw(pm1Status)&1 == 0 {
		t.Error("no event when the top bit changes")
	}
	m.Outw(pm1Status, 1)
	if m.IRQ(9) {
		t.Error("the line stays high")
	}
	m.ClockStep(3e9)
	if v := m.Inl(pmTimer); v >= 1<<24 {
		t.Errorf("the timer reads %#x", v)
	}
}

// TestQ35PowerOff: the guest powers the machine off with S5.
func TestQ35PowerOff(t *testing.T) {
	t.Parallel()
	m := q35(t, "-kernel", pvhKernel(t))
	m.Outw(pm1Control, 1<<10|1<<13) // S3 is not there
	if s := m.QMP.Status(); s != "running" {
		t.Errorf("status %s", s)
	}
	if v := m.Inw(pm1Control); v&(1<<13) != 0 {
		t.Errorf("control %#x: SLP_EN reads as zero", v)
	}
	m.Send("outw 0x604 0x2000\n")
	if e := m.QMP.WaitEvent("SHUTDOWN"); member(e, "reason") != "guest-shutdown" {
		t.Errorf("event %v", e)
	}
	if code := m.Wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}
