package qtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestAnswerFormats: the answers of each command have libqtest's formats.
func TestAnswerFormats(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	for _, c := range []struct{ command, want string }{
		{"endianness", "OK little"},
		{"inb 0x2f8", "OK 0x00ff"},
		{"inw 0x2f8", "OK 0xffff"},
		{"inl 0x2f8", "OK 0xffffffff"},
		{"outb 0x2f8 0x12", "OK"},
		{"outw 0x2f8 0x1234", "OK"},
		{"outl 0x2f8 0x12345678", "OK"},
		{"writeq 0x1000 0x1122334455667788", "OK"},
		{"readq 0x1000", "OK 0x1122334455667788"},
		{"readl 0x1000", "OK 0x0000000055667788"},
		{"readw 0x1002", "OK 0x0000000000005566"},
		{"readb 0x1007", "OK 0x0000000000000011"},
		{"writeb 0x1000 0x1ff", "OK"},
		{"readb 4096", "OK 0x00000000000000ff"},
		{"readb 010000", "OK 0x00000000000000ff"},
		{"writew 0x1000 1", "OK"},
		{"writel 0x1004 2", "OK"},
		{"read 0x1000 8", "OK 0x0100665502000000"},
		{"b64read 0x1000 8", "OK AQBmVQIAAAA="},
		{"write 0x2000 4 0xa1b2c3d4", "OK"},
		{"read 0x2000 5", "OK 0xa1b2c3d400"},
		{"write 0x2000 4 0xff", "OK"},
		{"read 0x2000 5", "OK 0xff00000000"},
		{"b64write 0x3000 3 aGV5", "OK"},
		{"read 0x3000 3", "OK 0x686579"},
		{"memset 0x4000 3 0xa5", "OK"},
		{"read 0x4000 4", "OK 0xa5a5a500"},
		{"memset 0x4000 0 0", "OK"},
		{"readq 0xd0000000", "OK 0x0000000000000000"},
		{"read 0xd0000000 4", "OK 0x00000000"},
		{"write 0xd0000000 2 0xffff", "OK"},
		{"nosuch", "FAIL Unknown command 'nosuch'"},
		{"nosuch 1 2", "FAIL Unknown command 'nosuch'"},
		{"irq_intercept_in /nosuch", "FAIL Unknown device"},
		{"irq_intercept_out nosuch", "FAIL Unknown device"},
		{"set_irq_in /nosuch x 0 1", "FAIL Unknown device"},
	} {
		equal(t, c.command, m.Raw(c.command), []string{c.want})
	}
}

// TestMalformedCommands: arguments that abort QEMU are answered with FAIL and a
// reason, and the next command works.
func TestMalformedCommands(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	for _, c := range []string{
		"inb", "inb x", "inb 0x10000", "outb 1", "outb 1 y", "readb", "readq -", "writeb 0", "writeq 0 0x", "read", "read 0",
		"read 0 0", "read 0 99999999999999999999", "read 0 0x7fffffffffffffff", "write 0 1", "write 0 1 aaaa", "write 0 1 0xzz",
		"write 0 0x7fffffffffffffff 0x00", "b64read 0", "b64read 0 -1", "b64write 0 1 !!!", "memset 0 1", "memset 0 -1 0",
		"clock_step x", "clock_step 0x8000000000000000", "clock_set", "clock_set x", "irq_intercept_in", "set_irq_in x",
		"set_irq_in ioapic unnamed-gpio-in 99 1", "set_irq_in ioapic nosuch 0 1", "set_irq_in ioapic unnamed-gpio-in 0 x",
		"", " ", "\x00", "\xff\xfe", "inb\x000", "module_load nosuch nosuch", strings.Repeat("x", 100_000), strings.Repeat("a ", 50_000),
	} {
		l := m.Raw(c)
		if len(l) != 1 || !strings.HasPrefix(l[0], "FAIL ") || len(l[0]) < 8 {
			t.Errorf("%.40q: %.200q, want FAIL and a reason", c, l)
		}
		if m.Command("endianness") != "little" {
			t.Fatalf("%.40q spoils the next command", c)
		}
	}
}

// TestNoiseOnTheWire: no byte sequence ends the process.
func TestNoiseOnTheWire(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"read", "write", "readq", "memset", "0x0", "0xfeb02e00", "0xffffffffffffffff", "4", "0", "-1", "inl", "outl",
		"0x510", "0x3f8", "0x70", "clock_step", "clock_set", "irq_intercept_in", "ioapic", "/machine", "b64read", "set_irq_in",
		"unnamed-gpio-in", "endianness", "fw_cfg", "\t", "0x"}
	lines := 0
	var b strings.Builder
	for range 400 {
		for range 1 + r.IntN(5) {
			b.WriteString(words[r.IntN(len(words))] + " ")
		}
		b.WriteString("\n")
		lines++
	}
	m.Send(b.String())
	for range lines {
		if l := m.Answer(); !strings.HasPrefix(l[len(l)-1], "OK") && !strings.HasPrefix(l[len(l)-1], "FAIL ") {
			t.Fatalf("answer %q", l)
		}
	}
}

// TestPipelining: commands sent in one piece, and one sent in many, are
// answered in order.
func TestPipelining(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	const n = 500
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "writel %#x %#x\nreadl %#x\n", 0x10000+4*i, i, 0x10000+4*i)
	}
	m.Send(b.String())
	for i := range n {
		equal(t, "write", m.Answer(), []string{"OK"})
		equal(t, "read", m.Answer(), []string{fmt.Sprintf("OK 0x%016x", i)})
	}
	for _, c := range "readl 0x10004\n" {
		m.Send(string(c))
	}
	equal(t, "byte by byte", m.Answer(), []string{"OK 0x0000000000000001"})
}

// TestMemoryBlocks: blocks of all three encodings reach RAM unchanged, across
// pages and up to its end; beyond it reads zero.
func TestMemoryBlocks(t *testing.T) {
	t.Parallel()
	m := microvm(t, "-m", "64m")
	b := make([]byte, 300_001)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	m.Write(0x100001, b)
	if !bytes.Equal(m.B64Read(0x100001, len(b)), b) {
		t.Error("write and b64read differ")
	}
	m.B64Write(0x200fff, b)
	if !bytes.Equal(m.Read(0x200fff, len(b)), b) {
		t.Error("b64write and read differ")
	}
	const end = 64 << 20
	m.Memset(end-8, 16, 0xee)
	want := append(bytes.Repeat([]byte{0xee}, 8), make([]byte, 8)...)
	if got := m.Read(end-8, 16); !bytes.Equal(got, want) {
		t.Errorf("across the end of RAM: %x, want %x", got, want)
	}
}

// TestPortsBeyond64K: there are 64 Ki ports, and an access of several bytes at
// the last one does not wrap into anything.
func TestPortsBeyond64K(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	if s, err := m.CommandErr("inb 0x10071"); err == nil {
		t.Errorf("inb 0x10071: %s", s)
	}
	if v := m.Inl(0xffff); v != 0xffffffff {
		t.Errorf("inl 0xffff: %#x", v)
	}
}

// TestClock: clock_step and clock_set answer with the time, which never goes
// back and never stands before it was told to.
func TestClock(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	if n := m.ClockStep(0); n != 0 {
		t.Fatalf("the clock starts at %d", n)
	}
	if n := m.ClockStep(1000); n != 1000 {
		t.Fatalf("1000 after 0 is %d", n)
	}
	if n := m.ClockSet(500); n != 1000 {
		t.Fatalf("set back to 500: %d", n)
	}
	if n := m.ClockSet(5_000_000_000); n != 5_000_000_000 {
		t.Fatalf("set to 5 s: %d", n)
	}
	if n := m.number("clock_step 0x10"); n != 5_000_000_016 {
		t.Fatalf("hexadecimal step: %d", n)
	}
	last := int64(5_000_000_016)
	for range 5 {
		n := m.ClockNext()
		if n < last {
			t.Fatalf("clock_step goes back from %d to %d", last, n)
		}
		last = n
	}
}

// TestClockStandsWhileStopped: a VM that is stopped keeps virtual time under
// the client's control, as QEMU's qtest clock does.
func TestClockStandsWhileStopped(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	m.QMP.Must("stop", nil, nil)
	if n := m.ClockStep(10); n != 10 {
		t.Errorf("a step while stopped: %d", n)
	}
	m.QMP.Must("cont", nil, nil)
	if n := m.ClockStep(10); n != 20 {
		t.Errorf("a step after cont: %d", n)
	}
}

// TestInterceptIn: changes of input lines are told before the OK of the command
// that caused them, once per change, and still reach the device.
func TestInterceptIn(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	m.InterceptIn("ioapic")
	equal(t, "raise", m.Raw("set_irq_in ioapic unnamed-gpio-in 5 1"), []string{"IRQ raise 5", "OK"})
	equal(t, "raise again", m.Raw("set_irq_in ioapic unnamed-gpio-in 5 1"), []string{"OK"})
	equal(t, "lower", m.Raw("set_irq_in ioapic unnamed-gpio-in 5 0"), []string{"IRQ lower 5", "OK"})
	equal(t, "the same device again", m.Raw("irq_intercept_in ioapic"), []string{"OK"})
	equal(t, "another device", m.Raw("irq_intercept_in /machine/unattached/device[3]"),
		[]string{"FAIL IRQ intercept already enabled"})
	if m.IRQ(5) {
		t.Error("line 5 is noted as high")
	}
}

// TestQtestServerSocket: one client after the other, half a command of one does
// not reach the next.
func TestQtestServerSocket(t *testing.T) {
	t.Parallel()
	dir := ShortDir(t)
	p := Spawn(t, Config{Args: Args("-nodefaults -display none -M none -accel qtest -qtest unix:" + dir + "/q,server=on,wait=off " +
		"-qtest-log " + dir + "/log -qmp unix:" + dir + "/m,server=on,wait=off")})
	m := &Machine{Process: p, t: t, Dir: dir, irqs: map[int]bool{}}
	for range 3 {
		m.Dial(dir + "/q")
		if s := m.Command("endianness"); s != "little" {
			t.Fatal(s)
		}
		m.Send("half a comm")
		m.conn.Close()
	}
}
