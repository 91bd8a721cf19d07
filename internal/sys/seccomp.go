package sys

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SeccompNativeABI ends the process, from now on and for all threads, when it
// makes a system call of another ABI than its own, such as one of 32-bit x86.
// Filters that list system calls by number need it. no_new_privs must be set.
func SeccompNativeABI() error {
	if runtime.GOARCH != "amd64" {
		return errors.New("not on " + runtime.GOARCH)
	}
	const archOffset = 4 // of arch in struct seccomp_data
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: archOffset},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.AUDIT_ARCH_X86_64, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	f := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	// A positive result is the id of a thread that could not follow.
	id, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&f)))
	runtime.KeepAlive(prog)
	switch {
	case errno != 0:
		return errno
	case id != 0:
		return errors.New("a thread has a filter of its own")
	}
	return nil
}
