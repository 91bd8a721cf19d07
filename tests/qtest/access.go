package qtest

import (
	"encoding/base64"
	"encoding/hex"
)

// Inb reads a byte from an I/O port.
func (m *Machine) Inb(port uint16) uint8 { m.t.Helper(); return uint8(m.number("inb %#x", port)) }

// Inw reads two bytes from I/O ports.
func (m *Machine) Inw(port uint16) uint16 { m.t.Helper(); return uint16(m.number("inw %#x", port)) }

// Inl reads four bytes from I/O ports.
func (m *Machine) Inl(port uint16) uint32 { m.t.Helper(); return uint32(m.number("inl %#x", port)) }

// Outb writes a byte to an I/O port.
func (m *Machine) Outb(port uint16, v uint8) { m.t.Helper(); m.Command("outb %#x %#x", port, v) }

// Outw writes two bytes to I/O ports.
func (m *Machine) Outw(port uint16, v uint16) { m.t.Helper(); m.Command("outw %#x %#x", port, v) }

// Outl writes four bytes to I/O ports.
func (m *Machine) Outl(port uint16, v uint32) { m.t.Helper(); m.Command("outl %#x %#x", port, v) }

// Readb reads a byte of guest memory.
func (m *Machine) Readb(addr uint64) uint8 { m.t.Helper(); return uint8(m.number("readb %#x", addr)) }

// Readw reads two bytes of guest memory in one access.
func (m *Machine) Readw(addr uint64) uint16 {
	m.t.Helper()
	return uint16(m.number("readw %#x", addr))
}

// Readl reads four bytes of guest memory in one access.
func (m *Machine) Readl(addr uint64) uint32 {
	m.t.Helper()
	return uint32(m.number("readl %#x", addr))
}

// Readq reads eight bytes of guest memory in one access.
func (m *Machine) Readq(addr uint64) uint64 { m.t.Helper(); return m.number("readq %#x", addr) }

// Writeb writes a byte of guest memory.
func (m *Machine) Writeb(addr uint64, v uint8) { m.t.Helper(); m.Command("writeb %#x %#x", addr, v) }

// Writew writes two bytes of guest memory in one access.
func (m *Machine) Writew(addr uint64, v uint16) { m.t.Helper(); m.Command("writew %#x %#x", addr, v) }

// Writel writes four bytes of guest memory in one access.
func (m *Machine) Writel(addr uint64, v uint32) { m.t.Helper(); m.Command("writel %#x %#x", addr, v) }

// Writeq writes eight bytes of guest memory in one access.
func (m *Machine) Writeq(addr uint64, v uint64) { m.t.Helper(); m.Command("writeq %#x %#x", addr, v) }

// Read reads n bytes of guest memory.
func (m *Machine) Read(addr uint64, n int) []byte {
	m.t.Helper()
	if n == 0 {
		return nil
	}
	s := m.Command("read %#x %#x", addr, n)
	if len(s) != 2+2*n || s[:2] != "0x" {
		m.t.Fatalf("read %#x %#x: %d digits, %.20q", addr, n, len(s), s)
	}
	b, err := hex.DecodeString(s[2:])
	if err != nil {
		m.t.Fatal(err)
	}
	return b
}

// Write writes bytes to guest memory.
func (m *Machine) Write(addr uint64, b []byte) {
	m.t.Helper()
	if len(b) > 0 {
		m.Command("write %#x %#x 0x%x", addr, len(b), b)
	}
}

// B64Read reads n bytes of guest memory, in base64 on the wire.
func (m *Machine) B64Read(addr uint64, n int) []byte {
	m.t.Helper()
	b, err := base64.StdEncoding.DecodeString(m.Command("b64read %#x %#x", addr, n))
	if err != nil || len(b) != n {
		m.t.Fatalf("b64read %#x %#x: %d bytes, %v", addr, n, len(b), err)
	}
	return b
}

// B64Write writes bytes to guest memory, in base64 on the wire.
func (m *Machine) B64Write(addr uint64, b []byte) {
	m.t.Helper()
	m.Command("b64write %#x %#x %s", addr, len(b), base64.StdEncoding.EncodeToString(b))
}

// Memset fills n bytes of guest memory.
func (m *Machine) Memset(addr uint64, n int, c byte) {
	m.t.Helper()
	m.Command("memset %#x %#x %#x", addr, n, c)
}

// ClockStep moves virtual time on by ns nanoseconds and gives the new time.
func (m *Machine) ClockStep(ns int64) int64 {
	m.t.Helper()
	return int64(m.number("clock_step %d", ns))
}

// ClockNext moves virtual time on to the next timer and gives the new time.
func (m *Machine) ClockNext() int64 { m.t.Helper(); return int64(m.number("clock_step")) }

// ClockSet sets virtual time, in nanoseconds, unless it has passed.
func (m *Machine) ClockSet(ns int64) int64 { m.t.Helper(); return int64(m.number("clock_set %d", ns)) }

// ClockUntil steps virtual time on by step nanoseconds at a time until ok
// holds, and gives how much passed. It fails the test after most nanoseconds.
func (m *Machine) ClockUntil(what string, step, most int64, ok func() bool) int64 {
	m.t.Helper()
	var passed int64
	for ; !ok(); passed += step {
		if passed >= most {
			m.t.Fatalf("%s: not within %d ns", what, most)
		}
		m.ClockStep(step)
	}
	return passed
}
