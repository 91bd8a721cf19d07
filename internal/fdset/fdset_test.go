package fdset

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, flags int) int {
	t.Helper()
	fd, err := unix.Open(filepath.Join(t.TempDir(), "f"), flags|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

func num(n int64) *int64 { return &n }

func mustAdd(t *testing.T, s *Store, id *int64, fd int, want int64) {
	t.Helper()
	n, err := s.Add(id, fd, nil)
	if err != nil || n != want {
		t.Fatalf("Add = %d, %v, want set %d", n, err, want)
	}
}

// TestNumbers: a set without a number gets the lowest free one, and answers
// come by descending number, the descriptors of a set oldest first.
func TestNumbers(t *testing.T) {
	var s Store
	defer s.Close()
	a, b := open(t, unix.O_RDWR), open(t, unix.O_RDWR)
	mustAdd(t, &s, num(1), a, 1)
	mustAdd(t, &s, nil, open(t, unix.O_RDWR), 0)
	mustAdd(t, &s, nil, open(t, unix.O_RDWR), 2)
	mustAdd(t, &s, num(1), b, 1)
	q := s.Query()
	if len(q) != 3 || q[0].ID != 2 || q[1].ID != 1 || q[2].ID != 0 {
		t.Fatalf("%+v", q)
	}
	if f := q[1].FDs; len(f) != 2 || f[0].FD != a || f[1].FD != b {
		t.Errorf("%+v, want %d then %d", f, a, b)
	}
	if _, err := s.Add(num(-1), a, nil); err == nil || err.Error() != "Parameter 'fdset-id' expects a non-negative value" {
		t.Error(err)
	}
}

// TestOpen: the access mode decides which descriptor is duplicated, and errors
// are QEMU's.
func TestOpen(t *testing.T) {
	var s Store
	defer s.Close()
	ro := open(t, unix.O_RDONLY)
	mustAdd(t, &s, num(3), ro, 3)
	for _, c := range []struct {
		path  string
		flags int
		text  string
		errno error
	}{
		{"/dev/fdset/abc", unix.O_RDWR, "Could not parse fdset /dev/fdset/abc", unix.EINVAL},
		{"/dev/fdset/", unix.O_RDWR, "Could not parse fdset /dev/fdset/", unix.EINVAL},
		{"/dev/fdset/-1", unix.O_RDWR, "Could not parse fdset /dev/fdset/-1", unix.EINVAL},
		{"/dev/fdset/4294967296", unix.O_RDWR, "Could not parse fdset /dev/fdset/4294967296", unix.EINVAL},
		{"/dev/fdset/1", unix.O_RDWR, "Could not dup FD for /dev/fdset/1 flags 2: No such file or directory", unix.ENOENT},
		{"/dev/fdset/3", unix.O_RDWR, "Could not dup FD for /dev/fdset/3 flags 2: Permission denied", unix.EACCES},
	} {
		_, err := s.Open(c.path, c.flags|unix.O_CLOEXEC)
		if err == nil || err.Error() != c.text || !errors.Is(err, c.errno) {
			t.Errorf("%s: %v, want %s", c.path, err, c.text)
		}
	}
	fd, err := s.Open("/dev/fdset/3", unix.O_RDONLY)
	if err != nil || fd == ro {
		t.Fatal(fd, err)
	}
	unix.Close(fd)
	s.Release(fd)
}

// TestOpenTruncates: O_TRUNC works as when the file is opened, and O_APPEND
// holds afterwards.
func TestOpenTruncates(t *testing.T) {
	var s Store
	defer s.Close()
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	mustAdd(t, &s, num(0), fd, 0)
	d, err := s.Open("/dev/fdset/0", unix.O_WRONLY|unix.O_APPEND)
	if err != nil {
		t.Fatal(err)
	}
	if fl, _ := unix.FcntlInt(uintptr(d), unix.F_GETFL, 0); fl&unix.O_APPEND == 0 {
		t.Error("O_APPEND is not set")
	}
	unix.Close(d)
	if d, err = s.Open("/dev/fdset/0", unix.O_WRONLY|unix.O_TRUNC|unix.O_CREAT); err != nil {
		t.Fatal(err)
	}
	unix.Close(d)
	if b, err := os.ReadFile(name); err != nil || len(b) != 0 {
		t.Errorf("%q %v", b, err)
	}
}

// TestRemove: what is removed is closed while the guest runs and kept until
// then otherwise; a duplicate lives on, and its set with it.
func TestRemove(t *testing.T) {
	running := true
	s := Store{Running: func() bool { return running }}
	defer s.Close()
	s.Connect()
	a, b := open(t, unix.O_RDWR), open(t, unix.O_RDWR)
	mustAdd(t, &s, num(0), a, 0)
	mustAdd(t, &s, num(0), b, 0)
	for _, c := range []struct {
		id   int64
		fd   *int64
		text string
	}{
		{5, nil, "File descriptor named 'fdset-id:5' not found"},
		{0, num(9999), "File descriptor named 'fdset-id:0, fd:9999' not found"},
	} {
		if err := s.Remove(c.id, c.fd); err == nil || err.Error() != c.text {
			t.Errorf("%v, want %s", err, c.text)
		}
	}
	d, err := s.Open("/dev/fdset/0", unix.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(0, num(int64(a))); err != nil || isOpen(a) {
		t.Errorf("%v, open %v", err, isOpen(a))
	}
	running = false
	if err := s.Remove(0, nil); err != nil || !isOpen(b) {
		t.Errorf("%v, open %v: the guest does not run", err, isOpen(b))
	}
	running = true
	s.Release(d)
	unix.Close(d)
	if isOpen(b) || len(s.Query()) != 0 {
		t.Errorf("open %v, %+v", isOpen(b), s.Query())
	}
}

// TestLastClientGone: without a client, sets that nothing was opened from are
// dropped.
func TestLastClientGone(t *testing.T) {
	var s Store
	defer s.Close()
	s.Connect()
	s.Connect()
	used := open(t, unix.O_RDWR)
	mustAdd(t, &s, nil, used, 0)
	mustAdd(t, &s, nil, open(t, unix.O_RDWR), 1)
	d, err := s.Open("/dev/fdset/0", unix.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	s.Disconnect()
	if len(s.Query()) != 2 {
		t.Error("a client is still there")
	}
	s.Disconnect()
	if q := s.Query(); len(q) != 1 || q[0].ID != 0 {
		t.Errorf("%+v", q)
	}
	s.Release(d)
	unix.Close(d)
	if isOpen(used) {
		t.Error("nobody uses it")
	}
}
