package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/tests/rig/wire"
)

// ErrEmulation is wrapped beside ErrGone when L1 died of what QEMU's emulation
// of SVM does now and then, with any VMM inside, and by the error of a command
// that failed while a guest fell by a triple fault: around a #VMEXIT half of
// L1's state and half of its guest's are in force. (Seen in QEMU 7.2: the first
// fetch behind VMRUN goes through the nested page table although the guest has
// been left, and is taken for a second #VMEXIT, which saves L1's registers as
// the guest's.) L1's kernel is then interrupted where it cannot be, and faults
// until its stack is full; or the guest runs on at an address of L1's and faults
// for ever or dies. Or an interrupt is lost on the way, and with it a timer of
// L1's. The same again may well succeed.
var ErrEmulation = errors.New("the emulation of SVM mixed L1's state with its guest's")

// onOneCPU starts a program that stays on one of the host's CPUs. Of L1s whose
// threads run side by side the emulation spoils several in an hour, of those on
// one CPU none so far; what is slower for it is less than what is begun again.
// The calling goroutine has its thread to itself.
func onOneCPU(start func() error) error {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	for cpu := range len(all) * bits.UintSize {
		if all.IsSet(cpu) {
			one.Zero()
			one.Set(cpu) // the last: the first has the host's interrupts
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("sched_setaffinity: %w", err)
	}
	err := start()
	if e := unix.SchedSetaffinity(0, &all); err == nil && e != nil {
		err = fmt.Errorf("sched_setaffinity: %w", e)
	}
	return err
}

// Attempts is how often something is begun when the emulation spoils it. Any
// other failure is one.
const Attempts = 5

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

// underTest is an oops in the modules that the VMM inside L1 works with: one of
// those may be its doing.
var underTest = regexp.MustCompile(`RIP: 0010:\w*(vhost|vdpa|vduse|vringh)`)

// emulationFault says whether L1's end bears one of the marks of ErrEmulation.
func emulationFault(console string, resets []byte) bool {
	// The agent's end is a panic too, and ours. Else L1's kernel died, which
	// no program inside should be able to bring about.
	died := strings.Contains(console, "Kernel panic") && !strings.Contains(console, "Attempted to kill init")
	return died && !underTest.MatchString(console) ||
		// The same, before the kernel could say so. No program inside L1 can
		// bring about a triple fault of L1's own CPU.
		bytes.Contains(resets, []byte("Triple fault")) ||
		// A guest that runs at L1's address; the agent saw it.
		strings.Contains(console, wire.LostGuest)
}

// guestFell tells whether the agent saw a guest's triple fault, which no test
// asks for. A VMM that causes one does so at each attempt.
func (m *L1) guestFell() bool {
	select {
	case <-m.gone:
	case <-time.After(2 * wire.TripleFaultPeriod): // the agent has looked since
	}
	return strings.Contains(m.Console(consoleLines), wire.TripleFault)
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
