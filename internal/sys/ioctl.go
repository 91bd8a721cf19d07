package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ioctl makes an ioctl whose argument is a number, and returns the call's
// result. Errors are bare errnos; the caller says what it was doing. An
// interrupted call is not repeated, for EINTR is how a vCPU is stopped.
//
// It uses syscall.Syscall and never RawSyscall: the Go scheduler must know
// of a call that may block.
func Ioctl(fd int, req uintptr, arg uintptr) (int, error) {
	r, _, e := syscall.Syscall(unix.SYS_IOCTL, uintptr(fd), req, arg)
	if e != 0 {
		return 0, e
	}
	return int(r), nil
}

// IoctlPtr makes an ioctl whose argument points to a structure. A pointer
// inside the structure must lead to memory that Go does not manage.
func IoctlPtr[T any](fd int, req uintptr, arg *T) (int, error) {
	r, _, e := syscall.Syscall(unix.SYS_IOCTL, uintptr(fd), req, uintptr(unsafe.Pointer(arg)))
	if e != 0 {
		return 0, e
	}
	return int(r), nil
}

// IoctlBytes makes an ioctl on a structure that ends in a flexible array,
// built in a byte slice. arg is not empty.
func IoctlBytes(fd int, req uintptr, arg []byte) (int, error) {
	return IoctlPtr(fd, req, &arg[0])
}

// Directions of an ioctl number, as the asm-generic ioctl.h has them.
const (
	iocNone  = 0
	iocWrite = 1
	iocRead  = 2
)

func ioc(dir, typ, nr, size uintptr) uintptr { return dir<<30 | size<<16 | typ<<8 | nr }

// IO is the number of an ioctl without a structure, _IO in C.
func IO(typ, nr uintptr) uintptr { return ioc(iocNone, typ, nr, 0) }

// IOR is the number of an ioctl by which the kernel fills a T, _IOR in C.
func IOR[T any](typ, nr uintptr) uintptr { return ioc(iocRead, typ, nr, Sizeof[T]()) }

// IOW is the number of an ioctl that takes a T, _IOW in C.
func IOW[T any](typ, nr uintptr) uintptr { return ioc(iocWrite, typ, nr, Sizeof[T]()) }

// IOWR is the number of an ioctl that takes a T and fills it, _IOWR in C.
func IOWR[T any](typ, nr uintptr) uintptr { return ioc(iocRead|iocWrite, typ, nr, Sizeof[T]()) }

// IOWSize and IOWRSize are IOW and IOWR of a structure given by its size in
// bytes: C counts a flexible array as nothing.
func IOWSize(typ, nr, size uintptr) uintptr { return ioc(iocWrite, typ, nr, size) }

// IOWRSize: see IOWSize.
func IOWRSize(typ, nr, size uintptr) uintptr { return ioc(iocRead|iocWrite, typ, nr, size) }

// Sizeof is the size of a T in bytes.
func Sizeof[T any]() uintptr {
	var t T
	return unsafe.Sizeof(t)
}

// Bytes is the memory of *p. T has no pointers.
func Bytes[T any](p *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p))
}
