package i386

import (
	"errors"
	"math"

	"github.com/gqemu/gqemu/hw/pci"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// pciHost is the "q35-pcihost" device: the root bus "pcie.0", the ways into
// configuration space, and the memory controller hub as its first function.
type pciHost struct {
	qdev.SysBus
	pci.HostState
	ram            *memory.Region // all RAM, for what the hub hides of it
	lowRAM, high   uint64         // bytes below and above 4 GiB
	hole64         uint64         // property
	hole64Fix      bool
	route          func(devfn, pin int) int
	line           func(n int, level bool)
	bus            *pci.Bus
	config         *pci.ConfigAccess
	mem            *memory.Region // what PCI functions map
	ecam           *memory.Region
	mch            *memoryHub
	exposeUnplaced qom.Object // where QEMU's clients find mem
}

const pirqLines = 8

// PCIBus is part of pci.Parent.
func (p *pciHost) PCIBus() *pci.Bus { return p.bus }

// DevicePath is part of qdev.Pather.
func (p *pciHost) DevicePath(d qdev.Device) string { return pci.DevicePath(d) }

// Realize makes the bus and what is at fixed places.
func (p *pciHost) Realize(h *qdev.Host) error {
	p.mem = memory.NewContainer("pci", memory.MaxSize)
	var err error
	p.bus, err = pci.NewRootBus(h, "PCIE", "pcie.0", p, p.mem, h.Ports, pirqLines,
		func(devfn, pin int) int { return p.route(devfn, pin) },
		func(n int, level bool) { p.line(n, level) })
	if err != nil {
		return err
	}
	p.Defer(p.bus.Qdev.Remove)
	p.config = pci.NewConfigAccess(p.bus)
	p.ecam = p.config.ECAMRegion()
	if err := h.Map.SetEnabled(p.ecam, false); err != nil {
		return err
	}
	for _, r := range []struct {
		in, r *memory.Region
		owner qom.Object
		at    uint64
		prio  int
	}{
		{h.System, p.mem, p.exposeUnplaced, 0, -1},
		{h.Ports, p.config.AddressRegion(), p, pci.ConfigAddressPort, 0},
		{h.Ports, p.config.DataRegion(), p, pci.ConfigDataPort, 0},
		{h.System, p.ecam, p, 0, 0},
	} {
		if err := h.Map.Add(r.in, r.r, r.at, r.prio); err != nil {
			return err
		}
		p.Defer(func() {
			if err := h.Map.Remove(r.r); err != nil {
				h.Log.Error().Err(err).Str("region", r.r.Name()).Msg("unmapping the host bridge")
			}
		})
		if err := h.ExposeRegion(r.owner, r.r); err != nil {
			return err
		}
	}
	d, err := h.Create("mch", p.bus.Qdev, func(d qdev.Device) error {
		d.(*memoryHub).host = p
		return errors.Join(qom.AddChild(p, "mch", d), qom.Set(d, "addr", qom.JSON(int64(0))))
	})
	if err != nil {
		return err
	}
	p.mch = d.(*memoryHub)
	return p.exposeHoles()
}

// exposeHoles shows clients what there is for PCI, and where configuration space
// is.
func (p *pciHost) exposeHoles() error {
	low, high := p.holes()
	var errs []error
	for _, h := range []struct {
		name, typ string
		get       func() uint64
	}{
		{"pci-hole-start", "uint32", func() uint64 { return low[0].Base }},
		{"pci-hole-end", "uint32", func() uint64 { return low[len(low)-1].Limit + 1 }},
		{"pci-hole64-start", "uint64", func() uint64 { return high.Base }},
		{"pci-hole64-end", "uint64", func() uint64 { return high.Limit + 1 }},
		{"mcfg_size", "uint64", func() uint64 {
			if !p.ecam.Enabled() {
				return 0
			}
			return p.ecam.Last() + 1
		}},
	} {
		errs = append(errs, qom.AddProperty(p, &qom.Property{Name: h.name, Type: h.typ,
			Get: func(qom.Object) (any, error) { return h.get(), nil }}))
	}
	return errors.Join(errs...)
}

// Reset is power-on.
func (p *pciHost) Reset() { p.config.Reset() }

// setECAM puts the memory-mapped configuration space at an address, or nowhere.
func (p *pciHost) setECAM(addr uint64, on bool) {
	m := p.Host().Map
	err := m.Update(func() error { return errors.Join(m.Move(p.ecam, addr), m.SetEnabled(p.ecam, on)) })
	if err != nil {
		p.Host().Log.Error().Err(err).Msg("placing the memory-mapped configuration space")
	}
}

// mcfg is the address of the memory-mapped configuration space, all ones for
// none.
func (p *pciHost) mcfg() uint64 {
	if p.ecam == nil || !p.ecam.Enabled() {
		return math.MaxUint64
	}
	return p.ecam.Addr()
}

// holes are the ranges of addresses that there are for PCI: below 4 GiB, from
// low RAM up to the memory-mapped configuration space and from its end up to the
// IOAPIC; and above RAM.
func (p *pciHost) holes() (low []pci.Window, high pci.Window) {
	if p.lowRAM < ecamBase {
		low = append(low, pci.Window{Base: p.lowRAM, Limit: ecamBase - 1})
	}
	low = append(low, pci.Window{Base: ecamBase + pci.ECAMSize, Limit: ioapicBase - 1})
	start := (above4G + p.high + gib - 1) &^ uint64(gib-1)
	return low, pci.Window{Base: start, Limit: start + p.hole64 - 1}
}

// ecamBase is where firmware puts the memory-mapped configuration space.
const ecamBase = 0xb0000000

func registerPCIHost(r *qom.Registry) {
	size := func(name string, f func(*pciHost) *uint64, def uint64) *qom.Property {
		return qdev.Field(name, f, def, qom.TypeName("size"))
	}
	r.Register(qom.Type{
		Name: "q35-pcihost", Parent: "pcie-host-bridge",
		New: func() qom.Object { return new(pciHost) },
		Class: &qdev.Class{BusType: "System", FWName: "pci@i0cf8", Category: "Controller/Bridge/Hub",
			NotUserCreatable: true, NotHotpluggable: true},
		Properties: []*qom.Property{
			qom.NewProperty("MCFG", "uint64", nil, func(p *pciHost) any { return p.mcfg() },
				func(*pciHost, qom.Value) error { return errors.New("MCFG is the guest's to set") }, nil),
			size("pci-hole64-size", func(p *pciHost) *uint64 { return &p.hole64 }, 32<<30),
			size("below-4g-mem-size", func(p *pciHost) *uint64 { return &p.lowRAM }, 0),
			size("above-4g-mem-size", func(p *pciHost) *uint64 { return &p.high }, 0),
			qdev.Field("x-pci-hole64-fix", func(p *pciHost) *bool { return &p.hole64Fix }, true),
		},
	})
}
