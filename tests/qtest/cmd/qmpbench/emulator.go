package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// patience bounds every wait.
	patience = 30 * time.Second
	// burst is how long a rate is measured.
	burst = 150 * time.Millisecond
	// settle is how long an emulator is left alone before its memory is
	// looked at.
	settle = 300 * time.Millisecond
)

// emulator is one of the two programs.
type emulator struct{ name, path, accel string }

// version is the first line of -version.
func (e emulator) version() string {
	out, err := exec.Command(e.path, "-version").Output()
	if err != nil {
		return err.Error()
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}

// skipped holds what has been complained of.
var skipped = map[string]bool{}

// skip says once why a figure is missing.
func (e emulator) skip(what string, err error) {
	text := fmt.Sprintf("qmpbench: %s: %s: %v", e.name, what, err)
	if !skipped[text] {
		fmt.Fprintln(os.Stderr, text)
	}
	skipped[text] = true
}

// measure takes every figure once.
func (e emulator) measure(r results) error {
	for _, m := range machines {
		if err := e.life(m, r); err != nil {
			e.skip("-M "+m, err)
		}
	}
	if err := e.rates(r); err != nil {
		return err
	}
	if e.accel == "qtest" {
		return e.verbs(r)
	}
	return nil
}

// life starts an emulator, measures what it does on a machine, and ends it.
func (e emulator) life(machine string, r results) error {
	p, err := e.start(machine)
	if err != nil {
		return err
	}
	defer p.kill()
	r["start, "+machine] = append(r["start, "+machine], ms(p.took))
	time.Sleep(settle)
	pss, err := p.pss()
	if err != nil {
		return err
	}
	r["memory, "+machine] = append(r["memory, "+machine], pss)
	begin := time.Now()
	if _, err := p.qmp.ask(`{"execute":"quit"}` + "\n"); err != nil {
		return err
	}
	<-p.ended
	if p.err != nil {
		return fmt.Errorf("after quit: %w", p.err)
	}
	r["quit to exit, "+machine] = append(r["quit to exit, "+machine], ms(time.Since(begin)))
	state := p.cmd.ProcessState
	r["CPU time of it all, "+machine] = append(r["CPU time of it all, "+machine], ms(state.UserTime()+state.SystemTime()))
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// rates measures commands.
func (e emulator) rates(r results) error {
	p, err := e.start("none")
	if err != nil {
		return err
	}
	defer p.kill()
	for _, c := range []struct {
		name  string
		lines []string
	}{
		{"query-status", []string{`{"execute":"query-status"}`}},
		{"query-qmp-schema", []string{`{"execute":"query-qmp-schema"}`}},
		{"object-add + object-del", []string{
			`{"execute":"object-add","arguments":{"qom-type":"memory-backend-ram","id":"m0","size":4096}}`,
			`{"execute":"object-del","arguments":{"id":"m0"}}`,
		}},
	} {
		n, bytes, err := p.qmp.rate(c.lines)
		if err != nil {
			e.skip(c.name, err)
			continue
		}
		r[c.name] = append(r[c.name], n)
		if c.name == "query-qmp-schema" {
			r[c.name+", bytes"] = append(r[c.name+", bytes"], float64(bytes))
		}
	}
	return nil
}

// process is a running emulator.
type process struct {
	cmd   *exec.Cmd
	dir   string
	qmp   *client
	took  time.Duration // from exec to the end of the negotiation
	ended chan struct{} // closed when the process has been waited for
	err   error         // what came of it, once it has
}

// start starts an emulator, which connects to us, and negotiates.
func (e emulator) start(machine string, more ...string) (*process, error) {
	dir, err := os.MkdirTemp("", "qmpbench")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir}
	l, err := net.Listen("unix", filepath.Join(dir, "qmp"))
	if err != nil {
		p.kill()
		return nil, err
	}
	defer l.Close()
	args := []string{"-nodefaults", "-display", "none", "-S", "-accel", e.accel, "-M", machine,
		"-chardev", "socket,id=c0,path=" + l.Addr().String(), "-mon", "chardev=c0,mode=control"}
	p.cmd = exec.Command(e.path, append(args, more...)...)
	p.cmd.Stderr = os.Stderr
	begin := time.Now()
	if err := p.cmd.Start(); err != nil {
		p.kill()
		return nil, err
	}
	p.ended = make(chan struct{})
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
		l.Close() // nobody will come any more
	}()
	if p.qmp, err = accept(l); err != nil {
		p.kill()
		return nil, err
	}
	if _, err := p.qmp.line(); err != nil {
		p.kill()
		return nil, err
	}
	if _, err := p.qmp.ask(`{"execute":"qmp_capabilities"}` + "\n"); err != nil {
		p.kill()
		return nil, err
	}
	p.took = time.Since(begin)
	return p, nil
}

// kill ends what is left of a process.
func (p *process) kill() {
	if p.qmp != nil {
		p.qmp.conn.Close()
	}
	if p.ended != nil {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
	}
	os.RemoveAll(p.dir)
}

// pss is the process's proportional share of memory, in MiB
// (Linux Documentation/filesystems/proc.rst, smaps_rollup).
func (p *process) pss() (float64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/smaps_rollup")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			var kib float64
			_, err := fmt.Sscan(rest, &kib)
			return kib / 1024, err
		}
	}
	return 0, errors.New("smaps_rollup has no Pss")
}

// client is the other end of a control or qtest connection.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

func accept(l net.Listener) (*client, error) {
	if err := l.(*net.UnixListener).SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	c, err := l.Accept()
	if err != nil {
		return nil, err
	}
	return &client{c, bufio.NewReaderSize(c, 1<<20)}, nil
}

// line reads a line, which is valid until the next call.
func (c *client) line() ([]byte, error) {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	return c.in.ReadSlice('\n')
}

// ask sends a command and reads the reply, past events. It gives the reply's
// length.
func (c *client) ask(command string) (int, error) {
	if _, err := c.conn.Write([]byte(command)); err != nil {
		return 0, err
	}
	for {
		l, err := c.line()
		switch {
		case err != nil:
			return 0, err
		case bytes.HasPrefix(l, []byte(`{"error"`)) || bytes.HasPrefix(l, []byte("FAIL")):
			return 0, fmt.Errorf("%s to %s", bytes.TrimSpace(l), strings.TrimSpace(command))
		case bytes.HasPrefix(l, []byte(`{"return"`)) || bytes.HasPrefix(l, []byte("OK")):
			return len(l), nil
		}
	}
}

// verbs measures the qtest protocol.
func (e emulator) verbs(r results) error {
	dir, err := os.MkdirTemp("", "qmpbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "qtest"))
	if err != nil {
		return err
	}
	defer l.Close()
	p, err := e.start("microvm", "-qtest", "unix:"+l.Addr().String(), "-qtest-log", "none")
	if err != nil {
		return err
	}
	defer p.kill()
	c, err := accept(l)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	for name, command := range map[string]string{
		"qtest readl": "readl 0x1000", "qtest outb": "outb 0x70 0x0f", "qtest read 4 KiB": "read 0x1000 0x1000",
	} {
		n, _, err := c.rate([]string{command})
		if err != nil {
			return err
		}
		r[name] = append(r[name], n)
	}
	return nil
}

// rate repeats a sequence of commands for a while. It gives how often that was
// per second, and the length of the last reply.
func (c *client) rate(lines []string) (perSecond float64, bytes int, err error) {
	n, begin := 0, time.Now()
	for time.Since(begin) < burst {
		for _, l := range lines {
			if bytes, err = c.ask(l + "\n"); err != nil {
				return 0, 0, err
			}
		}
		n++
	}
	return float64(n) / time.Since(begin).Seconds(), bytes, nil
}
