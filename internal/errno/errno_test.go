package errno

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
)

func TestTextIsTheCLibrarys(t *testing.T) {
	for err, want := range map[error]string{
		syscall.ENOENT:                         "No such file or directory",
		syscall.EIO:                            "Input/output error",
		fmt.Errorf("open: %w", syscall.EACCES): "Permission denied",
		errors.New("odd"):                      "odd",
	} {
		if got := Text(err); got != want {
			t.Errorf("Text(%v) = %q, want %q", err, got, want)
		}
	}
}
