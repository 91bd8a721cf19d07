package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/errno"
)

// writePidfile writes the process id to a file and holds a lock on it, so
// that two machines do not share one. remove deletes it.
func writePidfile(path string) (remove func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	fail := func(what string, err error) (func(), error) {
		return nil, fmt.Errorf("cannot create PID file: %s: %s", what, errno.Text(err))
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fail("Could not create '"+path+"'", err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock); err != nil {
		f.Close()
		return fail("Cannot lock pid file", err)
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return fail("Failed to truncate pid file", err)
	}
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil {
		f.Close()
		return fail("Failed to write pid file", err)
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs // the daemon changes its directory
	}
	// The lock lasts as long as the descriptor is open.
	return func() {
		os.Remove(path)
		f.Close()
	}, nil
}
