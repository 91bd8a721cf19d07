package boot

import (
	"bytes"
	"testing"
)

// guarded is guest memory that knows what may be written.
type guarded struct {
	*ram
	t       *testing.T
	e820    []Range
	touched []Range
}

func (g *guarded) WriteAt(p []byte, addr uint64) error {
	w := Range{addr, uint64(len(p)), E820RAM}
	for _, r := range g.e820 {
		if r.Type != E820RAM && r.overlaps(w) {
			g.t.Errorf("write of %d bytes at %#x into %x", len(p), addr, r)
		}
	}
	g.touched = append(g.touched, w)
	if err := g.ram.WriteAt(p, addr); err != nil {
		g.t.Error(err)
		return err
	}
	return nil
}

// loadAny opens whatever the bytes are. When they are accepted, the load must
// succeed, stay inside of RAM and outside of what is reserved, not mix the RAM
// disk with the kernel, and enter the kernel at an address that was loaded.
func loadAny(t *testing.T, kernel, disk []byte, ramLen uint64) {
	reserved := []Range{{5 * miB, 0x2000, E820ACPI}, {ramLen - 0x1000, 0x1000, E820Reserved}}
	im := new(Image)
	src := source{bytes.NewReader(kernel), "kernel", uint64(len(kernel))}
	initrd := func() (source, error) { return source{bytes.NewReader(disk), "initrd", uint64(len(disk))}, nil }
	if err := im.prepare(src, initrd, Params{RAM: RAM{Below4G: ramLen}, Reserved: reserved, Cmdline: "c"}); err != nil {
		return
	}
	mem := &guarded{ram: newRAM(ramLen), t: t, e820: im.E820()}
	e, err := im.Load(mem)
	if err != nil {
		t.Fatalf("accepted, but: %v", err)
	}
	where, _ := im.Initrd()
	if !bytes.Equal(mem.read(where.Addr, where.Size), disk) {
		t.Error("the RAM disk was overwritten")
	}
	inside := false
	for _, r := range mem.touched {
		inside = inside || r.Addr <= e.RIP && e.RIP < r.end()
	}
	if !inside {
		t.Errorf("entry %#x was not loaded", e.RIP)
	}
	if r, ok := im.Payload(); ok && r.Size() > int64(len(kernel)) {
		t.Errorf("payload of %d bytes", r.Size())
	}
}

func FuzzBzImage(f *testing.F) {
	f.Add(fakeBzImage(1040), []byte("disk"), uint8(32))
	f.Add(fakeBzImage(1024), []byte{}, uint8(24))
	f.Add(fakeBzImage(528)[:2300], []byte("x"), uint8(200))
	f.Fuzz(func(t *testing.T, kernel, disk []byte, ramMiB uint8) {
		loadAny(t, kernel, disk, uint64(ramMiB)*miB+miB)
	})
}

func FuzzELF(f *testing.F) {
	f.Add(fakeELF(), []byte("disk"), uint8(32))
	f.Add(fakeELF()[:0x500], []byte{}, uint8(8))
	f.Fuzz(func(t *testing.T, kernel, disk []byte, ramMiB uint8) {
		loadAny(t, kernel, disk, uint64(ramMiB)*miB+miB)
	})
}
