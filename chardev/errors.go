package chardev

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Error is an error of this package whose text is QEMU's.
type Error struct {
	Desc string // one line without a newline: the desc of a QMP error
	Hint string // what QEMU prints on a terminal below Desc, each line ended by "\n"; often empty
	Err  error  // the cause, usually a unix.Errno; nil where there is none
}

// Error returns Desc.
func (e *Error) Error() string { return e.Desc }

// ErrorHint returns Hint.
func (e *Error) ErrorHint() string { return e.Hint }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// errorf makes an Error without a cause.
func errorf(format string, args ...any) *Error {
	return &Error{Desc: fmt.Sprintf(format, args...)}
}

// errnoError makes an Error that ends in the text of err's errno.
func errnoError(err error, format string, args ...any) *Error {
	return &Error{Desc: fmt.Sprintf(format, args...) + ": " + strerror(err), Err: err}
}

// strerror is the C library's text for err's errno: Go's begins with a small letter.
func strerror(err error) string {
	var errno unix.Errno
	text := err.Error()
	if errors.As(err, &errno) {
		text = errno.Error()
	}
	if text != "" && 'a' <= text[0] && text[0] <= 'z' {
		text = string(text[0]-'a'+'A') + text[1:]
	}
	return text
}
