package qtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen. It is long, since
// test machines are busy; no test waits it out when all is well.
const patience = 30 * time.Second

// Process is a running emulator, or one that has ended.
type Process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout lockedBuffer
	stderr lockedBuffer
	ended  chan struct{} // closed when the process has been waited for
}

// Config says how a process is started, beyond its arguments.
type Config struct {
	// Args are the arguments after the program's name.
	Args []string
	// Env is added to the environment.
	Env []string
	// Files become descriptors 3, 4 and so on.
	Files []*os.File
	// Stdin feeds standard input; nil is /dev/null.
	Stdin *os.File
	// Stdout takes standard output; nil collects it for Stdout.
	Stdout *os.File
	// Path is run in place of the emulator.
	Path string
	// Sim answers the process's vhost calls.
	Sim *VDPASim
}

// Spawn starts the emulator and nothing more. It is killed when the test ends,
// if it still runs.
func Spawn(t testing.TB, c Config) *Process {
	t.Helper()
	p := &Process{t: t, ended: make(chan struct{})}
	attach := func(int) {}
	if c.Sim != nil {
		c, attach = c.Sim.start(c)
	}
	if c.Path == "" {
		c.Path = Binary(t)
	}
	p.cmd = exec.Command(c.Path, c.Args...)
	p.cmd.Args[0] = ProgramName
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.ExtraFiles = c.Files
	if c.Stdin != nil {
		p.cmd.Stdin = c.Stdin
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if c.Stdout != nil {
		p.cmd.Stdout = c.Stdout
	}
	// A daemon keeps the pipes open; its parent's end must not wait for them.
	p.cmd.WaitDelay = 500 * time.Millisecond
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		// The exit status is read from ProcessState.
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.Kill()
		p.checkStderr()
	})
	attach(p.Pid())
	return p
}

// Kill ends the process at once and waits for it.
func (p *Process) Kill() {
	if !p.Ended() {
		_ = p.cmd.Process.Kill() // it may just have ended
	}
	<-p.ended
}

// checkStderr fails the test for what no emulator may ever print.
func (p *Process) checkStderr() {
	for _, bad := range []string{"panic:", "fatal error:", "DATA RACE", "goroutine 1 ["} {
		if s := p.stderr.String(); strings.Contains(s, bad) {
			p.t.Errorf("standard error has %q:\n%s", bad, s)
			return
		}
	}
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Ended tells whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.ended }

// Wait waits for the end of the process and gives its exit status, -1 if a
// signal ended it.
func (p *Process) Wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("the emulator does not end; standard error:\n%s", p.Stderr())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// Stdout is what the process has printed so far.
func (p *Process) Stdout() string { return p.stdout.String() }

// Stderr is what the process has complained of so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Output is what a process left behind.
type Output struct {
	Stdout, Stderr string
	// Code is the exit status, or -1 if the process was still running.
	Code int
}

// Run starts the emulator and gives it some time to end; one that has not is
// killed, with Code -1.
func Run(t testing.TB, limit time.Duration, args ...string) Output {
	t.Helper()
	p := Spawn(t, Config{Args: args})
	out := Output{Code: -1}
	select {
	case <-p.ended:
		out.Code = p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		p.Kill()
	}
	out.Stdout, out.Stderr = p.Stdout(), p.Stderr()
	return out
}

// FDs counts the open descriptors by kind: the link's target, without the
// inode's number.
func (p *Process) FDs() map[string]int {
	p.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", p.Pid())
	entries, err := os.ReadDir(dir)
	if err != nil {
		p.t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		if kind, _, ok := strings.Cut(to, ":["); ok {
			to = kind
		}
		kinds[to]++
	}
	return kinds
}

// Threads is how many threads the process has.
func (p *Process) Threads() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.Pid()))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(entries)
}

// Mappings is how many mappings of guest memory the process has. Those of its
// runtime come and go.
func (p *Process) Mappings() int {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.Pid()) + "/maps")
	if err != nil {
		p.t.Fatal(err)
	}
	return bytes.Count(b, []byte("/memfd:"))
}

// lockedBuffer collects output from another goroutine.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
