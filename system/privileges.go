package system

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/internal/errno"
)

// dropPrivileges changes root and user once the machine stands, as -run-with
// chroot= and -runas ask. All threads change: package syscall sees to it.
func (v *VM) dropPrivileges() error {
	if v.cfg.MemLock {
		if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE); err != nil {
			v.report("mlockall: " + errno.Text(err))
			return errors.New("locking memory failed")
		}
	}
	if v.cfg.HasChroot {
		if err := unix.Chroot(v.cfg.Chroot); err != nil {
			return errors.New("chroot failed")
		}
		if err := unix.Chdir("/"); err != nil {
			return fmt.Errorf("not able to chdir to /: %s", errno.Text(err))
		}
	}
	if v.cfg.RunAs != nil {
		return becomeUser(v.cfg.RunAs)
	}
	return nil
}

// becomeUser gives up all rights but u's, for good.
func becomeUser(u *cli.RunAs) error {
	groups := []int{u.GID}
	if u.Name != "" {
		// Looked up again: the other groups are needed now.
		if acc, err := user.Lookup(u.Name); err == nil {
			if ids, err := acc.GroupIds(); err == nil {
				for _, id := range ids {
					if n, err := strconv.Atoi(id); err == nil && n != u.GID {
						groups = append(groups, n)
					}
				}
			}
		}
	}
	if err := syscall.Setgid(u.GID); err != nil {
		return fmt.Errorf("Failed to setgid(%d)", u.GID)
	}
	if err := syscall.Setgroups(groups); err != nil {
		if u.Name != "" {
			return fmt.Errorf("Failed to initgroups(\"%s\", %d)", u.Name, u.GID)
		}
		return fmt.Errorf("Failed to setgroups(1, [%d])", u.GID)
	}
	if err := syscall.Setuid(u.UID); err != nil {
		return fmt.Errorf("Failed to setuid(%d)", u.UID)
	}
	if syscall.Setuid(0) == nil {
		return errors.New("Dropping privileges failed")
	}
	return nil
}
