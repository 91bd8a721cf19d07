package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// HugePage is the size in bytes of the pages that memory should be aligned
// to, so that the kernel can back it with few physical pieces.
const HugePage = 2 << 20

// MmapAligned maps length bytes of a file at an address that is a multiple
// of align, a power of two. Munmap undoes it.
func MmapAligned(fd, length, align, prot, flags int) ([]byte, error) {
	// Take more than is needed, put the file where it fits, and give the
	// rest back.
	n := uintptr(length+align-1) &^ (uintptr(unix.Getpagesize()) - 1)
	p, err := unix.MmapPtr(-1, 0, nil, n, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	before := -uintptr(p) & uintptr(align-1)
	at := unsafe.Add(p, before)
	if _, err := unix.MmapPtr(fd, 0, at, uintptr(length), prot, flags|unix.MAP_FIXED); err != nil {
		_ = unix.MunmapPtr(p, n)
		return nil, err
	}
	if before > 0 {
		_ = unix.MunmapPtr(p, before)
	}
	used := (before + uintptr(length) + uintptr(unix.Getpagesize()) - 1) &^ (uintptr(unix.Getpagesize()) - 1)
	if used < n {
		_ = unix.MunmapPtr(unsafe.Add(p, used), n-used)
	}
	return unsafe.Slice((*byte)(at), length), nil
}

// CheckReserve tells whether the kernel would promise length bytes of memory to
// this process, under the overcommit policy in force (proc(5),
// /proc/sys/vm/overcommit_memory). Nothing is kept.
func CheckReserve(length uint64) error {
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(length), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	return unix.MunmapPtr(p, uintptr(length))
}

// Munmap takes back what MmapAligned mapped.
func Munmap(b []byte) error {
	return unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)))
}
