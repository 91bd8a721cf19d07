// Package cpu is x86 processors: CPU objects with their models, features and
// topology, and the CPUID that a guest sees of them.
//
// What a guest sees is computed in three steps: a model and the user's
// properties are settings; resolve weighs them against what the accelerator
// offers; leaves puts the result at a place in the topology.
package cpu

import (
	"errors"
	"fmt"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/hw/machine"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

const typeSuffix = "-x86_64-cpu"

// CPU is one logical processor's object. All of it is guarded by the VM lock.
type CPU struct {
	qdev.State
	settings
	filtered features
	apicID   uint32
	// node ids as -1 for those that are not set
	socket, die, core, thread int32

	accel accel.VM      // nil on one that no machine has made
	apics *intc.APICBus // nil where the local APICs are not here
	topo  topology
	index int
	quiet bool // warnings are for another CPU to print
	vcpu  accel.VCPU
}

// InitInstance leaves a new CPU without a place.
func (c *CPU) InitInstance() {
	c.apicID, c.socket, c.die, c.core, c.thread = noAPICID, -1, -1, -1, -1
}

const noAPICID = 0xffffffff

// New makes and realizes the CPU of a number, 0 being the boot CPU, of the
// machine's topology. apics is the bus of local APICs of this process, nil where
// they are the accelerator's or no code runs. Its object is
// /machine/unattached/device[N]. On failure nothing is left but what the
// accelerator made.
func New(h *qdev.Host, a accel.VM, apics *intc.APICBus, m machine.CPUModel, smp machine.SMP, index int) (machine.CPU, error) {
	t := h.Types.Lookup(m.Name + typeSuffix)
	if t == nil || t.Abstract || !t.IsA("x86_64-cpu") {
		return machine.CPU{}, fmt.Errorf("unable to find CPU model '%s'", m.Name)
	}
	d, err := h.New(t.Name)
	if err != nil {
		return machine.CPU{}, err
	}
	c := d.(*CPU)
	for _, f := range m.Features {
		if err := qom.Set(c, f.Name, qom.String(f.Value)); err != nil {
			if f.Global {
				err = fmt.Errorf("can't apply global %s.%s=%s: %w", t.Name, f.Name, f.Value, err)
			}
			return machine.CPU{}, err
		}
	}
	c.accel, c.apics, c.topo, c.index, c.quiet = a, apics, newTopology(smp), index, index > 0
	at := c.topo.at(index)
	c.apicID = c.topo.apicID(at)
	c.socket, c.die, c.core, c.thread = int32(at.socket), int32(at.die), int32(at.core), int32(at.thread)
	if err := qdev.Realize(c); err != nil {
		return machine.CPU{}, err
	}
	return machine.CPU{
		Object: c, VCPU: c.vcpu, Socket: at.socket, Die: at.die, Core: at.core, Thread: at.thread,
	}, nil
}

// Realize works out the CPUID and makes the vCPU.
func (c *CPU) Realize(h *qdev.Host) error {
	if c.accel == nil {
		return c.misplaced()
	}
	kvm := c.accel.Name() == "kvm"
	p, warnings, err := resolve(c.settings, c.accel.SupportedCPUID(), kvm, c.topo)
	if !c.quiet && h.Report != nil {
		for _, w := range warnings {
			h.Report(w)
		}
	}
	if err != nil {
		return err
	}
	before := c.settings
	c.settings, c.filtered = p.settings, p.filtered
	c.Defer(func() { c.settings, c.filtered = before, features{} })
	apic, err := c.addAPIC(h)
	if err != nil {
		return err
	}
	c.vcpu, err = c.accel.NewVCPU(accel.CPUConfig{
		Index: c.index, APICID: c.apicID, CPUID: p.leaves(c.topo, c.topo.at(c.index)),
		X2APIC: p.features[w1ECX]&f1X2APIC != 0,
		APIC:   apic,
	})
	return err
}

// misplaced is why a CPU that a user plugs cannot work.
func (c *CPU) misplaced() error {
	for _, id := range []struct {
		name  string
		value int32
	}{{"socket-id", c.socket}, {"core-id", c.core}, {"thread-id", c.thread}} {
		if id.value < 0 {
			return fmt.Errorf("CPU %s is not set", id.name)
		}
	}
	return errors.New("machine does not support hot-plugging CPUs")
}
