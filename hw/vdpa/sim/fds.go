package sim

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dupEventfd takes a reference of its own on an eventfd, as the kernel does.
// fd -1 is none.
func dupEventfd(fd int) (int, error) {
	if fd == -1 {
		return -1, nil
	}
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, syscall.EBADF
	}
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", n))
	if err == nil && !strings.HasPrefix(link, "anon_inode:[eventfd]") {
		unix.Close(n)
		return -1, syscall.EINVAL
	}
	return n, nil
}

func closeFD(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

// signal adds one to an eventfd. A count at its maximum has been signalled
// well enough.
func signal(fd int) {
	if fd < 0 {
		return
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	for {
		if _, err := unix.Write(fd, one[:]); err != unix.EINTR {
			return
		}
	}
}
