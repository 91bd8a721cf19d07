// Command rig-agent is the first program in L1's userland: it takes orders
// from the rig over a virtio-serial port and runs commands for it.
//
// Started as process 1 it starts itself once more and only reaps orphans, so
// that waiting for them does not take a command's status away. When the agent
// ends, process 1 ends, and with it L1.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/tests/rig/wire"
)

func main() {
	var err error
	if os.Getpid() == 1 {
		err = reap()
	} else {
		err = serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rig-agent:", err)
		os.Exit(1)
	}
}

// reap is process 1.
func reap() error {
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"rig-agent"}, &syscall.ProcAttr{
		Env:   []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		return err
	}
	for {
		var status syscall.WaitStatus
		child, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if child == pid {
			return fmt.Errorf("the agent ended with status %#x", uint32(status))
		}
	}
}

// openPort finds the rig's port; there is no udev to name it.
func openPort() (*os.File, error) {
	for range 50 {
		names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			text, err := os.ReadFile(n)
			if err != nil || strings.TrimSpace(string(text)) != wire.PortName {
				continue
			}
			dev := "/dev/" + filepath.Base(filepath.Dir(n))
			// Blocking, and so on a thread of its own: the port's poll was never
			// made for edges.
			fd, err := unix.Open(dev, unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				return nil, fmt.Errorf("open %s: %w", dev, err)
			}
			return os.NewFile(uintptr(fd), dev), nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, errors.New("no virtio-serial port named " + wire.PortName)
}

// agent serves one connection for ever.
type agent struct {
	conn *wire.Conn

	mu      sync.Mutex // guards running
	running map[uint32]*process
}

// process is one command. Behind stdin is a goroutine of its own, so that a
// program that is slow to read holds up the others' frames only once the
// channel is full.
type process struct {
	pid   int
	stdin chan []byte   // nil data closes the program's input
	ended chan struct{} // closed when the program has ended
}

// beAlive tells the rig every now and then that L1 runs programs.
func (a *agent) beAlive() {
	for range time.Tick(wire.AlivePeriod) {
		if a.conn.Send(wire.Frame{Kind: wire.Alive}) != nil {
			return // serve sees it too
		}
	}
}

func serve() error {
	port, err := openPort()
	if err != nil {
		return err
	}
	unlimited := &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, unlimited); err != nil {
		return fmt.Errorf("RLIMIT_MEMLOCK: %w", err)
	}
	a := &agent{conn: wire.NewConn(port), running: make(map[uint32]*process)}
	go watchGuests()
	go a.beAlive()
	if err := a.conn.Send(wire.Frame{Kind: wire.Hello}); err != nil {
		return err
	}
	for {
		f, err := a.conn.Receive()
		if err != nil {
			return err
		}
		if err := a.handle(f); err != nil {
			return err
		}
	}
}

func (a *agent) handle(f wire.Frame) error {
	switch f.Kind {
	case wire.SetupRequest:
		var s wire.Setup
		if err := json.Unmarshal(f.Data, &s); err != nil {
			return err
		}
		var r wire.Result
		if err := setup(s); err != nil {
			r = wire.Result{Code: 1, Error: err.Error()}
		}
		return a.conn.SendJSON(f.ID, wire.SetupDone, r)
	case wire.Start:
		var c wire.Command
		if err := json.Unmarshal(f.Data, &c); err != nil {
			return err
		}
		if err := a.start(f.ID, c); err != nil {
			return a.conn.SendJSON(f.ID, wire.Exit, wire.Result{Code: 127, Error: err.Error()})
		}
	case wire.Stdin, wire.StdinEOF:
		// A frame for a command that has just ended is no error.
		if p := a.lookup(f.ID); p != nil {
			data := f.Data
			if f.Kind == wire.StdinEOF {
				data = nil
			}
			select {
			case p.stdin <- data:
			case <-p.ended:
			}
		}
	case wire.Signal:
		if len(f.Data) != 1 {
			return fmt.Errorf("%w: signal of %d bytes", wire.ErrFrame, len(f.Data))
		}
		if p := a.lookup(f.ID); p != nil {
			return ignoreGone(syscall.Kill(-p.pid, syscall.Signal(f.Data[0])))
		}
	default:
		return fmt.Errorf("%w: kind %d from the host", wire.ErrFrame, f.Kind)
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

func (a *agent) lookup(id uint32) *process {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running[id]
}

func setup(s wire.Setup) error {
	for _, m := range s.Mounts {
		if err := os.MkdirAll(m.Path, 0o755); err != nil {
			return err
		}
		flags := uintptr(0)
		if m.ReadOnly {
			flags = unix.MS_RDONLY
		}
		if err := unix.Mount(m.Tag, m.Path, "9p", flags, "trans=virtio,version=9p2000.L,msize=512000"); err != nil {
			return fmt.Errorf("mount the share %s: %w", m.Path, err)
		}
	}
	for _, argv := range s.Commands {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
		}
	}
	return nil
}

// stream sends what a program writes.
type stream struct {
	a    *agent
	id   uint32
	kind wire.Kind
}

func (s stream) Write(b []byte) (int, error) {
	if err := s.a.conn.Send(wire.Frame{ID: s.id, Kind: s.kind, Data: b}); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (a *agent) start(id uint32, c wire.Command) error {
	if len(c.Args) == 0 {
		return errors.New("no command")
	}
	if a.lookup(id) != nil {
		return fmt.Errorf("command id %d is in use", id)
	}
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Dir, cmd.Env = c.Dir, c.Env
	cmd.Stdout, cmd.Stderr = stream{a, id, wire.Stdout}, stream{a, id, wire.Stderr}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A process it leaves behind may hold its output; that is not waited for.
	cmd.WaitDelay = 2 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{pid: cmd.Process.Pid, stdin: make(chan []byte, 64), ended: make(chan struct{})}
	a.mu.Lock()
	a.running[id] = p
	a.mu.Unlock()
	go feed(stdin, p.stdin, p.ended)
	go func() {
		err := cmd.Wait()
		close(p.ended)
		a.mu.Lock()
		delete(a.running, id)
		a.mu.Unlock()
		// A failed send means that the host is gone, which serve sees too.
		_ = a.conn.SendJSON(id, wire.Exit, result(cmd, err))
	}()
	return nil
}

// feed writes a program's input until it is closed or the program has ended.
// It goes on taking data afterwards as long as the program runs, for the
// sender must not block.
func feed(w io.WriteCloser, data <-chan []byte, ended <-chan struct{}) {
	defer w.Close()
	for {
		select {
		case b := <-data:
			if b == nil {
				w.Close()
			} else if _, err := w.Write(b); err != nil {
				w.Close()
			}
		case <-ended:
			return
		}
	}
}

func result(cmd *exec.Cmd, err error) wire.Result {
	if cmd.ProcessState == nil {
		return wire.Result{Code: 127, Error: err.Error()}
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return wire.Result{Code: 128 + int(status.Signal())}
	}
	return wire.Result{Code: status.ExitStatus()}
}
