package vdpa

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pinnedBytes is how much memory of this process is pinned, as far as the
// kernel tells.
func pinnedBytes() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	return parsePinned(status)
}

// parsePinned finds VmPin in /proc/PID/status.
func parsePinned(status []byte) uint64 {
	for lines := bufio.NewScanner(bytes.NewReader(status)); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "VmPin:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 54)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

// memlock is the limit on pinned memory, and what is pinned of it.
type memlock struct {
	limit  uint64 // RLIMIT_MEMLOCK in bytes
	pinned uint64
}

// readMemlock asks the kernel.
func readMemlock() memlock {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &r) != nil {
		r.Cur = unix.RLIM_INFINITY
	}
	return memlock{limit: r.Cur, pinned: pinnedBytes()}
}

// shortfall says why own bytes cannot be pinned for a device, "" when the
// limit is not why. already is how much of pinned is the device's own.
func (m memlock) shortfall(own, already uint64) string {
	need := own
	if m.pinned > already {
		need += m.pinned - already
	}
	if m.limit == unix.RLIM_INFINITY || need <= m.limit {
		return ""
	}
	return fmt.Sprintf("RLIMIT_MEMLOCK is %d bytes, %d bytes are needed", m.limit, need)
}
