// Package machine is the abstract machine type with the properties that all
// machines share, the interface between a machine and the VM that runs it,
// and the machine "none".
package machine

import (
	"fmt"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// SMP is the CPU topology after defaults are filled in and checked. All
// counts are at least 1 but CPUs, which is 0 on a machine without CPUs.
type SMP struct {
	CPUs, MaxCPUs                           int
	Sockets, Dies, Clusters, Cores, Threads int
}

// Place is where in the topology the CPU of an index is.
func (s SMP) Place(index int) (socket, die, core, thread int) {
	thread = index % s.Threads
	core = index / s.Threads % s.Cores
	die = index / (s.Threads * s.Cores) % s.Dies
	return index / (s.Threads * s.Cores * s.Dies), die, core, thread
}

// Power is what a machine asks of the VM on the guest's behalf. Called with
// the VM lock held; the transition follows later.
type Power interface {
	GuestReset()
	GuestPoweroff()
}

// Board is what the VM hands a machine to build itself from.
type Board struct {
	Host  *qdev.Host
	Accel accel.VM
	// RAM is the guest's memory, nil on a machine without.
	RAM   *memory.RAM
	SMP   SMP
	CPU   CPUModel
	Power Power
	// Serials are the ids of the chardevs behind -serial, in order; "" for
	// -serial none.
	Serials []string
	UUID    [16]byte
	// NoGraphic tells firmware that there is no display.
	NoGraphic bool
	// Paused tells that the guest does not run until a client says so (-S).
	Paused bool
	// NoFDBootCheck tells firmware to boot from floppies without a look at
	// their signature (-no-fd-bootchk).
	NoFDBootCheck bool
	// RTC is the time that a real-time clock starts from and goes by, in
	// nanoseconds since 1970. Nil is the host's UTC.
	RTC func() int64
}

// CPUModel is what -cpu says. An empty name takes the machine's default.
type CPUModel struct {
	Name     string
	Features []CPUFeature // in the order in which they are set
}

// CPUFeature sets a property of the CPU, with the value in -cpu's spelling.
type CPUFeature struct {
	Name, Value string
	// Global tells that it was written NAME=VALUE rather than +NAME, which
	// QEMU turns into a global property: errors say so.
	Global bool
}

// CPU is one vCPU with its object in the tree.
type CPU struct {
	Object qom.Object
	VCPU   accel.VCPU
	// Socket, Die, Core and Thread place it in the topology.
	Socket, Die, Core, Thread int
}

// Machine is a machine type's instance. Methods are called with the VM lock
// held and the vCPUs paused.
type Machine interface {
	qom.Object
	Common() *State
	// Init builds the machine, before any -device.
	Init(b *Board) error
	// Complete follows the last -device: from here the set of cold-plugged
	// devices stands.
	Complete() error
	// Reset puts devices, vCPUs and what is in memory at power-on in place.
	Reset() error
	// Powerdown presses the power button.
	Powerdown()
	// EOI ends a level-triggered interrupt vector.
	EOI(vector uint8)
	CPUs() []CPU
}

// Class is a machine type's part that is not per instance; it is the
// qom.Type's Class.
type Class struct {
	Name        string // as -machine takes it
	Alias       string
	Desc        string
	MaxCPUs     int
	MinCPUs     int
	DefaultCPU  string // CPU type name
	DefaultRAM  uint64 // bytes
	RAMID       string // id of the memory backend made for -m, "" for none
	BootOrder   string // default of -boot order=
	Default     bool   // taken when there is no -machine
	Dies        bool   // -smp dies= is supported
	ACPI        bool
	HotplugCPUs bool
	// WakeupSuspend tells that a guest may sleep (S3) and be woken.
	WakeupSuspend bool
	// DefaultVGA is the machine's video card in QEMU, for -vga help; "" is what
	// machines without a preference have.
	DefaultVGA string
	// NUMA tells that -numa is supported.
	NUMA bool
	// NoSerial tells that -serial has no default.
	NoSerial bool
	// SplitIRQChip is the default of kernel-irqchip.
	SplitIRQChip bool
}

// ClassOf is the class of a machine type, nil for others.
func ClassOf(t *qom.Type) *Class {
	c, _ := t.ClassData().(*Class)
	return c
}

// State is what every machine has.
type State struct {
	qom.State
	Kernel, Initrd, Append, Firmware, DTB, DumpDTB, DTCompatible string
	MemoryEncryption                                             string
	USB, Graphics, DumpGuestCore, MemMerge, SuppressVMDesc       bool
	// MemorySize, MaxMemory are in bytes; MemorySlots is what -m slots= says.
	MemorySize, MaxMemory uint64
	MemorySlots           uint64
	SMP                   SMP
	Boot                  BootConfig
	// PhandleStart is for device trees, which no machine here has.
	PhandleStart int64
	// Backend is the memory backend behind the RAM.
	Backend qom.Object
}

// Common makes State part of a Machine.
func (s *State) Common() *State { return s }

// RegisterTypes adds the abstract machine and "none".
func RegisterTypes(r *qom.Registry) {
	st := func(m Machine) *State { return m.Common() }
	str := func(name, desc string, f func(*State) *string) *qom.Property {
		p := qom.Field(name, func(m Machine) *string { return f(st(m)) }, "", qom.Description(desc))
		p.Type = "string"
		return p
	}
	boolean := func(name, desc string, def bool, f func(*State) *bool) *qom.Property {
		return qom.Field(name, func(m Machine) *bool { return f(st(m)) }, def, qom.Description(desc), qom.HideDefault())
	}
	r.Register(qom.Type{
		Name: "machine", Parent: "object", Abstract: true,
		Properties: []*qom.Property{
			str("kernel", "Linux kernel image file", func(s *State) *string { return &s.Kernel }),
			str("initrd", "Linux initial ramdisk file", func(s *State) *string { return &s.Initrd }),
			str("append", "Linux kernel command line", func(s *State) *string { return &s.Append }),
			str("dtb", "Linux kernel device tree file", func(s *State) *string { return &s.DTB }),
			str("dumpdtb", "Dump current dtb to a file and quit", func(s *State) *string { return &s.DumpDTB }),
			bootProperty(),
			{Name: "smp", Type: "SMPConfiguration", Description: "CPU topology", Get: getSMP, Set: fixed("smp")},
			qom.Field("phandle-start", func(m Machine) *int64 { return &st(m).PhandleStart }, 0, qom.TypeName("int"),
				qom.Description("The first phandle ID we may generate dynamically"), qom.HideDefault()),
			str("dt-compatible", `Overrides the "compatible" property of the dt root node`, func(s *State) *string { return &s.DTCompatible }),
			boolean("dump-guest-core", "Include guest memory in a core dump", true, func(s *State) *bool { return &s.DumpGuestCore }),
			boolean("mem-merge", "Enable/disable memory merge support", true, func(s *State) *bool { return &s.MemMerge }),
			boolean("usb", "Set on/off to enable/disable usb", false, func(s *State) *bool { return &s.USB }),
			boolean("graphics", "Set on/off to enable/disable graphics emulation", true, func(s *State) *bool { return &s.Graphics }),
			str("firmware", "Firmware image", func(s *State) *string { return &s.Firmware }),
			boolean("suppress-vmdesc", "Set on to disable self-describing migration", false, func(s *State) *bool { return &s.SuppressVMDesc }),
			{Name: "confidential-guest-support", Type: "link<confidential-guest-support>",
				Description: "Set confidential guest scheme to support",
				Get:         func(qom.Object) (any, error) { return "", nil },
				Set: func(_ qom.Object, v qom.Value) error {
					path, err := v.Str("confidential-guest-support")
					if err == nil && path != "" {
						// There are no objects of the type.
						err = fmt.Errorf("Device '%s' not found", path)
					}
					return err
				}},
			str("memory-encryption", "Set memory encryption object to use", func(s *State) *string { return &s.MemoryEncryption }),
			{Name: "memory-backend", Type: "link<memory-backend>",
				Description: "Set RAM backendValid value is ID of hostmem based backend",
				Get: func(o qom.Object) (any, error) {
					if b := o.(Machine).Common().Backend; b != nil {
						return qom.Path(b), nil
					}
					return "", nil
				},
				Set: fixed("memory-backend")},
			{Name: "memory", Type: "MemorySizeConfiguration", Description: "Memory size configuration", Get: getMemory, Set: fixed("memory")},
		},
	})
	r.Register(qom.Type{
		Name: "none-machine", Parent: "machine", New: func() qom.Object { return new(none) },
		Class: &Class{Name: "none", Desc: "empty machine", MaxCPUs: 1, NoSerial: true, RAMID: "ram"},
	})
}

// fixed is the setter of a property that only the command line can set.
func fixed(name string) func(qom.Object, qom.Value) error {
	return func(qom.Object, qom.Value) error {
		return fmt.Errorf("Property '%s' cannot be changed once the machine is made", name)
	}
}

func getMemory(o qom.Object) (any, error) {
	s := o.(Machine).Common()
	m := map[string]any{"size": s.MemorySize}
	if s.MaxMemory > s.MemorySize {
		m["max-size"], m["slots"] = s.MaxMemory, s.MemorySlots
	}
	return m, nil
}

func getSMP(o qom.Object) (any, error) {
	s := o.(Machine).Common().SMP
	return map[string]any{
		"cpus": int64(s.CPUs), "maxcpus": int64(s.MaxCPUs), "sockets": int64(s.Sockets), "dies": int64(s.Dies),
		"clusters": int64(s.Clusters), "cores": int64(s.Cores), "threads": int64(s.Threads),
		"books": int64(1), "drawers": int64(1),
	}, nil
}
