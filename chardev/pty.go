package chardev

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// How often a pty without a reader is looked at: soon after the last one left, then less and less.
const (
	ptyPollMin = 20 * time.Millisecond
	ptyPollMax = 500 * time.Millisecond
)

// ptyBackend is the master side of a pseudo terminal. The kernel tells nobody when the slave side
// is opened, so it is polled for.
type ptyBackend struct {
	s    *stream
	link string        // the symbolic link to remove; empty if none
	kick chan struct{} // look now; capacity 1
}

func itoa(n int) string { return strconv.Itoa(n) }

func openPty(c *Chardev, cfg PtyConfig) error {
	fail := func(err error) error { return errnoError(err, "Failed to create PTY") }
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fail(err)
	}
	name, err := setupPty(fd)
	if err != nil {
		unix.Close(fd)
		return fail(err)
	}
	b := &ptyBackend{kick: make(chan struct{}, 1)}
	if cfg.Path != "" {
		if err := unix.Symlink(name, cfg.Path); err != nil {
			unix.Close(fd)
			return errnoError(err, "Failed to create PTY symlink")
		}
		b.link = cfg.Path
		if abs, err := filepath.Abs(cfg.Path); err == nil {
			b.link = abs
		}
	}
	f := os.NewFile(uintptr(fd), "/dev/ptmx")
	b.s = newStream(f, f)
	c.be = b
	c.filename = "pty:" + name
	// Output is written, not swallowed, from the moment the slave is open, also before the next
	// poll finds out.
	c.wr = b.s
	c.probe = func() bool {
		if !b.slaveOpen() {
			return false
		}
		signal(b.kick)
		return true
	}
	if !cfg.Quiet {
		c.reg.say("char device redirected to %s (label %s)", name, c.id)
	}
	return nil
}

// setupPty makes the new master's slave usable and raw, and returns its name.
func setupPty(fd int) (string, error) {
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		return "", err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return "", err
	}
	name := "/dev/pts/" + strconv.FormatUint(uint64(n), 10)
	// Opened once and closed again, the slave makes the master report POLLHUP until someone comes.
	slave, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(slave)
	tio, err := unix.IoctlGetTermios(slave, unix.TCGETS)
	if err != nil {
		return "", err
	}
	tio.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	tio.Oflag &^= unix.OPOST
	tio.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	tio.Cflag &^= unix.CSIZE | unix.PARENB
	tio.Cflag |= unix.CS8
	tio.Cc[unix.VMIN], tio.Cc[unix.VTIME] = 1, 0
	return name, unix.IoctlSetTermios(slave, unix.TCSETSF, tio)
}

func (b *ptyBackend) slaveOpen() bool { return !pollFor(b.s.r, unix.POLLHUP) }

func (b *ptyBackend) run(c *Chardev) {
	defer context.AfterFunc(c.ctx, b.s.kill)()
	defer b.s.kill()
	name := c.Filename()
	for b.awaitSlave(c.ctx) {
		c.openStream(b.s, name)
		c.pump(b.s)
		b.s.session.Add(1)
		// A writer that waits for a slave with a full buffer would wait for the next slave.
		b.s.w.SetWriteDeadline(past)
		c.closeStream(name)
		c.awaitWriter()
		b.s.w.SetWriteDeadline(noDeadline)
		if b.s.killed() {
			b.s.w.SetWriteDeadline(past)
		}
		c.mu.Lock()
		c.wr = b.s
		c.mu.Unlock()
	}
}

// awaitSlave waits until the slave side is open. It returns false on Close.
func (b *ptyBackend) awaitSlave(ctx context.Context) bool {
	for pause := ptyPollMin; ; pause = min(2*pause, ptyPollMax) {
		if ctx.Err() != nil {
			return false
		}
		if b.slaveOpen() {
			return true
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-b.kick:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

func (b *ptyBackend) close() {
	b.s.close()
	if b.link != "" {
		unix.Unlink(b.link)
	}
}
