package chardev

import (
	"os"
	ossignal "os/signal"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/crash"
)

// openStdio makes the process's standard input and output a chardev's. A registry lends them to
// one chardev at a time.
func openStdio(c *Chardev, cfg StdioConfig) error {
	r := c.reg
	if r.Daemonize {
		return errorf("cannot use stdio with -daemonize")
	}
	r.mu.Lock()
	busy := r.stdio
	r.stdio = true
	r.mu.Unlock()
	if busy {
		return errorf("cannot use stdio by multiple character devices")
	}

	stdin, stdout := r.Stdin, r.Stdout
	if stdin == nil {
		stdin = os.Stdin
	}
	if stdout == nil {
		stdout = os.Stdout
	}
	in, restoreIn := private(stdin, unix.O_RDONLY)
	out, restoreOut := private(stdout, unix.O_WRONLY)
	b := &stdioBackend{fileBackend: fileBackend{s: newStream(in, out)}}
	if in != nil {
		b.tty = newTerminal(in, cfg.Signal)
	}
	b.release = func() {
		if b.tty != nil {
			b.tty.restore()
		}
		restoreIn()
		restoreOut()
		r.mu.Lock()
		r.stdio = false
		r.mu.Unlock()
	}
	c.setStatic(&b.fileBackend)
	c.be = b
	return nil
}

// stdioBackend is a stream that may be a terminal.
type stdioBackend struct {
	fileBackend
	tty *terminal // nil when stdin is not a terminal
}

func (b *stdioBackend) setEcho(on bool) {
	if b.tty != nil {
		b.tty.setEcho(on)
	}
}

// private returns a descriptor of its own for f, and what undoes its side effects.
//
// Waiting without a thread needs O_NONBLOCK, and that flag belongs to the open file description,
// which the process shares with its parent and with stderr. Terminals and FIFOs are therefore
// opened once more; where that is impossible the flag is put back at the end, as QEMU does.
func private(f *os.File, mode int) (*os.File, func()) {
	nothing := func() {}
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, nothing
	}
	var own *os.File
	undo := nothing
	err = rc.Control(func(ufd uintptr) {
		fd := int(ufd)
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil {
			return
		}
		kind := st.Mode & unix.S_IFMT
		tty := kind == unix.S_IFCHR && isTerminal(fd)
		if kind == unix.S_IFIFO || tty {
			n, err := unix.Open("/proc/self/fd/"+itoa(fd), mode|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
			if err == nil {
				own = os.NewFile(uintptr(n), f.Name())
				return
			}
		}
		n, err := unix.FcntlInt(ufd, unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return
		}
		if kind == unix.S_IFIFO || tty || kind == unix.S_IFSOCK {
			flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
			if err == nil && flags&unix.O_NONBLOCK == 0 {
				unix.SetNonblock(n, true)
				// By way of the original: the duplicate is closed by then.
				undo = func() { _ = rc.Control(func(fd uintptr) { unix.SetNonblock(int(fd), false) }) }
			}
		}
		own = os.NewFile(uintptr(n), f.Name())
	})
	if err != nil {
		return nil, nothing
	}
	return own, undo
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// terminal is a terminal whose settings were changed and will be restored.
type terminal struct {
	f       *os.File
	signals bool
	old     unix.Termios

	mu   sync.Mutex
	echo bool
	done bool // restored; nothing may change any more

	cont    chan os.Signal
	stopped chan struct{}
	calm    func() // a crash no longer restores the settings
}

// newTerminal makes f raw, or returns nil if it is not a terminal. After ^Z and fg the shell has
// put its own settings back, so that SIGCONT makes it raw again.
func newTerminal(f *os.File, signals bool) *terminal {
	t := &terminal{f: f, signals: signals, cont: make(chan os.Signal, 1), stopped: make(chan struct{})}
	old, err := t.get()
	if err != nil {
		return nil
	}
	t.old = *old
	cancel, stop := crash.OnCrash(func() { t.set(t.old) }), crash.Signals()
	t.calm = func() {
		cancel()
		stop()
	}
	t.apply()
	ossignal.Notify(t.cont, unix.SIGCONT)
	go func() {
		defer close(t.stopped)
		for range t.cont {
			t.apply()
		}
	}()
	return t
}

func (t *terminal) get() (tio *unix.Termios, err error) {
	rc, err := t.f.SyscallConn()
	if err != nil {
		return nil, err
	}
	if cerr := rc.Control(func(fd uintptr) { tio, err = unix.IoctlGetTermios(int(fd), unix.TCGETS) }); cerr != nil {
		return nil, cerr
	}
	return tio, err
}

func (t *terminal) set(tio unix.Termios) {
	rc, err := t.f.SyscallConn()
	if err != nil {
		return
	}
	_ = rc.Control(func(fd uintptr) { _ = unix.IoctlSetTermios(int(fd), unix.TCSETS, &tio) })
}

// apply sets the terminal for the wanted echo and signals. With echo on the user types lines, and
// the terminal stays as it was.
func (t *terminal) apply() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return
	}
	tio := t.old
	if !t.echo {
		tio.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		tio.Oflag |= unix.OPOST
		tio.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.IEXTEN
		tio.Cflag &^= unix.CSIZE | unix.PARENB
		tio.Cflag |= unix.CS8
		tio.Cc[unix.VMIN], tio.Cc[unix.VTIME] = 1, 0
	}
	if !t.signals {
		tio.Lflag &^= unix.ISIG
	}
	t.set(tio)
}

func (t *terminal) setEcho(on bool) {
	t.mu.Lock()
	t.echo = on
	t.mu.Unlock()
	t.apply()
}

// restore puts the settings back and ends the goroutine.
func (t *terminal) restore() {
	ossignal.Stop(t.cont)
	close(t.cont)
	<-t.stopped
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = true
	t.set(t.old)
	t.calm()
}
