// Package accel says what a machine asks of the thing that runs its guest
// code, and what that thing may call back. accel/kvm and accel/qtest
// implement it; devices see only these interfaces.
//
// Unless a method says otherwise it is called with the VM lock held.
package accel

import "github.com/gqemu/gqemu/memory"

// IRQChip tells who emulates the interrupt controllers
// (-machine kernel-irqchip=).
type IRQChip int

const (
	// IRQChipOff has every interrupt controller in this process.
	IRQChipOff IRQChip = iota
	// IRQChipOn has LAPICs, IOAPIC, PIC and PIT in the kernel.
	IRQChipOn
	// IRQChipSplit has the LAPICs in the kernel and the rest here.
	IRQChipSplit
)

func (c IRQChip) String() string {
	switch c {
	case IRQChipOn:
		return "on"
	case IRQChipSplit:
		return "split"
	default:
		return "off"
	}
}

// MSI is a message signalled interrupt: a write of Data to Addr
// (Intel SDM volume 3, section 11.11).
type MSI struct {
	Addr uint64
	Data uint32
}

// PinRoute is what one emulated IOAPIC pin sends when it fires. The kernel
// needs it to know which vectors end with an EOI exit and where an irqfd on
// the pin leads.
type PinRoute struct {
	GSI    int
	MSI    MSI
	Masked bool
}

// Interrupts is the part of a VM that emulated interrupt controllers and
// MSI-capable devices drive.
type Interrupts interface {
	// IRQChip tells the split of work.
	IRQChip() IRQChip
	// SetLine drives a kernel interrupt line. Only with IRQChipOn.
	SetLine(gsi int, level bool) error
	// SendMSI delivers one message to the LAPICs. May be called with or
	// without the VM lock.
	SendMSI(m MSI) error
	// SetPinRoutes replaces the routes of the named pins in one step.
	// Only with IRQChipSplit; elsewhere it does nothing.
	SetPinRoutes(routes []PinRoute) error
	// SetExtINT tells that the emulated PIC's output changed. The boot CPU,
	// or with IRQChipOff one whose LINT0 lets it, will call ack, with the VM
	// lock held, for the vector once it can take it. Not with IRQChipOn.
	SetExtINT(level bool, ack func() uint8)
}

// EventInterrupts is the part of a VM that turns signals of an eventfd into
// interrupts without this process. With IRQChipSplit the numbers are those of
// SetPinRoutes: what is signalled while a pin is masked stays in the eventfd
// and interrupts when the mask goes.
type EventInterrupts interface {
	// AddIRQFD has each signal of fd raise interrupt gsi, as an edge.
	AddIRQFD(gsi, fd int) error
	// RemoveIRQFD undoes AddIRQFD. Signals that came before are delivered.
	RemoveIRQFD(gsi, fd int) error
}

// ChipResetter is the part of a VM whose accelerator has interrupt controllers
// and timers of its own.
type ChipResetter interface {
	// ResetChips puts them in the state in which firmware leaves them, the
	// PICs masked. Called after the machine's devices were reset.
	ResetChips() error
}

// CPUID is one leaf as KVM_SET_CPUID2 takes it (linux/kvm.h).
type CPUID struct {
	Function, Index    uint32
	Flags              uint32 // bit 0: Index is significant
	EAX, EBX, ECX, EDX uint32
}

// CPUConfig describes one vCPU.
type CPUConfig struct {
	Index  int    // 0 is the boot CPU
	APICID uint32 // initial APIC id
	CPUID  []CPUID
	// X2APIC lets the local APIC start from the x2APIC capable state that
	// CPUID advertises.
	X2APIC bool
	// APIC is the vCPU's local APIC with IRQChipOff, where code runs; nil
	// elsewhere.
	APIC LocalAPIC
}

// BootMode is the processor mode in which a boot CPU enters the kernel.
type BootMode int

const (
	// ModeReal is the architectural reset state.
	ModeReal BootMode = iota
	// ModeProtected32 is flat 32-bit protected mode without paging (PVH).
	ModeProtected32
	// ModeLong64 is 64-bit mode with the page tables at CR3 (Linux
	// Documentation/x86/boot.rst, 64-bit boot protocol).
	ModeLong64
)

// BootState is the state of the boot CPU at its first instruction. With
// ModeReal all other fields are ignored.
type BootState struct {
	Mode             BootMode
	RIP              uint64
	RSI, RBX, RSP    uint64
	CR3              uint64
	GDTBase          uint64
	GDTLimit         uint16
	CodeSel, DataSel uint16
}

// Handler takes what a running guest causes. All methods are called on the
// vCPU's own goroutine WITHOUT the VM lock.
type Handler interface {
	// PIO is a port access of len(data) bytes, 1, 2 or 4.
	PIO(port uint16, data []byte, write bool)
	// MMIO is a memory access that hit no RAM, of 1 to 8 bytes.
	MMIO(addr uint64, data []byte, write bool)
	// EOI ends a level-triggered vector of the split irqchip.
	EOI(vector uint8)
	// Shutdown is a triple fault.
	Shutdown(cpu int)
	// Failed is an internal error or a failed entry: the VM has to stop
	// in state internal-error. report is the text for standard error, with
	// the registers, ending in a newline.
	Failed(cpu int, report string)
}

// VCPU is one virtual processor.
type VCPU interface {
	Config() CPUConfig
	// ThreadID is the host thread that runs the vCPU; the process id for
	// an accelerator that runs none.
	ThreadID() int
	// Reset puts the vCPU in its power-on state. Only while paused.
	Reset() error
	// SetBoot sets the boot CPU's first state. Only while paused.
	SetBoot(BootState) error
	// Registers is the dump that `info registers` prints. Only while paused
	// or from the vCPU's own goroutine.
	Registers() (string, error)
}

// VM is one accelerated machine.
type VM interface {
	Interrupts
	// Name is "kvm" or "qtest".
	Name() string
	// Memory and IO are the listeners for the machine's address spaces;
	// nil where the accelerator needs none.
	Memory() memory.Listener
	IO() memory.Listener
	// SupportedCPUID is the widest CPUID a vCPU may be given; nil where no
	// code runs.
	SupportedCPUID() []CPUID
	// NewVCPU makes a vCPU, paused.
	NewVCPU(CPUConfig) (VCPU, error)
	// Resume lets all vCPUs run.
	Resume()
	// RequestPause asks all vCPUs to leave guest code; it does not wait.
	RequestPause()
	// WaitPaused returns when no vCPU is in guest code or in a Handler.
	// Called WITHOUT the VM lock, since a handler may be waiting for it. From
	// a vCPU's own goroutine that vCPU counts as paused. It returns early if
	// Resume or Close comes first, so look at the run state again under the
	// lock.
	WaitPaused()
	// Close stops and joins all vCPUs and releases the VM. Called WITHOUT
	// the VM lock.
	Close() error
}

// InitError says why an accelerator could not be made. Detail is a line that
// QEMU prints on standard error as it is, without the program's name; Err
// holds the errno.
type InitError struct {
	Detail string
	Err    error
}

func (e *InitError) Error() string { return e.Detail }

// Unwrap gives the cause.
func (e *InitError) Unwrap() error { return e.Err }
