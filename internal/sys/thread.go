package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// Gettid is the calling thread's id. It means something only to a goroutine
// locked to its thread, or in comparison with such a goroutine's id.
func Gettid() int { return unix.Gettid() }

// Tgkill sends a signal to one thread of this process.
func Tgkill(tid int, sig unix.Signal) error {
	return os.NewSyscallError("tgkill", unix.Tgkill(os.Getpid(), tid, sig))
}
