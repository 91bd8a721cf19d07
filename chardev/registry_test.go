package chardev

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestRegistryKeepsOrderAndIDs(t *testing.T) {
	r, _ := newRegistry(t)
	var want []string
	for _, id := range []string{"z", "a", "m"} {
		mustAdd(t, r, id, NullConfig{})
		want = append(want, id)
	}
	ids := func() (s []string) {
		for _, c := range r.List() {
			s = append(s, c.ID())
		}
		return s
	}
	if !slices.Equal(ids(), want) {
		t.Errorf("List = %v", ids())
	}
	_, err := r.Add("a", NullConfig{})
	if err == nil || err.Error() != "Duplicate ID 'a' for chardev" || !errors.Is(err, ErrDuplicateID) {
		t.Errorf("duplicate: %v", err)
	}
	if err := r.Remove("nosuch"); err == nil || err.Error() != "Chardev 'nosuch' not found" {
		t.Errorf("Remove(nosuch): %v", err)
	}
	c, _ := r.Get("a")
	fe := attach(t, c)
	fe.waitEvents(EventOpened)
	if err := r.Remove("a"); err == nil || err.Error() != "Chardev 'a' is busy" {
		t.Errorf("Remove of a busy one: %v", err)
	}
	if err := c.Attach(newRecorder(t)); err == nil || err.Error() != "Device 'a' is in use" {
		t.Errorf("second Attach: %v", err)
	}
	c.Detach()
	if err := r.Remove("a"); err != nil {
		t.Error(err)
	}
	if !slices.Equal(ids(), []string{"z", "m"}) {
		t.Errorf("List = %v", ids())
	}
	if err := c.Attach(newRecorder(t)); err == nil {
		t.Error("Attach to a removed chardev")
	}
	mustAdd(t, r, "a", NullConfig{})
	r.CloseAll()
	if _, err := r.Add("late", NullConfig{}); err == nil {
		t.Error("Add after CloseAll")
	}
}

// What fails at creation has QEMU's text, and leaves neither an id nor a descriptor.
func TestCreationErrors(t *testing.T) {
	r, _ := newRegistry(t)
	dir := t.TempDir()
	long := strings.Repeat("a", 120)
	badFD, file := 999, 0
	f, err := os.CreateTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file = int(f.Fd())
	no := false
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{SocketConfig{Path: "/nonexistent/x"}, "Failed to connect to '/nonexistent/x': No such file or directory"},
		{SocketConfig{Path: "/nonexistent/dir/s", Server: true}, "Failed to bind socket to /nonexistent/dir/s: No such file or directory"},
		{SocketConfig{Path: dir, Server: true}, "Failed to unlink socket " + dir + ": Is a directory"},
		{SocketConfig{Path: long}, "UNIX socket path '" + long + "' is too long"},
		{SocketConfig{Path: long, Server: true}, "UNIX socket path '" + long + "' is too long"},
		{SocketConfig{Host: "127.0.0.1", Port: "1"}, "Failed to connect to '127.0.0.1:1': Connection refused"},
		{SocketConfig{Host: "127.0.0.1", Port: "nosuchsvc"}, "address resolution failed for 127.0.0.1:nosuchsvc: Servname not supported for ai_socktype"},
		{SocketConfig{Host: "nosuch.invalid", Port: "1"}, "address resolution failed for nosuch.invalid:1: Name or service not known"},
		{SocketConfig{Port: "1"}, "address resolution failed for :1: Name or service not known"},
		{SocketConfig{Host: "127.0.0.1", Port: "1", IPv4: &no, IPv6: &no}, "Cannot disable IPv4 and IPv6 at same time"},
		{SocketConfig{FD: &badFD}, "File descriptor '999' is not a socket"},
		{SocketConfig{FD: &badFD, Server: true}, "File descriptor '999' is not a socket"},
		{SocketConfig{Path: "/x", Server: true, Reconnect: 1}, "'reconnect' option is incompatible with socket in server listen mode"},
		{FileConfig{Path: "/nonexistent/x"}, "Could not open '/nonexistent/x': No such file or directory"},
		{FileConfig{Path: dir + "/o", Input: "/nonexistent/x"}, "Could not open '/nonexistent/x': No such file or directory"},
		{PipeConfig{Path: "/nonexistent"}, "Could not open '/nonexistent': No such file or directory"},
		{RingbufConfig{Size: 1000}, "size of ringbuf chardev must be power of two"},
		{NullConfig{Common{Logfile: "/nonexistent/x"}}, "Could not create '/nonexistent/x': No such file or directory"},
		{FileConfig{Common{Mux: true}, "/nonexistent/x", false, ""}, "Could not open '/nonexistent/x': No such file or directory"},
		{MuxConfig{Chardev: "nosuch"}, "mux: base chardev nosuch not found"},
		{PtyConfig{Path: dir}, "Failed to create PTY symlink: File exists"},
	} {
		c, err := r.Add("c", tc.cfg)
		if err == nil {
			c.Close()
		}
		if err == nil || err.Error() != tc.want {
			t.Errorf("%#v:\n got %v\nwant %s", tc.cfg, err, tc.want)
		}
		if _, ok := r.Get("c"); ok {
			t.Errorf("%#v: the id is taken", tc.cfg)
		}
	}
	if _, err := r.Add("c", SocketConfig{FD: &file}); err == nil || err.Error() != fmt.Sprintf("File descriptor '%d' is not a socket", file) {
		t.Errorf("a file as socket: %v", err)
	}
}
