package qtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Script runs f outside of go test: in an example, or in a program that drives
// an emulator. t stands for the test. Its Fatal ends f, its cleanups run when f
// has ended, last first, and what it was told of failures is the error; logs go
// to standard error. What can only mean something in a test, such as Skip, ends
// f with an error.
func Script(f func(t testing.TB)) error {
	s := new(script)
	s.run(func() { f(s) })
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		c := s.cleanups[last]
		s.cleanups = s.cleanups[:last]
		s.run(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

// script is a testing.TB of our own. The interface embedded is nil: it stands
// for the method by which package testing keeps others from being made.
type script struct {
	testing.TB
	cleanups []func()

	mu     sync.Mutex // guards all below
	failed bool
	errs   []error
}

// run calls f on a goroutine of its own, which FailNow can end.
func (s *script) run(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func (*script) Name() string { return filepath.Base(os.Args[0]) }
func (*script) Helper()      {}

func (s *script) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *script) Fail() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = true
}

func (s *script) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *script) FailNow() {
	s.Fail()
	runtime.Goexit()
}

func (s *script) Error(args ...any) { s.add(fmt.Sprintln(args...)) }

func (s *script) Errorf(format string, args ...any) { s.add(fmt.Sprintf(format, args...)) }

func (s *script) add(text string) {
	s.Fail()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, errors.New(strings.TrimSuffix(text, "\n")))
}

func (s *script) Fatal(args ...any) {
	s.Error(args...)
	runtime.Goexit()
}

func (s *script) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	runtime.Goexit()
}

func (*script) Log(args ...any) { fmt.Fprintln(os.Stderr, args...) }

func (*script) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (s *script) Skip(args ...any) { s.Fatal(append([]any{"skipped:"}, args...)...) }

func (s *script) Skipf(format string, args ...any) { s.Fatalf("skipped: "+format, args...) }

func (s *script) SkipNow() { s.Fatal("skipped") }

func (*script) Skipped() bool { return false }

func (s *script) TempDir() string {
	dir, err := os.MkdirTemp("", "qtest")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (s *script) Setenv(key, value string) {
	old, had := os.LookupEnv(key)
	if err := os.Setenv(key, value); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if had {
			os.Setenv(key, old)
		} else {
			os.Unsetenv(key)
		}
	})
}
