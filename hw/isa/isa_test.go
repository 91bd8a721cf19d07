package isa_test

import (
	"testing"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// probe is a device with one port and one line.
type probe struct {
	isa.Device
	irq *qdev.IRQ
}

func (p *probe) Realize(*qdev.Host) error {
	irq, err := p.Line(5)
	if err != nil {
		return err
	}
	p.irq = irq
	r := memory.NewIO("probe", 1, memory.OpsFuncs{ReadFunc: func(uint64, int) uint64 { return 0x5a }}, memory.Access{})
	return p.AddPorts(r, 0x2e8)
}

func registerProbe(r *qom.Registry) {
	r.Register(qom.Type{Name: "probe", Parent: "isa-device", New: func() qom.Object { return new(probe) }})
}

// A device on the bus answers at its ports, reaches the machine's line, has
// its place in firmware paths, and leaves nothing when it goes.
func TestDevice(t *testing.T) {
	m := hwtest.New(t, isa.RegisterTypes, registerProbe)
	line := m.NewLine()
	bridge, err := isa.New(m.Host, []*qdev.IRQ{5: line.IRQ})
	if err != nil {
		t.Fatal(err)
	}
	bus := bridge.ISA()
	if bus.BusName() != "isa.0" || qom.Path(bus) != "/machine/unattached/device[0]/isa.0" {
		t.Errorf("bus %s at %s", bus.BusName(), qom.Path(bus))
	}
	p := hwtest.Add[*probe](m, "probe", bus, nil)
	if v := m.Inb(0x2e8); v != 0x5a {
		t.Errorf("the port reads %#x", v)
	}
	p.irq.Set(true)
	if !line.Level {
		t.Error("the line does not reach the machine")
	}
	if got := qdev.FirmwarePath(p); got != "/isa/probe@02e8" {
		t.Errorf("firmware path %s", got)
	}
	if o, _ := qom.Resolve(m.Root, "/machine/unattached/device[1]/probe[0]", "memory-region"); o == nil {
		t.Error("the region is not in the tree")
	}
	qdev.Delete(p)
	if v := m.Inb(0x2e8); v != 0xff {
		t.Errorf("the port of a device that is gone reads %#x", v)
	}
}

// Lines beyond 15 do not exist.
func TestLineRange(t *testing.T) {
	m := hwtest.New(t, isa.RegisterTypes, registerProbe)
	bridge, err := isa.New(m.Host, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := hwtest.Add[*probe](m, "probe", bridge.ISA(), nil)
	if _, err := p.Line(16); err == nil || err.Error() != `Maximum value for "irq" is: 15` {
		t.Errorf("line 16: %v", err)
	}
}
