package isa

import (
	"errors"

	"github.com/gqemu/gqemu/hw/pci"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// ICH9 is the "ICH9-LPC" device, the LPC bridge of Intel's I/O Controller Hub
// 9 (datasheet 316972, chapter 13): the bus "isa.0", the reset control register,
// the power management registers, and the router of PCI interrupts. Its outputs
// "gsi" are the machine's interrupt lines.
type ICH9 struct {
	pci.Function
	bus  *qdev.Bus
	gsi  [ich9Lines]*qdev.IRQ
	rst  uint8 // reset control
	apmc uint8
	apms uint8
	pm   *PM
	sci  bool // level of the system control interrupt

	noReboot, smmCompat, smmEnabled bool
	smiFeatures                     uint64

	pmRegion *memory.Region
	pirq     [pirqs]bool // levels of the PCI interrupt lines
	chip     chipConfig
}

const ich9Lines = 24

// Ports of the bridge and what is in them.
const (
	apmPort       = 0xb2  // APM control, and above it status
	resetPort     = 0xcf9 // reset control
	resetCPU      = 1 << 2
	resetWritable = 0xa // what of it is kept

	// APMEnable and APMDisable written to APM control give the power
	// management registers to ACPI and take them back.
	APMEnable  = 2
	APMDisable = 3
	// APMPort is where they are written.
	APMPort = apmPort
	// ResetPort takes ResetValue to reset the machine.
	ResetPort  = resetPort
	ResetValue = 0xf
)

// ISA is the bus that the bridge provides.
func (l *ICH9) ISA() *qdev.Bus { return l.bus }

// PM is the power management block.
func (l *ICH9) PM() *PM { return l.pm }

// ConnectGSI leads interrupt line n to gsi[n].
func (l *ICH9) ConnectGSI(gsi []*qdev.IRQ) {
	for n, irq := range gsi {
		if n < ich9Lines {
			l.Connect("gsi", n, irq)
		}
	}
}

func (l *ICH9) isaLine(n uint64) *qdev.IRQ { return l.gsi[n] }

// Identity is part of pci.Model.
func (l *ICH9) Identity() pci.Identity {
	return pci.Identity{Vendor: 0x8086, Device: 0x2918, Revision: 2, Class: 0x0601}
}

// RealizePCI makes the bus, and the registers that have a fixed place.
func (l *ICH9) RealizePCI(h *qdev.Host) error {
	bus, err := h.NewBus("ISA", "", l, 0)
	if err != nil {
		return err
	}
	l.Defer(bus.Remove)
	bus.FWPath = firmwarePath
	l.bus = bus
	slots := make([]**qdev.IRQ, ich9Lines)
	for i := range l.gsi {
		slots[i] = &l.gsi[i]
	}
	if err := l.AddGPIOOut("gsi", slots...); err != nil {
		return err
	}
	l.pm = newPM(h, l.setSCI, func() {
		if h.Guest != nil {
			h.Guest.GuestPoweroff()
		}
	})
	l.Defer(l.pm.timer.Stop)
	l.pmRegion = l.pm.region()
	l.chip.init(l)
	l.initConfig()
	byteWide := memory.Access{ImplMax: 1}
	var errs []error
	for _, p := range []struct {
		in   *memory.Region
		r    *memory.Region
		at   uint64
		prio int
		off  bool
	}{
		{h.Ports, memory.NewIO("apm-io", 2, memory.OpsFuncs{ReadFunc: l.readAPM, WriteFunc: l.writeAPM}, byteWide), apmPort, 0, false},
		{h.Ports, memory.NewIO("lpc-reset-control", 1, memory.OpsFuncs{ReadFunc: l.readReset, WriteFunc: l.writeReset}, byteWide), resetPort, 1, false},
		{h.Ports, l.pmRegion, 0, 0, true},
		{h.System, l.chip.region, 0, 1, true},
	} {
		if p.off {
			errs = append(errs, h.Map.SetEnabled(p.r, false))
		}
		if err := h.Map.Add(p.in, p.r, p.at, p.prio); err != nil {
			return err
		}
		l.Defer(func() {
			if err := h.Map.Remove(p.r); err != nil {
				h.Log.Error().Err(err).Str("region", p.r.Name()).Msg("unmapping registers")
			}
		})
		errs = append(errs, h.ExposeRegion(l, p.r))
	}
	return errors.Join(errs...)
}

// Reset is power-on.
func (l *ICH9) Reset() {
	l.rst, l.apmc, l.apms = 0, 0, 0
	l.Function.Reset()
	l.resetConfig()
	l.pm.reset()
}

func (l *ICH9) readReset(uint64, int) uint64 { return uint64(l.rst) }

func (l *ICH9) writeReset(_, v uint64, _ int) {
	if v&resetCPU != 0 {
		if g := l.Host().Guest; g != nil {
			g.GuestReset()
		}
		return
	}
	l.rst = uint8(v) & resetWritable
}

func (l *ICH9) readAPM(offset uint64, _ int) uint64 {
	if offset == 0 {
		return uint64(l.apmc)
	}
	return uint64(l.apms)
}

func (l *ICH9) writeAPM(offset, v uint64, _ int) {
	if offset != 0 {
		l.apms = uint8(v)
		return
	}
	l.apmc = uint8(v)
	switch v {
	case APMEnable:
		l.pm.setSCIEnable(true)
	case APMDisable:
		l.pm.setSCIEnable(false)
	}
}

// RegisterICH9 adds the bridge of the ICH9. Package pci's types are registered
// already.
func RegisterICH9(r *qom.Registry) {
	word := func(l *ICH9) *uint64 { return &l.smiFeatures }
	r.Register(qom.Type{
		Name: "ICH9-LPC", Parent: "pci-device", Interfaces: []string{"conventional-pci-device"},
		New: func() qom.Object { return new(ICH9) },
		Class: &qdev.Class{BusType: "PCI", Desc: "ICH9 LPC bridge", FWName: "isa",
			Category: "Controller/Bridge/Hub", NotUserCreatable: true, NotHotpluggable: true},
		Properties: []*qom.Property{
			qdev.Field("noreboot", func(l *ICH9) *bool { return &l.noReboot }, false),
			qdev.Field("smm-compat", func(l *ICH9) *bool { return &l.smmCompat }, false),
			qdev.Field("smm-enabled", func(l *ICH9) *bool { return &l.smmEnabled }, false),
			qdev.Bit("x-smi-broadcast", word, 0, true),
			qdev.Bit("x-smi-cpu-hotplug", word, 1, true),
			qdev.Bit("x-smi-cpu-hotunplug", word, 2, true),
		},
	})
}
