package boot

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"testing"
)

func TestBzImageIsLoadedByThe64BitProtocol(t *testing.T) {
	image, disk := fakeBzImage(fakeImageLen), fill(3*4096+5)
	p := Params{
		Kernel: file(t, "vmlinuz", image), Initrd: file(t, "initrd", disk),
		Cmdline: "console=ttyS0 vga=0x317", RAM: RAM{Below4G: 128 * miB}, RSDP: 0xe0000,
	}
	mem := newRAM(128 * miB)
	e, err := Load(mem, p)
	if err != nil {
		t.Fatal(err)
	}
	if e.Mode != Long64 || e.RIP != 16*miB+0x200 || e.RSI != zeroPageAddr || e.CR3 != pageTableAddr ||
		e.CR0 != 0x80000011 || e.CR4 != 0x20 || e.EFER != 0x500 || e.RFLAGS != 2 {
		t.Errorf("entry %+v", e)
	}
	if e.CS.Selector != 0x10 || e.CS.L != 1 || e.CS.DB != 0 || e.Data.Selector != 0x18 {
		t.Errorf("segments %+v %+v", e.CS, e.Data)
	}
	if got := mem.read(16*miB, fakeImageLen); !bytes.Equal(got, image[4*sectorLen:]) {
		t.Error("the kernel in memory is not the protected-mode code of the file")
	}
	if got := mem.read(cmdlineAddr, 24); string(got) != "console=ttyS0 vga=0x317\x00" {
		t.Errorf("command line %q", got)
	}

	zp := mem.read(zeroPageAddr, 4096)
	// The header is the file's, up to where its jump says it ends.
	for _, f := range []struct {
		name string
		off  int
		want uint64
	}{
		{"type_of_loader", hdrTypeOfLoader, 0xb0},
		{"vid_mode", hdrVidMode, 0x17}, // low byte of 0x317
		{"xloadflags", hdrXLoadFlags, 3},
		{"byte behind the header", hdrMagic + 0x6a, 0},
		{"e820_entries", bpE820Entries, 4},
	} {
		if got := uint64(zp[f.off]); got != f.want {
			t.Errorf("%s = %#x, want %#x", f.name, got, f.want)
		}
	}
	if string(zp[hdrMagic:hdrMagic+4]) != "HdrS" || le32(zp[hdrCmdlinePtr:]) != cmdlineAddr || le64(zp[bpRSDP:]) != 0xe0000 {
		t.Errorf("boot_params % x", zp[0x1f0:0x270])
	}
	// QEMU: (128 MiB - 1 - size) rounded down to a page.
	at, n := uint64(le32(zp[hdrRamdisk:])), uint64(le32(zp[hdrRamdiskSize:]))
	if at != 0x7ffc000 || n != uint64(len(disk)) {
		t.Errorf("initrd at %#x, %d bytes", at, n)
	}
	if !bytes.Equal(mem.read(at, n), disk) {
		t.Error("the RAM disk in memory is not the file")
	}
	want := EncodeE820([]Range{
		{0, 0x9fc00, E820RAM}, {0x9fc00, 0x400, E820Reserved},
		{0xf0000, 0x10000, E820Reserved}, {miB, 127 * miB, E820RAM},
	})
	if got := zp[bpE820Table : bpE820Table+len(want)]; !bytes.Equal(got, want) {
		t.Errorf("e820 table\n% x, want\n% x", got, want)
	}
}

// Walking the page tables as the processor does leads every address below
// 4 GiB to itself.
func TestPageTablesAreIdentity(t *testing.T) {
	mem := newRAM(16 * miB)
	e, err := enter64(mem, 0)
	if err != nil {
		t.Fatal(err)
	}
	entry := func(table uint64, index uint64) uint64 {
		v := le64(mem.read(table+8*index, 8))
		if v&3 != 3 {
			t.Fatalf("entry %d of table %#x is %#x", index, table, v)
		}
		return v
	}
	for addr := uint64(0); addr < 4*giB; addr += 2*miB + 0x1234 {
		pdpt := entry(e.CR3, addr>>39) &^ 0xfff
		pd := entry(pdpt, addr>>30&511) &^ 0xfff
		pde := entry(pd, addr>>21&511)
		if pde&0x80 == 0 || pde&^0x1fffff|addr&0x1fffff != addr {
			t.Fatalf("%#x maps to %#x", addr, pde)
		}
	}
	if end := uint64(pageTableAddr + 6*0x1000); end > cmdlineAddr {
		t.Errorf("page tables end at %#x", end)
	}
	// The descriptors say what the segment registers' hidden parts say.
	gdt := mem.read(e.GDTBase, uint64(e.GDTLimit)+1)
	for _, s := range []Segment{e.CS, e.Data} {
		d := le64(gdt[s.Selector:])
		if byte(d>>40)&0xf != s.Type || byte(d>>53)&1 != s.L || byte(d>>54)&1 != s.DB || byte(d>>55)&1 != s.G {
			t.Errorf("descriptor %#x for %+v", d, s)
		}
	}
}

// A reset loads the same again, with the files possibly gone by then, and a
// command line that was extended in between.
func TestImageLoadsAgainAfterFilesAreRemoved(t *testing.T) {
	p := Params{Kernel: file(t, "k", fakeBzImage(fakeImageLen)), Initrd: file(t, "i", fill(5000)), RAM: RAM{Below4G: 64 * miB}}
	im, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	first, second := newRAM(64*miB), newRAM(64*miB)
	e1, err := im.Load(first)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(p.Kernel)
	os.Remove(p.Initrd)
	e2, err := im.Load(second)
	if err != nil {
		t.Fatal(err)
	}
	if e1 != e2 {
		t.Errorf("%+v\n%+v", e1, e2)
	}
	for page, b := range first.pages {
		if o := second.pages[page]; o == nil || *o != *b {
			t.Fatalf("page %#x differs", page<<12)
		}
	}
	if err := im.SetCmdline("quiet" + VirtIOMMIOArgs([]Transport{{0xfeb00e00, 12}})); err != nil {
		t.Fatal(err)
	}
	im.SetRSDP(0xf0000)
	if _, err := im.Load(second); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := bytes.Cut(second.read(cmdlineAddr, 100), []byte{0}); string(got) != "quiet virtio_mmio.device=512@0xfeb00e00:12" {
		t.Errorf("command line %q", got)
	}
	if got := le64(second.read(zeroPageAddr+bpRSDP, 8)); got != 0xf0000 {
		t.Errorf("RSDP %#x", got)
	}
}

// Guest RAM that can be reached directly gets the files without a copy.
func TestFilesAreReadStraightIntoRAM(t *testing.T) {
	disk := fill(1 << 20)
	p := Params{Kernel: file(t, "k", fakeBzImage(fakeImageLen)), Initrd: file(t, "i", disk), RAM: RAM{Below4G: 32 * miB}}
	mem := &flatRAM{b: make([]byte, 32*miB)}
	im, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if _, err := im.Load(mem); err != nil {
		t.Fatal(err)
	}
	r, ok := im.Initrd()
	if !ok || !bytes.Equal(mem.b[r.Addr:r.end()], disk) {
		t.Error("the RAM disk in memory is not the file")
	}
	if mem.written > 64<<10 {
		t.Errorf("%d bytes were written by copying", mem.written)
	}
}

// A payload is offered as the header describes it.
func TestPayload(t *testing.T) {
	image := fakeBzImage(fakeImageLen)
	im, err := Open(Params{Kernel: file(t, "k", image), RAM: RAM{Below4G: 32 * miB}})
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	r, ok := im.Payload()
	if !ok {
		t.Fatal("no payload")
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, image[4*sectorLen+0x100:4*sectorLen+0x300]) {
		t.Errorf("payload of %d bytes, %v", len(got), err)
	}
}

// The RAM disk moves down when something is where QEMU would put it.
func TestInitrdAvoidsReservedRanges(t *testing.T) {
	p := Params{
		Kernel: file(t, "k", fakeBzImage(fakeImageLen)), Initrd: file(t, "i", fill(0x1800)), RAM: RAM{Below4G: 32 * miB},
		Reserved: []Range{{32*miB - 0x4000, 0x2000, E820ACPI}, {32*miB - 0x1000, 0x1000, E820Reserved}},
	}
	im, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if r, _ := im.Initrd(); r.Addr != 32*miB-0x6000 {
		t.Errorf("initrd at %#x", r.Addr)
	}
}

// A kernel that does not bound the RAM disk by xloadflags bounds it by
// initrd_addr_max.
func TestInitrdObeysTheKernelsLimit(t *testing.T) {
	image := fakeBzImage(fakeImageLen)
	binary.LittleEndian.PutUint16(image[hdrXLoadFlags:], xlfKernel64)
	binary.LittleEndian.PutUint32(image[hdrInitrdMax:], 0x37ffffff)
	p := Params{Kernel: file(t, "k", image), Initrd: file(t, "i", fill(0x1000)), RAM: RAM{Below4G: 2 * giB}}
	im, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if r, _ := im.Initrd(); r.Addr != 0x37ffe000 {
		t.Errorf("initrd at %#x", r.Addr)
	}
}
