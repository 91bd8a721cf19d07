package boot

import (
	"errors"
	"fmt"
	"syscall"
)

// Error is a message for the user about a kernel, a RAM disk or a command
// line that cannot be used.
type Error struct {
	Msg string
	// Verbatim messages are complete lines: QEMU prints them without the
	// name of the program in front (most of them begin with "qemu: ").
	Verbatim bool
	// Err is the cause, if there is one.
	Err error
}

func (e *Error) Error() string { return e.Msg }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// linef makes an error whose text is the whole line.
func linef(format string, args ...any) *Error {
	return &Error{Msg: fmt.Sprintf(format, args...), Verbatim: true}
}

// strerror is the C library's text for the errno in err, or "Success" for
// none, as QEMU prints when no call has failed.
func strerror(err error) string {
	if err == nil {
		return "Success"
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	text := []byte(errno.Error())
	// Go's texts are C's with the first letter lowered.
	if len(text) > 0 && 'a' <= text[0] && text[0] <= 'z' {
		text[0] -= 'a' - 'A'
	}
	return string(text)
}
