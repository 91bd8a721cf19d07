package system

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/internal/fdset"
)

// openFile opens a file for a chardev, or takes it from a descriptor set.
func (v *VM) openFile(path string, flags int, perm uint32) (int, error) {
	if fdset.Covers(path) {
		return v.fdsets.Open(path, flags)
	}
	for {
		fd, err := unix.Open(path, flags, perm)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// openFD opens a path below /dev/fdset for a device; see qdev.Host.
func (v *VM) openFD(path string) (int, error) { return v.fdsets.Open(path, unix.O_RDWR) }

// inherited tells whether the process was started with a descriptor that
// nothing of it has taken. Such a one has no close-on-exec; all that this
// process opened has.
func inherited(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}

// takeFD gives a descriptor to a device for good; see qdev.Host. What is no
// number is a name, as in QEMU, and a number is that of an inherited one: a
// client must not get at what is the program's own.
func (v *VM) takeFD(name string) (int, error) {
	if v.caller != nil && (name == "" || name[0] < '0' || name[0] > '9') {
		return namedFD(v.caller, name)
	}
	fd, err := strconv.ParseUint(name, 10, 31)
	switch {
	case err != nil:
		return -1, fmt.Errorf("Invalid file descriptor number '%s'", name)
	case fd <= 2:
		return -1, errors.New("fd cannot be a standard I/O stream")
	case !inherited(int(fd)):
		return -1, fmt.Errorf("File descriptor %d is not valid or already in use", fd)
	}
	unix.CloseOnExec(int(fd))
	return int(fd), nil
}

// countClients keeps descriptor sets for clients as long as there is one.
func (v *VM) countClients(present bool) {
	if present {
		v.fdsets.Connect()
	} else {
		v.fdsets.Disconnect()
	}
}

// createFDSets puts what -add-fd names into sets. The descriptors themselves
// are closed once all are duplicated, so that one may go into several sets.
func (v *VM) createFDSets() error {
	for _, f := range v.cfg.AddFDs {
		if err := v.addFD(f); err != nil {
			return at(f.Loc, err)
		}
	}
	closed := map[int]bool{} // the number may be another file's by now
	for _, f := range v.cfg.AddFDs {
		if !closed[f.FD] {
			closed[f.FD] = true
			_ = unix.Close(f.FD) // it was open a moment ago
		}
	}
	return nil
}

func (v *VM) addFD(f cli.AddFD) error {
	switch {
	case f.FD < 0:
		return errors.New("fd option is required and must be non-negative")
	case f.FD <= 2:
		return errors.New("fd cannot be a standard I/O stream")
	}
	if !inherited(f.FD) {
		return errors.New("fd is not valid or already in use")
	}
	if f.Set < 0 {
		return errors.New("set option is required and must be non-negative")
	}
	fd, err := unix.FcntlInt(uintptr(f.FD), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return errors.New("error duplicating fd: " + errno.Text(err))
	}
	set := int64(f.Set)
	if _, err := v.fdsets.Add(&set, fd, f.Opaque); err != nil {
		unix.Close(fd)
		return err
	}
	return nil
}
