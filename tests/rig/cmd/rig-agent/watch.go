package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gqemu/gqemu/tests/rig/wire"
)

// A guest that runs at an address of L1's (rig.ErrEmulation) takes tens of
// thousands of faults a second, and will for ever. A sound guest takes all its
// page faults itself: those that KVM injects are a few at boot.
const (
	faultPeriod = wire.TripleFaultPeriod
	faultRate   = 3000 // injected page faults per period
	faultLimit  = 5    // periods in a row
)

// watchGuests ends L1 when a guest is lost, so that nobody waits for it in
// vain or takes its end for its own. Without debugfs there is nothing to watch.
func watchGuests() {
	shutdowns, err := traceShutdowns()
	if err != nil {
		fmt.Fprintf(os.Stderr, "rig-agent: guests' triple faults cannot be told from the emulation's: %v\n", err)
	}
	rows := make(map[string]int)
	last := make(map[string]uint64)
	for range time.Tick(faultPeriod) {
		if shutdowns.lost() {
			fmt.Fprintln(os.Stderr, "rig-agent: "+wire.LostGuest)
			os.Exit(1)
		}
		now := injectedFaults()
		for vm, n := range now {
			if before, ok := last[vm]; ok && n-before >= faultRate {
				rows[vm]++
			} else {
				rows[vm] = 0
			}
			if rows[vm] == faultLimit {
				fmt.Fprintf(os.Stderr, "rig-agent: %s: %s\n", vm, wire.LostGuest)
				os.Exit(1)
			}
		}
		for vm := range last {
			if _, ok := now[vm]; !ok {
				delete(rows, vm)
			}
		}
		last = now
	}
}

// injectedFaults are the page faults that KVM has injected so far, by virtual
// machine.
func injectedFaults() map[string]uint64 {
	counts := make(map[string]uint64)
	files, err := filepath.Glob("/sys/kernel/debug/kvm/*/pf_guest")
	if err != nil {
		return counts // a malformed pattern, which it is not
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the virtual machine has ended
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil {
			counts[filepath.Base(filepath.Dir(f))] = n
		}
	}
	return counts
}
