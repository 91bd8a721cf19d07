package chardev

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// recorder is a Frontend that remembers what it was told. Its room is how much it takes; it also
// checks the contract of the calls.
type recorder struct {
	t *testing.T

	inCall atomic.Bool
	mu     sync.Mutex
	room   int // -1: unlimited
	in     []byte
	events []Event
	writes int // Writable calls
	log    []string
	hook   func(p []byte) // called from Receive
}

func newRecorder(t *testing.T) *recorder { return &recorder{t: t, room: -1} }

func (r *recorder) enter() {
	if !r.inCall.CompareAndSwap(false, true) {
		r.t.Error("two calls of the frontend at once")
	}
	r.mu.Lock()
}

func (r *recorder) leave() {
	r.mu.Unlock()
	r.inCall.Store(false)
}

func (r *recorder) CanReceive() int {
	r.enter()
	defer r.leave()
	if r.room < 0 {
		return 1 << 20
	}
	return r.room
}

func (r *recorder) Receive(p []byte) {
	r.enter()
	hook := r.hook
	if len(p) == 0 || len(p) > readSize || r.room >= 0 && len(p) > r.room {
		r.t.Errorf("Receive of %d bytes, room %d", len(p), r.room)
	}
	if r.room >= 0 {
		r.room -= len(p)
	}
	r.in = append(r.in, p...)
	r.log = append(r.log, "data")
	r.leave()
	if hook != nil {
		hook(p)
	}
}

func (r *recorder) Event(e Event) {
	r.enter()
	defer r.leave()
	r.events = append(r.events, e)
	r.log = append(r.log, e.String())
}

func (r *recorder) Writable() {
	r.enter()
	defer r.leave()
	r.writes++
}

func (r *recorder) input() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.in)
}

func (r *recorder) got() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.events...)
}

func (r *recorder) setRoom(c *Chardev, n int) {
	r.mu.Lock()
	r.room = n
	r.mu.Unlock()
	c.AcceptInput()
}

// waitFor polls for cond.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 5 s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func (r *recorder) waitInput(want string) {
	r.t.Helper()
	waitFor(r.t, fmt.Sprintf("input %q (have %q)", want, r.input()), func() bool { return r.input() == want })
}

func (r *recorder) waitEvents(want ...Event) {
	r.t.Helper()
	waitFor(r.t, fmt.Sprintf("events %v", want), func() bool { return fmt.Sprint(r.got()) == fmt.Sprint(want) })
}

// syncBuffer is a bytes.Buffer for messages from other goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// newRegistry makes a registry that is closed at the end of the test, and then checks that no
// goroutine and no descriptor is left.
func newRegistry(t *testing.T) (*Registry, *syncBuffer) {
	t.Helper()
	var msgs syncBuffer
	r := &Registry{Messages: &msgs, second: 100 * time.Millisecond}
	settle()
	fds := countFDs(t)
	t.Cleanup(func() {
		r.CloseAll()
		waitFor(t, "the end of the package's goroutines:\n"+ourGoroutines(), func() bool { return ourGoroutines() == "" })
		waitFor(t, fmt.Sprintf("the descriptors of before (%d)", fds), func() bool { return countFDs(t) <= fds })
	})
	return r, &msgs
}

// settle gives descriptors of finished tests the time to be closed.
func settle() { runtime.GC() }

func countFDs(t *testing.T) int {
	t.Helper()
	es, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(es)
}

// ourGoroutines returns the stacks of goroutines that this package started.
func ourGoroutines() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var ours []string
	for _, g := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(g, "created by github.com/gqemu/gqemu/chardev.") && !strings.Contains(g, "_test.go") {
			ours = append(ours, g)
		}
	}
	return strings.Join(ours, "\n\n")
}

func mustAdd(t *testing.T, r *Registry, id string, cfg Config) *Chardev {
	t.Helper()
	c, err := r.Add(id, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// attach attaches a new recorder.
func attach(t *testing.T, c *Chardev) *recorder {
	t.Helper()
	fe := newRecorder(t)
	if err := c.Attach(fe); err != nil {
		t.Fatal(err)
	}
	return fe
}

// socketDir is a directory with a path short enough for sockets.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "chr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func readString(t *testing.T, f interface {
	Read([]byte) (int, error)
	SetReadDeadline(time.Time) error
}, n int) string {
	t.Helper()
	f.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, n)
	for got := 0; got < n; {
		m, err := f.Read(buf[got:])
		if err != nil {
			t.Fatalf("read after %q: %v", buf[:got], err)
		}
		got += m
	}
	return string(buf)
}
