package kvm

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/errno"
)

// ErrClosed is what methods of a closed VM return.
var ErrClosed = errors.New("kvm: the VM is closed")

// noModule is the failure to open the device.
func noModule(err error) error {
	return initFailed(err, "Could not access KVM kernel module: %s", errno.Text(err))
}

// initFailed is an accelerator that could not be made, for a reason in QEMU's
// words.
func initFailed(err error, format string, args ...any) error {
	return &accel.InitError{Detail: fmt.Sprintf(format, args...), Err: err}
}

// missing is a kernel that lacks something gqemu cannot do without.
func missing(name string) error {
	return initFailed(unix.EINVAL, "kvm does not support %s", name)
}
