package accel

// LocalAPIC is the local APIC of one vCPU where it is emulated in this
// process: with IRQChipOff, on an accelerator that runs guest code. The vCPU
// calls it from its own goroutine.
type LocalAPIC interface {
	// Attach names the function that is called, from any goroutine, when the
	// vCPU has to look at Interrupt or Signals again. Called once, before
	// the vCPU runs. wake must not call back.
	Attach(wake func())
	// Reset is power-on. On the boot CPU LINT0 then lets the PIC through,
	// as firmware leaves it. Called with the VM lock held.
	Reset(boot bool)
	// Init is what the APIC itself does upon an INIT. Called with the VM lock
	// held.
	Init()
	// Access is the vCPU's access to its page of registers, offset from 0
	// to 0xfff. Called with the VM lock held.
	Access(offset uint64, data []byte, write bool)
	// Interrupt tells whether there is an interrupt for the vCPU to take when
	// its interrupt flag allows. Needs no lock.
	Interrupt() bool
	// Acknowledge takes that interrupt's vector; there may be none any
	// more. Called with the VM lock held.
	Acknowledge() (vector uint8, ok bool)
	// Signals takes what has come besides interrupts. Needs no lock.
	Signals() APICSignals
	// PulseLINT1 presses the button for a non-maskable interrupt. Needs no
	// lock.
	PulseLINT1()
	// TPR and SetTPR are the task priority, of which CR8 shows the upper four
	// bits. They need no lock; only the vCPU itself changes it.
	TPR() uint8
	SetTPR(uint8)
	// SetBase follows the guest's writes to IA32_APIC_BASE. Called with
	// the VM lock held.
	SetBase(base uint64)
}

// APICSignals is what a local APIC passes on to its processor at once,
// whatever the interrupt flag. INIT goes first.
type APICSignals struct {
	INIT, SIPI, NMI bool
	Page            uint8 // where a SIPI starts, the physical address over 4096
}

// Any tells whether there is any.
func (s APICSignals) Any() bool { return s.INIT || s.SIPI || s.NMI }

// APICBus is what the local APICs of this process hear of the rest of the
// machine. Its methods are those of Interrupts.
type APICBus interface {
	SendMSI(m MSI)
	SetExtINT(level bool, ack func() uint8)
}

// APICHost is a VM that takes local APICs of this process where it has none
// itself, that is with IRQChipOff. ConnectAPICs comes before the first vCPU.
type APICHost interface{ ConnectAPICs(APICBus) }
