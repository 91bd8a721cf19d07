package pci

import (
	"errors"
	"fmt"
	"math"

	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Port is a root port: a bridge from the root bus to a link, with a slot.
type Port struct {
	Function
	kind portKind

	port                         uint8
	aerLogMax                    uint16
	writableSlotBug              bool
	chassis                      uint8
	slotNumber                   uint16
	hotplug, hideHotplug         bool
	portFlags                    uint64
	disableACS                   bool
	migrateMSIX                  bool
	busReserve                   uint32
	ioReserve, memReserve        uint64
	pref32Reserve, pref64Reserve uint64
	speed, width                 string
}

const portFlagPower = 0

// portKind says in what the models of root ports differ.
type portKind struct {
	vendor, device uint16
	revision       uint8
	ssvidAt, expAt int
	aerAt, acsAt   int  // acsAt 0 for none
	msi            bool // with MSI rather than MSI-X
	msiAt          int
	reserve        bool // has the reservation properties
}

var (
	genericPort = portKind{vendor: redHatBridges, device: 0x000c, ssvidAt: 0x40, aerAt: 0x100, acsAt: 0x148, reserve: true}
	ioh3420Port = portKind{vendor: intel, device: 0x3420, revision: 2, ssvidAt: 0x40, expAt: 0x90, aerAt: 0x100, msi: true, msiAt: 0x60}
)

const (
	classBridgePCI = 0x0604
	classEthernet  = 0x0200
)

// Identity is part of Model.
func (p *Port) Identity() Identity {
	k := p.kind
	return Identity{Vendor: k.vendor, Device: k.device, Revision: k.revision, Class: classBridgePCI, Bridge: true, Express: true}
}

// PCIBus is the bus behind the port, nil before it is realized.
func (p *Port) PCIBus() *Bus { return p.SecondaryBus() }

// RealizePCI sets up capabilities and the bus.
func (p *Port) RealizePCI(h *qdev.Host) error {
	k := p.kind
	p.SetPin(1)
	if err := p.InitBridge(h, "PCIE", true); err != nil {
		return err
	}
	if err := p.addSSVID(k.ssvidAt, k.vendor, 0); err != nil {
		return err
	}
	if k.msi {
		if err := p.AddMSI(k.msiAt, 2, false, true); err != nil {
			return err
		}
	} else if err := p.AddExclusiveMSIX(0, 1); err != nil {
		return err
	}
	if err := p.AddExpress(k.expAt, RootPort, p.port); err != nil {
		return err
	}
	p.AllowErrorReports()
	p.exp.setLink(linkSpeeds[p.speed], linkWidths[p.width])
	p.exp.addSlot(p.slotNumber, p.hotplug, p.hideHotplug, p.portFlags>>portFlagPower&1 == 1)
	p.exp.forwardARI()
	p.allow16(p.exp.at+expRootCtl, rootCtlErrors)
	if err := p.checkChassis(h); err != nil {
		return err
	}
	if p.Express() {
		if err := p.addAER(k.aerAt, true); err != nil {
			return err
		}
		if k.acsAt != 0 && !p.disableACS {
			if err := p.addACS(k.acsAt); err != nil {
				return err
			}
		}
	}
	if k.reserve {
		return p.addReserve()
	}
	return nil
}

// checkChassis keeps the numbers of chassis and slot unique.
func (p *Port) checkChassis(h *qdev.Host) error {
	taken := false
	eachFunction(h, func(f *Function) {
		o, ok := f.Self().(*Port)
		taken = taken || ok && o != p && o.Realized() && o.chassis == p.chassis && o.slotNumber == p.slotNumber
	})
	if taken {
		return errors.New("Can't add chassis slot, error -16")
	}
	return nil
}

// DevicePath is part of qdev.Pather: as in "0000:00:02.0/00.0".
func (p *Port) DevicePath(d qdev.Device) string { return DevicePath(d) }

// DevicePath is the way to a function from the root bus.
func DevicePath(d qdev.Device) string {
	m, ok := d.(Model)
	if !ok {
		return ""
	}
	f := m.PCI()
	path := fmt.Sprintf("%02x.%x", f.Slot(), f.Func())
	for b := f.bus; b != nil && !b.Root(); b = b.bridge.bus {
		path = fmt.Sprintf("%02x.%x/%s", b.bridge.Slot(), b.bridge.Func(), path)
	}
	return "0000:00:" + path
}

var (
	linkSpeeds = map[string]uint16{"2_5": 1, "5": 2, "8": 3, "16": 4}
	linkWidths = map[string]uint16{"1": 1, "2": 2, "4": 4, "8": 8, "12": 12, "16": 16, "32": 32}
)

func registerPorts(r *qom.Registry) {
	r.Register(qom.Type{Name: "pcie-port", Parent: "base-pci-bridge", Abstract: true, Properties: []*qom.Property{
		qdev.Field("port", func(p *Port) *uint8 { return &p.port }, 0),
		qdev.Field("aer_log_max", func(p *Port) *uint16 { return &p.aerLogMax }, 8),
		qdev.Field("x-pci-express-writeable-slt-bug", func(p *Port) *bool { return &p.writableSlotBug }, false),
	}})
	r.Register(qom.Type{Name: "pcie-slot", Parent: "pcie-port", Abstract: true, Properties: []*qom.Property{
		qdev.Field("chassis", func(p *Port) *uint8 { return &p.chassis }, 0),
		qdev.Field("slot", func(p *Port) *uint16 { return &p.slotNumber }, 0),
		qdev.Field("hotplug", func(p *Port) *bool { return &p.hotplug }, true),
		qdev.Field("x-do-not-expose-native-hotplug-cap", func(p *Port) *bool { return &p.hideHotplug }, false),
	}})
	r.Register(qom.Type{Name: "pcie-root-port-base", Parent: "pcie-slot", Abstract: true,
		Interfaces: []string{"pci-express-device"}, Properties: []*qom.Property{
			qdev.Bit("power_controller_present", func(p *Port) *uint64 { return &p.portFlags }, portFlagPower, true),
			qdev.Field("disable-acs", func(p *Port) *bool { return &p.disableACS }, false),
		}})
	class := func(desc string) *qdev.Class {
		return &qdev.Class{BusType: "PCI", Desc: desc, Category: "Controller/Bridge/Hub", NotHotpluggable: true}
	}
	size := func(name string, field func(*Port) *uint64) *qom.Property {
		p := qdev.Field(name, field, math.MaxUint64, qom.TypeName("size"))
		set := p.Set
		p.Set = func(o qom.Object, v qom.Value) error {
			if o.(*Port).Realized() {
				return set(o, v) // which says that it is too late
			}
			n, err := v.Size(name)
			if err == nil {
				*field(o.(*Port)) = n
			}
			return err
		}
		return p
	}
	r.Register(qom.Type{Name: "pcie-root-port", Parent: "pcie-root-port-base",
		New: func() qom.Object { return &Port{kind: genericPort} }, Class: class("PCI Express Root Port"),
		Properties: []*qom.Property{
			qdev.Field("x-migrate-msix", func(p *Port) *bool { return &p.migrateMSIX }, true),
			qdev.Field("bus-reserve", func(p *Port) *uint32 { return &p.busReserve }, math.MaxUint32),
			size("io-reserve", func(p *Port) *uint64 { return &p.ioReserve }),
			size("mem-reserve", func(p *Port) *uint64 { return &p.memReserve }),
			size("pref32-reserve", func(p *Port) *uint64 { return &p.pref32Reserve }),
			size("pref64-reserve", func(p *Port) *uint64 { return &p.pref64Reserve }),
			qdev.Enum("x-speed", "PCIELinkSpeed", []string{"2_5", "5", "8", "16"},
				func(p *Port) *string { return &p.speed }, "16", qom.Description("2_5/5/8/16")),
			qdev.Enum("x-width", "PCIELinkWidth", []string{"1", "2", "4", "8", "12", "16", "32"},
				func(p *Port) *string { return &p.width }, "32", qom.Description("1/2/4/8/12/16/32")),
		}})
	r.Register(qom.Type{Name: "ioh3420", Parent: "pcie-root-port-base",
		New:   func() qom.Object { return &Port{kind: ioh3420Port, speed: "2_5", width: "1"} },
		Class: class("Intel IOH device id 3420 PCIE Root Port")})
}
