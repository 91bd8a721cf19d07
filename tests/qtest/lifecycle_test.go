package qtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const (
	hostReset     = `RESET {"guest": false, "reason": "host-qmp-system-reset"}`
	quitEvent     = `SHUTDOWN {"guest": false, "reason": "host-qmp-quit"}`
	signalEvent   = `SHUTDOWN {"guest": false, "reason": "host-signal"}`
	guestPoweroff = `SHUTDOWN {"guest": true, "reason": "guest-shutdown"}`
)

// TestStopCont: each transition is told once, and repeating it is no error.
func TestStopCont(t *testing.T) {
	t.Parallel()
	q := microvm(t).QMP
	q.Must("stop", nil, nil)
	q.ExpectEvents("STOP")
	if s := q.Status(); s != "paused" {
		t.Error(s)
	}
	q.Must("stop", nil, nil)
	q.Must("cont", nil, nil)
	q.ExpectEvents("RESUME")
	q.Must("cont", nil, nil)
	if s := q.Status(); s != "running" {
		t.Error(s)
	}
	if l := q.Events(); len(l) > 0 {
		t.Errorf("%v", l)
	}
}

// TestPausedStart: -S starts in prelaunch, and cont runs.
func TestPausedStart(t *testing.T) {
	t.Parallel()
	q := microvm(t, "-S").QMP
	if s := q.Status(); s != "prelaunch" {
		t.Error(s)
	}
	if s := q.HMP("info status"); s != "VM status: paused (prelaunch)\n" {
		t.Errorf("%q", s)
	}
	q.Must("system_reset", nil, nil)
	q.ExpectEvents(hostReset)
	if s := q.Status(); s != "prelaunch" {
		t.Error(s)
	}
	q.Must("cont", nil, nil)
	q.ExpectEvents("RESUME")
	if s := q.Status(); s != "running" {
		t.Error(s)
	}
}

// TestReset: a reset is told with its cause and leaves the VM running.
func TestReset(t *testing.T) {
	t.Parallel()
	q := microvm(t).QMP
	for range 20 {
		q.Must("system_reset", nil, nil)
		q.ExpectEvents(hostReset)
	}
	if s := q.Status(); s != "running" {
		t.Error(s)
	}
}

// TestQuit: quit answers, tells and ends with status 0.
func TestQuit(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	m.QMP.Send(`{"execute":"quit","id":"q"}`)
	m.QMP.ExpectEvents(quitEvent)
	if r := m.QMP.Next(); string(r.ID) != `"q"` || string(r.Return) != "{}" {
		t.Errorf("%+v", r)
	}
	m.QMP.ExpectEOF()
	if code := m.Wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestSignals: SIGTERM, SIGINT and SIGHUP end the process in order, with a
// line on standard error.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			m := microvm(t, "-no-shutdown")
			m.Signal(s)
			m.QMP.ExpectEvents(signalEvent)
			if code := m.Wait(); code != 0 {
				t.Errorf("exit status %d", code)
			}
			want := fmt.Sprintf("%s: terminating on signal %d", ProgramName, int(s))
			if !strings.HasPrefix(m.Stderr(), want) {
				t.Errorf("standard error %q", m.Stderr())
			}
		})
	}
}

// TestSignalWhileWaiting: until the machine stands a signal has its own effect,
// and nothing is left behind.
func TestSignalWhileWaiting(t *testing.T) {
	t.Parallel()
	dir := ShortDir(t)
	p := Spawn(t, Config{Args: Args("-nodefaults -display none -M none -accel qtest -pidfile " + dir + "/pid -qmp unix:" + dir + "/q,server=on,wait=on")})
	m := &Machine{Process: p, t: t}
	m.Eventually("the wait for a client", func() bool { return strings.Contains(p.Stderr(), "waiting for connection") })
	p.Signal(syscall.SIGTERM)
	p.Wait()
	if st := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !st.Signaled() || st.Signal() != syscall.SIGTERM {
		t.Errorf("wait status %#x", st)
	}
	if strings.Contains(p.Stderr(), "terminating") {
		t.Errorf("standard error %q", p.Stderr())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestActions: what -no-reboot, -no-shutdown and -action make of what guest
// and client ask for.
func TestActions(t *testing.T) {
	t.Parallel()
	reset := func(m *Machine) { m.QMP.Must("system_reset", nil, nil) }
	guestReset := func(m *Machine) { m.Send(fmt.Sprintf("writeb %#x %#x\n", GEDRegs+2, gedResetValue)) }
	off := func(m *Machine) { m.Send(fmt.Sprintf("writeb %#x 0x34\n", GEDRegs)) }
	for _, c := range []struct {
		name   string
		args   string
		do     func(*Machine)
		events []string
		state  string // "" if the process ends
	}{
		{"no-reboot", "-no-reboot", reset, []string{`SHUTDOWN {"guest": false, "reason": "host-qmp-system-reset"}`}, ""},
		{"no-reboot guest", "-no-reboot", guestReset, []string{`SHUTDOWN {"guest": true, "reason": "guest-reset"}`}, ""},
		{"action reboot", "-action reboot=shutdown", guestReset, []string{`SHUTDOWN {"guest": true, "reason": "guest-reset"}`}, ""},
		{"action reboot=reset", "-action reboot=reset", guestReset, []string{`RESET {"guest": true, "reason": "guest-reset"}`}, "running"},
		{"power off", "", off, []string{guestPoweroff}, ""},
		{"no-shutdown", "-no-shutdown", off, []string{guestPoweroff, "STOP"}, "shutdown"},
		{"action shutdown=pause", "-action shutdown=pause", off, []string{guestPoweroff, "STOP"}, "shutdown"},
		{"both", "-no-reboot -no-shutdown", guestReset, []string{`SHUTDOWN {"guest": true, "reason": "guest-reset"}`, "STOP"}, "shutdown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := microvm(t, Args(c.args)...)
			c.do(m)
			m.QMP.ExpectEvents(c.events...)
			if c.state == "" {
				if code := m.Wait(); code != 0 {
					t.Errorf("exit status %d", code)
				}
				return
			}
			if s := m.QMP.Status(); s != c.state {
				t.Fatalf("state %s, want %s", s, c.state)
			}
			if c.state != "shutdown" {
				return
			}
			err := m.QMP.Execute("cont", nil, nil)
			if err == nil || err.Error() != "GenericError: Resetting the Virtual Machine is required" {
				t.Errorf("cont: %v", err)
			}
			reset(m)
			if !strings.Contains(c.args, "-no-reboot") {
				m.QMP.ExpectEvents(hostReset)
				m.QMP.Must("cont", nil, nil)
				m.QMP.ExpectEvents("RESUME")
			}
		})
	}
}

// TestPidfile: it holds the process's id while the process lives, and a second
// process does not get it.
func TestPidfile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(ShortDir(t), "pid")
	m := microvm(t, "-pidfile", file)
	b, err := os.ReadFile(file)
	if err != nil || string(b) != fmt.Sprintf("%d\n", m.Pid()) {
		t.Errorf("%q, %v", b, err)
	}
	o := Run(t, patience, "-nodefaults", "-display", "none", "-M", "none", "-accel", "qtest", "-pidfile", file)
	if o.Code != 1 || o.Stderr != ProgramName+": cannot create PID file: Cannot lock pid file: Resource temporarily unavailable\n" {
		t.Errorf("%+v", o)
	}
	m.Quit()
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}

// TestDaemonize: when the parent ends, with status 0, the sockets take clients
// and the pid file names the daemon, which has left its terminal, directory and
// session.
func TestDaemonize(t *testing.T) {
	t.Parallel()
	dir := ShortDir(t)
	p := Spawn(t, Config{Args: []string{"-nodefaults", "-display", "none", "-M", "none", "-accel", "qtest", "-daemonize",
		"-pidfile", dir + "/pid", "-qmp", "unix:" + dir + "/q,server=on,wait=off"}})
	if code := p.Wait(); code != 0 || p.Stdout() != "" || p.Stderr() != "" {
		t.Fatalf("exit status %d, %q, %q", code, p.Stdout(), p.Stderr())
	}
	b, err := os.ReadFile(dir + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid == p.Pid() {
		t.Fatalf("pid file %q, parent %d", b, p.Pid())
	}
	defer syscall.Kill(pid, syscall.SIGKILL)
	q := DialQMP(t, dir+"/q")
	if s := q.Status(); s != "running" {
		t.Error(s)
	}
	for _, fd := range []string{"0", "1", "2"} {
		if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd)); to != "/dev/null" {
			t.Errorf("descriptor %s is %s", fd, to)
		}
	}
	if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); cwd != "/" {
		t.Errorf("directory %s", cwd)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	if f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]); string(f[3]) == strconv.Itoa(syscall.Getpgrp()) || string(f[4]) != "0" {
		t.Errorf("session %s, terminal %s", f[3], f[4])
	}
	q.Must("quit", nil, nil)
	q.ExpectEOF()
	waitGone(t, pid)
	if _, err := os.Stat(dir + "/pid"); !os.IsNotExist(err) {
		t.Errorf("the pid file is still there: %v", err)
	}
}

// TestDaemonizeChroot: a daemon leaves its terminal where the new root has no
// /dev/null, too.
func TestDaemonizeChroot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root changes the root directory")
	}
	dir, root := ShortDir(t), t.TempDir()
	p := Spawn(t, Config{Args: []string{"-nodefaults", "-display", "none", "-M", "none", "-accel", "qtest", "-daemonize",
		"-pidfile", dir + "/pid", "-run-with", "chroot=" + root}})
	if code := p.Wait(); code != 0 {
		t.Fatalf("exit status %d, %q", code, p.Stderr())
	}
	b, err := os.ReadFile(dir + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range []string{"0", "1", "2"} {
		if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd)); to != "/dev/null" {
			t.Errorf("descriptor %s is %s", fd, to)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	waitGone(t, pid)
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	(&Machine{t: t}).Eventually("the daemon to end", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || regexp.MustCompile(`\) Z `).Match(b)
	})
}

// TestDaemonizeFails: what goes wrong before the machine stands is printed by
// the parent and is its exit status.
func TestDaemonizeFails(t *testing.T) {
	t.Parallel()
	dir := ShortDir(t)
	o := Run(t, patience, "-nodefaults", "-display", "none", "-M", "microvm", "-accel", "qtest", "-daemonize", "-pidfile", dir+"/pid",
		"-device", "vhost-vdpa-device,vhostdev=/dev/null")
	want := ProgramName + ": -device vhost-vdpa-device,vhostdev=/dev/null: vhost-vdpa-device: cmd 0x8004af70 failed: " +
		"Inappropriate ioctl for device\n"
	if o.Code != 1 || o.Stderr != want {
		t.Errorf("%+v\n want %q", o, want)
	}
}

// TestStdinEOF: the end of standard input ends the session of -qmp stdio, not
// the process; half a command is dropped.
func TestStdinEOF(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := Spawn(t, Config{Args: Args("-nodefaults -display none -M none -accel qtest -qmp stdio"), Stdin: r})
	r.Close()
	if _, err := w.WriteString(`{"execute":"qmp_capabilities"}` + "\n" + `{"execute":"query-na`); err != nil {
		t.Fatal(err)
	}
	m := &Machine{Process: p, t: t}
	m.Eventually("the reply", func() bool { return strings.Contains(p.Stdout(), `{"return": {}}`) })
	w.Close()
	if p.Ended() {
		t.Fatal("ended with its standard input")
	}
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if lines := strings.Split(strings.TrimSpace(p.Stdout()), "\r\n"); len(lines) != 3 || !strings.Contains(lines[2], `"host-signal"`) {
		t.Errorf("%q", lines)
	}
}

// TestMessageTimestamps: -msg timestamp=on puts the time before each line.
func TestMessageTimestamps(t *testing.T) {
	t.Parallel()
	o := Run(t, patience, Args("-nodefaults -display none -M microvm -accel qtest -msg timestamp=on -device vhost-vdpa-device")...)
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z `+ProgramName+`: -device`).MatchString(o.Stderr) || o.Code != 1 {
		t.Errorf("%+v", o)
	}
}

// TestNoLeaks: resets, stops and clients leave no descriptor, thread or
// mapping behind.
func TestNoLeaks(t *testing.T) {
	t.Parallel()
	m := microvm(t, "-serial", "null")
	round := func() {
		for range 20 {
			m.QMP.Must("system_reset", nil, nil)
			m.QMP.WaitEvent("RESET")
			m.QMP.Must("stop", nil, nil)
			m.QMP.Must("cont", nil, nil)
			m.QMP.Must("device-list-properties", map[string]any{"typename": "vhost-vdpa-device"}, nil)
			if err := m.QMP.Execute("device_add", map[string]any{"driver": "vhost-vdpa-device", "id": "v"}, nil); err == nil {
				t.Fatal("plugged")
			}
		}
	}
	round()
	fds, threads, maps := m.FDs(), m.Threads(), m.Mappings()
	for range 3 {
		round()
	}
	if have := m.FDs(); fmt.Sprint(have) != fmt.Sprint(fds) {
		t.Errorf("descriptors %v, were %v", have, fds)
	}
	if n := m.Threads(); n > threads+4 {
		t.Errorf("%d threads, were %d", n, threads)
	}
	if n := m.Mappings(); n != maps || n == 0 {
		t.Errorf("%d mappings, were %d", n, maps)
	}
}
