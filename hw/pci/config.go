package pci

import "encoding/binary"

// config is a function's configuration space: the bytes, which of their bits a
// guest can write, and which a guest clears by writing ones.
type config struct {
	data, writable, w1c []byte
	caps                []byte // 1 for each byte that is part of a capability
	nextCap             uint8  // start of the newest capability, 0 for none
	lastExt             uint16 // start of the newest extended one
}

func newConfig(size int) config {
	return config{make([]byte, size), make([]byte, size), make([]byte, size), make([]byte, size), 0, 0}
}

func (c *config) u8(at int) uint8   { return c.data[at] }
func (c *config) u16(at int) uint16 { return binary.LittleEndian.Uint16(c.data[at:]) }
func (c *config) u32(at int) uint32 { return binary.LittleEndian.Uint32(c.data[at:]) }

func (c *config) set8(at int, v uint8)   { c.data[at] = v }
func (c *config) set16(at int, v uint16) { binary.LittleEndian.PutUint16(c.data[at:], v) }
func (c *config) set32(at int, v uint32) { binary.LittleEndian.PutUint32(c.data[at:], v) }

func (c *config) allow8(at int, mask uint8)   { c.writable[at] = mask }
func (c *config) allow16(at int, mask uint16) { binary.LittleEndian.PutUint16(c.writable[at:], mask) }
func (c *config) allow32(at int, mask uint32) { binary.LittleEndian.PutUint32(c.writable[at:], mask) }
func (c *config) clear16(at int, mask uint16) { binary.LittleEndian.PutUint16(c.w1c[at:], mask) }
func (c *config) clear32(at int, mask uint32) { binary.LittleEndian.PutUint32(c.w1c[at:], mask) }

// read gives size bytes; what lies beyond the end reads as ones.
func (c *config) read(at, size int) uint32 {
	v := ^uint32(0)
	for i := range size {
		if at+i < len(c.data) {
			shift := 8 * i
			v = v&^(0xff<<shift) | uint32(c.data[at+i])<<shift
		}
	}
	return v & uint32(1<<(8*size)-1)
}

// write stores what a guest may change of size bytes.
func (c *config) write(at int, v uint32, size int) {
	for i := range size {
		if at+i >= len(c.data) {
			return
		}
		b, mask := byte(v>>(8*i)), c.writable[at+i]
		c.data[at+i] = c.data[at+i]&^mask | b&mask
		c.data[at+i] &^= b & c.w1c[at+i]
	}
}

// overlaps tells whether an access of size bytes touches n bytes at an offset.
func overlaps(at, size, offset, n int) bool { return at < offset+n && offset < at+size }
