package boot

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestELFIsLoadedByThePVHProtocol(t *testing.T) {
	image, disk := fakeELF(), fill(5000)
	p := Params{
		Kernel: file(t, "vmlinux", image), Initrd: file(t, "initrd", disk), Cmdline: "root=/dev/vda",
		RAM: RAM{Below4G: 64 * miB, Above4G: 1 * giB}, RSDP: 0xe0000,
	}
	mem := newRAM(64 * miB)
	// Dirty memory where .bss goes: the loader must clear it, and no more.
	if err := mem.WriteAt(bytes.Repeat([]byte{0xaa}, 0x8000), 18*miB); err != nil {
		t.Fatal(err)
	}
	e, err := Load(mem, p)
	if err != nil {
		t.Fatal(err)
	}
	if e.Mode != Protected32 || e.RIP != 0x1000040 || e.RBX != startInfoAddr || e.CR0 != 0x11 ||
		e.CR3 != 0 || e.CR4 != 0 || e.EFER != 0 || e.CS.DB != 1 || e.CS.L != 0 || e.TR.Limit != 0x67 || e.TR.Type != 11 {
		t.Errorf("entry %+v", e)
	}
	if !bytes.Equal(mem.read(16*miB, 0x800), image[0x1000:0x1800]) || !bytes.Equal(mem.read(18*miB, 0x800), image[0x1800:0x2000]) {
		t.Error("the segments in memory are not those of the file")
	}
	if bss := mem.read(18*miB+0x800, 0x3000); !bytes.Equal(bss, make([]byte, 0x3000)) {
		t.Error("the end of the data segment is not zero")
	}
	if mem.read(18*miB+0x3800, 1)[0] != 0xaa {
		t.Error("memory behind the data segment was touched")
	}

	si := mem.read(startInfoAddr, startInfoLen)
	if le32(si) != 0x336ec578 || le32(si[4:]) != 1 || le64(si[32:]) != 0xe0000 {
		t.Errorf("start info % x", si)
	}
	if cmdline := mem.read(le64(si[24:]), 14); string(cmdline) != "root=/dev/vda\x00" {
		t.Errorf("command line %q", cmdline)
	}
	if le32(si[12:]) != 1 {
		t.Fatalf("%d modules", le32(si[12:]))
	}
	mod := mem.read(le64(si[16:]), moduleLen)
	if !bytes.Equal(mem.read(le64(mod), le64(mod[8:])), disk) {
		t.Error("the module is not the RAM disk")
	}
	var total, entries uint64
	for i := range uint64(le32(si[48:])) {
		m := mem.read(le64(si[40:])+i*memmapEntryLen, memmapEntryLen)
		entries++
		if le32(m[16:]) == uint32(E820RAM) {
			total += le64(m[8:])
		}
	}
	if want := uint64(64*miB + giB); total > want || want-total > miB {
		t.Errorf("%d entries with %#x bytes of RAM, want %#x", entries, total, want)
	}
}

// A start info with the longest memory map stays inside of its page.
func TestStartInfoFitsItsPlace(t *testing.T) {
	b := startInfo(bootData{e820: make([]Range, e820MaxEntries)})
	if len(b) > 0x1000 {
		t.Errorf("%d bytes", len(b))
	}
}

// A 32-bit ELF image is loaded as well.
func TestELF32(t *testing.T) {
	le := binary.LittleEndian
	b := make([]byte, 0x300)
	copy(b, "\x7fELF\x01\x01\x01")
	le.PutUint16(b[18:], elfMachine386)
	le.PutUint32(b[28:], 52)
	le.PutUint16(b[42:], 32)
	le.PutUint16(b[44:], 2)
	n := note("Xen\x00", xenNotePhys32Entry, le.AppendUint32(nil, 0x100010))
	for i, v := range []uint32{elfPTLoad, 0x200, 0, miB, 0x100, 0x180, 7, 0, elfPTNote, 0x100, 0, 0, uint32(len(n)), 0, 0, 0} {
		le.PutUint32(b[52+4*i:], v)
	}
	copy(b[0x100:], n)
	b[0x200] = 0x42
	mem := newRAM(8 * miB)
	e, err := Load(mem, Params{Kernel: file(t, "k", b), RAM: RAM{Below4G: 8 * miB}})
	if err != nil {
		t.Fatal(err)
	}
	if e.RIP != 0x100010 || mem.read(miB, 1)[0] != 0x42 {
		t.Errorf("entry %+v", e)
	}
}

// The note is found behind others and in both alignments, and a broken list
// of notes is not read beyond its end.
func TestPhys32Entry(t *testing.T) {
	le := binary.LittleEndian
	xen := note("Xen\x00", 18, le.AppendUint32(nil, 0x1234))
	for name, c := range map[string]struct {
		notes []byte
		align uint64
		ok    bool
	}{
		"alone":         {xen, 4, true},
		"second":        {append(note("GNU\x00", 18, []byte{1}), xen...), 4, true},
		"other type":    {note("Xen\x00", 17, le.AppendUint32(nil, 1)), 4, false},
		"other owner":   {note("xEN\x00", 18, le.AppendUint32(nil, 1)), 4, false},
		"odd value":     {note("Xen\x00", 18, []byte{1, 2}), 4, false},
		"cut short":     {xen[:len(xen)-1], 4, false},
		"huge name":     {append([]byte{0xff, 0xff, 0xff, 0xff}, xen[4:]...), 4, false},
		"huge value":    {append([]byte{4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, xen[8:]...), 4, false},
		"8-byte notes":  {xen, 8, true},
		"empty":         {nil, 4, false},
		"header only":   {xen[:12], 4, false},
		"trailing junk": {append(bytes.Clone(xen), 1, 2, 3), 4, true},
	} {
		entry, ok := phys32Entry(c.notes, c.align)
		if ok != c.ok || ok && entry != 0x1234 {
			t.Errorf("%s: %#x, %v", name, entry, ok)
		}
	}
}
