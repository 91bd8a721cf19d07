package accel

// Segment is a segment or table register with its hidden part.
type Segment struct {
	Selector, Limit, Flags uint32 // Flags as in the second word of a descriptor
	Base                   uint64
}

// CoreState is what a core dump holds of a CPU.
type CoreState struct {
	RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP uint64
	R                                      [8]uint64 // R8 to R15
	RIP, RFLAGS                            uint64
	CS, DS, ES, FS, GS, SS                 Segment
	LDT, TR, GDT, IDT                      Segment
	CR                                     [5]uint64 // CR1 is reserved
	KernelGSBase                           uint64
}

// CoreDumper is a vCPU that can tell its state for a core dump. Called with
// the VM lock held, while paused.
type CoreDumper interface {
	CoreState() (CoreState, error)
}

// ResetCoreState is the state of an x86 CPU after power-on (Intel SDM volume
// 3, section 10.1.1).
func ResetCoreState() CoreState {
	data := Segment{Limit: 0xffff, Flags: 0x9300}
	table := Segment{Limit: 0xffff}
	return CoreState{
		RIP: 0xfff0, RFLAGS: 2,
		CS: Segment{Selector: 0xf000, Limit: 0xffff, Flags: 0x9b00, Base: 0xffff0000},
		DS: data, ES: data, FS: data, GS: data, SS: data,
		LDT: Segment{Limit: 0xffff, Flags: 0x8200}, TR: Segment{Limit: 0xffff, Flags: 0x8b00},
		GDT: table, IDT: table,
		CR: [5]uint64{0: 0x60000010},
	}
}
