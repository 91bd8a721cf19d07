// Package elfcore writes ELF core files of virtual machines: guest memory as
// segments and the CPUs' registers as notes, in the layout that QEMU's
// dump-guest-memory has and that crash and gdb read.
package elfcore

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/gqemu/gqemu/accel"
)

// Segment is a run of guest memory.
type Segment struct {
	Phys uint64 // guest physical address
	Virt uint64 // virtual address, 0 if not known
	Data []byte // guest memory; it may change while it is written
}

// Total is the length of all segments in bytes.
func Total(segments []Segment) (n int64) {
	for _, s := range segments {
		n += int64(len(s.Data))
	}
	return n
}

const (
	headerSize  = 64 // of Elf64_Ehdr
	programSize = 56 // of Elf64_Phdr
	// piece is how much is written at once, in bytes.
	piece = 1 << 20
	// ntPrstatus is the type of the note with the general registers.
	ntPrstatus = 1
)

// Write writes a core file. progress is called with the number of bytes of
// guest memory after each piece. It ends early with ctx's error.
func Write(ctx context.Context, w io.Writer, cpus []accel.CoreState, segments []Segment, progress func(n int64)) error {
	if len(segments)+1 >= 0xffff {
		return fmt.Errorf("dump: %d segments are too many", len(segments))
	}
	notes := notesOf(cpus)
	if _, err := w.Write(headers(len(notes), segments)); err != nil {
		return err
	}
	if _, err := w.Write(notes); err != nil {
		return err
	}
	for _, s := range segments {
		for at := 0; at < len(s.Data); at += piece {
			if err := ctx.Err(); err != nil {
				return err
			}
			p := s.Data[at:min(at+piece, len(s.Data))]
			if _, err := w.Write(p); err != nil {
				return err
			}
			progress(int64(len(p)))
		}
	}
	return nil
}

// headers is the file up to the notes.
func headers(notes int, segments []Segment) []byte {
	var b bytes.Buffer
	h := elf.Header64{
		Type: uint16(elf.ET_CORE), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Phoff: headerSize, Ehsize: headerSize, Phentsize: programSize, Phnum: uint16(len(segments) + 1),
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS] = byte(elf.ELFCLASS64)
	h.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	h.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	put(&b, h)
	at := uint64(headerSize + programSize*(len(segments)+1))
	put(&b, elf.Prog64{Type: uint32(elf.PT_NOTE), Off: at, Filesz: uint64(notes), Memsz: uint64(notes)})
	at += uint64(notes)
	for _, s := range segments {
		n := uint64(len(s.Data))
		put(&b, elf.Prog64{Type: uint32(elf.PT_LOAD), Off: at, Vaddr: s.Virt, Paddr: s.Phys, Filesz: n, Memsz: n})
		at += n
	}
	return b.Bytes()
}

// notesOf has the general registers of each CPU, as for a process, and then
// all that QEMU adds of each.
func notesOf(cpus []accel.CoreState) []byte {
	var b bytes.Buffer
	for i := range cpus {
		note(&b, "CORE", ntPrstatus, prstatus(i, &cpus[i]))
	}
	for i := range cpus {
		note(&b, "QEMU", 0, cpuState(&cpus[i]))
	}
	return b.Bytes()
}

func note(b *bytes.Buffer, name string, typ uint32, desc []byte) {
	put(b, [3]uint32{uint32(len(name) + 1), uint32(len(desc)), typ})
	b.WriteString(name)
	b.Write(make([]byte, 8-len(name))) // the name's NUL, and up to a word
	b.Write(desc)
	b.Write(make([]byte, -len(desc)&3))
}

// prstatus is Linux's struct elf_prstatus, with the CPU's number plus one as
// the process id.
func prstatus(index int, c *accel.CoreState) []byte {
	var b bytes.Buffer
	b.Write(make([]byte, 32))
	put(&b, uint32(index+1))
	b.Write(make([]byte, 76))
	put(&b, []uint64{
		c.R[7], c.R[6], c.R[5], c.R[4], c.RBP, c.RBX, c.R[3], c.R[2], c.R[1], c.R[0], c.RAX, c.RCX, c.RDX, c.RSI, c.RDI,
		0, c.RIP, uint64(c.CS.Selector), c.RFLAGS, c.RSP, uint64(c.SS.Selector), c.FS.Base, c.GS.Base,
		uint64(c.DS.Selector), uint64(c.ES.Selector), uint64(c.FS.Selector), uint64(c.GS.Selector),
	})
	b.Write(make([]byte, 8))
	return b.Bytes()
}

// cpuStateSize is the size of QEMU's note in bytes, version 1.
const cpuStateSize = 440

func cpuState(c *accel.CoreState) []byte {
	var b bytes.Buffer
	put(&b, []uint32{1, cpuStateSize})
	put(&b, []uint64{c.RAX, c.RBX, c.RCX, c.RDX, c.RSI, c.RDI, c.RSP, c.RBP})
	put(&b, c.R)
	put(&b, []uint64{c.RIP, c.RFLAGS})
	for _, s := range []*accel.Segment{&c.CS, &c.DS, &c.ES, &c.FS, &c.GS, &c.SS, &c.LDT, &c.TR, &c.GDT, &c.IDT} {
		put(&b, []uint32{s.Selector, s.Limit, s.Flags, 0})
		put(&b, s.Base)
	}
	put(&b, c.CR)
	put(&b, c.KernelGSBase)
	return b.Bytes()
}

// put writes v as it lies in memory of an x86.
func put(b *bytes.Buffer, v any) {
	// The types here are of a fixed size, and a Buffer takes all.
	if err := binary.Write(b, binary.LittleEndian, v); err != nil {
		panic(err)
	}
}
