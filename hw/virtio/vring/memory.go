package vring

import "encoding/binary"

// Memory is guest memory as a device may reach it, by guest physical address
// or IOVA.
type Memory interface {
	// Pieces appends to list the host memory that the n bytes at addr are, in
	// order. It fails unless all of them are there and, with write, may be
	// written. n is not 0; addr+n may wrap.
	Pieces(list [][]byte, addr, n uint64, write bool) ([][]byte, error)
}

// accessor reads and writes small structures.
type accessor struct {
	mem  Memory
	list [][]byte // scratch
}

// one gives n bytes that have to lie in one piece, as those of a ring's
// indices do: they are smaller than a page and aligned.
func (a *accessor) one(addr, n uint64, write bool) ([]byte, error) {
	list, err := a.mem.Pieces(a.list[:0], addr, n, write)
	a.list = list[:0]
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, errSplit
	}
	return list[0], nil
}

// read copies what is at addr, however many pieces it is in.
func (a *accessor) read(p []byte, addr uint64) error {
	list, err := a.mem.Pieces(a.list[:0], addr, uint64(len(p)), false)
	a.list = list[:0]
	if err != nil {
		return err
	}
	for _, b := range list {
		p = p[copy(p, b):]
	}
	return nil
}

// write copies to addr, however many pieces it is in.
func (a *accessor) write(p []byte, addr uint64) error {
	list, err := a.mem.Pieces(a.list[:0], addr, uint64(len(p)), true)
	a.list = list[:0]
	if err != nil {
		return err
	}
	for _, b := range list {
		p = p[copy(b, p):]
	}
	return nil
}

// descriptor is struct virtq_desc (virtio 1.2 section 2.7.5).
type descriptor struct {
	addr  uint64
	len   uint32
	flags uint16
	next  uint16
}

const descSize = 16

// Flags of a descriptor.
const (
	descNext     = 1
	descWrite    = 2
	descIndirect = 4
)

func decode(b []byte) descriptor {
	le := binary.LittleEndian
	return descriptor{le.Uint64(b), le.Uint32(b[8:]), le.Uint16(b[12:]), le.Uint16(b[14:])}
}

// Bytes is the length of pieces of memory together.
func Bytes(list [][]byte) (n uint64) {
	for _, b := range list {
		n += uint64(len(b))
	}
	return n
}
