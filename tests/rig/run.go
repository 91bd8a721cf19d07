package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/gqemu/gqemu/tests/rig/wire"
)

// Cmd is a program to run inside L1.
type Cmd struct {
	Args   []string
	Dir    string    // the checkout
	Env    []string  // added to Environ's
	Stdin  io.Reader // nothing
	Stdout io.Writer // nobody
	Stderr io.Writer // nobody
}

// ErrGone is wrapped by the error of a command that L1 did not outlive.
var ErrGone = errors.New("L1 died")

// Environ is the environment of every command: a plain one of root's, where
// the rig's things are, and what the host's environment says of gqemu and Go
// tests.
func (m *L1) Environ() []string {
	a := m.opts.Artifacts
	env := []string{
		"PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "TERM=dumb", "LC_ALL=C.UTF-8",
		"GQEMU_RIG_L1=1",
		"GQEMU_RIG_BZIMAGE=" + a.BzImage,
		"GQEMU_RIG_VMLINUX=" + a.VMLinux,
		"GQEMU_RIG_INITRD=" + a.L2Init,
		"GQEMU_RIG_INITRD_TOOLS=" + a.L2Tools,
		"GQEMU_RIG_RESULTS=" + m.results,
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "GQEMU_") {
			env = append(env, v)
		}
	}
	return env
}

// Run runs a command inside L1 with what it needs of resources unlimited, and
// returns its exit code. When ctx ends, the command is killed and ctx's cause
// is the error, with L1's last console lines. An exit code above 0 comes with
// an error that wraps ErrEmulation when a guest fell by a triple fault.
func (m *L1) Run(ctx context.Context, c Cmd) (int, error) {
	if len(c.Args) == 0 {
		return -1, errors.New("rig: no command")
	}
	if c.Dir == "" {
		c.Dir = m.opts.Artifacts.Checkout
	}
	ch := make(chan wire.Frame, 16)
	m.mu.Lock()
	m.nextID++
	id := m.nextID
	m.commands[id] = ch
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.commands, id)
		m.mu.Unlock()
	}()
	start := wire.Command{Args: c.Args, Dir: c.Dir, Env: append(m.Environ(), c.Env...)}
	if err := m.conn.SendJSON(id, wire.Start, start); err != nil {
		return -1, m.failure(c.Args[0], errors.Join(ErrGone, err))
	}
	if c.Stdin != nil {
		go m.feed(id, c.Stdin)
	} else if err := m.conn.Send(wire.Frame{ID: id, Kind: wire.StdinEOF}); err != nil {
		return -1, m.failure(c.Args[0], errors.Join(ErrGone, err))
	}
	for {
		select {
		case f := <-ch:
			switch f.Kind {
			case wire.Stdout:
				write(c.Stdout, f.Data)
			case wire.Stderr:
				write(c.Stderr, f.Data)
			case wire.Exit:
				r := decodeResult(f.Data)
				if r.Error != "" {
					return r.Code, fmt.Errorf("rig: %s: %s", c.Args[0], r.Error)
				}
				if r.Code != 0 && m.guestFell() {
					return r.Code, m.failure(c.Args[0], fmt.Errorf("exit code %d while a guest fell: %w", r.Code, ErrEmulation))
				}
				return r.Code, nil
			}
		case <-m.gone:
			return -1, m.failure(c.Args[0], m.goneError())
		case <-ctx.Done():
			// When this fails L1 is gone, and there is nothing left to kill.
			_ = m.conn.Send(wire.Frame{ID: id, Kind: wire.Signal, Data: []byte{byte(syscall.SIGKILL)}})
			return -1, m.failure(c.Args[0], context.Cause(ctx))
		}
	}
}

// feed sends a command's input. It ends with the input, or when L1 is gone;
// an input that never ends, such as a terminal, ends with the process.
func (m *L1) feed(id uint32, r io.Reader) {
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 && m.conn.Send(wire.Frame{ID: id, Kind: wire.Stdin, Data: buf[:n]}) != nil {
			return
		}
		if err != nil {
			// Nobody is left to tell when this fails.
			_ = m.conn.Send(wire.Frame{ID: id, Kind: wire.StdinEOF})
			return
		}
	}
}

// write passes output on. That nobody takes it is no reason to end the
// command.
func write(w io.Writer, b []byte) {
	if w != nil {
		_, _ = w.Write(b)
	}
}
