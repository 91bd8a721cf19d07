package qtest

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Ports and keys of fw_cfg (QEMU docs/specs/fw_cfg.rst).
const (
	FwCfgSelector = 0x510 // 16 bits
	FwCfgData     = 0x511 // 8 bits
	FwCfgDMA      = 0x514 // 64 bits, big-endian

	FwCfgSignature = 0x00
	FwCfgID        = 0x01
	FwCfgUUID      = 0x02
	FwCfgRAMSize   = 0x03
	FwCfgNoGraphic = 0x04
	FwCfgNbCPUs    = 0x05
	FwCfgMaxCPUs   = 0x0f
	FwCfgFileDir   = 0x19
)

// Bits of the control word of a DMA request.
const (
	fwCfgDMAError  = 1 << 0
	fwCfgDMARead   = 1 << 1
	fwCfgDMASkip   = 1 << 2
	fwCfgDMASelect = 1 << 3
	fwCfgDMAWrite  = 1 << 4
)

// FwCfg drives the firmware configuration device.
type FwCfg struct {
	M *Machine
	// Scratch is an address in guest memory where DMA requests are put.
	Scratch uint64
}

// FwCfgFile is an entry of the directory.
type FwCfgFile struct {
	Name string
	Key  uint16
	Size uint32
}

// Select selects an item and rewinds it.
func (f *FwCfg) Select(key uint16) { f.M.t.Helper(); f.M.Outw(FwCfgSelector, key) }

// Next reads n bytes on from where the selected item was left.
func (f *FwCfg) Next(n int) []byte {
	f.M.t.Helper()
	b := make([]byte, n)
	for i := range b {
		b[i] = f.M.Inb(FwCfgData)
	}
	return b
}

// Item reads the first n bytes of an item.
func (f *FwCfg) Item(key uint16, n int) []byte {
	f.M.t.Helper()
	f.Select(key)
	return f.Next(n)
}

// U16 reads an item of two bytes.
func (f *FwCfg) U16(key uint16) uint16 {
	f.M.t.Helper()
	return binary.LittleEndian.Uint16(f.Item(key, 2))
}

// U32 reads an item of four bytes.
func (f *FwCfg) U32(key uint16) uint32 {
	f.M.t.Helper()
	return binary.LittleEndian.Uint32(f.Item(key, 4))
}

// U64 reads an item of eight bytes.
func (f *FwCfg) U64(key uint16) uint64 {
	f.M.t.Helper()
	return binary.LittleEndian.Uint64(f.Item(key, 8))
}

// HasDMA tells whether the device takes DMA requests.
func (f *FwCfg) HasDMA() bool { f.M.t.Helper(); return f.U32(FwCfgID)&2 != 0 }

// read reads the first n bytes of an item, by DMA where there is any.
func (f *FwCfg) read(key uint16, n int) []byte {
	f.M.t.Helper()
	if f.HasDMA() {
		return f.DMARead(key, n)
	}
	return f.Item(key, n)
}

// Files reads the directory.
func (f *FwCfg) Files() []FwCfgFile {
	f.M.t.Helper()
	n := binary.BigEndian.Uint32(f.Item(FwCfgFileDir, 4))
	if n > 1000 {
		f.M.t.Fatalf("fw_cfg: %d files", n)
	}
	all := f.read(FwCfgFileDir, 4+64*int(n))[4:]
	files := make([]FwCfgFile, n)
	for i := range files {
		e := all[64*i : 64*i+64]
		name, _, _ := bytes.Cut(e[8:], []byte{0})
		files[i] = FwCfgFile{Name: string(name), Key: binary.BigEndian.Uint16(e[4:]), Size: binary.BigEndian.Uint32(e)}
	}
	return files
}

// Find gives the directory's entry of a name.
func (f *FwCfg) Find(name string) (FwCfgFile, bool) {
	f.M.t.Helper()
	for _, e := range f.Files() {
		if e.Name == name {
			return e, true
		}
	}
	return FwCfgFile{}, false
}

// File reads a file. It must exist.
func (f *FwCfg) File(name string) []byte {
	f.M.t.Helper()
	e, ok := f.Find(name)
	if !ok {
		f.M.t.Fatalf("fw_cfg has no file %q", name)
	}
	return f.read(e.Key, int(e.Size))
}

// DMARead reads the first n bytes of an item by DMA.
func (f *FwCfg) DMARead(key uint16, n int) []byte {
	f.M.t.Helper()
	data := f.Scratch + 16
	f.M.Memset(data, n, 0xcc) // so that what is not written shows
	if c := f.DMA(uint32(key)<<16|fwCfgDMASelect|fwCfgDMARead, uint32(n), data); c != 0 {
		f.M.t.Fatalf("fw_cfg: reading %#x by DMA: control %#x", key, c)
	}
	return f.M.Read(data, n)
}

// DMAWrite writes the first bytes of an item by DMA, and tells whether the
// device took them: few items can be written.
func (f *FwCfg) DMAWrite(key uint16, b []byte) bool {
	f.M.t.Helper()
	data := f.Scratch + 16
	f.M.Write(data, b)
	return f.DMA(uint32(key)<<16|fwCfgDMASelect|fwCfgDMAWrite, uint32(len(b)), data)&fwCfgDMAError == 0
}

// DMA performs a request and gives the control word that the device left.
func (f *FwCfg) DMA(control, length uint32, addr uint64) uint32 {
	f.M.t.Helper()
	var b [16]byte
	binary.BigEndian.PutUint32(b[0:], control)
	binary.BigEndian.PutUint32(b[4:], length)
	binary.BigEndian.PutUint64(b[8:], addr)
	f.M.Write(f.Scratch, b[:])
	var a [8]byte
	binary.BigEndian.PutUint64(a[:], f.Scratch)
	// The low half starts the request.
	f.M.Outl(FwCfgDMA, binary.LittleEndian.Uint32(a[:4]))
	f.M.Outl(FwCfgDMA+4, binary.LittleEndian.Uint32(a[4:]))
	return binary.BigEndian.Uint32(f.M.Read(f.Scratch, 4))
}

// BootOrder reads the file "bootorder": device paths, the first to boot
// first.
func (f *FwCfg) BootOrder() []string {
	f.M.t.Helper()
	b := f.File("bootorder")
	if len(b) == 0 {
		return nil
	}
	if b[len(b)-1] != 0 {
		f.M.t.Fatalf("bootorder does not end in NUL: %q", b)
	}
	return strings.Split(string(b[:len(b)-1]), "\n")
}
