package nvram

import (
	"encoding/binary"
	"math/bits"
)

// This file is fw_cfg's DMA interface: the guest writes the address of a
// descriptor, the device does what that says and writes the result into its
// control word.

// dmaSignature is what the address register reads as.
var dmaSignature = [8]byte{'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G'}

const (
	dmaError  = 1 << 0
	dmaRead   = 1 << 1
	dmaSkip   = 1 << 2
	dmaSelect = 1 << 3
	dmaWrite  = 1 << 4

	dmaDescLen = 16
)

// dmaDesc is the descriptor, big-endian in guest memory.
type dmaDesc struct {
	control, length uint32
	addr            uint64
}

var zeroes [1 << 16]byte

// fillShare is how many bytes are zeroed before others get the VM lock: a
// guest may ask for 4 GiB of them.
const fillShare = 8 << 20

func readDMA(offset uint64, size int) uint64 {
	var b [8]byte
	copy(b[:size], dmaSignature[offset:])
	return binary.LittleEndian.Uint64(b[:])
}

// writeDMA is a write of the big-endian address register. Its lower half, or
// all of it at once, starts the transfer.
func (f *FwCfg) writeDMA(offset, value uint64, size int) {
	switch {
	case size == 4 && offset == 0:
		f.dmaAddr = uint64(bits.ReverseBytes32(uint32(value))) << 32
	case size == 4 && offset == 4:
		f.transfer(f.dmaAddr | uint64(bits.ReverseBytes32(uint32(value))))
	case size == 8 && offset == 0:
		f.transfer(bits.ReverseBytes64(value))
	}
}

func (f *FwCfg) transfer(addr uint64) {
	f.dmaAddr = 0
	mem := f.Host().Memory
	var raw [dmaDescLen]byte
	status := uint32(dmaError)
	if err := mem.ReadAt(raw[:], addr); err == nil {
		d := dmaDesc{
			control: binary.BigEndian.Uint32(raw[0:]),
			length:  binary.BigEndian.Uint32(raw[4:]),
			addr:    binary.BigEndian.Uint64(raw[8:]),
		}
		if f.run(d) {
			status = 0
		}
	}
	// A descriptor that is no guest RAM cannot take the result either.
	_ = mem.WriteAt(binary.BigEndian.AppendUint32(nil, status), addr)
}

// run does what a descriptor says, and tells whether it could.
func (f *FwCfg) run(d dmaDesc) bool {
	if d.control&dmaSelect != 0 {
		f.selectKey(uint16(d.control >> 16))
	}
	switch {
	case d.control&dmaRead != 0:
		return f.dmaOut(d.addr, uint64(d.length))
	case d.control&dmaWrite != 0:
		return f.dmaIn(d.addr, int(d.length))
	case d.control&dmaSkip != 0:
		f.offset += min(int(d.length), len(f.left()))
	}
	return true
}

// dmaOut copies the selected item to guest RAM, and zeroes behind its end.
func (f *FwCfg) dmaOut(addr, length uint64) bool {
	mem, lock := f.Host().Memory, f.Host().Lock
	for filled := 0; length > 0; {
		data := f.left()
		item := len(data) > 0
		if !item {
			data = zeroes[:]
		}
		if uint64(len(data)) > length {
			data = data[:length]
		}
		if mem.WriteAt(data, addr) != nil {
			return false
		}
		if item {
			f.offset += len(data)
		} else if filled += len(data); filled >= fillShare {
			filled = 0
			lock.Unlock()
			lock.Lock()
		}
		addr += uint64(len(data))
		length -= uint64(len(data))
	}
	return true
}

// dmaIn writes a writable item. All of it has to fit.
func (f *FwCfg) dmaIn(addr uint64, length int) bool {
	if length == 0 {
		return true
	}
	dst := f.left()
	if f.current == nil || f.current.written == nil || length > len(dst) ||
		f.Host().Memory.ReadAt(dst[:length], addr) != nil {
		return false
	}
	f.offset += length
	f.current.written(f.current.data)
	return true
}
