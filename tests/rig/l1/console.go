package l1

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"time"
)

// Line is one line of a guest's console.
type Line struct {
	Text string
	At   time.Time // when it was read
}

// Console collects what a guest prints. Its methods may be used by several
// goroutines.
type Console struct {
	mu      sync.Mutex // guards the rest
	lines   []Line
	part    []byte        // the line that has no end yet
	changed chan struct{} // closed and replaced when there is more
	over    bool          // there will be no more
}

// NewConsole returns an empty console.
func NewConsole() *Console { return &Console{changed: make(chan struct{})} }

// follow reads r to its end, into the console and into log.
func (c *Console) follow(r io.Reader, log io.Writer) {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		now := time.Now()
		if log != nil {
			// The log is a convenience; a full disk must not end the test.
			_, _ = log.Write(buf[:n])
		}
		c.mu.Lock()
		c.part = append(c.part, buf[:n]...)
		for {
			i := bytes.IndexByte(c.part, '\n')
			if i < 0 {
				break
			}
			c.lines = append(c.lines, Line{strings.TrimRight(string(c.part[:i]), "\r"), now})
			c.part = c.part[i+1:]
		}
		c.over = err != nil
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Mark is the number of lines so far, a place to search from.
func (c *Console) Mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.lines)
}

// Tail returns the last n lines.
func (c *Console) Tail(n int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, l := range c.lines[max(0, len(c.lines)-n):] {
		b.WriteString(l.Text + "\n")
	}
	b.Write(c.part)
	return b.String()
}

// next returns line i, waiting for it. ok is false when the console is over
// before.
func (c *Console) next(ctx context.Context, i int) (l Line, ok bool, err error) {
	for {
		c.mu.Lock()
		if i < len(c.lines) {
			l = c.lines[i]
			c.mu.Unlock()
			return l, true, nil
		}
		over, changed := c.over, c.changed
		c.mu.Unlock()
		if over {
			return Line{}, false, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Line{}, false, context.Cause(ctx)
		}
	}
}

// From returns the lines from mark on that have an end.
func (c *Console) From(mark int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []string
	for _, l := range c.lines[mark:] {
		list = append(list, l.Text)
	}
	return list
}
