package boot

import "encoding/binary"

// Mode is the processor mode in which a kernel is entered.
type Mode int

const (
	// Long64 is 64-bit mode with the first 4 GiB mapped one to one.
	Long64 Mode = iota + 1
	// Protected32 is 32-bit protected mode without paging.
	Protected32
)

func (m Mode) String() string {
	switch m {
	case Long64:
		return "64-bit"
	case Protected32:
		return "32-bit protected"
	}
	return "invalid"
}

// Segment is a segment register with its hidden part. The fields have the
// meaning of the descriptor's; Limit is in bytes, already scaled by G.
type Segment struct {
	Base     uint64
	Limit    uint32
	Selector uint16
	Type     uint8 // 4 bits
	S        uint8 // 1 for code and data, 0 for system segments
	DPL      uint8
	Present  uint8
	DB       uint8
	L        uint8
	G        uint8
}

// Entry is the state of the boot processor when the kernel gets it. General
// registers that are not named are zero, as are CR2, CR8 and the IDT.
// Interrupts are off.
type Entry struct {
	Mode   Mode
	RIP    uint64
	RSP    uint64
	RFLAGS uint64
	RSI    uint64 // boot_params, for Long64
	RBX    uint64 // hvm_start_info, for Protected32

	CR0, CR3, CR4, EFER uint64

	GDTBase  uint64
	GDTLimit uint16
	CS       Segment
	Data     Segment // DS, ES, FS, GS and SS
	TR       Segment
}

// Control register bits and the reserved flag that always reads as one (Intel
// SDM volume 3, sections 2.3 and 2.5).
const (
	rflagsFixed = 1 << 1
	cr0PE       = 1 << 0
	cr0ET       = 1 << 4
	cr0PG       = 1 << 31
	cr4PAE      = 1 << 5
	eferLME     = 1 << 8
	eferLMA     = 1 << 10
)

// Selectors of __BOOT_CS and __BOOT_DS, which the boot protocol prescribes,
// and of a task state segment, which every processor must have.
const (
	selCode = 0x10
	selData = 0x18
	selTask = 0x20

	descCode64 = 0x00af9b000000ffff
	descCode32 = 0x00cf9b000000ffff
	descData   = 0x00cf93000000ffff
	descTask   = 0x00008b0000000067
)

var (
	dataSegment = Segment{Limit: 0xffffffff, Selector: selData, Type: 3, S: 1, Present: 1, DB: 1, G: 1}
	taskSegment = Segment{Limit: 0x67, Selector: selTask, Type: 11, Present: 1}
)

func codeSegment(mode Mode) Segment {
	s := Segment{Limit: 0xffffffff, Selector: selCode, Type: 11, S: 1, Present: 1, G: 1}
	if mode == Long64 {
		s.L = 1
	} else {
		s.DB = 1
	}
	return s
}

// writeGDT writes the descriptors behind the segments of an Entry.
func writeGDT(mem Memory, e *Entry) error {
	code := uint64(descCode32)
	if e.Mode == Long64 {
		code = descCode64
	}
	var b []byte
	// In 64-bit mode a task descriptor has two slots.
	for _, d := range []uint64{0, 0, code, descData, descTask, 0} {
		b = binary.LittleEndian.AppendUint64(b, d)
	}
	e.GDTBase, e.GDTLimit = gdtAddr, uint16(len(b)-1)
	return mem.WriteAt(b, gdtAddr)
}

// writePageTables maps the first 4 GiB one to one with 2 MiB pages: one PML4,
// one page directory pointer table and four page directories.
func writePageTables(mem Memory) error {
	const (
		page      = 0x1000
		present   = 1 << 0
		writable  = 1 << 1
		pageSize2 = 1 << 7 // 2 MiB
		pdpt      = pageTableAddr + page
		pds       = pdpt + page
	)
	b := make([]byte, 6*page)
	le := binary.LittleEndian
	le.PutUint64(b, pdpt|present|writable)
	for i := range uint64(4) {
		le.PutUint64(b[page+8*i:], (pds+i*page)|present|writable)
	}
	for i := range uint64(4 * 512) {
		le.PutUint64(b[2*page+8*i:], i<<21|present|writable|pageSize2)
	}
	return mem.WriteAt(b, pageTableAddr)
}

// enter64 writes what the 64-bit boot protocol wants around the kernel and
// returns the matching state.
func enter64(mem Memory, rip uint64) (Entry, error) {
	e := Entry{
		Mode: Long64, RIP: rip, RSP: stackTop, RFLAGS: rflagsFixed, RSI: zeroPageAddr,
		CR0: cr0PE | cr0ET | cr0PG, CR3: pageTableAddr, CR4: cr4PAE, EFER: eferLME | eferLMA,
		CS: codeSegment(Long64), Data: dataSegment, TR: taskSegment,
	}
	if err := writeGDT(mem, &e); err != nil {
		return Entry{}, err
	}
	if err := writePageTables(mem); err != nil {
		return Entry{}, err
	}
	return e, nil
}

// enterPVH is the same for the PVH ABI. The RFLAGS, CR0, CR4 and segments are
// the ones that the ABI spells out.
func enterPVH(mem Memory, eip uint32) (Entry, error) {
	e := Entry{
		Mode: Protected32, RIP: uint64(eip), RSP: stackTop, RFLAGS: rflagsFixed, RBX: startInfoAddr,
		CR0: cr0PE | cr0ET,
		CS:  codeSegment(Protected32), Data: dataSegment, TR: taskSegment,
	}
	if err := writeGDT(mem, &e); err != nil {
		return Entry{}, err
	}
	return e, nil
}
