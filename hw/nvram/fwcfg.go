package nvram

import (
	"encoding/binary"
	"fmt"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// FwCfg is the "fw_cfg_io" device, QEMU's firmware configuration interface
// at I/O ports (QEMU's docs/specs/fw_cfg.rst; Linux
// drivers/firmware/qemu_fw_cfg.c): items of bytes under 16-bit keys, and a
// directory of named ones. A guest selects an item and reads it byte by byte
// or by DMA.
//
// Files have consecutive keys in the order of their names, so a key is only
// settled when the last file is there, before the guest runs.
type FwCfg struct {
	qdev.SysBus
	dmaEnabled    bool
	fileSlots     uint16
	acpiMRRestore bool // for migration

	// StrictBoot ends the boot order with HALT (-boot strict=on).
	StrictBoot bool

	items map[uint16]*item
	files []file // by name

	current *item // what is selected; nil reads as zeroes
	offset  int   // of the next byte in it
	dmaAddr uint64
}

// Keys of items.
const (
	KeySignature   = 0x0000
	KeyID          = 0x0001
	KeyUUID        = 0x0002
	KeyRAMSize     = 0x0003
	KeyNoGraphic   = 0x0004
	KeyNBCPUs      = 0x0005
	KeyMachineID   = 0x0006
	KeyKernelAddr  = 0x0007
	KeyKernelSize  = 0x0008
	KeyInitrdAddr  = 0x000a
	KeyInitrdSize  = 0x000b
	KeyBootDevice  = 0x000c
	KeyNUMA        = 0x000d
	KeyBootMenu    = 0x000e
	KeyMaxCPUs     = 0x000f
	KeyKernelEntry = 0x0010
	KeyKernelData  = 0x0011
	KeyInitrdData  = 0x0012
	KeyCmdlineAddr = 0x0013
	KeyCmdlineSize = 0x0014
	KeyCmdlineData = 0x0015
	KeySetupAddr   = 0x0016
	KeySetupSize   = 0x0017
	KeySetupData   = 0x0018
	KeyFileDir     = 0x0019

	// The x86 machines' own.
	KeyACPITables   = 0x8000
	KeySMBIOS       = 0x8001
	KeyIRQ0Override = 0x8002
	KeyHPET         = 0x8004

	keyFileFirst = 0x0020
	keyWrite     = 0x4000 // a bit that once asked for write access
	keyArchLocal = 0x8000
	keyMask      = ^uint16(keyWrite | keyArchLocal)
)

// Ports of the PC.
const (
	FwCfgPort    = 0x510 // selector and, one above, data
	FwCfgDMAPort = 0x514
)

const (
	idTraditional = 1 << 0
	idDMA         = 1 << 1

	minFileSlots = 0x10
	maxFileSlots = uint32(keyMask) - keyFileFirst

	maxFileName = 55 // bytes
	dirEntryLen = 64
)

// item is what a key stands for.
type item struct {
	data    []byte
	refresh func() []byte     // called when selected, nil for none
	written func(data []byte) // called after a DMA write, nil for read-only
}

type file struct {
	name string
	*item
}

// Realize maps the ports.
func (f *FwCfg) Realize(h *qdev.Host) error {
	switch n := uint32(f.fileSlots); {
	case n < minFileSlots:
		return fmt.Errorf(`"file_slots" must be at least 0x%x`, minFileSlots)
	case n > maxFileSlots:
		return fmt.Errorf(`"file_slots" must not exceed 0x%x`, maxFileSlots)
	}
	f.items = map[uint16]*item{}
	f.put(KeySignature, []byte("QEMU"))
	id := uint32(idTraditional)
	if f.dmaEnabled {
		id |= idDMA
	}
	f.put(KeyID, binary.LittleEndian.AppendUint32(nil, id))
	f.indexFiles()
	f.selectKey(KeySignature)

	regs := memory.NewIO("fwcfg", 2, memory.OpsFuncs{ReadFunc: f.read, WriteFunc: f.write}, memory.Access{ValidMax: 2})
	if err := f.mapPorts(h, regs, FwCfgPort); err != nil || !f.dmaEnabled {
		return err
	}
	dma := memory.NewIO("fwcfg.dma", 8, memory.OpsFuncs{ReadFunc: readDMA, WriteFunc: f.writeDMA},
		memory.Access{ImplMax: 8})
	return f.mapPorts(h, dma, FwCfgDMAPort)
}

func (f *FwCfg) mapPorts(h *qdev.Host, r *memory.Region, port uint64) error {
	if err := h.Map.Add(h.Ports, r, port, 0); err != nil {
		return err
	}
	f.Defer(func() {
		if err := h.Map.Remove(r); err != nil {
			h.Log.Error().Err(err).Str("region", r.Name()).Msg("unmapping ports")
		}
	})
	return h.ExposeRegion(f, r)
}

// Reset selects the signature and writes down the boot order as it is now.
func (f *FwCfg) Reset() {
	for _, file := range []struct {
		name string
		data []byte
	}{{"bootorder", f.bootOrder()}, {"bios-geometry", nil}} {
		if err := f.SetFile(file.name, file.data); err != nil {
			f.Host().Log.Error().Err(err).Msg("fw_cfg: at reset")
		}
	}
	f.dmaAddr = 0
	f.selectKey(KeySignature)
}

// bootOrder is the list of firmware paths, one per line, that ends with NUL.
func (f *FwCfg) bootOrder() []byte {
	paths := f.Host().Boot.Paths()
	if f.StrictBoot && len(paths) > 0 {
		paths = append(paths, "HALT")
	}
	var out []byte
	for i, p := range paths {
		if i > 0 {
			out = append(out, '\n')
		}
		out = append(out, p...)
	}
	if len(out) > 0 {
		out = append(out, 0)
	}
	return out
}

// selectKey is a write of the selector. What is not there reads as zeroes.
func (f *FwCfg) selectKey(key uint16) bool {
	f.offset = 0
	f.current = nil
	if uint32(key&keyMask) >= keyFileFirst+uint32(f.fileSlots) {
		return false
	}
	if f.current = f.items[key&^keyWrite]; f.current != nil && f.current.refresh != nil {
		f.current.data = f.current.refresh()
	}
	return true
}

// left is what of the selected item comes next.
func (f *FwCfg) left() []byte {
	if f.current == nil || f.offset >= len(f.current.data) {
		return nil
	}
	return f.current.data[f.offset:]
}

func (f *FwCfg) read(_ uint64, size int) uint64 {
	data := f.left()
	if size != 1 || len(data) == 0 {
		return 0
	}
	f.offset++
	return uint64(data[0])
}

func (f *FwCfg) write(_, value uint64, size int) {
	if size == 2 { // bytes, which once were data, are ignored
		f.selectKey(uint16(value))
	}
}

func registerFwCfg(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "fw_cfg", Parent: "sys-bus-device", Abstract: true,
		Properties: []*qom.Property{
			qdev.Field("acpi-mr-restore", func(f *FwCfg) *bool { return &f.acpiMRRestore }, true),
		},
	})
	r.Register(qom.Type{
		Name: "fw_cfg_io", Parent: "fw_cfg",
		New: func() qom.Object { return new(FwCfg) },
		Properties: []*qom.Property{
			qdev.Field("dma_enabled", func(f *FwCfg) *bool { return &f.dmaEnabled }, true),
			qdev.Field("x-file-slots", func(f *FwCfg) *uint16 { return &f.fileSlots }, 0x20),
		},
	})
}
