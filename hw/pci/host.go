package pci

import (
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
)

// HostState has the properties of all host bridges. Devices of types derived
// from "pci-host-bridge" embed it.
type HostState struct{ regMigration, bypassIOMMU bool }

func (s *HostState) pciHost() *HostState { return s }

type hostBridge interface {
	qdev.Device
	pciHost() *HostState
}

// Ports and bits of configuration mechanism 1 (PCI 3.0 section 3.2.2.3.2).
const (
	ConfigAddressPort = 0xcf8
	ConfigDataPort    = 0xcfc
	configEnable      = 1 << 31
)

// ECAMSize is the room that the configuration spaces of 256 buses take.
const ECAMSize = 256 << 20

// ConfigAccess is a guest's ways into configuration space.
type ConfigAccess struct {
	root    *Bus
	address uint32
}

// NewConfigAccess makes them for a root bus and those below.
func NewConfigAccess(root *Bus) *ConfigAccess { return &ConfigAccess{root: root} }

// Reset forgets the address.
func (c *ConfigAccess) Reset() { c.address = 0 }

// AddressRegion is the register at ConfigAddressPort, four bytes, which only
// accesses of that width change.
func (c *ConfigAccess) AddressRegion() *memory.Region {
	return memory.NewIO("pci-conf-idx", 4, memory.OpsFuncs{
		ReadFunc: func(offset uint64, size int) uint64 { return uint64(c.address) >> (8 * offset) & (1<<(8*size) - 1) },
		WriteFunc: func(offset, v uint64, size int) {
			if offset == 0 && size == 4 {
				c.address = uint32(v)
			}
		},
	}, memory.Access{ValidMax: 4})
}

// DataRegion is the register at ConfigDataPort, four bytes.
func (c *ConfigAccess) DataRegion() *memory.Region {
	return memory.NewIO("pci-conf-data", 4, memory.OpsFuncs{
		ReadFunc: func(offset uint64, size int) uint64 {
			f, at := c.selected(offset)
			if f == nil {
				return 1<<(8*size) - 1
			}
			return uint64(f.readConfig(at, size))
		},
		WriteFunc: func(offset, v uint64, size int) {
			if f, at := c.selected(offset); f != nil {
				f.writeConfig(at, uint32(v), size)
			}
		},
	}, memory.Access{ValidMax: 4})
}

func (c *ConfigAccess) selected(offset uint64) (*Function, int) {
	if c.address&configEnable == 0 {
		return nil, 0
	}
	return c.function(int(c.address >> 8 & 0xffff)), int(c.address&0xfc | uint32(offset))
}

// function is what has a bus, device and function number.
func (c *ConfigAccess) function(bdf int) *Function {
	b := c.root.find(bdf >> 8)
	if b == nil {
		return nil
	}
	return b.At(bdf & 0xff)
}

// ECAMRegion is the memory-mapped way (PCI Express 3.0 section 7.2.2): 4 KiB for
// each function.
func (c *ConfigAccess) ECAMRegion() *memory.Region {
	locate := func(offset uint64) (*Function, int) { return c.function(int(offset >> 12)), int(offset & 0xfff) }
	return memory.NewIO("pcie-mmcfg-mmio", ECAMSize, memory.OpsFuncs{
		ReadFunc: func(offset uint64, size int) uint64 {
			f, at := locate(offset)
			if f == nil {
				return 1<<(8*size) - 1
			}
			return uint64(f.readConfig(at, size))
		},
		WriteFunc: func(offset, v uint64, size int) {
			if f, at := locate(offset); f != nil {
				f.writeConfig(at, uint32(v), size)
			}
		},
	}, memory.Access{ValidMax: 4})
}

// Config reads size bytes of a function's configuration space, as a guest
// would. Offsets beyond its end read as ones.
func (f *Function) Config(offset, size int) uint32 { return f.readConfig(offset, size) }

// SetConfig writes size bytes, as a guest would.
func (f *Function) SetConfig(offset int, v uint32, size int) { f.writeConfig(offset, v, size) }

// AllowConfig sets which bits of size bytes of configuration space a guest can
// write.
func (f *Function) AllowConfig(offset int, mask uint32, size int) {
	for i := range size {
		f.writable[offset+i] = byte(mask >> (8 * i))
	}
}

// StoreConfig changes size bytes of configuration space, whatever a guest can
// write, and nothing else.
func (f *Function) StoreConfig(offset int, v uint32, size int) {
	for i := range size {
		f.data[offset+i] = byte(v >> (8 * i))
	}
}
