package isa

import (
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// ICH9 is the "ICH9-LPC" device, the LPC bridge of Intel's I/O Controller Hub
// 9 (datasheet 316972, chapter 13), as far as it is no PCI function: the bus
// "isa.0", the reset control register, and the power management registers.
// Its outputs "gsi" are the machine's interrupt lines.
//
// It sits on the main system bus, since there is no PCI. The registers that
// firmware would place by configuration cycles are placed with EnablePM.
type ICH9 struct {
	qdev.SysBus
	bus  *qdev.Bus
	gsi  [ich9Lines]*qdev.IRQ
	rst  uint8 // reset control
	apmc uint8
	apms uint8
	pm   *PM
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

// NewICH9 puts the bridge on the main system bus. Line n leads to gsi[n].
func NewICH9(h *qdev.Host, gsi []*qdev.IRQ, setup func(qdev.Device) error) (*ICH9, error) {
	d, err := h.NewSysBus("ICH9-LPC", setup)
	if err != nil {
		return nil, err
	}
	l := d.(*ICH9)
	for n, irq := range gsi {
		if n < ich9Lines {
			l.Connect("gsi", n, irq)
		}
	}
	return l, nil
}

// ISA is the bus that the bridge provides.
func (l *ICH9) ISA() *qdev.Bus { return l.bus }

// PM is the power management block.
func (l *ICH9) PM() *PM { return l.pm }

func (l *ICH9) isaLine(n uint64) *qdev.IRQ { return l.gsi[n] }

// Realize makes the bus and the registers that have a fixed place.
func (l *ICH9) Realize(h *qdev.Host) error {
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
	l.pm = newPM(h, func(level bool) { l.gsi[sciLine].Set(level) }, func() {
		if h.Guest != nil {
			h.Guest.GuestPoweroff()
		}
	})
	l.Defer(l.pm.timer.Stop)
	byteWide := memory.Access{ImplMax: 1}
	for _, p := range []struct {
		r    *memory.Region
		port uint64
		prio int
	}{
		{memory.NewIO("apm-io", 2, memory.OpsFuncs{ReadFunc: l.readAPM, WriteFunc: l.writeAPM}, byteWide), apmPort, 0},
		{memory.NewIO("lpc-reset-control", 1, memory.OpsFuncs{ReadFunc: l.readReset, WriteFunc: l.writeReset}, byteWide), resetPort, 1},
	} {
		if err := h.Map.Add(h.Ports, p.r, p.port, p.prio); err != nil {
			return err
		}
		l.Defer(func() {
			if err := h.Map.Remove(p.r); err != nil {
				h.Log.Error().Err(err).Str("region", p.r.Name()).Msg("unmapping ports")
			}
		})
		if err := h.ExposeRegion(l, p.r); err != nil {
			return err
		}
	}
	return nil
}

// EnablePM puts the power management registers where firmware does, at
// PMBase.
func (l *ICH9) EnablePM() error {
	h := l.Host()
	r := l.pm.region()
	if err := h.Map.Add(h.Ports, r, PMBase, 0); err != nil {
		return err
	}
	l.Defer(func() {
		if err := h.Map.Remove(r); err != nil {
			h.Log.Error().Err(err).Str("region", r.Name()).Msg("unmapping ports")
		}
	})
	return h.ExposeRegion(l, r)
}

// Reset is power-on.
func (l *ICH9) Reset() {
	l.rst, l.apmc, l.apms = 0, 0, 0
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

func registerICH9(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "ICH9-LPC", Parent: "sys-bus-device",
		New: func() qom.Object { return new(ICH9) },
		Class: &qdev.Class{BusType: "System", Desc: "ICH9 LPC bridge", FWName: "isa",
			Category: "Controller/Bridge/Hub", NotUserCreatable: true, NotHotpluggable: true},
	})
}
