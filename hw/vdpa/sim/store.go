package sim

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/errno"
)

// store is what a block device keeps its data in: a file, a block device or
// anonymous memory, which is a file too. Several goroutines use it at once, but
// for resize.
type store struct {
	fd     int
	size   uint64 // bytes, whole sectors
	memory bool
	// Some files cannot punch holes or zero a range.
	noPunch, noZero atomic.Bool
	// noCached: it cannot tell what is in memory.
	noCached atomic.Bool
}

// newMemory makes a store of size bytes that is all zeroes and takes memory
// as it is written.
func newMemory(name string, size uint64) (*store, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("failed to create memfd: %s", errno.Text(err))
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("failed to resize memfd to %d: %s", size, errno.Text(err))
	}
	return &store{fd: fd, size: size, memory: true}, nil
}

// openStore opens a raw image or a block device. fdset opens what is below
// /dev/fdset, nil where there is nothing.
func openStore(path string, readOnly bool, fdset func(string) (int, error)) (*store, error) {
	// A FIFO, which is refused, must not keep its opener waiting.
	flags := unix.O_RDWR | unix.O_CLOEXEC | unix.O_NONBLOCK
	if readOnly {
		flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK
	}
	var fd int
	var err error
	if strings.HasPrefix(path, "/dev/fdset/") && fdset != nil {
		if fd, err = fdset(path); err != nil {
			return nil, err
		}
	} else if err = again(func() (err error) { fd, err = unix.Open(path, flags, 0); return err }); err != nil {
		return nil, fmt.Errorf("Could not open '%s': %s", path, errno.Text(err))
	}
	s := &store{fd: fd}
	if err := s.check(path, readOnly); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return s, nil
}

// check finds the size and takes the file for this process.
func (s *store) check(path string, readOnly bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(s.fd, &st); err != nil {
		return fmt.Errorf("Could not open '%s': %s", path, errno.Text(err))
	}
	if t := st.Mode & unix.S_IFMT; t != unix.S_IFREG && t != unix.S_IFBLK {
		return fmt.Errorf("'%s' is neither a regular file nor a block device", path)
	}
	// The end is the size of a block device as well.
	end, err := unix.Seek(s.fd, 0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("Could not get the size of '%s': %s", path, errno.Text(err))
	}
	s.size = uint64(end) &^ (sectorSize - 1)
	if s.size == 0 {
		return fmt.Errorf("'%s' is smaller than one sector", path)
	}
	return s.lock(path, readOnly)
}

// QEMU's image locking: a process that uses a permission holds a shared lock
// on byte 100 plus its number, one that shares it with nobody on byte 200 plus
// its number.
const (
	lockUses, lockKeeps = 100, 200

	permRead, permWrite, permResize = 0, 1, 3
)

// lock takes the image in the way QEMU does, so that neither QEMU nor gqemu
// uses it a second time.
func (s *store) lock(path string, readOnly bool) error {
	uses := []int64{permRead, permWrite}
	if readOnly {
		uses = uses[:1]
	}
	keeps := []int64{permWrite, permResize}
	shared := func(off int64) error {
		return unix.FcntlFlock(uintptr(s.fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Start: off, Len: 1})
	}
	taken := func(off int64) bool {
		l := unix.Flock_t{Type: unix.F_WRLCK, Start: off, Len: 1}
		return unix.FcntlFlock(uintptr(s.fd), unix.F_OFD_GETLK, &l) == nil && l.Type != unix.F_UNLCK
	}
	names := map[int64]string{permRead: "consistent read", permWrite: "write", permResize: "resize"}
	failed := func(what string, perm int64) error {
		return fmt.Errorf("Failed to get %s\"%s\" lock\nIs another process using the image [%s]?", what, names[perm], path)
	}
	for _, p := range uses {
		if err := shared(lockUses + p); err != nil && !noLocks(err) {
			return failed("", p)
		}
	}
	for _, p := range keeps {
		if err := shared(lockKeeps + p); err != nil && !noLocks(err) {
			return failed("shared ", p)
		}
	}
	for _, p := range uses {
		if taken(lockKeeps + p) {
			return failed("", p)
		}
	}
	for _, p := range keeps {
		if taken(lockUses + p) {
			return failed("shared ", p)
		}
	}
	return nil
}

// noLocks tells whether a file system has no locks, which QEMU lets pass.
func noLocks(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.EOPNOTSUPP)
}

func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// maxVectors is how many buffers one call takes (IOV_MAX).
const maxVectors = 1024

// transfer makes calls until all of list is done. It changes list.
func transfer(list [][]byte, off int64, call func(list [][]byte, off int64) (int, error)) error {
	for len(list) > 0 {
		if len(list[0]) == 0 {
			list = list[1:]
			continue
		}
		var n int
		err := again(func() (err error) { n, err = call(list[:min(len(list), maxVectors)], off); return err })
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		off += int64(n)
		for n > 0 {
			k := min(n, len(list[0]))
			n -= k
			if list[0] = list[0][k:]; len(list[0]) == 0 {
				list = list[1:]
			}
		}
	}
	return nil
}

func (s *store) read(list [][]byte, off int64) error {
	return transfer(list, off, func(list [][]byte, off int64) (int, error) { return unix.Preadv(s.fd, list, off) })
}

// readCached reads n bytes if all of them are in memory, and does nothing that
// counts otherwise. known is false where the file cannot tell.
func (s *store) readCached(list [][]byte, n uint64, off int64) (done, known bool) {
	if s.noCached.Load() || len(list) > maxVectors {
		return false, false
	}
	k, err := unix.Preadv2(s.fd, list, off, unix.RWF_NOWAIT)
	if unsupported(err) {
		s.noCached.Store(true)
		return false, false
	}
	return err == nil && uint64(k) == n, true
}

// write writes; with through the data is on the medium when it returns.
func (s *store) write(list [][]byte, off int64, through bool) error {
	flags := 0
	if through && !s.memory {
		flags = unix.RWF_DSYNC
	}
	return transfer(list, off, func(list [][]byte, off int64) (int, error) { return unix.Pwritev2(s.fd, list, off, flags) })
}

func (s *store) flush() error {
	if s.memory {
		return nil
	}
	return again(func() error { return unix.Fdatasync(s.fd) })
}

func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV)
}

// punch gives the space of a range back; it reads zeroes then. ok is false
// where the file cannot do that.
func (s *store) punch(off, n int64) (ok bool, err error) {
	if s.noPunch.Load() {
		return false, nil
	}
	err = again(func() error {
		return unix.Fallocate(s.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
	if unsupported(err) {
		s.noPunch.Store(true)
		return false, nil
	}
	return err == nil, err
}

// discard tells that nobody needs what is in a range. To do nothing is a way
// to do that (virtio 1.2 section 5.2.6.2).
func (s *store) discard(off, n int64) error {
	_, err := s.punch(off, n)
	return err
}

// zero makes a range read zeroes, and gives its space back where that is
// wanted.
func (s *store) zero(off, n int64, unmap bool) error {
	if unmap || s.memory {
		if ok, err := s.punch(off, n); ok || err != nil {
			return err
		}
	}
	if !s.noZero.Load() {
		err := again(func() error {
			return unix.Fallocate(s.fd, unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		})
		if !unsupported(err) {
			return err
		}
		s.noZero.Store(true)
	}
	zeroes := make([]byte, min(n, 1<<20))
	for n > 0 {
		k := min(n, int64(len(zeroes)))
		if err := s.write([][]byte{zeroes[:k]}, off, false); err != nil {
			return err
		}
		off, n = off+k, n-k
	}
	return nil
}

// resize changes the size of a memory store. What is beyond the end is lost.
func (s *store) resize(size uint64) error {
	if err := unix.Ftruncate(s.fd, int64(size)); err != nil {
		return fmt.Errorf("failed to resize memfd to %d: %s", size, errno.Text(err))
	}
	s.size = size
	return nil
}

func (s *store) close() { unix.Close(s.fd) }
