package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/tests/rig/wire"
)

// bootTimeout is for L1 to come up: 4 to 7 s on an idle machine.
const bootTimeout = 3 * time.Minute

// endTimeout is for the emulator to end by itself once it has closed the
// agent's port, so that its exit status is its own.
const endTimeout = 10 * time.Second

// silence is how long an L1 that is up may be unheard: it is hung then, and
// without a timer of its own to say so.
const silence = 90 * time.Second

// l1CPU is what the emulation can do, without five-level paging, which only
// makes its page walks longer.
const l1CPU = "max,+svm,-la57"

// kernelLine is L1's kernel command line. A CPU that does not schedule for two
// minutes, or without a timer for one, is a hang worth a backtrace, and worth
// not waiting for the time-out.
const kernelLine = "console=ttyS0 panic=-1 quiet softlockup_panic=1 watchdog_thresh=60" +
	" rcupdate.rcu_cpu_stall_timeout=60 sysctl.kernel.panic_on_rcu_stall=1"

// DefaultMemoryMiB is L1's memory unless told otherwise. From 2816 on, q35 puts
// some of it above 4 GiB.
const DefaultMemoryMiB = 2800

// Share is a folder of the host's that appears in L1.
type Share struct {
	Host     string // path on the host
	Path     string // where it appears in L1
	ReadOnly bool
}

// Options describe an L1. The zero value of each field has a default.
type Options struct {
	Artifacts *Artifacts // from Build; required
	MemoryMiB int        // DefaultMemoryMiB; the guest's memory plus 2 GiB is a good measure
	CPUs      int        // 2
	Shares    []Share    // in addition to the root and the results folder
	Args      []string   // more arguments for L1's emulator
	Append    string     // more of L1's kernel command line
	Console   io.Writer  // gets L1's console as it comes; nobody
	// Bare leaves out the vDPA devices blk0 and net0.
	Bare bool
	Hardware
}

// L1 is a running machine. Its methods may be used by several goroutines.
type L1 struct {
	opts    Options
	results string
	cmd     *exec.Cmd
	port    *os.File
	conn    *wire.Conn
	console *console

	heard   atomic.Int64  // when the agent was heard last, Unix seconds
	silent  atomic.Bool   // it was ended because it was not heard
	gone    chan struct{} // closed when the emulator has ended
	goneErr error         // how; valid once gone is closed

	mu       sync.Mutex // guards the rest
	nextID   uint32
	commands map[uint32]chan wire.Frame
}

// Boot starts an L1 and waits until it takes commands. The machine lives until
// Close, or until the calling process dies, however it dies.
func Boot(ctx context.Context, opts Options) (*L1, error) {
	if opts.Artifacts == nil {
		return nil, errors.New("rig: Boot needs the Artifacts that Build returns")
	}
	if opts.MemoryMiB == 0 {
		opts.MemoryMiB = DefaultMemoryMiB
	}
	if opts.CPUs == 0 {
		opts.CPUs = 2
	}
	results, err := newResults(opts.Artifacts.Results)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	m := &L1{
		opts:     opts,
		results:  results,
		port:     ours,
		conn:     wire.NewConn(ours),
		gone:     make(chan struct{}),
		commands: make(map[uint32]chan wire.Frame),
	}
	err = m.startEmulator(theirs)
	theirs.Close()
	if err != nil {
		ours.Close()
		return nil, err
	}
	ready := make(chan wire.Result, 1)
	m.heard.Store(time.Now().Unix())
	go m.receive(ready)
	go m.listen()
	ctx, cancel := context.WithTimeoutCause(ctx, bootTimeout, fmt.Errorf("L1 did not come up within %v", bootTimeout))
	defer cancel()
	select {
	case r := <-ready:
		if r.Error != "" {
			err = errors.New(r.Error)
		}
	case <-m.gone:
		err = m.goneErr
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		m.Close()
		return nil, m.failure("boot L1", err)
	}
	return m, nil
}

// socketPair is the agent's port: our end is for Go's poller, theirs for the
// emulator to inherit. Nothing of it is in the file system.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("rig: socketpair: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "rig port"), os.NewFile(uintptr(fds[1]), "L1 port"), nil
}

// keptRuns is how many runs' results are kept.
const keptRuns = 20

// newResults makes a run's folder, so that two runs at once do not mix, points
// "last" to it and removes the oldest.
func newResults(dir string) (string, error) {
	name := fmt.Sprintf("run-%s-%d", time.Now().Format("20060102-150405.000"), os.Getpid())
	if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
		return "", err
	}
	link := filepath.Join(dir, "last")
	if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
		return "", err
	}
	// Of two runs that start at once either may be the last.
	if err := os.Symlink(name, link); err != nil && !os.IsExist(err) {
		return "", err
	}
	runs, err := filepath.Glob(filepath.Join(dir, "run-*"))
	if err != nil {
		return "", err
	}
	for _, old := range runs[:max(0, len(runs)-keptRuns)] { // Glob sorts
		if err := os.RemoveAll(old); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, name), nil
}

// Results is this run's folder, which L1 sees by the same path and can write
// to.
func (m *L1) Results() string { return m.results }

// shares are all of L1's, with the tags they are mounted by. The root's is
// mounted by L1's init.
func (m *L1) shares() []Share {
	return append([]Share{{Host: "/", ReadOnly: true}, {Host: m.results, Path: m.results}}, m.opts.Shares...)
}

func shareTag(i int) string {
	if i == 0 {
		return "rigroot"
	}
	return "rig" + strconv.Itoa(i)
}

func (m *L1) arguments() ([]string, error) {
	o := &m.opts
	hardware, err := o.Hardware.arguments(m.results)
	if err != nil {
		return nil, err
	}
	args := []string{
		"-M", "q35", "-accel", "tcg,thread=multi", "-cpu", l1CPU,
		"-smp", strconv.Itoa(o.CPUs), "-m", strconv.Itoa(o.MemoryMiB),
		"-nodefaults", "-no-user-config", "-display", "none",
		"-serial", "stdio", "-no-reboot",
		"-d", "cpu_reset", "-D", filepath.Join(m.results, resetLog),
		"-kernel", o.Artifacts.BzImage, "-initrd", o.Artifacts.L1Init,
		"-append", strings.TrimSpace(kernelLine + o.kernelArguments() + " " + o.Append),
		"-device", "virtio-serial-pci",
		"-chardev", "socket,id=rig,fd=3",
		"-device", "virtserialport,chardev=rig,name=" + wire.PortName,
	}
	for i, s := range m.shares() {
		// A comma is doubled in QEMU's option grammar.
		a := "local,path=" + strings.ReplaceAll(s.Host, ",", ",,") + ",mount_tag=" + shareTag(i) +
			",security_model=none,multidevs=remap"
		if s.ReadOnly {
			a += ",readonly=on"
		}
		args = append(args, "-virtfs", a)
	}
	return append(append(args, hardware...), o.Args...), nil
}

func (m *L1) startEmulator(port *os.File) error {
	args, err := m.arguments()
	if err != nil {
		return err
	}
	m.cmd = exec.Command("qemu-system-x86_64", args...)
	m.cmd.ExtraFiles = []*os.File{port}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{
		// Killed with us, however we die; and not by the terminal's Ctrl-C,
		// which is ours to handle.
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true,
	}
	log, err := os.Create(filepath.Join(m.results, "l1-console.log"))
	if err != nil {
		return err
	}
	m.console = &console{log: log, also: m.opts.Console}
	m.cmd.Stdout, m.cmd.Stderr = m.console, m.console
	started := make(chan error)
	go func() {
		// The parent-death signal comes when the thread that forked dies, so
		// that thread waits for the emulator.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := onOneCPU(m.cmd.Start)
		started <- err
		if err != nil {
			return
		}
		err = m.cmd.Wait()
		m.goneErr = errors.New("L1 has ended")
		if err != nil {
			m.goneErr = fmt.Errorf("L1 has ended: %w", err)
		}
		m.console.close()
		close(m.gone)
	}()
	if err := <-started; err != nil {
		log.Close()
		return fmt.Errorf("rig: start L1's emulator: %w", err)
	}
	return nil
}

// setup is what the agent prepares.
func (m *L1) setup() wire.Setup {
	var s wire.Setup
	for i, share := range m.shares() {
		if i > 0 {
			s.Mounts = append(s.Mounts, wire.Mount{Tag: shareTag(i), Path: share.Path, ReadOnly: share.ReadOnly})
		}
	}
	s.Commands = [][]string{
		{"hostname", "l1"},
		{"depmod"}, // for modprobe: the initramfs has the list that busybox reads
		{"ip", "link", "set", "lo", "up"},
	}
	if !m.opts.Bare {
		s.Commands = append(s.Commands,
			[]string{"vdpa", "dev", "add", "mgmtdev", "vdpasim_blk", "name", "blk0"},
			[]string{"vdpa", "dev", "add", "mgmtdev", "vdpasim_net", "name", "net0", "mac", "52:54:00:12:34:56"})
	}
	return s
}

// receive hands the agent's frames to their commands, until the port is
// closed.
func (m *L1) receive(ready chan<- wire.Result) {
	for {
		f, err := m.conn.Receive()
		if err != nil {
			// The emulator ends, or is told to: a broken agent is no use, and
			// everybody who waits sees that.
			select {
			case <-m.gone:
			case <-time.After(endTimeout):
				_ = m.cmd.Process.Kill()
			}
			return
		}
		m.heard.Store(time.Now().Unix())
		switch f.Kind {
		case wire.Alive:
		case wire.Hello:
			if err := m.conn.SendJSON(0, wire.SetupRequest, m.setup()); err != nil {
				ready <- wire.Result{Code: 1, Error: err.Error()}
			}
		case wire.SetupDone:
			ready <- decodeResult(f.Data)
		default:
			m.mu.Lock()
			ch := m.commands[f.ID]
			m.mu.Unlock()
			if ch != nil {
				select {
				case ch <- f:
				case <-m.gone:
				}
			}
		}
	}
}

// listen ends an L1 that is not heard any more. It ends with L1.
func (m *L1) listen() {
	tick := time.NewTicker(wire.AlivePeriod)
	defer tick.Stop()
	for {
		select {
		case <-m.gone:
			return
		case <-tick.C:
			if time.Since(time.Unix(m.heard.Load(), 0)) > silence {
				m.silent.Store(true)
				_ = m.cmd.Process.Kill() // fails only when it has ended
				return
			}
		}
	}
}

func decodeResult(b []byte) wire.Result {
	var r wire.Result
	if err := json.Unmarshal(b, &r); err != nil {
		return wire.Result{Code: 1, Error: "the agent's answer: " + err.Error()}
	}
	return r
}

// Console returns the last n lines of L1's console.
func (m *L1) Console(n int) string { return m.console.last(n) }

// failure is an error with what L1 said last.
func (m *L1) failure(what string, err error) error {
	return fmt.Errorf("rig: %s: %w\nL1's last console lines:\n%s", what, err, m.Console(30))
}

// Close ends the machine and waits for that. What was written to the results
// folder is on the host already.
func (m *L1) Close() {
	// Fails only when it has ended.
	_ = m.cmd.Process.Kill()
	<-m.gone
	m.port.Close()
	m.opts.release(m.results)
}
