package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/internal/errno"
)

// logTarget is where the log of -d and -D goes. It is off by default, so that
// standard error holds QEMU's messages and nothing else; the human monitor's
// log and logfile change it. It implements system.LogControl.
type logTarget struct {
	mu   sync.Mutex
	file *os.File // guarded by mu; nil for standard error
}

// Write implements io.Writer for the logger. A log that cannot be written is
// lost.
func (l *logTarget) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var w io.Writer = os.Stderr
	if l.file != nil {
		w = l.file
	}
	return w.Write(p)
}

// SetFile sends the log to another file. %d in its name stands for the process
// id; "" is standard error.
func (l *logTarget) SetFile(path string) error {
	if strings.Contains(path, "%") {
		if strings.Count(path, "%") != 1 || !strings.Contains(path, "%d") {
			return fmt.Errorf("Bad logfile template: %s", path)
		}
		path = strings.Replace(path, "%d", strconv.Itoa(os.Getpid()), 1)
	}
	var f *os.File
	if path != "" {
		var err error
		if f, err = os.Create(path); err != nil {
			return fmt.Errorf("Error opening logfile %s: %s", path, errno.Text(err))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
	}
	l.file = f
	return nil
}

// SetItems says what is logged: items of -d and patterns of trace events, none
// of both for nothing.
func (l *logTarget) SetItems(items, trace []string) {
	level := zerolog.Disabled
	switch {
	case len(trace) > 0:
		level = zerolog.TraceLevel
	case slices.Contains(items, "guest_errors") || slices.Contains(items, "unimp"):
		level = zerolog.DebugLevel
	case len(items) > 0:
		level = zerolog.InfoLevel
	}
	zerolog.SetGlobalLevel(level)
}

func (l *logTarget) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// openLog makes the log that the command line asks for.
func openLog(cfg *cli.Config) (zerolog.Logger, *logTarget, error) {
	l := &logTarget{}
	l.SetItems(cfg.Log.Items, cfg.Log.Trace)
	// As in QEMU where its log takes the traces: -D comes before -trace file=.
	err := l.SetFile(cmp.Or(cfg.Log.File, cfg.Log.TraceFile))
	return zerolog.New(l).With().Timestamp().Logger(), l, err
}
