package boot

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Where QEMU refuses a file, we refuse it with the same line.
func TestErrorsAreQEMUs(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	le := binary.LittleEndian
	good := put("good", fakeBzImage(fakeImageLen))
	elf := put("elf", fakeELF())
	old := fakeBzImage(fakeImageLen)
	le.PutUint16(old[hdrVersion:], 0x20a)
	only32 := fakeBzImage(fakeImageLen)
	only32[hdrXLoadFlags] = 0
	noNote := fakeELF()
	noNote[0x400+24+8] = 17 // the note's type
	farEntry := fakeELF()
	farEntry[0x400+24+16+3] = 2
	big := put("big", nil)
	if err := os.Truncate(big, 200*miB); err != nil {
		t.Fatal(err)
	}
	mid := put("mid", nil)
	if err := os.Truncate(mid, 110*miB); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		name, kernel, initrd, cmdline string
		want                          string
		prefixed                      bool // by the program's name
	}{
		{"missing", "/nonexistent", "", "", "qemu: could not open kernel file '/nonexistent': No such file or directory", false},
		{"directory", dir, "", "", "qemu: could not load kernel '" + dir + "': Is a directory", false},
		{"empty", put("empty", nil), "", "", "qemu: could not load kernel '" + dir + "/empty': Success", false},
		{"device", "/dev/null", "", "", "qemu: could not load kernel '/dev/null': Success", false},
		{"short", put("short", []byte("hello")), "", "", "qemu: invalid kernel header", false},
		{"setup cut off", put("cut", fakeBzImage(0)[:1500]), "", "", "qemu: invalid kernel header", false},
		{"ELF cut off", put("elf70", fakeELF()[:70]), "", "", "Error while loading elf kernel", true},
		{"no PVH note", put("nonote", noNote), "", "", "Error loading uncompressed kernel without PVH ELF Note", true},
		{"no initrd", good, "/nonexistent", "",
			"qemu: error reading initrd /nonexistent: Failed to open file “/nonexistent”: open() failed: No such file or directory", false},
		{"initrd is a directory", good, dir, "",
			"qemu: error reading initrd " + dir + ": Failed to map " + dir + "' " + dir + "': mmap() failed: No such device", false},
		{"initrd is a device", good, "/dev/null", "",
			"qemu: error reading initrd /dev/null: Failed to map /dev/null' /dev/null': mmap() failed: Invalid argument", false},
		{"initrd before length", put("cut2", fakeBzImage(0)[:1500]), "/nonexistent", "",
			"qemu: error reading initrd /nonexistent: Failed to open file “/nonexistent”: open() failed: No such file or directory", false},
		{"initrd for an unknown kernel", dir + "/short", "/nonexistent", "", "qemu: linux kernel too old to load a ram disk", false},
		{"initrd too large", good, big, "", "qemu: initrd is too large, cannot support.(max: 134217727, need 209715200)", false},
		{"initrd too large for ELF", elf, big, "", "qemu: initrd is too large, cannot support.(max: 134217727, need 209715200)", false},
		// 128 MiB minus the kernel at 16 to 24 MiB: QEMU would overwrite.
		{"initrd meets the kernel", good, mid, "", "qemu: initrd is too large, cannot support.(max: 109051903, need 115343360)", false},
		{"vga", good, "", "vga=foo", "qemu: invalid 'vga=' kernel parameter.", false},
		{"vga digits", good, "", "a vga=1x b", "qemu: invalid 'vga=' kernel parameter.", false},

		// Refused here only: without firmware these cannot boot.
		{"truncated", put("trunc", fakeBzImage(fakeImageLen)[:10000]), "", "",
			"qemu: could not load kernel '" + dir + "/trunc': the file is truncated (10000 bytes, need 42048)", false},
		{"old protocol", put("old", old), "", "",
			"qemu: could not load kernel '" + dir + "/old': it has no 64-bit entry point (boot protocol 2.10)", false},
		{"32-bit kernel", put("only32", only32), "", "",
			"qemu: could not load kernel '" + dir + "/only32': it has no 64-bit entry point (boot protocol 2.15)", false},
		{"entry outside", put("far", farEntry), "", "",
			"qemu: could not load kernel '" + dir + "/far': its PVH entry point 0x2000040 is outside of the image", false},
		{"long command line", good, "", strings.Repeat("x", 2048), "kernel command line is too long (max: 2047, need 2048)", true},
		{"long command line for ELF", elf, "", strings.Repeat("x", 65536), "kernel command line is too long (max: 65535, need 65536)", true},
		{"NUL", good, "", "a\x00b", "kernel command line contains a NUL byte", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(Params{Kernel: c.kernel, Initrd: c.initrd, Cmdline: c.cmdline, RAM: RAM{Below4G: 128 * miB}})
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v", err)
			}
			if e.Msg != c.want || e.Verbatim == c.prefixed {
				t.Errorf("got  %q (verbatim %v)\nwant %q", e.Msg, e.Verbatim, c.want)
			}
		})
	}

	_, err := Open(Params{Kernel: "/nonexistent", RAM: RAM{Below4G: miB}})
	if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("%v does not wrap its cause", err)
	}
}

// A kernel that does not fit into the guest's RAM is refused with the size
// it needs.
func TestKernelNeedsRAM(t *testing.T) {
	k := file(t, "k", fakeBzImage(fakeImageLen))
	at := func(ramLen uint64, reserved ...Range) error {
		im, err := Open(Params{Kernel: k, RAM: RAM{Below4G: ramLen}, Reserved: reserved})
		if err == nil {
			im.Close()
		}
		return err
	}
	if err := at(24 * miB); err != nil {
		t.Errorf("24 MiB: %v", err)
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"too small":  {at(24*miB - 4096), "it needs 24 MiB of RAM below 4 GiB, the guest has 23"},
		"tiny":       {at(512 << 10), "the guest has less than 1 MiB of RAM"},
		"none":       {at(0), "a guest without RAM below 4 GiB"},
		"reserved":   {at(64*miB, Range{20 * miB, 4096, E820ACPI}), "0x800000 bytes at 0x1000000 are not all RAM"},
		"boot data":  {at(64*miB, Range{0x20000, 4096, E820ACPI}), "the RAM below 0x30000 is reserved"},
		"bad ranges": {at(64*miB, Range{1, 1, 0}), "reserved range"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}
}

// A file that shrinks between opening and loading is an error, not a guest
// with half a kernel.
func TestShrunkenFiles(t *testing.T) {
	for _, which := range []string{"kernel", "initrd"} {
		p := Params{Kernel: file(t, "k", fakeBzImage(fakeImageLen)), Initrd: file(t, "i", fill(9000)), RAM: RAM{Below4G: 32 * miB}}
		im, err := Open(p)
		if err != nil {
			t.Fatal(err)
		}
		path := p.Kernel
		if which == "initrd" {
			path = p.Initrd
		}
		if err := os.Truncate(path, 3000); err != nil {
			t.Fatal(err)
		}
		for _, mem := range []Memory{newRAM(32 * miB), &flatRAM{b: make([]byte, 32*miB)}} {
			if _, err := im.Load(mem); !errors.Is(err, errShrunk) || !strings.Contains(err.Error(), which) {
				t.Errorf("%s: %v", which, err)
			}
		}
		im.Close()
	}
}

// Guest memory that cannot be written is reported.
func TestMemoryErrors(t *testing.T) {
	for _, image := range [][]byte{fakeBzImage(fakeImageLen), fakeELF()} {
		im, err := Open(Params{Kernel: file(t, "k", image), Initrd: file(t, "i", fill(100)), RAM: RAM{Below4G: 64 * miB}})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []uint64{0, 0x2000, 0x9000, 0x21000, 17 * miB, 63 * miB} {
			if _, err := im.Load(newRAM(n)); err == nil {
				t.Errorf("loaded into %#x bytes", n)
			}
		}
		im.Close()
	}
}
