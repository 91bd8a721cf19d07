package system

import (
	"fmt"
	"io"
	"os"

	"github.com/gqemu/gqemu/internal/errno"
)

// readBounded reads a file of at most limit bytes. Errors are worded as by the
// library with which QEMU reads such files.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("can't load %s: Failed to open file “%s”: %s", name, name, errno.Text(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		what := "Failed to read from file"
		if info, statErr := f.Stat(); statErr == nil && !info.Mode().IsRegular() {
			what = "Error reading file"
		}
		return nil, fmt.Errorf("can't load %s: %s “%s”: %s", name, what, name, errno.Text(err))
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("can't load %s: it is longer than %d bytes", name, limit)
	}
	return data, nil
}
