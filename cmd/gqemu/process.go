package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// setProcessName changes the name that ps and top show, of the process's first
// thread. The kernel keeps 15 bytes of it.
func setProcessName(name string) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/self/task/%d/comm", os.Getpid()), []byte(name), 0); err != nil {
		return fmt.Errorf("Change of process name failed: %w", err)
	}
	return nil
}

// dieOf lets a signal that was caught have its own effect, so that the parent
// sees what the process died of. The result is the exit status where that does
// not come about.
func dieOf(s syscall.Signal) int {
	signal.Reset(s)
	if syscall.Kill(os.Getpid(), s) == nil {
		time.Sleep(time.Second) // it may arrive on another thread
	}
	return 128 + int(s)
}
