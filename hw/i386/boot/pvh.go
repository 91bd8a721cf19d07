package boot

import "encoding/binary"

// Layout of hvm_start_info, version 1, and of what it points to (Xen,
// xen/include/public/arch-x86/hvm/start_info.h).
const (
	startInfoMagic   = 0x336ec578
	startInfoVersion = 1
	startInfoLen     = 56
	moduleLen        = 32
	memmapEntryLen   = 24

	moduleOff = 64 // from startInfoAddr
	memmapOff = moduleOff + moduleLen
)

// startInfo builds the structure with its module list and memory map behind
// it, for guest-physical address startInfoAddr.
func startInfo(b bootData) []byte {
	le := binary.LittleEndian
	p := make([]byte, memmapOff, memmapOff+memmapEntryLen*len(b.e820))
	le.PutUint32(p[0:], startInfoMagic)
	le.PutUint32(p[4:], startInfoVersion)
	if b.initrd.Size > 0 {
		le.PutUint32(p[12:], 1) // nr_modules
		le.PutUint64(p[16:], startInfoAddr+moduleOff)
		le.PutUint64(p[moduleOff:], b.initrd.Addr)
		le.PutUint64(p[moduleOff+8:], b.initrd.Size)
	}
	le.PutUint64(p[24:], cmdlineAddr)
	le.PutUint64(p[32:], b.rsdp)
	le.PutUint64(p[40:], startInfoAddr+memmapOff)
	le.PutUint32(p[48:], uint32(len(b.e820)))
	for _, r := range b.e820 {
		p = le.AppendUint64(p, r.Addr)
		p = le.AppendUint64(p, r.Size)
		p = le.AppendUint32(p, uint32(r.Type))
		p = le.AppendUint32(p, 0)
	}
	return p
}
