// Package boot puts a kernel, its initial RAM disk and its command line into
// a guest's memory and says in which state the boot processor must start,
// the work that firmware does on a PC.
//
// Two kinds of kernel are understood:
//
//   - a bzImage with a 64-bit entry point, by the 64-bit boot protocol of
//     Linux (Documentation/arch/x86/boot.rst, protocol 2.12 or later);
//   - an ELF image with a PVH entry note, by the x86/HVM direct boot ABI of
//     Xen (docs/misc/pvh.pandoc).
//
// [Open] reads and checks the files once and decides where everything goes;
// [Image.Load] may then be called at every reset of the machine.
//
// Kernel and RAM disk are input that is not trusted: every offset and length
// in them is checked against the file and against the guest's RAM, and what
// does not fit is an error.
//
// # Memory below 1 MiB
//
// What the kernel needs only while it starts lies in fixed places there:
//
//	0x01000  global descriptor table
//	0x02000  boot_params, the "zero page" (bzImage)
//	0x03000  hvm_start_info, module list and memory map (PVH)
//	0x09000  page tables that map the first 4 GiB (bzImage)
//	0x20000  command line, at most 64 KiB with its NUL
package boot

// Guest-physical addresses of the boot data.
const (
	gdtAddr       = 0x1000
	zeroPageAddr  = 0x2000
	startInfoAddr = 0x3000
	stackTop      = 0x8ff0
	pageTableAddr = 0x9000
	cmdlineAddr   = 0x20000
	cmdlineMax    = 0x10000 // bytes, the NUL included
	bootDataEnd   = cmdlineAddr + cmdlineMax

	miB = 1 << 20
	giB = 1 << 30
)

// Memory is the guest's physical memory. A machine that can give a window
// into its RAM should also implement [Slicer].
type Memory interface {
	// WriteAt copies p to the guest-physical address addr. It writes all
	// of p or fails.
	WriteAt(p []byte, addr uint64) error
}

// Slicer is an optional part of [Memory]: Slice returns n bytes of guest RAM
// at addr for reading and writing, so that large files are read straight into
// the guest. When it fails, WriteAt is used instead.
type Slicer interface {
	Slice(addr, n uint64) ([]byte, error)
}
