package sys

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A mapping is aligned, shows the file, and leaves nothing beside it.
func TestMmapAligned(t *testing.T) {
	fd, err := unix.MemfdCreate("aligned-test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, length := range []int{4096, 5 * 4096, HugePage, HugePage + 4096, 3 * HugePage} {
		if err := unix.Ftruncate(fd, int64(length)); err != nil {
			t.Fatal(err)
		}
		b, err := MmapAligned(fd, length, HugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		if Addr(b)%HugePage != 0 || len(b) != length {
			t.Errorf("%d bytes: %d at %#x", length, len(b), Addr(b))
		}
		b[length-1] = 7
		var last [1]byte
		if _, err := unix.Pread(fd, last[:], int64(length-1)); err != nil || last[0] != 7 {
			t.Errorf("the file has %d, %v", last[0], err)
		}
		if err := Munmap(b); err != nil {
			t.Error(err)
		}
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil || strings.Contains(string(maps), "aligned-test") {
			t.Errorf("still mapped, %v", err)
		}
	}
	if _, err := MmapAligned(-1, 4096, HugePage, unix.PROT_READ, unix.MAP_SHARED); err == nil {
		t.Error("mapped a file that is not open")
	}
}

// TestCheckReserve: what no process can have is refused, and a little is not.
func TestCheckReserve(t *testing.T) {
	if err := CheckReserve(1 << 20); err != nil {
		t.Error(err)
	}
	if err := CheckReserve(1 << 60); err == nil {
		t.Error("an exbibyte was promised")
	}
}
