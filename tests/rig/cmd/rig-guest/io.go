package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ioVerb reads or writes a file or device directly, some requests at a time,
// and prints
//
//	IO requests=N seconds=S
func ioVerb(args []string) error {
	fs := flag.NewFlagSet("io", flag.ContinueOnError)
	write := fs.Bool("write", false, "write instead of read")
	sequential := fs.Bool("seq", false, "one after the other instead of at random")
	depth := fs.Int("depth", 1, "requests at a time")
	size := fs.Int("bs", 4096, "bytes of a request")
	span := fs.Int64("mib", 64, "the first `MiB` of the file are used")
	duration := fs.Duration("for", 2*time.Second, "how long")
	if err := fs.Parse(args); err != nil || fs.NArg() != 1 {
		return errors.Join(err, errors.New("usage: io [flags] FILE"))
	}
	if *size <= 0 || *depth <= 0 || *span<<20 < int64(*size) {
		return errors.New("a request that does not fit")
	}
	// Nothing is made while it runs, so there is nothing to collect.
	debug.SetGCPercent(-1)
	fd, err := unix.Open(fs.Arg(0), unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: fs.Arg(0), Err: err}
	}
	defer unix.Close(fd)
	slots := *span << 20 / int64(*size)
	var next, done atomic.Int64
	var failed atomic.Value
	start := time.Now()
	end := start.Add(*duration)
	var wg sync.WaitGroup
	for worker := range *depth {
		// Page-aligned, which direct requests need.
		buf, err := unix.Mmap(-1, 0, *size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return err
		}
		rnd := rand.New(rand.NewPCG(uint64(worker), 0))
		fill(buf, rnd)
		wg.Go(func() {
			for time.Now().Before(end) && failed.Load() == nil {
				slot := rnd.Int64N(slots)
				if *sequential {
					slot = (next.Add(1) - 1) % slots
				}
				call := unix.Pread
				if *write {
					call = unix.Pwrite
				}
				n, err := call(fd, buf, slot*int64(*size))
				if err == nil && n != *size {
					err = fmt.Errorf("%d of %d bytes", n, *size)
				}
				if err != nil {
					failed.Store(fmt.Errorf("at %d: %w", slot*int64(*size), err))
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if err, ok := failed.Load().(error); ok {
		return err
	}
	fmt.Printf("IO requests=%d seconds=%.3f\n", done.Load(), time.Since(start).Seconds())
	return nil
}
