package boot

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// Constants of the ELF format (System V ABI, chapters 4 and 5).
const (
	elfClass32    = 1
	elfClass64    = 2
	elfLittle     = 1
	elfPTLoad     = 1
	elfPTNote     = 4
	elfMachine386 = 3
	elfMachineX64 = 62

	// xenNotePhys32Entry is the type of the note, named "Xen", that holds
	// the entry point of the PVH ABI.
	xenNotePhys32Entry = 18

	// maxNotes bounds what is read of a note segment; a kernel's has a few
	// hundred bytes.
	maxNotes = 1 << 20
)

// elfKernel is an ELF image that can be entered by the PVH ABI.
type elfKernel struct {
	src      source
	segments []segment // sorted by address, not overlapping
	entry    uint32
}

// segment is a part of the file and its place in guest-physical memory. What
// memory has more than the file is zero.
type segment struct {
	off, fileLen uint64
	addr, memLen uint64
}

func (s segment) memory() Range { return Range{s.addr, s.memLen, E820RAM} }

func isELF(head []byte) bool { return bytes.HasPrefix(head, []byte("\x7fELF")) }

// progHeader is a program header of either class.
type progHeader struct {
	typ                        uint32
	off, addr, fileLen, memLen uint64
	align                      uint64
}

// openELF reads the program headers and finds the PVH note.
func openELF(src source, head []byte) (*elfKernel, error) {
	k := &elfKernel{src: src}
	headers, err := k.programHeaders(head)
	if err == nil {
		err = k.findSegments(headers)
	}
	if err != nil {
		return nil, &Error{Msg: "Error while loading elf kernel", Err: err}
	}
	entry, ok, err := k.findEntry(headers)
	if err != nil {
		return nil, &Error{Msg: "Error while loading elf kernel", Err: err}
	}
	if !ok || entry == 0 {
		return nil, &Error{Msg: "Error loading uncompressed kernel without PVH ELF Note"}
	}
	inSegment := func(s segment) bool { return s.addr <= entry && entry < s.addr+s.memLen }
	if entry >= 1<<32 || !slices.ContainsFunc(k.segments, inSegment) {
		return nil, linef("qemu: could not load kernel '%s': its PVH entry point %#x is outside of the image", src.name, entry)
	}
	k.entry = uint32(entry)
	return k, nil
}

func (k *elfKernel) programHeaders(head []byte) ([]progHeader, error) {
	le := binary.LittleEndian
	const ehdr64Len, phdr64Len, ehdr32Len, phdr32Len = 64, 56, 52, 32
	if len(head) < ehdr64Len { // no real image of either class is shorter
		return nil, fmt.Errorf("file of %d bytes", len(head))
	}
	if machine := le.Uint16(head[18:]); head[5] != elfLittle || (machine != elfMachine386 && machine != elfMachineX64) {
		return nil, fmt.Errorf("not an x86 image")
	}
	var table uint64
	var entryLen, count, want uint16
	switch head[4] {
	case elfClass64:
		table, entryLen, count, want = le.Uint64(head[32:]), le.Uint16(head[54:]), le.Uint16(head[56:]), phdr64Len
	case elfClass32:
		table, entryLen, count, want = uint64(le.Uint32(head[28:])), le.Uint16(head[42:]), le.Uint16(head[44:]), phdr32Len
	default:
		return nil, fmt.Errorf("class %d", head[4])
	}
	if entryLen != want {
		return nil, fmt.Errorf("program headers of %d bytes", entryLen)
	}
	b, err := k.src.readAt(table, uint64(count)*uint64(entryLen))
	if err != nil {
		return nil, fmt.Errorf("program headers: %w", err)
	}
	headers := make([]progHeader, 0, count)
	for ; len(b) > 0; b = b[entryLen:] {
		h := progHeader{typ: le.Uint32(b)}
		if head[4] == elfClass64 {
			h.off, h.addr, h.fileLen = le.Uint64(b[8:]), le.Uint64(b[24:]), le.Uint64(b[32:])
			h.memLen, h.align = le.Uint64(b[40:]), le.Uint64(b[48:])
		} else {
			h.off, h.addr, h.fileLen = uint64(le.Uint32(b[4:])), uint64(le.Uint32(b[12:])), uint64(le.Uint32(b[16:]))
			h.memLen, h.align = uint64(le.Uint32(b[20:])), uint64(le.Uint32(b[28:]))
		}
		headers = append(headers, h)
	}
	return headers, nil
}

// findSegments collects what is to be loaded.
func (k *elfKernel) findSegments(headers []progHeader) error {
	for i, h := range headers {
		if h.typ != elfPTLoad || h.memLen == 0 {
			continue
		}
		switch {
		case h.off > k.src.size || h.fileLen > k.src.size-h.off:
			return fmt.Errorf("segment %d: %d bytes at %d are outside of the file", i, h.fileLen, h.off)
		case h.fileLen > h.memLen:
			return fmt.Errorf("segment %d: %d bytes in the file, %d in memory", i, h.fileLen, h.memLen)
		case h.addr+h.memLen < h.addr:
			return fmt.Errorf("segment %d: %d bytes at %#x", i, h.memLen, h.addr)
		}
		k.segments = append(k.segments, segment{h.off, h.fileLen, h.addr, h.memLen})
	}
	if len(k.segments) == 0 {
		return fmt.Errorf("nothing to load")
	}
	slices.SortFunc(k.segments, func(a, b segment) int { return cmp.Compare(a.addr, b.addr) })
	for i := 1; i < len(k.segments); i++ {
		if a, b := k.segments[i-1], k.segments[i]; a.memory().overlaps(b.memory()) {
			return fmt.Errorf("segments at %#x and %#x overlap", a.addr, b.addr)
		}
	}
	return nil
}

// findEntry looks for the PVH note in all note segments.
func (k *elfKernel) findEntry(headers []progHeader) (entry uint64, ok bool, err error) {
	for i, h := range headers {
		if h.typ != elfPTNote {
			continue
		}
		if h.fileLen > maxNotes {
			return 0, false, fmt.Errorf("segment %d: %d bytes of notes", i, h.fileLen)
		}
		notes, err := k.src.readAt(h.off, h.fileLen)
		if err != nil {
			return 0, false, fmt.Errorf("segment %d: %w", i, err)
		}
		// Notes are aligned to 4 bytes except in segments that say 8.
		align := uint64(4)
		if h.align == 8 {
			align = 8
		}
		if entry, ok := phys32Entry(notes, align); ok {
			return entry, true, nil
		}
	}
	return 0, false, nil
}

// phys32Entry finds the note in the contents of a note segment.
func phys32Entry(notes []byte, align uint64) (entry uint64, ok bool) {
	le := binary.LittleEndian
	roundUp := func(n uint64) uint64 { return (n + align - 1) &^ (align - 1) }
	for len(notes) >= 12 {
		nameLen, descLen, typ := uint64(le.Uint32(notes)), uint64(le.Uint32(notes[4:])), le.Uint32(notes[8:])
		descOff := roundUp(12 + nameLen)
		if descOff+descLen > uint64(len(notes)) {
			return 0, false
		}
		name, desc := notes[12:12+nameLen], notes[descOff:descOff+descLen]
		if typ == xenNotePhys32Entry && string(name) == "Xen\x00" {
			switch descLen {
			case 4:
				return uint64(le.Uint32(desc)), true
			case 8:
				return le.Uint64(desc), true
			}
		}
		notes = notes[min(roundUp(descOff+descLen), uint64(len(notes))):]
	}
	return 0, false
}

func (k *elfKernel) occupied() []Range {
	r := make([]Range, len(k.segments))
	for i, s := range k.segments {
		r[i] = s.memory()
	}
	return r
}

// The PVH ABI bounds neither the RAM disk nor the command line.
func (k *elfKernel) initrdMax() uint64  { return 1<<32 - 1 }
func (k *elfKernel) cmdlineMax() uint64 { return cmdlineMax - 1 }

func (k *elfKernel) load(mem Memory, b bootData) (Entry, error) {
	for _, s := range k.segments {
		if err := k.src.copyTo(mem, s.off, s.fileLen, s.addr); err != nil {
			return Entry{}, err
		}
		// RAM is not zero any more when the machine has been reset.
		if err := zero(mem, s.addr+s.fileLen, s.memLen-s.fileLen); err != nil {
			return Entry{}, err
		}
	}
	if err := mem.WriteAt(startInfo(b), startInfoAddr); err != nil {
		return Entry{}, err
	}
	return enterPVH(mem, k.entry)
}
