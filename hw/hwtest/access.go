package hwtest

import (
	"encoding/binary"

	"github.com/gqemu/gqemu/memory"
)

// access does one guest access of size bytes and gives what was read.
func (m *Machine) access(s *memory.Space, addr uint64, size int, value uint64, write bool) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], value)
	s.Access(addr, b[:size], write)
	clear(b[size:])
	return binary.LittleEndian.Uint64(b[:])
}

// Inb reads a port of one byte.
func (m *Machine) Inb(port uint16) uint8 { return uint8(m.access(m.IO, uint64(port), 1, 0, false)) }

// Inw reads a port of two bytes.
func (m *Machine) Inw(port uint16) uint16 { return uint16(m.access(m.IO, uint64(port), 2, 0, false)) }

// Inl reads a port of four bytes.
func (m *Machine) Inl(port uint16) uint32 { return uint32(m.access(m.IO, uint64(port), 4, 0, false)) }

// Outb writes a port of one byte.
func (m *Machine) Outb(port uint16, v uint8) { m.access(m.IO, uint64(port), 1, uint64(v), true) }

// Outw writes a port of two bytes.
func (m *Machine) Outw(port uint16, v uint16) { m.access(m.IO, uint64(port), 2, uint64(v), true) }

// Outl writes a port of four bytes.
func (m *Machine) Outl(port uint16, v uint32) { m.access(m.IO, uint64(port), 4, uint64(v), true) }

// Readb reads one byte of memory.
func (m *Machine) Readb(addr uint64) uint8 { return uint8(m.access(m.Memory, addr, 1, 0, false)) }

// Readw reads two bytes of memory.
func (m *Machine) Readw(addr uint64) uint16 { return uint16(m.access(m.Memory, addr, 2, 0, false)) }

// Readl reads four bytes of memory.
func (m *Machine) Readl(addr uint64) uint32 { return uint32(m.access(m.Memory, addr, 4, 0, false)) }

// Readq reads eight bytes of memory.
func (m *Machine) Readq(addr uint64) uint64 { return m.access(m.Memory, addr, 8, 0, false) }

// Writeb writes one byte of memory.
func (m *Machine) Writeb(addr uint64, v uint8) { m.access(m.Memory, addr, 1, uint64(v), true) }

// Writew writes two bytes of memory.
func (m *Machine) Writew(addr uint64, v uint16) { m.access(m.Memory, addr, 2, uint64(v), true) }

// Writel writes four bytes of memory.
func (m *Machine) Writel(addr uint64, v uint32) { m.access(m.Memory, addr, 4, uint64(v), true) }

// Writeq writes eight bytes of memory.
func (m *Machine) Writeq(addr uint64, v uint64) { m.access(m.Memory, addr, 8, v, true) }

// Fuzz drives a register interface with accesses taken from data, six bytes
// each: what to do, an offset, and a value. The space is what the device's
// registers are in, first and n their place. time lets steps of the clock be
// among them.
func (m *Machine) Fuzz(s *memory.Space, first uint64, n int, data []byte) {
	for ; len(data) >= 6; data = data[6:] {
		size := 1 << (data[0] & 3)
		offset := uint64(binary.LittleEndian.Uint16(data[1:])) % uint64(n)
		value := uint64(data[3]) | uint64(data[4])<<8 | uint64(data[5])<<16
		value |= value<<24 | value<<48
		switch {
		case data[0]&0xf0 == 0xf0:
			m.Step(int64(value & 0xffffff))
		default:
			m.access(s, first+offset, size, value, data[0]&4 != 0)
		}
	}
}
