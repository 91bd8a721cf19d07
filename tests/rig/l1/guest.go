package l1

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What the guest's init prints; initramfs/l2-init.
const (
	initMarker  = "GQEMU-GUEST-INIT "
	readyMarker = "GQEMU-GUEST-READY"
	panicMarker = "Kernel panic - not syncing"
)

// maxCommand is the longest command: a line discipline's line, with room for
// the prefix.
const maxCommand = 4000

// ErrGuestDied is wrapped when the guest panicked or the VMM ended where
// neither was expected.
var ErrGuestDied = errors.New("the guest died")

// BootInfo is what the guest's init says of itself.
type BootInfo struct {
	CPUs   int
	Uptime time.Duration // the guest's own clock at init
	// Init is when its marker was read.
	Init time.Time
}

// With returns the same VMM reporting its failures to t, a subtest's.
func (v *VMM) With(t testing.TB) *Guest { return &Guest{VMM: v, T: t} }

// Guest is a VMM in the hands of one test. Its methods fail that test.
type Guest struct {
	*VMM
	T testing.TB
}

// Fatalf fails the test with a Report.
func (g *Guest) Fatalf(format string, args ...any) {
	g.T.Helper()
	g.T.Fatalf(format+"%s", append(args, g.Report())...)
}

// WaitBoot waits until the guest's init serves commands, after a start or a
// reset.
func (v *VMM) WaitBoot(timeout time.Duration) (BootInfo, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), timeout,
		fmt.Errorf("the guest's init did not come up within %v", timeout))
	defer cancel()
	var info BootInfo
	v.mu.Lock()
	defer v.mu.Unlock()
	for {
		l, err := v.line(ctx, v.booted)
		if err != nil {
			return info, err
		}
		v.booted++
		if _, text, ok := strings.Cut(l.Text, initMarker); ok {
			if info, err = parseInit(text); err != nil {
				return info, err
			}
			info.Init = l.At
		}
		if strings.Contains(l.Text, readyMarker) {
			if info.Init.IsZero() {
				return info, fmt.Errorf("the guest is ready but its init never said %q", initMarker)
			}
			return info, nil
		}
	}
}

func parseInit(text string) (BootInfo, error) {
	var info BootInfo
	var up string
	if _, err := fmt.Sscanf(text, "cpus=%d up=%s", &info.CPUs, &up); err != nil {
		return info, fmt.Errorf("the guest's init line %q: %w", text, err)
	}
	seconds, err := strconv.ParseFloat(up, 64)
	info.Uptime = time.Duration(seconds * float64(time.Second))
	return info, err
}

// line returns a line of the console, or why there will be none.
func (v *VMM) line(ctx context.Context, i int) (Line, error) {
	l, ok, err := v.Console.next(ctx, i)
	switch {
	case err != nil:
		return l, err
	case !ok:
		return l, fmt.Errorf("%w: the console has ended", ErrGuestDied)
	case strings.Contains(l.Text, panicMarker):
		return l, fmt.Errorf("%w: %s", ErrGuestDied, l.Text)
	}
	return l, nil
}

// Exec runs a shell command in the guest and returns its output, standard and
// error together, and its exit status. The guest runs one command at a time;
// what a command leaves running must have its output redirected. After an error
// the console is out of step and the guest good for nothing but a reset.
func (v *VMM) Exec(command string, timeout time.Duration) (out string, status int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if strings.ContainsAny(command, "\n\r") || len(command) > maxCommand {
		return "", 0, fmt.Errorf("not one line of at most %d bytes: %.80q", maxCommand, command)
	}
	v.commands++
	id := strconv.Itoa(v.commands)
	at := v.Console.Mark()
	ctx, cancel := context.WithTimeoutCause(context.Background(), timeout,
		fmt.Errorf("the guest did not answer %.200q within %v", command, timeout))
	defer cancel()
	if err := v.Type("!" + id + " " + command + "\n"); err != nil {
		return "", 0, err
	}
	var b strings.Builder
	for ; ; at++ {
		l, err := v.line(ctx, at)
		if err != nil {
			return b.String(), 0, err
		}
		if strings.Contains(l.Text, initMarker) {
			return b.String(), 0, fmt.Errorf("%w: it booted again in the middle of %.200q; %s", ErrGuestDied, command, v.QMP.resets())
		}
		if text, ok := strings.CutPrefix(l.Text, "|"+id+" "); ok {
			b.WriteString(text + "\n")
		} else if text, ok := strings.CutPrefix(l.Text, "="+id+" "); ok {
			status, err := strconv.Atoi(text)
			return b.String(), status, err
		}
	}
}

// Type writes to the guest's console as a keyboard would.
func (v *VMM) Type(text string) error {
	done := make(chan error, 1)
	go func() {
		_, err := v.serial.Write([]byte(text))
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		return errors.New("the VMM takes nothing from its serial line")
	}
}

// WaitBoot is VMM.WaitBoot.
func (g *Guest) WaitBoot(timeout time.Duration) BootInfo {
	g.T.Helper()
	info, err := g.VMM.WaitBoot(timeout)
	if err != nil {
		g.Fatalf("%v", err)
	}
	return info
}

// execTimeout is for a command that should take a few seconds.
const execTimeout = 2 * time.Minute

// Sh runs a command that must succeed and returns its output, trimmed.
func (g *Guest) Sh(command string) string {
	g.T.Helper()
	out, status, err := g.Exec(command, execTimeout)
	if err != nil {
		g.Fatalf("%v", err)
	}
	if status != 0 {
		g.Fatalf("in the guest: %s: status %d:\n%s", command, status, out)
	}
	return strings.TrimSpace(out)
}

// Try runs a command and says whether it succeeded.
func (g *Guest) Try(command string) bool {
	g.T.Helper()
	_, status, err := g.Exec(command, execTimeout)
	if err != nil {
		g.Fatalf("%v", err)
	}
	return status == 0
}

// Number runs a command that prints one number.
func (g *Guest) Number(command string) int64 {
	g.T.Helper()
	text := g.Sh(command)
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		g.Fatalf("in the guest: %s: want a number, got %q", command, text)
	}
	return n
}

// Until polls a command until it succeeds.
func (g *Guest) Until(what, command string, timeout time.Duration) {
	g.T.Helper()
	for end := time.Now().Add(timeout); !g.Try(command); time.Sleep(500 * time.Millisecond) {
		if time.Now().After(end) {
			g.Fatalf("not within %v: %s", timeout, what)
		}
	}
}
