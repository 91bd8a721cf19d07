package boot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// source is a file that is read at load time, or a part of one.
type source struct {
	io.ReaderAt
	name string
	size uint64
}

// openKernel opens the kernel file with QEMU's errors.
func openKernel(name string) (*os.File, source, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, source{}, wrapLine(err, "qemu: could not open kernel file '%s': %s", name, strerror(err))
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = syscall.EISDIR
	case info.Size() > 0:
		return f, source{f, name, uint64(info.Size())}, nil
	}
	f.Close()
	return nil, source{}, kernelError(name, err)
}

func kernelError(name string, err error) error {
	return wrapLine(err, "qemu: could not load kernel '%s': %s", name, strerror(err))
}

func wrapLine(err error, format string, args ...any) error {
	e := linef(format, args...)
	e.Err = err
	return e
}

// openInitrd opens the RAM disk. QEMU maps the file with GLib, whose errors
// become part of the message.
func openInitrd(name string) (*os.File, source, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, source{}, wrapLine(err,
			"qemu: error reading initrd %s: Failed to open file “%s”: open() failed: %s", name, name, strerror(err))
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = unmappable(info)
	}
	if err != nil {
		f.Close()
		return nil, source{}, wrapLine(err,
			"qemu: error reading initrd %s: Failed to map %s' %s': mmap() failed: %s", name, name, name, strerror(err))
	}
	return f, source{f, name, uint64(info.Size())}, nil
}

// unmappable is why mmap refuses a file that is not a regular one.
func unmappable(info fs.FileInfo) error {
	if info.Size() == 0 {
		return syscall.EINVAL
	}
	return syscall.ENODEV
}

// copyChunk bounds the buffer that stands in for direct access to guest RAM.
const copyChunk = 256 << 10

var errShrunk = errors.New("the file became shorter while it was in use")

// copyTo reads n bytes at off of the source into guest memory at addr,
// straight into RAM where mem can give it.
func (s source) copyTo(mem Memory, off, n, addr uint64) error {
	r := io.NewSectionReader(s, int64(off), int64(n))
	if sl, ok := mem.(Slicer); ok && n > 0 {
		if window, err := sl.Slice(addr, n); err == nil && uint64(len(window)) == n {
			return readFull(r, window)
		}
	}
	buf := make([]byte, min(n, copyChunk))
	for n > 0 {
		part := buf[:min(n, uint64(len(buf)))]
		if err := readFull(r, part); err != nil {
			return err
		}
		if err := mem.WriteAt(part, addr); err != nil {
			return err
		}
		addr += uint64(len(part))
		n -= uint64(len(part))
	}
	return nil
}

func readFull(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errShrunk
	}
	return err
}

// zero clears n bytes of guest memory at addr.
func zero(mem Memory, addr, n uint64) error {
	if sl, ok := mem.(Slicer); ok && n > 0 {
		if window, err := sl.Slice(addr, n); err == nil && uint64(len(window)) == n {
			clear(window)
			return nil
		}
	}
	buf := make([]byte, min(n, copyChunk))
	for n > 0 {
		part := buf[:min(n, uint64(len(buf)))]
		if err := mem.WriteAt(part, addr); err != nil {
			return err
		}
		addr += uint64(len(part))
		n -= uint64(len(part))
	}
	return nil
}

// readAt reads n bytes at off, which the caller has bounded, into memory of
// ours. A range outside of the file is an error.
func (s source) readAt(off, n uint64) ([]byte, error) {
	if off > s.size || n > s.size-off {
		return nil, fmt.Errorf("%d bytes at %d are outside of the file", n, off)
	}
	b := make([]byte, n)
	return b, readFull(io.NewSectionReader(s, int64(off), int64(n)), b)
}
