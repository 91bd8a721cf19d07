package qtest

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// soakEnv holds the number of cycles of TestSoak; 10000 is the full count.
const soakEnv = "GQEMU_SOAK"

// rss is the resident memory of a process in bytes.
func rss(t testing.TB, pid int) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b))
	n, err := strconv.Atoi(f[1])
	if err != nil {
		t.Fatal(err)
	}
	return n * os.Getpagesize()
}

// TestSoak: objects and chardevs that come and go leave memory, descriptors,
// mappings and threads where they began.
func TestSoak(t *testing.T) {
	t.Parallel()
	cycles := 60
	if s := os.Getenv(soakEnv); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%s: %v", soakEnv, err)
		}
		cycles = n
	}
	m := Start(t, "-M", "microvm")
	socket := ShortDir(t) + "/s"
	cycle := func() {
		for _, o := range []map[string]any{
			{"qom-type": "memory-backend-ram", "id": "o", "size": 1 << 20},
			{"qom-type": "memory-backend-memfd", "id": "o", "size": 1 << 20, "prealloc": true},
			{"qom-type": "iothread", "id": "o"},
			{"qom-type": "vdpa-sim-blk", "id": "o", "size": 1 << 20},
		} {
			m.QMP.Must("object-add", o, nil)
			m.QMP.Must("object-del", map[string]any{"id": "o"}, nil)
		}
		for kind, data := range map[string]map[string]any{
			"null": {}, "ringbuf": {"size": 4096}, "pty": {},
			"socket": {"addr": map[string]any{"type": "unix", "data": map[string]any{"path": socket}}},
		} {
			m.QMP.Must("chardev-add", map[string]any{"id": "c", "backend": map[string]any{"type": kind, "data": data}}, nil)
			m.QMP.Must("chardev-remove", map[string]any{"id": "c"}, nil)
		}
		// What fails leaves nothing either.
		for _, o := range []map[string]any{
			{"qom-type": "memory-backend-file", "id": "o", "size": 4096, "mem-path": "/nonexistent/dir/x"},
			{"qom-type": "memory-backend-ram", "id": "microvm.ram", "size": 4096},
		} {
			if m.QMP.Execute("object-add", o, nil) == nil {
				t.Fatalf("%v is accepted", o)
			}
		}
	}
	for range 20 { // pools and stacks are filled
		cycle()
	}
	pid := m.Process.Pid()
	memory, fds, maps, threads := rss(t, pid), len(m.Process.FDs()), m.Process.Mappings(), m.Process.Threads()
	for range cycles {
		cycle()
	}
	m.Eventually("descriptors, guest memory and threads as before", func() bool {
		// The Go runtime keeps a few threads for later.
		return len(m.Process.FDs()) == fds && m.Process.Mappings() == maps && m.Process.Threads() <= threads+4
	})
	// A cycle that left a kilobyte would show.
	if now := rss(t, pid); now > memory+cycles<<10+8<<20 {
		t.Errorf("resident memory went from %d to %d bytes in %d cycles", memory, now, cycles)
	} else {
		t.Logf("%d cycles: %d KiB before, %d KiB after; %d threads before, %d after", cycles, memory>>10, now>>10,
			threads, m.Process.Threads())
	}
}
