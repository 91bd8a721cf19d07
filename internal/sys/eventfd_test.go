package sys

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// polled lists the descriptors that the runtime's poller watches.
func polled(t *testing.T) map[int]bool {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]bool{}
	pollers := 0
	for _, l := range links {
		if name, err := os.Readlink(l); err != nil || name != "anon_inode:[eventpoll]" {
			continue
		}
		pollers++
		info, err := os.ReadFile("/proc/self/fdinfo/" + filepath.Base(l))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(info), "\n") {
			var fd int
			if n, _ := fmt.Sscanf(line, "tfd: %d", &fd); n == 1 {
				found[fd] = true
			}
		}
	}
	if pollers == 0 {
		t.Fatal("no poller: this proves nothing")
	}
	return found
}

// An eventfd that only the guest and the device use wakes no thread here; one
// that is waited for is watched, by a descriptor of its own.
func TestEventfdIsPolledFromTheFirstWaitOn(t *testing.T) {
	// A pipe makes sure that there is a poller.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	e, err := NewEventfd()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Signal(); err != nil {
		t.Fatal(err)
	}
	if n, err := e.Drain(); n != 1 || err != nil {
		t.Fatalf("drained %d, %v", n, err)
	}
	before := polled(t)
	if before[e.FD()] {
		t.Error("polled before anybody waits")
	}
	if err := e.Signal(); err != nil {
		t.Fatal(err)
	}
	if n, err := e.Wait(); n != 1 || err != nil {
		t.Fatalf("waited for %d, %v", n, err)
	}
	after := polled(t)
	if !after[e.FD()] {
		t.Errorf("polled before %v, after the wait %v, without %d", before, after, e.FD())
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Wait(); err != os.ErrClosed {
		t.Errorf("waiting after Close: %v", err)
	}
}
