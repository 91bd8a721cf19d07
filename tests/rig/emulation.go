package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gqemu/gqemu/tests/rig/wire"
)

// ErrEmulation is wrapped beside ErrGone when L1 died of what QEMU's emulation
// of SVM does now and then, with any VMM inside: around a VMRUN half of L1's
// state and half of its guest's are in force. Either L1's kernel then takes an
// interrupt with the guest's GS base, and faults until its stack is full; or
// L1's state is saved as the guest's, which from then on runs at an address of
// L1's and faults for ever or dies. Or an interrupt is lost on the way, and with it a
// timer of L1's. The same again may well succeed.
var ErrEmulation = errors.New("the emulation of SVM mixed L1's state with its guest's")

// Attempts is how often something is begun when the emulation kills its L1. Any
// other death of L1's is a failure.
const Attempts = 3

// Repeat does something in an L1 of its own, and again when its error wraps
// ErrEmulation, up to Attempts times in all.
func Repeat(ctx context.Context, log io.Writer, job func() error) error {
	for i := 1; ; i++ {
		err := job()
		if !errors.Is(err, ErrEmulation) || i == Attempts || ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(log, "%v\nrig: attempt %d of %d\n", err, i+1, Attempts)
	}
}

// resetLog is the file of the results folder in which L1's emulator says why a
// CPU of L1's was reset.
const resetLog = "l1-cpu-reset.log"

// emulationFault says whether L1's end bears one of the marks of ErrEmulation.
func emulationFault(console string, resets []byte) bool {
	panicked := strings.Contains(console, "Kernel panic")
	return panicked && strings.Contains(console, "RIP: 0010:__svm_vcpu_run+") ||
		// The kernel's stack is full of page faults.
		panicked && strings.Contains(console, "TASK stack guard page was hit") ||
		// The same, before the kernel could say so. No program inside L1 can
		// bring about a triple fault of L1's own CPU.
		bytes.Contains(resets, []byte("Triple fault")) ||
		// An interrupt was lost: a timer's, or one CPU's to another, for whose
		// answer the other waits for ever.
		panicked && strings.Contains(console, "kthread timer wakeup didn't happen") ||
		panicked && strings.Contains(console, "soft lockup") && strings.Contains(console, "smp_call_function_many_cond") ||
		// A guest that runs at L1's address; the agent saw it.
		strings.Contains(console, wire.LostGuest)
}

// goneError is the error of a command when the emulator has ended.
func (m *L1) goneError() error {
	err := fmt.Errorf("%w: %w", ErrGone, m.goneErr)
	// Without the file the console has to do.
	resets, _ := os.ReadFile(filepath.Join(m.results, resetLog))
	// An L1 that is not heard any more has lost its timers as well.
	if m.silent.Load() || emulationFault(m.Console(consoleLines), resets) {
		err = fmt.Errorf("%w: %w", err, ErrEmulation)
	}
	return err
}
