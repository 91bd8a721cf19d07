package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// trimDelay is how long after start-up its pages are given back: a client that
// has just connected has its answer by then.
const trimDelay = 100 * time.Millisecond

// trimLater gives back what only the start-up needed, once that is over. stop
// ends the wait.
func trimLater() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-time.After(trimDelay):
			// It is a saving, and no loss if it fails.
			_ = trim()
		case <-quit:
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// trim unmaps the pages of the program's file that are resident and were not
// written to. Most were read ahead or used during start-up only; what is needed
// again comes from the page cache. It halves the memory of an idle process.
func trim() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[5] != program || f[1] != "r-xp" && f[1] != "r--p" {
			continue
		}
		var start, end uintptr
		if _, err := fmt.Sscanf(f[0], "%x-%x", &start, &end); err != nil {
			return err
		}
		if _, _, e := unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED); e != 0 {
			return e
		}
	}
	return nil
}
