package chardev

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// fileBackend is a backend whose stream is open from the start: file, pipe and stdio.
type fileBackend struct {
	s *stream
	// lasting says that the input has no end that counts: a file without input-path.
	lasting bool
	release func() // what else close has to do; may be nil
}

func openFile(c *Chardev, cfg FileConfig) error {
	flags := unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC
	if cfg.Append {
		flags = unix.O_WRONLY | unix.O_CREAT | unix.O_APPEND
	}
	out, err := c.reg.openFile(cfg.Path, flags, "open")
	if err != nil {
		return err
	}
	var in *os.File
	if cfg.Input != "" {
		if in, err = c.reg.openFile(cfg.Input, unix.O_RDONLY, "open"); err != nil {
			out.Close()
			return err
		}
	}
	c.setStatic(&fileBackend{s: newStream(in, out), lasting: in == nil})
	return nil
}

func openPipe(c *Chardev, cfg PipeConfig) error {
	in, err := c.reg.openFile(cfg.Path+".in", unix.O_RDWR, "open")
	if err == nil {
		out, err := c.reg.openFile(cfg.Path+".out", unix.O_RDWR, "open")
		if err == nil {
			c.setStatic(&fileBackend{s: newStream(in, out)})
			return nil
		}
		in.Close()
	}
	both, err := c.reg.openFile(cfg.Path, unix.O_RDWR, "open")
	if err != nil {
		return err
	}
	c.setStatic(&fileBackend{s: newStream(both, both)})
	return nil
}

// setStatic makes b the backend and opens its stream, before the goroutines start.
func (c *Chardev) setStatic(b *fileBackend) {
	c.be = b
	c.cur, c.wr = b.s, b.s
	c.open = true
}

func (b *fileBackend) run(c *Chardev) {
	defer context.AfterFunc(c.ctx, b.s.kill)()
	if !b.lasting {
		c.pump(b.s)
		// The end of the input is not the end of the output.
		c.endInput()
		c.awaitClosed()
	}
	<-c.ctx.Done()
	b.s.kill()
}

func (b *fileBackend) close() {
	if b.release != nil {
		b.release()
	}
	b.s.close()
}
