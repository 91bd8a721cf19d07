package system

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/qapi"
)

// saveRetry is how often a FIFO is tried until somebody reads from it.
const saveRetry = 20 * time.Millisecond

// createFile opens a file that a command writes to. A FIFO that nobody reads
// from is waited for until ctx is done. The VM lock is let go meanwhile.
func (v *VM) createFile(ctx context.Context, path string, perm uint32,
	open func(path string, flags int, perm uint32) (int, error)) (*os.File, error) {
	v.mu.Unlock()
	defer v.mu.Lock()
	for {
		fd, err := open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC|unix.O_NONBLOCK, perm)
		if err == nil {
			return outputFile(fd, path), nil
		}
		var st unix.Stat_t
		if err != unix.ENXIO || unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(saveRetry):
		}
	}
}

// outputFile makes a file of fd whose writes [writeUntil] can end.
func outputFile(fd int, name string) *os.File {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && (st.Mode&unix.S_IFMT == unix.S_IFIFO || st.Mode&unix.S_IFMT == unix.S_IFSOCK) {
		_ = unix.SetNonblock(fd, true) // otherwise a reader that stalls holds up the end of the VM
	}
	return os.NewFile(uintptr(fd), name)
}

// writeUntil makes writes to f fail when ctx is done, until stop is called.
func writeUntil(ctx context.Context, f *os.File) (stop func() bool) {
	// A file that knows no deadline does not block.
	return context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Unix(1, 0)) })
}

// savePiece is how much memory is read at once, in bytes. Others get the VM
// lock before the next piece.
const savePiece = 1 << 20

// saveTo writes size bytes to f. read fills p with what is at offset, with the
// VM lock held, and says how much of it there is; the lock is let go during
// writes.
func (v *VM) saveTo(ctx context.Context, f *os.File, size int64, read func(p []byte, offset int64) (int, error)) error {
	defer f.Close()
	defer writeUntil(ctx, f)()
	buf := make([]byte, min(size, savePiece))
	for at := int64(0); at < size; {
		p := buf[:min(size-at, savePiece)]
		n, err := read(p, at)
		v.mu.Unlock()
		_, werr := f.Write(p[:n])
		v.mu.Lock()
		switch {
		case err != nil:
			return err
		case werr != nil || v.ending:
			return errSave
		}
		at += int64(n)
	}
	if err := f.Close(); err != nil {
		return errSave
	}
	return nil
}

var errSave = qapi.Errorf("An IO error has occurred")
