package pci

import (
	"errors"
	"fmt"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
)

// Identity is what the read-only registers say of a function. A zero
// SubVendor and Subsystem stand for QEMU's own where the header has any.
type Identity struct {
	Vendor, Device       uint16
	Revision             uint8
	Class                uint16 // base class and subclass
	ProgIF               uint8
	SubVendor, Subsystem uint16
	// Bridge tells of a header of type 1; Express of 4096 bytes of
	// configuration space where the bus has them.
	Bridge, Express bool
}

const (
	redHat           = 0x1af4
	defaultSubsystem = 0x1100
	redHatBridges    = 0x1b36
	intel            = 0x8086
)

// Model is a device that embeds Function.
type Model interface {
	qdev.Device
	PCI() *Function
	// Identity may look at the device's properties.
	Identity() Identity
	// RealizePCI sets the function up: base address registers,
	// capabilities, interrupts. Undo goes to Defer.
	RealizePCI(h *qdev.Host) error
}

// ConfigReader is a Model whose registers are not all kept in configuration
// space. ReadConfig comes before each read.
type ConfigReader interface{ ReadConfig(offset, size int) }

// ConfigWriter is a Model that does something upon writes to configuration
// space. WroteConfig comes after the registers have changed.
type ConfigWriter interface {
	WroteConfig(offset int, value uint32, size int)
}

// Function is the state of a PCI function. Devices of types derived from
// "pci-device" embed it.
type Function struct {
	qdev.State
	config
	addr           int32 // property: device and function, -1 for any
	devfn          int   // where it sits, valid while on a bus
	romFile        string
	romSize        uint32
	romBAR         uint32
	flags          uint64 // bit properties
	failoverPairID string
	acpiIndex      uint32

	bus    *Bus
	bars   [numBARs]*bar
	intx   bool // level of the interrupt line, before the disable bit
	driven bool // level that the bus has seen
	msi    *msi
	msix   *msix
	exp    *express
	bridge *bridge
}

// Bit properties of all functions.
const (
	flagMultifunction = iota
	flagLinkActive
	flagExtCap
	flagErrUncMask
	flagAriNextFn1
)

// PCI makes Function part of Model.
func (f *Function) PCI() *Function { return f }

func (f *Function) model() Model { return f.Self().(Model) }

// Bus is the PCI bus that the function sits on, nil while on none.
func (f *Function) PCIBus() *Bus { return f.bus }

// DevFn is the device number, 0 to 31, times 8 plus the function number.
func (f *Function) DevFn() int { return f.devfn }

// Slot and Func are the parts of DevFn.
func (f *Function) Slot() int { return f.devfn >> 3 }
func (f *Function) Func() int { return f.devfn & 7 }

// Express tells whether the function has the configuration space of PCI
// Express.
func (f *Function) Express() bool { return len(f.data) == ExpressConfigSize }

func (f *Function) flag(bit uint) bool { return f.flags>>bit&1 == 1 }

// Realize puts the function on its bus and lets the model set it up.
func (f *Function) Realize(h *qdev.Host) error {
	m := f.model()
	parent, ok := f.Bus().Owner().(Parent)
	if !ok {
		return fmt.Errorf("bus %s is not a PCI bus", f.Bus().BusName())
	}
	id := m.Identity()
	if err := f.checkROM(); err != nil {
		return err
	}
	if err := f.checkACPIIndex(h); err != nil {
		return err
	}
	if err := f.place(parent.PCIBus()); err != nil {
		return err
	}
	size := ConfigSize
	if id.Express && f.bus.express {
		size = ExpressConfigSize
	}
	f.config = newConfig(size)
	f.bars, f.msi, f.msix, f.exp, f.intx, f.driven = [numBARs]*bar{}, nil, nil, nil, false, false
	f.initHeader(id)
	f.Defer(f.leave)
	if err := m.RealizePCI(h); err != nil {
		return err
	}
	f.bus.occupied()
	if f.failoverPairID != "" {
		return f.checkFailover()
	}
	return f.loadROM(h)
}

// leave takes the function off its bus: nothing of it answers any more.
func (f *Function) leave() {
	f.SetINTx(false)
	f.unmapBARs()
	f.bus.devices[f.devfn] = nil
	f.bus.occupied()
	f.bus = nil
}

func (f *Function) initHeader(id Identity) {
	f.set16(regVendor, id.Vendor)
	f.set16(regDevice, id.Device)
	f.set8(regRevision, id.Revision)
	f.set8(regClassProg, id.ProgIF)
	f.set16(regClass, id.Class)
	f.allow16(regCommand, cmdWritable)
	f.clear16(regStatus, statusErrors)
	f.allow8(regCacheLine, 0xff)
	f.allow8(regIntLine, 0xff)
	for i := headerLen; i < len(f.data); i++ {
		f.writable[i] = 0xff // until a capability says otherwise
	}
	if f.flag(flagMultifunction) {
		f.set8(regHeaderType, headerMultifunction)
	}
	if id.Bridge {
		f.initBridgeHeader()
		return
	}
	if id.SubVendor == 0 && id.Subsystem == 0 {
		id.SubVendor, id.Subsystem = redHat, defaultSubsystem
	}
	f.set16(regSubVendor, id.SubVendor)
	f.set16(regSubsystem, id.Subsystem)
}

// ReadConfig gives size bytes, 1 to 4, of configuration space.
func (f *Function) readConfig(at, size int) uint32 {
	if r, ok := f.model().(ConfigReader); ok {
		r.ReadConfig(at, size)
	}
	return f.config.read(at, size)
}

// writeConfig is a guest's write of size bytes, 1 to 4.
func (f *Function) writeConfig(at int, v uint32, size int) {
	old := f.u16(regCommand)
	f.config.write(at, v, size)
	h := f.Host()
	err := h.Map.Update(func() error {
		var errs []error
		if overlaps(at, size, regBAR0, 24) || overlaps(at, size, regROM, 4) || overlaps(at, size, regCommand, 2) {
			errs = append(errs, f.mapBARs())
		}
		if f.bridge != nil {
			errs = append(errs, f.bridge.wrote(at, size))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		h.Log.Error().Err(err).Str("device", f.TypeName()).Msg("mapping base address registers")
	}
	if (old^f.u16(regCommand))&cmdIntxDisable != 0 {
		f.driveINTx()
	}
	if f.msi != nil {
		f.msi.wrote(at, size)
	}
	if f.msix != nil {
		f.msix.wrote(at, size)
	}
	if f.exp != nil {
		f.exp.wrote(at, v, size)
	}
	if w, ok := f.model().(ConfigWriter); ok {
		w.WroteConfig(at, v, size)
	}
}

// Reset is power-on: the registers that say how the function is used are
// cleared, and nothing is mapped. A model with more to reset has a Reset of its
// own that calls this one.
func (f *Function) Reset() {
	if f.bus == nil {
		return
	}
	f.SetINTx(false)
	f.set16(regCommand, f.u16(regCommand)&^uint16(cmdWritable))
	f.set16(regStatus, f.u16(regStatus)&^uint16(statusErrors|statusIntx))
	f.set8(regCacheLine, 0)
	f.set8(regIntLine, 0)
	for n, b := range f.bars {
		if b != nil {
			f.setBARRegister(n, 0)
		}
	}
	f.unmapBARs()
	if f.msi != nil {
		f.msi.reset()
	}
	if f.msix != nil {
		f.msix.reset()
	}
	if f.exp != nil {
		f.exp.reset()
	}
	if f.bridge != nil {
		f.bridge.reset()
	}
}

// Master tells whether the guest lets the function access memory.
func (f *Function) Master() bool { return f.u16(regCommand)&cmdMaster != 0 }

// mem is the container of memory regions at the function's addresses, and
// ports that of its I/O regions.
func (f *Function) containers() (mem, ports *memory.Region) { return f.bus.mem, f.bus.ports }
