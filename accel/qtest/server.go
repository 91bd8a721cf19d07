package qtest

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/qdev"
)

const (
	// maxLine bounds one command: 64 MiB of data as hexadecimal digits.
	maxLine = 128<<20 + 256
	// maxOutput bounds what waits for a client that does not read.
	maxOutput = 256 << 20
)

// Server speaks the qtest protocol with the client of a chardev. Commands run
// under the VM lock, one after the other.
type Server struct {
	host *qdev.Host
	port *chardev.Chardev
	log  io.Writer

	// Guarded by the VM lock.
	in          []byte
	out         []byte
	intercepted qdev.Device
	levels      map[int]bool // of the intercepted pins, as last told
	serving     bool         // set by Serve
	closed      bool
}

// NewServer takes port for the client, which is listened to from Serve on. log,
// if not nil, gets a copy of the conversation.
func NewServer(h *qdev.Host, port *chardev.Chardev, log io.Writer) (*Server, error) {
	s := &Server{host: h, port: port, log: log}
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
			if s.in = append(s.in, p...); len(s.in) > maxLine {
				s.in = nil
				s.reply("FAIL line too long")
			}
			return
		}
		command := string(append(s.in, p[:i]...))
		s.in, p = s.in[:0], p[i+1:]
		s.record("R", command)
		s.reply(s.run(strings.Fields(command)))
	}
}

// Event is part of chardev.Frontend. A new client starts afresh.
func (s *Server) Event(e chardev.Event) {
	s.host.Lock.Lock()
	defer s.host.Lock.Unlock()
	s.in, s.out = nil, nil
	if e == chardev.EventClosed && s.intercepted != nil {
		s.release()
	}
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

func (s *Server) reply(line string) {
	s.record("S", line)
	if len(s.out) < maxOutput {
		s.out = append(append(s.out, line...), '\n')
	}
	s.flush()
}

func (s *Server) flush() {
	n := s.port.Write(s.out)
	s.out = s.out[n:]
	if len(s.out) == 0 {
		s.out = nil
	}
}

// record copies a line to the log as QEMU does, with the seconds since the
// machine was made.
func (s *Server) record(dir, line string) {
	if s.log != nil {
		fmt.Fprintf(s.log, "[%s +%f] %s\n", dir, float64(s.host.Clock.Now())/1e9, line)
	}
}
