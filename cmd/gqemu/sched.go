package main

import (
	"os"
	"runtime"
)

// oneProcessor lets goroutines run one at a time, unless GOMAXPROCS says how
// many. Where no guest code runs all work is done under the VM lock, and then a
// second processor only makes each hand-over from one goroutine to the next a
// wake-up of a sleeping thread: a QMP command takes twice as long.
func oneProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}
