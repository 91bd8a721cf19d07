package rig

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
)

// consoleLines is how many of the console's lines are kept.
const consoleLines = 200

// console keeps the last lines of L1's console, and all of it in a file.
type console struct {
	mu    sync.Mutex // guards the rest
	log   *os.File
	also  io.Writer // may be nil
	lines []string
	cur   []byte
}

// Write never fails: a full disk must not stop the machine.
func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Write(b)
	if c.also != nil {
		c.also.Write(b)
	}
	c.cur = append(c.cur, b...)
	for {
		i := bytes.IndexByte(c.cur, '\n')
		if i < 0 {
			break
		}
		c.lines = append(c.lines, strings.TrimRight(string(c.cur[:i]), "\r"))
		c.cur = c.cur[i+1:]
	}
	if extra := len(c.lines) - consoleLines; extra > 0 {
		c.lines = append([]string(nil), c.lines[extra:]...)
	}
	return len(b), nil
}

func (c *console) last(n int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := c.lines
	if len(c.cur) > 0 {
		lines = append(lines[:len(lines):len(lines)], string(c.cur))
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (c *console) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Close()
}
