package i386

import (
	"errors"

	"github.com/gqemu/gqemu/hw/pci"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// memoryHub is the "mch" device, function 00.0 of a q35: Intel's 82Q35 memory
// controller hub (datasheet 316966, chapter 5). It says where the memory-mapped
// configuration space is, and which RAM below 1 MiB and at the end of low RAM
// processors see.
type memoryHub struct {
	pci.Function
	host        *pciHost
	tsegMBytes  uint16
	smbaseSMRAM bool

	pam    [pamAreas]pamArea
	legacy *memory.Region // 0xa0000 as PCI's
	tseg   *memory.Region // over RAM that is for system management, nil for none
}

// pamArea is a part of the legacy area with its attributes: seen as PCI's, as
// RAM that cannot be written, or, without either, as RAM.
type pamArea struct{ asPCI, readOnly *memory.Region }

// Offsets in configuration space and bits there.
const (
	mchPCIEXBAR = 0x60
	mchExtTSEG  = 0x50
	mchPAM0     = 0x90 // to PAM6
	mchSMRAM    = 0x9d
	mchESMRAMC  = 0x9e

	pciexEnable    = 1 << 0
	pciexSizeShift = 1
	pciexSizeMask  = 3

	pamAreas  = 13 // four bits each: twelve of 16 KiB and the last of 64
	pamFirst  = 0xc0000
	pamStep   = 0x4000
	pamLast   = 0xf0000
	pamRead   = 1
	pamWrite  = 2
	pamRAM    = pamRead | pamWrite
	legacyVGA = 0xa0000
	legacyLen = 0x20000

	smramReset    = 0x02
	smramOpen     = 1 << 6
	smramLock     = 1 << 4
	smramEnable   = 1 << 3
	smramWritable = 0x78
	smramLocked   = 1 << 5 // what stays writable

	esmramReset    = 0x38
	esmramTSEG     = 1 << 0
	esmramWritable = 0x87
	tsegSizeShift  = 1

	extTSEGQuery = 0xffff
)

// Identity is part of pci.Model.
func (m *memoryHub) Identity() pci.Identity {
	return pci.Identity{Vendor: 0x8086, Device: 0x29c0, Class: 0x0600}
}

// RealizePCI makes the areas whose view changes.
func (m *memoryHub) RealizePCI(h *qdev.Host) error {
	var errs []error
	add := func(r *memory.Region, at uint64, prio int) *memory.Region {
		errs = append(errs, h.Map.SetEnabled(r, false), h.Map.Add(h.System, r, at, prio), h.ExposeRegion(m, r))
		m.Defer(func() {
			if err := h.Map.Remove(r); err != nil {
				h.Log.Error().Err(err).Str("region", r.Name()).Msg("unmapping the memory hub")
			}
		})
		return r
	}
	m.legacy = add(memory.NewAlias("smram-region", m.host.mem, legacyVGA, legacyLen), legacyVGA, 1)
	for i := range m.pam {
		at, size := m.pamPlace(i)
		m.pam[i].asPCI = add(memory.NewAlias("pam-pci", m.host.mem, at, size), at, 1)
		if m.host.ram != nil && at+size-1 <= m.host.ram.Last() {
			m.pam[i].readOnly = add(memory.NewReadOnlyAlias("pam-rom", m.host.ram, at, size), at, 1)
		}
	}
	m.Defer(m.unmapTSEG)
	m.Reset()
	return errors.Join(errs...)
}

func (m *memoryHub) pamPlace(i int) (at, size uint64) {
	if i == pamAreas-1 {
		return pamLast, 4 * pamStep
	}
	return pamFirst + uint64(i)*pamStep, pamStep
}

// Reset is power-on: the legacy area is PCI's, and there is no memory-mapped
// configuration space.
func (m *memoryHub) Reset() {
	m.Function.Reset()
	for at := 0x40; at < pci.ConfigSize; at += 4 {
		m.StoreConfig(at, 0, 4)
	}
	m.StoreConfig(mchPCIEXBAR, ecamBase, 4)
	m.StoreConfig(mchExtTSEG, uint32(m.tsegMBytes), 2)
	m.StoreConfig(mchSMRAM, smramReset, 1)
	m.StoreConfig(mchESMRAMC, esmramReset, 1)
	m.AllowConfig(mchSMRAM, smramWritable, 1)
	m.AllowConfig(mchESMRAMC, esmramWritable, 1)
	m.follow()
}

// WroteConfig is part of pci.ConfigWriter.
func (m *memoryHub) WroteConfig(at int, _ uint32, size int) {
	if at < 0x40 {
		return
	}
	if at < mchExtTSEG+2 && at+size > mchExtTSEG && m.Config(mchExtTSEG, 2) == extTSEGQuery && m.tsegMBytes != 0 {
		m.StoreConfig(mchExtTSEG, uint32(m.tsegMBytes), 2)
	}
	if s := m.Config(mchSMRAM, 1); s&smramLock != 0 {
		m.StoreConfig(mchSMRAM, s&^smramOpen, 1)
		m.AllowConfig(mchSMRAM, smramLocked, 1)
		m.AllowConfig(mchESMRAMC, 0, 1)
	}
	m.follow()
}

// follow makes memory as the registers say.
func (m *memoryHub) follow() {
	h := m.Host()
	err := h.Map.Update(func() error {
		var errs []error
		show := func(r *memory.Region, on bool) {
			if r != nil {
				errs = append(errs, h.Map.SetEnabled(r, on))
			}
		}
		for i := range m.pam {
			attr := m.pamAttr(i)
			show(m.pam[i].asPCI, attr&pamRead == 0)
			show(m.pam[i].readOnly, attr == pamRead)
		}
		show(m.legacy, m.Config(mchSMRAM, 1)&smramOpen == 0)
		errs = append(errs, m.followTSEG())
		return errors.Join(errs...)
	})
	if err != nil {
		h.Log.Error().Err(err).Msg("mapping the legacy area")
	}
	bar := uint64(m.Config(mchPCIEXBAR, 4)) | uint64(m.Config(mchPCIEXBAR+4, 4))<<32
	// 256, 128 or 64 MiB: of a smaller space only the first buses are used.
	size := uint64(pci.ECAMSize)
	if s := bar >> pciexSizeShift & pciexSizeMask; s < 3 {
		size >>= s
	}
	m.host.setECAM(bar&^(size-1)&(1<<36-1), bar&pciexEnable != 0)
}

// pamAttr is what reads and writes of an area reach.
func (m *memoryHub) pamAttr(i int) uint32 {
	if i == pamAreas-1 {
		return m.Config(mchPAM0, 1) >> 4 & pamRAM
	}
	return m.Config(mchPAM0+1+i/2, 1) >> (4 * (i % 2)) & pamRAM
}

// followTSEG hides the end of low RAM while it belongs to system management,
// which no processor here is ever in.
func (m *memoryHub) followTSEG() error {
	m.unmapTSEG()
	if m.Config(mchSMRAM, 1)&smramEnable == 0 || m.Config(mchESMRAMC, 1)&esmramTSEG == 0 {
		return nil
	}
	mib := uint64(m.Config(mchExtTSEG, 2))
	if s := m.Config(mchESMRAMC, 1) >> tsegSizeShift & 3; s < 3 {
		mib = [3]uint64{1, 2, 8}[s]
	}
	size := mib << 20
	if size == 0 || size > m.host.lowRAM {
		return nil
	}
	hole := memory.OpsFuncs{ReadFunc: func(_ uint64, size int) uint64 { return 1<<(8*size) - 1 }}
	m.tseg = memory.NewIO("tseg-blackhole", size, hole, memory.Access{ValidMax: 4})
	return m.Host().Map.Add(m.Host().System, m.tseg, m.host.lowRAM-size, 1)
}

func (m *memoryHub) unmapTSEG() {
	if m.tseg == nil {
		return
	}
	h := m.Host()
	if err := h.Map.Remove(m.tseg); err != nil {
		h.Log.Error().Err(err).Msg("showing RAM")
	}
	m.tseg = nil
}

// setUp does what firmware does before an operating system starts: the legacy
// area is RAM, and configuration space memory-mapped.
func (m *memoryHub) setUp() {
	const both = pamRAM<<4 | pamRAM
	m.SetConfig(mchPAM0, pamRAM<<4, 1)
	for i := range 6 {
		m.SetConfig(mchPAM0+1+i, both, 1)
	}
	m.SetConfig(mchPCIEXBAR+4, 0, 4)
	m.SetConfig(mchPCIEXBAR, ecamBase|pciexEnable, 4)
}

func registerMemoryHub(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "mch", Parent: "pci-device", Interfaces: []string{"conventional-pci-device"},
		New: func() qom.Object { return new(memoryHub) },
		Class: &qdev.Class{BusType: "PCI", Desc: "Host bridge", Category: "Controller/Bridge/Hub",
			NotUserCreatable: true, NotHotpluggable: true},
		Properties: []*qom.Property{
			qdev.Field("extended-tseg-mbytes", func(m *memoryHub) *uint16 { return &m.tsegMBytes }, 16),
			qdev.Field("smbase-smram", func(m *memoryHub) *bool { return &m.smbaseSMRAM }, true),
		},
	})
}
