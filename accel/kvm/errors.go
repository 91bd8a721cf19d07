package kvm

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/sys"
)

// InitError says why there is no KVM to run on. Lines is what QEMU prints on
// standard error, without the program's name.
type InitError struct {
	Lines []string
	Err   error
}

func (e *InitError) Error() string { return strings.Join(e.Lines, "\n") }

// Unwrap gives the cause, an errno where there is one.
func (e *InitError) Unwrap() error { return e.Err }

// ErrClosed is what methods of a closed VM return.
var ErrClosed = errors.New("kvm: the VM is closed")

// noModule is the failure to open the device.
func noModule(err error) error {
	text := sys.Strerror(err)
	return &InitError{
		Lines: []string{"Could not access KVM kernel module: " + text, "failed to initialize kvm: " + text},
		Err:   err,
	}
}

// initFailed is a failure after the device was opened. line is the reason.
func initFailed(err error, format string, args ...any) error {
	text := sys.Strerror(err)
	return &InitError{
		Lines: []string{fmt.Sprintf(format, args...), "failed to initialize kvm: " + text},
		Err:   err,
	}
}

// missing is a kernel that lacks something gqemu cannot do without.
func missing(name string) error {
	return initFailed(unix.EINVAL, "kvm does not support %s", name)
}
