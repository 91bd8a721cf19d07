package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/gqemu/gqemu/tests/rig/wire"
)

const tracing = "/sys/kernel/debug/tracing/"

// shutdowns tells whether a guest's triple fault happened at an address of
// L1's: where the memory that L1's page tables are in is also an address of
// the guest's memory, a lost guest does not fault for ever but dies at once.
type shutdowns struct {
	// L1's code around VMRUN, from and up to.
	from, to uint64
	told     int // how many are on the console
}

// vmrunBytes is more than the function around VMRUN has.
const vmrunBytes = 0x300

// exitRIP is in the lines of the tracepoint kvm_exit.
var exitRIP = regexp.MustCompile(`rip 0x([0-9a-f]+)`)

// traceShutdowns has KVM record each triple fault of a guest.
func traceShutdowns() (*shutdowns, error) {
	symbols, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		return nil, err
	}
	s := new(shutdowns)
	for line := range bytes.Lines(symbols) {
		if f := strings.Fields(string(line)); len(f) > 2 && f[2] == "__svm_vcpu_run" {
			if s.from, err = strconv.ParseUint(f[0], 16, 64); err != nil {
				return nil, err
			}
			s.to = s.from + vmrunBytes
		}
	}
	if s.from == 0 {
		return nil, errors.New("no __svm_vcpu_run in /proc/kallsyms")
	}
	for _, w := range []struct{ file, text string }{
		{"events/kvm/kvm_exit/filter", "exit_reason == 0x7f"}, // SVM_EXIT_SHUTDOWN
		{"events/kvm/kvm_exit/enable", "1"},
	} {
		if err := os.WriteFile(tracing+w.file, []byte(w.text), 0o644); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// lost tells whether one of the triple faults so far was the emulation's. Each
// is put down on L1's console: what resets a guest that nobody reset is worth
// knowing.
func (s *shutdowns) lost() bool {
	if s == nil {
		return false
	}
	trace, err := os.ReadFile(tracing + "trace")
	if err != nil {
		return false
	}
	lost := false
	for i, m := range exitRIP.FindAllSubmatch(trace, -1) {
		if i < s.told {
			continue
		}
		s.told++
		whose := ""
		rip, err := strconv.ParseUint(string(m[1]), 16, 64)
		if err == nil && rip >= s.from && rip < s.to {
			lost = true
			whose = ", which is L1's code around VMRUN"
		}
		fmt.Fprintf(os.Stderr, "rig-agent: %s at 0x%s%s\n", wire.TripleFault, m[1], whose)
	}
	return lost
}
