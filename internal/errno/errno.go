// Package errno words operating system errors as the C library does, since
// that is how QEMU's messages end and what its clients know.
package errno

import (
	"errors"
	"syscall"
)

// Text is the text of the errno in err's chain, or err's own text where there
// is none. Go's texts are the C library's but for the first letter's case.
func Text(err error) string {
	var no syscall.Errno
	if !errors.As(err, &no) {
		return err.Error()
	}
	s := []byte(no.Error())
	if len(s) > 0 && s[0] >= 'a' && s[0] <= 'z' {
		s[0] -= 'a' - 'A'
	}
	return string(s)
}
