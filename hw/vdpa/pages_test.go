package vdpa

import (
	"os"
	"strings"
	"testing"

	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/memory"
)

// Memory is resident after it was settled, keeps what it held, and a start
// that is called off stops it after one step.
func TestSettlePages(t *testing.T) {
	ram, err := memory.NewAnonRAM("settle-test", 4*sys.HugePage)
	if err != nil {
		t.Fatal(err)
	}
	defer ram.Close()
	b := ram.Bytes()
	b[5*4096] = 0x5a
	resident := func() string {
		smaps, err := os.ReadFile("/proc/self/smaps")
		if err != nil {
			t.Fatal(err)
		}
		_, s, _ := strings.Cut(string(smaps), "settle-test")
		_, s, _ = strings.Cut(s, "\nRss:")
		s, _, _ = strings.Cut(s, "\n")
		return strings.TrimSpace(s)
	}
	steps := 0
	once := func() bool { steps++; return steps > 1 }
	// From the middle of a page table's reach to its end.
	if settlePages(mapping{0, b[4096 : 3*sys.HugePage], PermReadWrite}, once) {
		t.Error("a start that was called off went on")
	}
	before := resident()
	if before != "2044 kB" {
		t.Errorf("after one step %s are resident", before)
	}
	if !settlePages(mapping{0, b[4096 : 3*sys.HugePage], PermReadWrite}, never) {
		t.Error("stopped without being told to")
	}
	if r := resident(); r != "6140 kB" && r != "6144 kB" {
		t.Errorf("%s are resident, want 6 MiB but a page", r)
	}
	if b[5*4096] != 0x5a {
		t.Error("the contents are lost")
	}
	if !settlePages(mapping{0, b[3*sys.HugePage:], PermRead}, never) {
		t.Error("read-only memory was not settled")
	}
}
