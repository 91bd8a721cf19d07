package monitor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gqemu/gqemu/qapi"
)

// Version is what the greeting and query-version say.
type Version struct {
	Major, Minor, Micro int64
	Package             string // of the distributor, "" for none
}

// triple returns "8.2.7".
func (v Version) triple() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro) }

// Config is what the monitors of a VM have in common.
type Config struct {
	// Registry has the commands and events. NewSet adds those of this package:
	// qmp_capabilities, query-version, query-commands, getfd and closefd.
	Registry *qapi.Registry
	Version  Version

	// Exec runs the body of a command under the VM's lock. It may return
	// without having called it when ctx is done; the command is then not
	// answered. Nil runs the body as it is.
	Exec func(ctx context.Context, body func())

	// Preconfig says whether the machine is not made yet, so that only
	// commands with AllowPreconfig may run. It is called within Exec, or
	// without for a command out of band. Nil means never.
	Preconfig func() bool

	// HMP makes the interpreter of one human monitor. Nil: such a monitor
	// knows no command.
	HMP func() Human

	// AfterFunc calls f after d, unless stop is called first; stop says whether
	// it was in time. f is not called from within AfterFunc. It is the clock of
	// event rate limits: called where Emit is, with the locks that are held
	// there, or from f. Nil is real time.
	AfterFunc func(d time.Duration, f func()) (stop func() bool)

	// Clients is told when a QMP client has come (true) and gone. It is called
	// with a lock of the monitor's held, so it must not call back. Nil ignores
	// it.
	Clients func(present bool)

	// Log takes messages about clients and about mistakes in the program, one
	// line without an end each. Nil drops them.
	Log func(format string, args ...any)
}

// Mode is the language of a monitor.
type Mode int

const (
	// Control is QMP, for programs.
	Control Mode = iota
	// Readline is the human monitor.
	Readline
)

// Options describe one monitor.
type Options struct {
	Mode   Mode
	Pretty bool // QMP over several lines (-qmp-pretty)
}

// Set is all monitors of one VM. Its methods may be called from any goroutine.
type Set struct {
	cfg    Config
	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc

	mu       sync.Mutex
	monitors []attached // guarded by mu
	closed   bool       // guarded by mu

	events eventState
}

// attached is a monitor that is at work.
type attached interface {
	// emit sends an event, if the client is to have it. It does not block.
	emit(m *message)
	// close joins the monitor's goroutines and lets go of its port.
	close()
}

// NewSet makes a set without monitors and registers this package's commands.
func NewSet(cfg Config) *Set {
	if cfg.Exec == nil {
		cfg.Exec = func(_ context.Context, body func()) { body() }
	}
	if cfg.AfterFunc == nil {
		cfg.AfterFunc = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	registerCommands(cfg.Registry, cfg.Version)
	s := &Set{cfg: cfg}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Add puts a monitor on port and lets it work until Close. The error is the
// port's, for instance that it is in use.
func (s *Set) Add(port Port, opt Options) error {
	if e, ok := port.(interface{ SetEcho(bool) }); ok {
		e.SetEcho(opt.Mode == Control) // the human monitor echoes by itself
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("monitor: closed")
	}
	var m attached
	var err error
	if opt.Mode == Readline {
		m, err = newHuman(s, port)
	} else {
		m, err = newSession(s, port, opt.Pretty)
	}
	if err != nil {
		return err
	}
	s.monitors = append(s.monitors, m)
	return nil
}

// Close ends all monitors. A command that runs is waited for; those that wait
// are dropped. What is queued for clients is written first, for as long as
// they take it. Close must not be called with the VM's lock held, nor from a
// command. A second Close returns at once.
func (s *Set) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	monitors := s.monitors // they get events to the last
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	var wg sync.WaitGroup
	for _, m := range monitors {
		wg.Go(m.close)
	}
	wg.Wait()
	s.events.close()
}

// exec runs body through the hook and says whether it was run.
func (s *Set) exec(body func()) (ran bool) {
	s.cfg.Exec(s.ctx, func() {
		ran = true
		body()
	})
	return ran
}
