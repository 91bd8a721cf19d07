package main

import (
	"fmt"
	"os"
)

// setProcessName changes the name that ps and top show, of the process's first
// thread. The kernel keeps 15 bytes of it.
func setProcessName(name string) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/self/task/%d/comm", os.Getpid()), []byte(name), 0); err != nil {
		return fmt.Errorf("Change of process name failed: %w", err)
	}
	return nil
}
