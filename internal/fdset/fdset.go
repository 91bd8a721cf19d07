// Package fdset holds the sets of file descriptors that a client hands to the
// VM with -add-fd or QMP's add-fd, and opens the paths /dev/fdset/N that stand
// for them: opening one duplicates the descriptor of set N whose access mode
// fits. Texts and rules are those of QEMU 8.2.
package fdset

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/errno"
)

// Prefix begins the paths that Open understands; a set's number follows.
const Prefix = "/dev/fdset/"

// Store is a VM's descriptor sets. The zero Store is empty and ready. Its
// methods may be called from any goroutine.
type Store struct {
	// Running tells whether the guest runs. As in QEMU, descriptors that were
	// removed, or that nobody uses any more, are closed only then, or at the
	// next occasion after. Nil stands for a guest that always runs. It is
	// called with no lock of the Store's held.
	Running func() bool

	mu       sync.Mutex
	sets     []*set // by ascending id
	monitors int    // clients connected
}

// set is one numbered set.
type set struct {
	id   int64
	fds  []*member // newest first
	dups []dup     // what Open made and is still open, as far as is known
}

// dup is a descriptor that Open made. Not all who close one tell Release, so
// that it is known by its file, too.
type dup struct {
	fd       int
	dev, ino uint64
}

// identify makes the dup of an open descriptor.
func identify(fd int) dup {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return dup{fd: -1}
	}
	return dup{fd, uint64(st.Dev), st.Ino}
}

// prune forgets duplicates that are closed. One whose number is another file's
// now counts as closed.
func (t *set) prune() {
	t.dups = slices.DeleteFunc(t.dups, func(d dup) bool { return identify(d.fd) != d })
}

// member is a descriptor that a client gave.
type member struct {
	fd      int
	opaque  *string
	removed bool
}

// FD is one descriptor in an answer to Query.
type FD struct {
	FD     int     // its number in this process
	Opaque *string // what the client said of it, nil for nothing
}

// Set is one set in an answer to Query.
type Set struct {
	ID  int64
	FDs []FD // oldest first
}

// NotFoundError is a Remove of what is not there.
type NotFoundError struct{ What string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("File descriptor named '%s' not found", e.What)
}

// OpenError is a path below /dev/fdset that cannot be opened. Its text is
// QEMU's, complete; it wraps the errno.
type OpenError struct {
	Text string
	Err  error
}

func (e *OpenError) Error() string { return e.Text }
func (e *OpenError) Unwrap() error { return e.Err }

// Worded tells callers that wrap errors in words of their own that the text is
// complete.
func (e *OpenError) Worded() bool { return true }

// Add puts fd, which the Store owns from then on unless there is an error, into
// set *id, which is made if need be, or with a nil id into a new set with the
// lowest free number. It returns the set's number.
func (s *Store) Add(id *int64, fd int, opaque *string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int64
	if id != nil {
		n = *id
	} else {
		for _, t := range s.sets {
			if t.id != n {
				break
			}
			n++
		}
	}
	if n < 0 {
		return 0, errors.New("Parameter 'fdset-id' expects a non-negative value")
	}
	i, found := s.find(n)
	if !found {
		s.sets = slices.Insert(s.sets, i, &set{id: n})
	}
	t := s.sets[i]
	t.fds = slices.Insert(t.fds, 0, &member{fd: fd, opaque: opaque})
	return n, nil
}

func (s *Store) find(id int64) (int, bool) {
	return slices.BinarySearchFunc(s.sets, id, func(t *set, id int64) int {
		switch {
		case t.id < id:
			return -1
		case t.id > id:
			return 1
		}
		return 0
	})
}

// Remove takes *fd, or with a nil fd all descriptors, out of set id. They are
// closed when the guest runs; what was opened from them stays open.
func (s *Store) Remove(id int64, fd *int64) error {
	running := s.running()
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := s.find(id)
	if fd == nil {
		if !found {
			return &NotFoundError{fmt.Sprintf("fdset-id:%d", id)}
		}
		for _, m := range s.sets[i].fds {
			m.removed = true
		}
	} else {
		j := -1
		if found {
			j = slices.IndexFunc(s.sets[i].fds, func(m *member) bool { return int64(m.fd) == *fd })
		}
		if j < 0 {
			return &NotFoundError{fmt.Sprintf("fdset-id:%d, fd:%d", id, *fd)}
		}
		s.sets[i].fds[j].removed = true
	}
	s.clean(s.sets[i], running)
	return nil
}

func (s *Store) running() bool { return s.Running == nil || s.Running() }

// clean closes what t need not keep, and drops t once it is empty.
func (s *Store) clean(t *set, running bool) {
	t.prune()
	t.fds = slices.DeleteFunc(t.fds, func(m *member) bool {
		gone := running && (m.removed || len(t.dups) == 0 && s.monitors == 0)
		if gone {
			unix.Close(m.fd)
		}
		return gone
	})
	if len(t.fds) == 0 && len(t.dups) == 0 {
		s.sets = slices.DeleteFunc(s.sets, func(u *set) bool { return u == t })
	}
}

// Query lists the sets in the order QEMU does: by descending number.
func (s *Store) Query() []Set {
	running := s.running()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range slices.Clone(s.sets) {
		if len(t.dups) == 0 {
			continue
		}
		if t.prune(); len(t.dups) == 0 {
			s.clean(t, running) // as Release would have
		}
	}
	out := make([]Set, 0, len(s.sets))
	for _, t := range slices.Backward(s.sets) {
		e := Set{ID: t.id, FDs: make([]FD, 0, len(t.fds))}
		for _, m := range slices.Backward(t.fds) {
			e.FDs = append(e.FDs, FD{m.fd, m.opaque})
		}
		out = append(out, e)
	}
	return out
}

// Covers tells whether path is one that Open understands.
func Covers(path string) bool { return strings.HasPrefix(path, Prefix) }

// parse reads the number of a path below Prefix.
func parse(path string) (int64, bool) {
	// strtol takes leading white space and a sign.
	n, err := strconv.ParseInt(strings.TrimLeft(strings.TrimPrefix(path, Prefix), " \t\n\v\f\r"), 10, 64)
	return n, err == nil && n >= 0 && n <= math.MaxInt32
}

// statusFlags are those that may be changed on an open descriptor.
const statusFlags = unix.O_APPEND | unix.O_ASYNC | unix.O_DIRECT | unix.O_NOATIME | unix.O_NONBLOCK

// Open duplicates the newest descriptor of the set that path names which has
// the access mode in flags (O_RDONLY, O_WRONLY or O_RDWR), with close-on-exec.
// O_TRUNC truncates the file; O_APPEND, O_NONBLOCK and their like are set on
// the open file, which the client shares. The caller owns the result and calls
// Release before it closes it. Errors are of type *OpenError.
func (s *Store) Open(path string, flags int) (int, error) {
	id, ok := parse(path)
	if !ok {
		return -1, &OpenError{"Could not parse fdset " + path, unix.EINVAL}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fd, err := s.dup(id, flags)
	if err != nil {
		return -1, &OpenError{
			fmt.Sprintf("Could not dup FD for %s flags %x: %s", path, flags&^unix.O_CLOEXEC, errno.Text(err)), err,
		}
	}
	return fd, nil
}

func (s *Store) dup(id int64, flags int) (int, error) {
	i, found := s.find(id)
	if !found {
		return -1, unix.ENOENT
	}
	for _, m := range s.sets[i].fds {
		have, err := unix.FcntlInt(uintptr(m.fd), unix.F_GETFL, 0)
		if err != nil {
			return -1, err
		}
		if have&unix.O_ACCMODE != flags&unix.O_ACCMODE {
			continue
		}
		fd, err := duplicate(m.fd, have, flags)
		if err == nil {
			s.sets[i].dups = append(s.sets[i].dups, identify(fd))
		}
		return fd, err
	}
	return -1, unix.EACCES
}

// duplicate makes a descriptor that behaves as if the file had been opened
// with flags.
func duplicate(from, have, flags int) (fd int, err error) {
	if (have^flags)&unix.O_SYNC != 0 {
		return -1, unix.EINVAL // cannot be changed afterwards
	}
	if fd, err = unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return -1, err
	}
	if set := flags & statusFlags; have&set != set {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, have|set)
	}
	if err == nil && (flags&unix.O_TRUNC != 0 || flags&(unix.O_CREAT|unix.O_EXCL) == unix.O_CREAT|unix.O_EXCL) {
		err = unix.Ftruncate(fd, 0)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Release says that fd, if Open made it, is about to be closed. Who does not
// call it has its set kept a little longer.
func (s *Store) Release(fd int) {
	running := s.running()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.sets {
		if i := slices.IndexFunc(t.dups, func(d dup) bool { return d.fd == fd }); i >= 0 {
			t.dups = slices.Delete(t.dups, i, i+1)
			if len(t.dups) == 0 {
				s.clean(t, running)
			}
			return
		}
	}
}

// Connect says that a QMP client has come: sets that nothing uses are kept as
// long as there is one.
func (s *Store) Connect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.monitors++
}

// Disconnect says that a QMP client has gone.
func (s *Store) Disconnect() {
	running := s.running()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.monitors--
	for _, t := range slices.Clone(s.sets) {
		s.clean(t, running)
	}
}

// Close closes all descriptors that clients gave. What Open made is its
// callers'.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.sets {
		for _, m := range t.fds {
			unix.Close(m.fd)
		}
	}
	s.sets = nil
}
