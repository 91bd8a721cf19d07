package sys

import (
	"errors"
	"os"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Gettid is the calling thread's id. It means something only to a goroutine
// locked to its thread, or in comparison with such a goroutine's id.
func Gettid() int { return unix.Gettid() }

// Tgkill sends a signal to one thread of this process.
func Tgkill(tid int, sig unix.Signal) error {
	return os.NewSyscallError("tgkill", unix.Tgkill(os.Getpid(), tid, sig))
}

// Strerror is the C library's text for the errno in err ("Invalid argument",
// where Go says "invalid argument"), or err's own text when there is none.
func Strerror(err error) string {
	var e unix.Errno
	if !errors.As(err, &e) {
		return err.Error()
	}
	s := e.Error()
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}
