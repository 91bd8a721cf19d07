package i386

import (
	"errors"
	"fmt"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/acpi"
	"github.com/gqemu/gqemu/hw/i386/boot"
	"github.com/gqemu/gqemu/hw/i386/cpu"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/hw/machine"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// x86State is what all machines here have, QEMU's type "x86-machine".
type x86State struct {
	machine.State
	smm, acpi, pit, pic string
	oemID, oemTableID   string
	busLockRatelimit    uint64

	board   *machine.Board
	host    *qdev.Host
	irqchip accel.IRQChip
	cpus    []machine.CPU
	ioapics []*intc.IOAPIC
	pics    *intc.PICPair
	gsi     []*qdev.IRQ
	serials []acpi.ISAPort // that exist, in order
	devices int            // number of the next device below /machine/unattached

	ram        *memory.Region // all of it
	image      *boot.Image    // nil without -kernel
	acpiTables *acpi.Tables   // nil with acpi=off
}

// x86Machine is a machine that embeds x86State.
type x86Machine interface {
	machine.Machine
	x86() *x86State
}

func (x *x86State) x86() *x86State { return x }

func registerX86(r *qom.Registry) {
	auto := func(name, desc string, f func(*x86State) *string) *qom.Property {
		return qom.Enum(name, "OnOffAuto", qom.OnOffAuto, func(m x86Machine) *string { return f(m.x86()) }, "auto",
			qom.Description(desc), qom.HideDefault())
	}
	r.Register(qom.Type{Name: "x86-machine", Parent: "machine", Abstract: true, Properties: []*qom.Property{
		auto("smm", "Enable SMM", func(x *x86State) *string { return &x.smm }),
		auto("acpi", "Enable ACPI", func(x *x86State) *string { return &x.acpi }),
		auto("pit", "Enable i8254 PIT", func(x *x86State) *string { return &x.pit }),
		auto("pic", "Enable i8259 PIC", func(x *x86State) *string { return &x.pic }),
		oem("x-oem-table-id", "Override the default value of field OEM Table ID in ACPI table header."+
			"The string may be up to 8 bytes in size", 8, "BXPC    ", func(x *x86State) *string { return &x.oemTableID }),
		qom.Field("bus-lock-ratelimit", func(m x86Machine) *uint64 { return &m.x86().busLockRatelimit }, 0,
			qom.TypeName("uint64_t"), qom.HideDefault(),
			qom.Description("Set the ratelimit for the bus locks acquired in VMs")),
		{Name: "sgx-epc", Type: "SgxEPC", Description: "SGX EPC device",
			Get: func(qom.Object) (any, error) { return []any{}, nil },
			Set: func(qom.Object, qom.Value) error { return errors.New("SGX is not supported") }},
		oem("x-oem-id", "Override the default value of field OEMID in ACPI table header."+
			"The string may be up to 6 bytes in size", 6, "BOCHS ", func(x *x86State) *string { return &x.oemID }),
	}})
}

// oem declares a string of limited length for table headers.
func oem(name, desc string, limit int, def string, f func(*x86State) *string) *qom.Property {
	field := func(m x86Machine) *string { return f(m.x86()) }
	p := qom.Field(name, field, def, qom.Description(desc), qom.TypeName("string"), qom.HideDefault())
	p.Set = func(o qom.Object, v qom.Value) error {
		s, err := v.Str(name)
		if err != nil {
			return err
		}
		if len(s) > limit {
			return fmt.Errorf("User specified %s value is bigger than %d bytes in size", name, limit)
		}
		*field(o.(x86Machine)) = fmt.Sprintf("%-*s", limit, s)
		return nil
	}
	return p
}

func (x *x86State) acpiOn() bool { return x.acpi != "off" }

// begin takes what the VM hands over and refuses what no machine here has.
func (x *x86State) begin(b *machine.Board) error {
	x.board, x.host, x.irqchip = b, b.Host, b.Accel.IRQChip()
	switch {
	case b.RAM == nil:
		return fmt.Errorf("machine %s needs memory", x.name())
	case x.smm == "on":
		return errors.New("System Management Mode not supported by this hypervisor.")
	case x.busLockRatelimit != 0:
		return fmt.Errorf("machine %s: bus-lock-ratelimit is not supported", x.name())
	}
	return nil
}

// name is the machine's as users write it.
func (x *x86State) name() string {
	c := machine.ClassOf(x.Type())
	if c.Alias != "" {
		return c.Alias
	}
	return c.Name
}

// mapRAM puts low bytes of the memory at 0 and the rest at 4 GiB.
func (x *x86State) mapRAM(low uint64) error {
	h := x.host
	ram := memory.NewRAM(x.board.RAM)
	x.ram = ram
	add := func(name string, offset, size, addr uint64) error {
		r := memory.NewAlias(name, ram, offset, size)
		if err := h.ExposeRegion(h.Unattached, r); err != nil {
			return err
		}
		return h.Map.Add(h.System, r, addr, 0)
	}
	if err := add("ram-below-4g", 0, low, 0); err != nil {
		return err
	}
	if rest := x.board.RAM.Size() - low; rest > 0 {
		return add("ram-above-4g", low, rest, above4G)
	}
	return nil
}

func (x *x86State) initCPUs(model machine.CPUModel) error {
	if model.Name == "" {
		model.Name = "qemu64"
	}
	var apics *intc.APICBus
	if a, ok := x.board.Accel.(accel.APICHost); ok && x.irqchip == accel.IRQChipOff {
		apics = intc.NewAPICBus()
		apics.EOI = x.EOI
		a.ConnectAPICs(apics)
	}
	for i := range x.board.SMP.CPUs {
		c, err := cpu.New(x.host, x.board.Accel, apics, model, x.board.SMP, i)
		if err != nil {
			return err
		}
		x.cpus = append(x.cpus, c)
	}
	x.devices = len(x.cpus) + 1 // kvmvapic
	return nil
}

// place gives a device the number below /machine/unattached that it has in
// QEMU, where devices that do not exist here have one too.
func (x *x86State) place(d qdev.Device) error {
	err := qom.AddChild(x.host.Unattached, fmt.Sprintf("device[%d]", x.devices), d)
	x.devices++
	return err
}

// CPUs lists the vCPUs.
func (x *x86State) CPUs() []machine.CPU { return x.cpus }

// EOI reaches the IOAPICs, whose level-triggered lines may still be high.
func (x *x86State) EOI(vector uint8) {
	for _, a := range x.ioapics {
		a.EOI(vector)
	}
}

// initGSI makes the lines that lead to interrupt controllers: line n of the
// first 16 reaches the PICs and the first IOAPIC, the rest an IOAPIC alone.
// With kernel-irqchip=on all of them lead to the kernel.
func (x *x86State) initGSI(count int) {
	_, events := x.board.Accel.(accel.EventInterrupts)
	for n := range count {
		irq := x.host.NewIRQ(n, x.setGSI)
		if n >= isaLines && events && x.irqchip == accel.IRQChipSplit {
			// A PIC would hear nothing of them.
			irq.SetEventInput(eventLines{x}, n)
		}
		x.gsi = append(x.gsi, irq)
	}
}

// eventLines are the lines that eventfds can drive.
type eventLines struct{ x *x86State }

// BindEvents is part of qdev.EventInput.
func (l eventLines) BindEvents(n int, e *qdev.Events) bool {
	return l.x.ioapics[n/ioapicPins].BindEvents(n%ioapicPins, e)
}

// UnbindEvents is part of qdev.EventInput.
func (l eventLines) UnbindEvents(n int) { l.x.ioapics[n/ioapicPins].UnbindEvents(n % ioapicPins) }

// setGSI carries a line's level to where it leads.
func (x *x86State) setGSI(n int, level bool) {
	if x.irqchip == accel.IRQChipOn {
		if err := x.board.Accel.SetLine(n, level); err != nil {
			x.host.Log.Error().Err(err).Int("gsi", n).Msg("driving an interrupt line")
		}
		return
	}
	if n < isaLines && x.pics != nil {
		x.pics.Line(n).Set(level)
	}
	x.ioapics[n/ioapicPins].GPIOIn("", n%ioapicPins).Set(level)
}

// addIOAPIC makes the next IOAPIC, below parent, or as an anonymous device
// where that is nil.
func (x *x86State) addIOAPIC(parent qom.Object) error {
	i := len(x.ioapics)
	d, err := x.host.NewSysBus("ioapic", func(d qdev.Device) error {
		d.(*intc.IOAPIC).GSIBase = i * ioapicPins
		if parent != nil {
			return qom.AddChild(parent, "ioapic", d)
		}
		return x.place(d)
	})
	if err != nil {
		return err
	}
	a := d.(*intc.IOAPIC)
	x.ioapics = append(x.ioapics, a)
	return a.MapMMIO(0, ioapicBase+uint64(i)*(ioapic2Base-ioapicBase))
}

// resetAll resets all devices and vCPUs.
func (x *x86State) resetAll() error {
	x.host.SysBus.Reset()
	if r, ok := x.board.Accel.(accel.ChipResetter); ok {
		if err := r.ResetChips(); err != nil {
			return err
		}
	}
	for _, c := range x.cpus {
		if err := c.VCPU.Reset(); err != nil {
			return err
		}
	}
	return nil
}
