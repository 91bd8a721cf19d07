package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/cli"
)

// daemonEnv tells the re-executed process on which descriptor to report that
// it is ready. A Go program cannot fork: its threads would not follow.
const daemonEnv = "GQEMU_DAEMON_READY_FD"

// isDaemon tells whether this is the re-executed process, whose command line
// the parent has read already.
func isDaemon() bool { return os.Getenv(daemonEnv) != "" }

// daemonState is the child's side of -daemonize.
type daemonState struct {
	pipe *os.File
	null *os.File // opened before -run-with chroot= and -runas can put it out of reach
}

// daemonize starts the same program again in a session of its own, and waits
// until it is ready or has failed. In the parent done is the exit status. All
// inherited descriptors reach the child under their numbers.
func daemonize(cfg *cli.Config) (d daemonState, done *int, err error) {
	if !cfg.Daemonize {
		return d, nil, nil
	}
	if s := os.Getenv(daemonEnv); s != "" {
		os.Unsetenv(daemonEnv)
		fd, err := strconv.Atoi(s)
		if err != nil {
			return d, nil, fmt.Errorf("bad %s", daemonEnv)
		}
		unix.CloseOnExec(fd)
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return d, nil, err
		}
		return daemonState{os.NewFile(uintptr(fd), "ready"), null}, nil, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return d, nil, err
	}
	defer r.Close()
	self, err := os.Executable()
	if err != nil {
		return d, nil, err
	}
	files := inheritable()
	fd := len(files)
	files = append(files, w)
	p, err := os.StartProcess(self, os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), fmt.Sprintf("%s=%d", daemonEnv, fd)),
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	w.Close()
	if err != nil {
		return d, nil, err
	}
	status := 0
	var ok [1]byte
	if n, _ := r.Read(ok[:]); n != 1 {
		// It ended without a word on the pipe: its exit status is ours.
		status = 1
		if st, err := p.Wait(); err == nil && st.ExitCode() >= 0 {
			status = st.ExitCode()
		}
	}
	return d, &status, nil
}

// inheritable lists the open descriptors that an exec would keep, by number;
// gaps are nil.
func inheritable() []*os.File {
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return files
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		for len(files) <= fd {
			files = append(files, nil)
		}
		files[fd] = os.NewFile(uintptr(fd), e.Name())
	}
	return files
}

// ready tells the waiting parent that the machine stands and lets go of the
// terminal and the directory.
func (d daemonState) ready() {
	if d.pipe == nil {
		return
	}
	for fd := range 3 {
		// /dev/null onto an open descriptor does not fail.
		_ = unix.Dup3(int(d.null.Fd()), fd, 0)
	}
	d.null.Close()
	_ = os.Chdir("/") // it is there
	_, _ = d.pipe.Write([]byte{0})
	d.pipe.Close()
}
