package monitor

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/qapi"
)

// wire is a [Port] with the client's end in the test's hands. The test is the
// one goroutine that makes the calls of the frontend.
type wire struct {
	t  testing.TB
	fe chardev.Frontend

	mu      sync.Mutex
	out     []byte // guarded by mu, as all that follows
	writes  int    // calls of Write that took something
	space   int    // how much more Write takes; negative for any amount
	refused bool   // a Write was cut short
	accept  chan struct{}
	news    chan struct{}
	fds     []int
	inUse   bool
}

func newWire(t testing.TB) *wire {
	return &wire{t: t, space: -1, accept: make(chan struct{}, 1), news: make(chan struct{}, 1)}
}

func (w *wire) Attach(fe chardev.Frontend) error {
	if w.inUse {
		return fmt.Errorf("Device '%s' is in use", w.ID())
	}
	w.fe, w.inUse = fe, true
	return nil
}

func (w *wire) Detach()      {}
func (w *wire) ID() string   { return "wire" }
func (w *wire) AcceptInput() { wake(w.accept) }

func (w *wire) TakeFDs() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	fds := w.fds
	w.fds = nil
	return fds
}

func (w *wire) Write(p []byte) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	if w.space >= 0 {
		n = min(n, w.space)
		w.space -= n
	}
	if n < len(p) {
		w.refused = true
	}
	if n > 0 {
		w.writes++
	}
	w.out = append(w.out, p[:n]...)
	wake(w.news)
	return n
}

// allow lets the session write n more bytes; negative stands for any amount.
func (w *wire) allow(n int) {
	w.mu.Lock()
	w.space = n
	refused := w.refused
	w.refused = false
	w.mu.Unlock()
	if refused {
		w.fe.Writable()
	}
}

const patience = 10 * time.Second

// send delivers input as the session takes it, with fds along with the first
// byte.
func (w *wire) send(p string, fds ...int) {
	w.t.Helper()
	if n := w.trySend(p, patience, fds...); n < len(p) {
		w.t.Fatalf("the session does not take %.100q", p[n:])
	}
}

func (w *wire) trySend(p string, wait time.Duration, fds ...int) (sent int) {
	stop := time.NewTimer(wait)
	defer stop.Stop()
	for sent < len(p) {
		n := min(w.fe.CanReceive(), len(p)-sent)
		if n == 0 {
			select {
			case <-w.accept:
			case <-stop.C:
				return sent
			}
			continue
		}
		w.mu.Lock()
		w.fds = append(w.fds, fds...)
		w.mu.Unlock()
		fds = nil
		w.fe.Receive([]byte(p[sent : sent+n]))
		sent += n
	}
	return sent
}

// line returns the next line from the session, without its end, which must be
// CR LF.
func (w *wire) line() string {
	w.t.Helper()
	l, ok := w.tryLine(patience)
	if !ok {
		w.t.Fatalf("nothing comes; so far %.200q", w.text())
	}
	return l
}

func (w *wire) tryLine(wait time.Duration) (string, bool) {
	w.t.Helper()
	stop := time.NewTimer(wait)
	defer stop.Stop()
	for {
		w.mu.Lock()
		if i := bytes.IndexByte(w.out, '\n'); i >= 0 {
			l := string(w.out[:i])
			w.out = w.out[i+1:]
			w.mu.Unlock()
			l, ok := strings.CutSuffix(l, "\r")
			if !ok {
				w.t.Errorf("%q ends in LF alone", l)
			}
			return l, true
		}
		w.mu.Unlock()
		select {
		case <-w.news:
		case <-stop.C:
			return "", false
		}
	}
}

// text is what was written and not read yet.
func (w *wire) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.out)
}

// open connects a client and reads the greeting.
func (w *wire) open() {
	w.t.Helper()
	w.fe.Event(chardev.EventOpened)
	if l := w.line(); !strings.HasPrefix(l, `{"QMP": {"version": `) {
		w.t.Fatalf("greeting is %s", l)
	}
}

// negotiate ends the negotiation.
func (w *wire) negotiate() {
	w.t.Helper()
	w.ask(`{"execute":"qmp_capabilities"}`, `{"return": {}}`)
}

// ask sends a line and compares what comes back.
func (w *wire) ask(req string, want ...string) {
	w.t.Helper()
	w.send(req + "\n")
	w.expect(want...)
}

func (w *wire) expect(want ...string) {
	w.t.Helper()
	for _, l := range want {
		if got := w.line(); got != l {
			w.t.Fatalf("got %s, want %s", got, l)
		}
	}
}

// fakeVM has commands shaped like QEMU's.
type fakeVM struct {
	lock      sync.Mutex // the VM's
	preconfig bool
	running   bool
	set       *Set
	block     chan struct{} // x-block waits for it
	blocked   chan struct{} // x-block says that it waits
	logs      chan string
}

type (
	noArgs struct{}

	statusInfo struct {
		Running    bool   `qapi:"running"`
		Singlestep bool   `qapi:"singlestep"`
		Status     string `qapi:"status"`
	}
	nameInfo struct {
		Name *string `qapi:"name,optional"`
	}
	shutdownData struct {
		Guest  bool   `qapi:"guest"`
		Reason string `qapi:"reason"`
	}
	hmpArgs struct {
		CommandLine string `qapi:"command-line"`
		CPUIndex    *int64 `qapi:"cpu-index,optional"`
	}
	yankArgs struct {
		Instances []map[string]any `qapi:"instances"`
	}
	uriArgs struct {
		URI string `qapi:"uri"`
	}
	rtcData struct {
		Offset int64 `qapi:"offset"`
	}
	portData struct {
		ID   string `qapi:"id"`
		Open bool   `qapi:"open"`
	}
)

func (vm *fakeVM) exec(_ context.Context, body func()) {
	vm.lock.Lock()
	defer vm.lock.Unlock()
	body()
}

// fakeHuman knows three commands.
type fakeHuman struct{}

func (fakeHuman) Execute(_ context.Context, line string, history []string) (output string, last bool) {
	switch strings.TrimSpace(line) {
	case "info version":
		return "8.2.7\n", false
	case "info history":
		return strings.Join(history, ",") + "\n", false
	case "quit":
		return "", true
	}
	return "unknown command: '" + line + "'\n", false
}

func (fakeHuman) Complete(line string) (prefix string, words []string) {
	prefix = line[strings.LastIndexByte(line, ' ')+1:]
	for _, w := range []string{"dir/", "history", "info", "version"} {
		if strings.HasPrefix(w, prefix) {
			words = append(words, w)
		}
	}
	return prefix, words
}

func newVM(t testing.TB) (*fakeVM, *Set) {
	vm := &fakeVM{running: true, block: make(chan struct{}), blocked: make(chan struct{}, 1), logs: make(chan string, 100)}
	r := new(qapi.Registry)
	vm.register(r)
	vm.set = NewSet(Config{
		Registry:  r,
		Version:   Version{Major: 8, Minor: 2, Micro: 7},
		Exec:      vm.exec,
		Preconfig: func() bool { return vm.preconfig },
		HMP:       func() Human { return fakeHuman{} },
		Log: func(f string, a ...any) {
			select {
			case vm.logs <- fmt.Sprintf(f, a...):
			default:
			}
		},
	})
	t.Cleanup(vm.set.Close)
	return vm, vm.set
}

func (vm *fakeVM) register(r *qapi.Registry) {
	type ctx = context.Context
	plain := func(name string, fn func() error, opts ...qapi.Option) {
		qapi.Register(r, name, func(ctx, *qapi.Call, noArgs) (noArgs, error) { return noArgs{}, fn() }, opts...)
	}
	plain("stop", func() error { vm.running = false; vm.set.Emit("STOP", nil); return nil })
	plain("cont", func() error { vm.running = true; vm.set.Emit("RESUME", nil); return nil })
	plain("quit", func() error {
		vm.set.Emit("SHUTDOWN", shutdownData{false, "host-qmp-quit"})
		return nil
	}, qapi.AllowPreconfig())
	plain("x-exit-preconfig", func() error {
		if !vm.preconfig {
			return qapi.Errorf("The command is permitted only before machine initialization")
		}
		vm.preconfig = false
		vm.set.Emit("RESUME", nil)
		return nil
	}, qapi.AllowPreconfig())
	plain("query-cpus-fast", func() error { return nil })
	plain("x-silent", func() error { return nil }, qapi.SuccessResponse(false))
	plain("device_add", func() error { return nil })
	plain("x-block", func() error { vm.blocked <- struct{}{}; <-vm.block; return nil })
	plain("migrate-pause", func() error {
		return qapi.Errorf("migrate-pause is currently only supported during postcopy-active or postcopy-recover state")
	}, qapi.AllowOOB())
	qapi.Register(r, "migrate-recover", func(ctx, *qapi.Call, uriArgs) (noArgs, error) {
		return noArgs{}, qapi.Errorf("Migrate recover can only be run when postcopy is paused.")
	}, qapi.AllowOOB())
	qapi.Register(r, "yank", func(_ ctx, _ *qapi.Call, a yankArgs) (noArgs, error) {
		if len(a.Instances) > 0 {
			return noArgs{}, qapi.ClassErrorf(qapi.DeviceNotFound, "Instance not found")
		}
		return noArgs{}, nil
	}, qapi.AllowOOB())
	qapi.Register(r, "query-yank", func(ctx, *qapi.Call, noArgs) ([]string, error) { return nil, nil }, qapi.AllowOOB())
	qapi.Register(r, "query-name", func(ctx, *qapi.Call, noArgs) (nameInfo, error) { return nameInfo{}, nil }, qapi.AllowPreconfig())
	qapi.Register(r, "query-status", func(ctx, *qapi.Call, noArgs) (statusInfo, error) {
		s := statusInfo{Running: vm.running && !vm.preconfig, Status: "running"}
		switch {
		case vm.preconfig:
			s.Status = "prelaunch"
		case !vm.running:
			s.Status = "paused"
		}
		return s, nil
	}, qapi.AllowPreconfig())
	qapi.Register(r, "human-monitor-command", func(_ ctx, _ *qapi.Call, a hmpArgs) (string, error) {
		switch {
		case a.CPUIndex != nil:
			return "", qapi.Errorf("Parameter 'cpu-index' expects a CPU number")
		case a.CommandLine == "":
			return "", nil
		case a.CommandLine == "info version":
			return "8.2.7\r\n", nil
		}
		return "unknown command: '" + a.CommandLine + "'\r\n", nil
	})
	qapi.Register(r, "x-big", func(ctx, *qapi.Call, noArgs) (string, error) { return strings.Repeat("x", 200<<10), nil })
	for _, e := range []string{"STOP", "RESUME"} {
		qapi.RegisterEvent[noArgs](r, e)
	}
	qapi.RegisterEvent[shutdownData](r, "SHUTDOWN")
	qapi.RegisterEvent[rtcData](r, "RTC_CHANGE")
	qapi.RegisterEvent[portData](r, "VSERPORT_CHANGE")
}

// connect adds a monitor with a client past the negotiation.
func connect(t testing.TB, s *Set) *wire {
	t.Helper()
	w := newWire(t)
	if err := s.Add(w, Options{}); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.negotiate()
	return w
}
