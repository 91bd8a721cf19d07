package vdpa

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/sys"
)

// settlePages prepares a piece of memory for being pinned. It makes it
// resident, so that pinning is short, and of huge pages where it can: the
// kernel counts each physically contiguous run against a limit of its own
// (the parameter max_iotlb_entries of vhost_vdpa, 2048), which guest RAM of
// single pages soon exceeds. It tells whether it got to the end before the
// start was called off. Failing does not matter here: what follows from it
// fails when the memory is mapped.
func settlePages(p mapping, canceled func() bool) bool {
	advice := unix.MADV_POPULATE_WRITE // Linux 5.14
	if p.perm&PermWrite == 0 {
		advice = unix.MADV_POPULATE_READ
	}
	page := os.Getpagesize()
	// One huge page at a time: the mmap_lock is free in between, and a start
	// that is called off ends soon.
	for mem := p.mem; len(mem) > 0; {
		if canceled() {
			return false
		}
		n := min(len(mem), sys.HugePage-int(sys.Addr(mem)%sys.HugePage))
		part := mem[:n]
		mem = mem[n:]
		if n == sys.HugePage {
			// Linux 6.1 makes a huge page of what has at least one page.
			_ = unix.Madvise(part[:page], advice)
			if unix.Madvise(part, unix.MADV_COLLAPSE) == nil {
				continue
			}
		}
		_ = unix.Madvise(part, advice)
	}
	return true
}

// entryLimit is vhost_vdpa's max_iotlb_entries, "" where there is none.
func entryLimit() string {
	b, err := os.ReadFile("/sys/module/vhost_vdpa/parameters/max_iotlb_entries")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
