package qtest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/qdev"
)

const (
	// maxLine bounds one command: 64 MiB of data as hexadecimal digits.
	maxLine = 128<<20 + 256
	// keepLine is how much room for an unfinished command is kept for the next.
	keepLine = 64 << 10
	// maxOutput bounds what waits for a client that does not read.
	maxOutput = 256 << 20
	// recordLine bounds what the log shows of a line.
	recordLine = 4096
)

// Port is the client's side: a *chardev.Chardev.
type Port interface {
	Attach(chardev.Frontend) error
	Detach()
	AcceptInput()
	// Write takes what it has room for, and calls Writable when there is room
	// again.
	Write(p []byte) int
}

// Server speaks the qtest protocol with the client of a chardev. Commands run
// under the VM lock, one after the other. The clock's commands are there if the
// machine's clock is a manual one: under other accelerators a client may look
// at devices and memory only.
type Server struct {
	host *qdev.Host
	port Port
	log  io.Writer

	// Guarded by the VM lock.
	in          []byte
	out         []byte
	skipping    bool // the rest of a line that was too long is to come
	intercepted qdev.Device
	release     func()       // ends the interception
	levels      map[int]bool // of the intercepted pins, as last told
	opened      time.Time    // when the client came
	serving     bool         // set by Serve
	closed      bool
}

// NewServer takes port for the client, which is listened to from Serve on. log,
// if not nil, gets a copy of the conversation.
func NewServer(h *qdev.Host, port Port, log io.Writer) (*Server, error) {
	s := &Server{host: h, port: port, log: log, levels: map[int]bool{}}
	return s, port.Attach(s)
}

// Serve lets the client in, once the machine is complete. Called without the VM
// lock.
func (s *Server) Serve() {
	s.host.Lock.Lock()
	s.serving = true
	s.host.Lock.Unlock()
	s.port.AcceptInput()
}

// Close takes the server off its chardev. Called without the VM lock.
func (s *Server) Close() error {
	s.host.Lock.Lock()
	s.closed = true
	s.endIntercept()
	s.host.Lock.Unlock()
	s.port.Detach()
	return nil
}

// CanReceive is part of chardev.Frontend. While replies wait to be read, no
// further command is taken.
func (s *Server) CanReceive() int {
	s.host.Lock.Lock()
	defer s.host.Lock.Unlock()
	if !s.serving || len(s.out) > 0 {
		return 0
	}
	return 4096
}

// Receive is part of chardev.Frontend.
func (s *Server) Receive(p []byte) {
	s.host.Lock.Lock()
	defer s.host.Lock.Unlock()
	for len(p) > 0 && !s.closed {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.keep(p)
			return
		}
		line := p[:i]
		if len(s.in) > 0 {
			line = append(s.in, line...)
			s.in = line[:0]
		}
		if !s.skipping {
			words := strings.Fields(string(line))
			if s.log != nil {
				s.record("R", strings.Join(words, " "))
			}
			s.reply(s.run(words))
		}
		s.skipping = false
		if cap(s.in) > keepLine {
			s.in = nil
		}
		p = p[i+1:]
	}
}

// keep keeps the beginning of a command, unless that grows too long.
func (s *Server) keep(p []byte) {
	if s.skipping {
		return
	}
	if len(s.in)+len(p) <= maxLine {
		s.in = append(s.in, p...)
		return
	}
	s.in, s.skipping = nil, true
	s.reply("FAIL line too long")
}

// Event is part of chardev.Frontend. A new client starts afresh.
func (s *Server) Event(e chardev.Event) {
	s.host.Lock.Lock()
	defer s.host.Lock.Unlock()
	switch e {
	case chardev.EventOpened:
		s.opened = time.Now()
		s.note("[I 0.000000] OPENED")
	case chardev.EventClosed:
		s.note(fmt.Sprintf("[I +%.6f] CLOSED", s.elapsed()))
		s.endIntercept()
	default:
		return
	}
	s.in, s.out, s.skipping = nil, nil, false
}

// Writable is part of chardev.Frontend.
func (s *Server) Writable() {
	s.host.Lock.Lock()
	s.flush()
	empty := len(s.out) == 0
	s.host.Lock.Unlock()
	if empty {
		s.port.AcceptInput()
	}
}

// reply sends a line.
func (s *Server) reply(line string) {
	if s.log != nil {
		s.record("S", line)
	}
	if s.closed || len(s.out) >= maxOutput {
		return
	}
	s.out = append(append(s.out, line...), '\n')
	s.flush()
}

// flush passes on what the port takes. It keeps a small buffer for the next
// reply.
func (s *Server) flush() {
	n := s.port.Write(s.out)
	switch {
	case n < len(s.out):
		s.out = s.out[n:]
	case cap(s.out) > keepLine:
		s.out = nil
	default:
		s.out = s.out[:0]
	}
}

// record copies a line to the log as QEMU does, with the seconds since the
// client came.
func (s *Server) record(dir, line string) {
	if len(line) > recordLine {
		line = line[:recordLine] + "..."
	}
	s.note(fmt.Sprintf("[%s +%.6f] %s", dir, s.elapsed(), line))
}

// note writes a line to the log. That it may fail is nobody's concern.
func (s *Server) note(line string) {
	if s.log != nil {
		_, _ = io.WriteString(s.log, line+"\n")
	}
}

func (s *Server) elapsed() float64 {
	if s.opened.IsZero() {
		return 0
	}
	return time.Since(s.opened).Seconds()
}
