package memory

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/internal/sys"
)

// RAM is a block of host memory that guests see. It is never Go memory: it
// is mapped shared from a memfd (or a file), since VDUSE and vhost-user
// refuse private memory, and without swap reservation.
type RAM struct {
	name     string
	data     []byte
	fd       int
	readonly bool
}

// NewAnonRAM makes size bytes of zeroed RAM on a memfd. Size is rounded up
// to the host page.
func NewAnonRAM(name string, size uint64) (*RAM, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory: memfd_create %s: %w", name, err)
	}
	size = PageAlign(size)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot set up guest memory '%s': %s", name, errno.Text(err))
	}
	return mapRAM(name, fd, size, true)
}

// NewFileRAM maps size bytes of an open file. With shared false, writes stay
// in this process. The file is duplicated, the caller keeps its own.
func NewFileRAM(name string, f *os.File, size uint64, shared bool) (*RAM, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("memory: dup %s: %w", f.Name(), err)
	}
	return mapRAM(name, fd, PageAlign(size), shared)
}

// NewROM makes a block that guests can only read, holding data padded with
// zeroes to a page.
func NewROM(name string, data []byte) (*RAM, error) {
	r, err := NewAnonRAM(name, uint64(len(data)))
	if err != nil {
		return nil, err
	}
	copy(r.data, data)
	r.readonly = true
	return r, nil
}

func mapRAM(name string, fd int, size uint64, shared bool) (*RAM, error) {
	flags := unix.MAP_SHARED
	if !shared {
		flags = unix.MAP_PRIVATE
	}
	// Aligned so that the kernel can back it with huge pages.
	data, err := sys.MmapAligned(fd, int(size), sys.HugePage, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_NORESERVE)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot set up guest memory '%s': %s", name, errno.Text(err))
	}
	return &RAM{name: name, data: data, fd: fd}, nil
}

// PageAlign rounds a length in bytes up to the host page size.
func PageAlign(n uint64) uint64 {
	p := uint64(os.Getpagesize())
	return (n + p - 1) &^ (p - 1)
}

// Name is the block's name.
func (r *RAM) Name() string { return r.name }

// Size is the length in bytes.
func (r *RAM) Size() uint64 { return uint64(len(r.data)) }

// Bytes is the host mapping. It may change under the reader: the guest
// writes it at any time.
func (r *RAM) Bytes() []byte { return r.data }

// FD is the file behind the block.
func (r *RAM) FD() int { return r.fd }

// HostAddr is where byte 0 is mapped in this process.
func (r *RAM) HostAddr() uintptr { return sys.Addr(r.data) }

// Close unmaps the block. Nothing may use it any more: the vCPUs are joined,
// the vDPA devices closed and the memory slots gone.
func (r *RAM) Close() error {
	if r.data == nil {
		return nil
	}
	err := sys.Munmap(r.data)
	r.data = nil
	if e := unix.Close(r.fd); err == nil {
		err = e
	}
	return err
}
