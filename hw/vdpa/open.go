package vdpa

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/qdev"
)

// OpenFunc makes a Backend of what the property vhostdev names. Errors have
// QEMU's texts.
type OpenFunc func(h *qdev.Host, vhostdev string) (Backend, error)

// fdsetPrefix stands before the number of a set of inherited descriptors.
const fdsetPrefix = "/dev/fdset/"

// Open opens a vhost-vdpa character device, or takes one from a set of
// descriptors that the machine holds.
func Open(h *qdev.Host, vhostdev string) (Backend, error) {
	fd, err := openFD(h, vhostdev)
	if err != nil {
		return nil, err
	}
	return NewKernel(fd, vhostdev), nil
}

func openFD(h *qdev.Host, path string) (int, error) {
	if set, ok := strings.CutPrefix(path, fdsetPrefix); ok {
		if n, err := strconv.ParseInt(set, 10, 32); err != nil || n < 0 {
			return -1, fmt.Errorf("Could not parse fdset %s", path)
		}
		if h.OpenFD != nil {
			return h.OpenFD(path)
		}
		return -1, &wordedError{
			fmt.Sprintf("Could not dup FD for %s flags %x: %s", path, unix.O_RDWR, errno.Text(unix.ENOENT)), unix.ENOENT,
		}
	}
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, &wordedError{fmt.Sprintf("Could not open '%s': %s", path, errno.Text(err)), err}
	}
	return fd, nil
}
