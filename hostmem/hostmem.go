// Package hostmem is the memory backends: objects of the types
// memory-backend-ram, -memfd and -file that hold the host memory behind guest
// RAM.
//
// All of them map memory shared and without swap reservation, whatever share=
// says for -ram: vhost-vdpa pins it and VDUSE refuses private memory. Only
// memory-backend-file with share=off is private, because the file must not
// change.
package hostmem

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qom"
)

// Backend is one memory backend. Its properties are set first; Complete
// allocates.
type Backend struct {
	qom.State
	size               uint64
	share, merge, dump bool
	prealloc, reserve  bool
	nodes              bool // host-nodes names some
	policy             string
	hugetlb, seal      bool
	hugetlbSize        uint64
	path               string
	align, offset      uint64
	discardData        bool
	readonly           bool
	canonicalPath      bool
	preallocThreads    uint32
	ram                *memory.RAM
	mapped             bool
}

// New makes a backend of the named type and size in bytes, allocated, without
// a parent.
func New(r *qom.Registry, typ string, size uint64) (*Backend, error) {
	o, err := r.New(typ)
	if err != nil {
		return nil, err
	}
	b := o.(*Backend)
	b.size = size
	return b, nil
}

// Complete allocates the memory once all properties are set and the object
// has its name.
func (b *Backend) Complete() error {
	if b.size == 0 {
		return fmt.Errorf("can't create backend with size 0")
	}
	switch {
	case b.policy != "default" && !b.nodes:
		return fmt.Errorf("host-nodes must be set for policy %s", b.policy)
	case b.policy != "default":
		return errBinding
	case b.nodes:
		return errors.New("host-nodes must be empty for policy default, or you should explicitly specify a " +
			"policy other than default")
	}
	var err error
	switch b.TypeName() {
	case "memory-backend-file":
		b.ram, err = b.openFile()
	case "memory-backend-memfd":
		b.ram, err = b.newMemfd()
	default:
		// A memfd is never accounted for in advance; QEMU's memory is.
		if b.reserve {
			if err := sys.CheckReserve(b.size); err != nil {
				return fmt.Errorf("cannot set up guest memory '%s': %s", b.Name(), errno.Text(err))
			}
		}
		b.ram, err = memory.NewAnonRAM(b.Name(), b.size)
	}
	if err != nil {
		return err
	}
	if !b.dump {
		b.advise(unix.MADV_DONTDUMP)
	}
	if b.merge {
		b.advise(unix.MADV_MERGEABLE)
	}
	return b.preallocate(b.prealloc)
}

func (b *Backend) setMerge(on bool) error {
	advice := unix.MADV_UNMERGEABLE
	if on {
		advice = unix.MADV_MERGEABLE
	}
	b.advise(advice)
	return nil
}

func (b *Backend) setDump(on bool) error {
	advice := unix.MADV_DONTDUMP
	if on {
		advice = unix.MADV_DODUMP
	}
	b.advise(advice)
	return nil
}

// preallocate has the kernel find all pages now. What is there stays.
func (b *Backend) preallocate(on bool) error {
	if !on {
		return nil
	}
	if err := unix.Madvise(b.ram.Bytes(), unix.MADV_POPULATE_WRITE); err != nil {
		return fmt.Errorf("preallocating memory failed: %w", err)
	}
	return nil
}

// advise passes on what the kernel may ignore, as it does with merge on a
// kernel without KSM.
func (b *Backend) advise(advice int) { _ = unix.Madvise(b.ram.Bytes(), advice) }

func (b *Backend) newMemfd() (*memory.RAM, error) {
	flags := unix.MFD_CLOEXEC
	if b.seal {
		flags |= unix.MFD_ALLOW_SEALING
	}
	if b.hugetlb {
		flags |= unix.MFD_HUGETLB
		if n := b.hugetlbSize; n != 0 {
			if n&(n-1) != 0 {
				return nil, fmt.Errorf("Hugepage size must be a power of 2")
			}
			for shift := uint64(0); ; shift++ {
				if n == 1<<shift {
					flags |= int(shift << unix.MFD_HUGE_SHIFT)
					break
				}
			}
		}
	}
	fd, err := unix.MemfdCreate("memory-backend-memfd", flags)
	if err != nil {
		return nil, fmt.Errorf("failed to create memfd: %w", err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	defer f.Close()
	if err := f.Truncate(int64(memory.PageAlign(b.size))); err != nil {
		return nil, fmt.Errorf("failed to resize memfd to %d: %w", b.size, err)
	}
	if b.seal {
		if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL); err != nil {
			return nil, fmt.Errorf("failed to seal memfd: %w", err)
		}
	}
	return memory.NewFileRAM(b.Name(), f, b.size, true)
}

func (b *Backend) openFile() (*memory.RAM, error) {
	if b.path == "" {
		return nil, fmt.Errorf("mem-path property not set")
	}
	if b.offset != 0 || b.readonly {
		return nil, fmt.Errorf("memory-backend-file: offset and readonly are not supported")
	}
	switch page := uint64(os.Getpagesize()); {
	case b.align%page != 0:
		return nil, fmt.Errorf("alignment 0x%x must be multiples of page size 0x%x", b.align, page)
	case b.align&(b.align-1) != 0:
		return nil, fmt.Errorf("alignment 0x%x must be a power of two", b.align)
	}
	f, err := openBacking(b.path)
	if err != nil {
		return nil, &BackingError{Path: b.path, Err: err}
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, &BackingError{Path: b.path, Err: err}
	}
	if st.Mode().IsRegular() {
		switch n := uint64(st.Size()); {
		case n == 0:
			err = f.Truncate(int64(memory.PageAlign(b.size)))
		case n < b.size:
			err = fmt.Errorf("backing store size 0x%x does not match 'size' option 0x%x", n, b.size)
		}
		if err != nil {
			return nil, err
		}
	}
	return memory.NewFileRAM(b.Name(), f, b.size, b.share)
}

// openBacking opens the file, or makes one that has no name in a directory.
func openBacking(path string) (*os.File, error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		fd, err := unix.Open(path, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), path), nil
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
}

// BackingError is a file that cannot back guest RAM.
type BackingError struct {
	Path string
	Err  error
}

func (e *BackingError) Error() string {
	return fmt.Sprintf("can't open backing store %s for guest RAM: %s", e.Path, errno.Text(e.Err))
}

func (e *BackingError) Unwrap() error { return e.Err }

// RAM is the memory, nil before Complete.
func (b *Backend) RAM() *memory.RAM { return b.ram }

// Size is the size in bytes.
func (b *Backend) Size() uint64 { return b.size }

// Claim takes the backend for one user.
func (b *Backend) Claim() error {
	if b.mapped {
		return fmt.Errorf("memory backend '%s' is used multiple times. Each -numa option must use a different memdev value.", b.Name())
	}
	b.mapped = true
	return nil
}

// Claimed tells whether the backend has a user.
func (b *Backend) Claimed() bool { return b.mapped }

// Release frees the memory; nothing may use it any more.
func (b *Backend) Release() error {
	if b.ram == nil {
		return nil
	}
	err := b.ram.Close()
	b.ram = nil
	return err
}
