package qtest

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// run performs one command and gives the line to answer. Real QEMU aborts on
// malformed arguments; here they are answered with FAIL and a reason.
func (s *Server) run(words []string) string {
	if len(words) == 0 {
		return "FAIL Unknown command ''"
	}
	f := s.command(words[0])
	if f == nil {
		return fmt.Sprintf("FAIL Unknown command '%s'", words[0])
	}
	out, err := f(words[1:])
	switch {
	case errors.Is(err, errShort):
		return "ERR " + err.Error()
	case err != nil:
		return "FAIL " + err.Error()
	}
	return "OK" + out
}

// command gives what performs a command: its result, with a blank in front,
// follows OK. Nil means that there is no such command.
func (s *Server) command(name string) func(args) (string, error) {
	switch name {
	case "inb":
		return func(a args) (string, error) { return s.in1(a, 1) }
	case "inw":
		return func(a args) (string, error) { return s.in1(a, 2) }
	case "inl":
		return func(a args) (string, error) { return s.in1(a, 4) }
	case "outb":
		return func(a args) (string, error) { return s.out1(a, 1) }
	case "outw":
		return func(a args) (string, error) { return s.out1(a, 2) }
	case "outl":
		return func(a args) (string, error) { return s.out1(a, 4) }
	case "readb":
		return func(a args) (string, error) { return s.read1(a, 1) }
	case "readw":
		return func(a args) (string, error) { return s.read1(a, 2) }
	case "readl":
		return func(a args) (string, error) { return s.read1(a, 4) }
	case "readq":
		return func(a args) (string, error) { return s.read1(a, 8) }
	case "writeb":
		return func(a args) (string, error) { return s.write1(a, 1) }
	case "writew":
		return func(a args) (string, error) { return s.write1(a, 2) }
	case "writel":
		return func(a args) (string, error) { return s.write1(a, 4) }
	case "writeq":
		return func(a args) (string, error) { return s.write1(a, 8) }
	case "read":
		return s.read
	case "write":
		return func(a args) (string, error) { return s.write(a, decodeHex) }
	case "b64read":
		return s.read64
	case "b64write":
		return func(a args) (string, error) { return s.write(a, decodeBase64) }
	case "memset":
		return s.memset
	case "endianness":
		return func(args) (string, error) { return " little", nil }
	case "irq_intercept_in":
		return s.interceptIn
	case "irq_intercept_out":
		return s.interceptOut
	case "set_irq_in":
		return s.setIRQ
	case "module_load":
		return func(args) (string, error) { return "", errors.New("modules are not supported") }
	case "clock_step", "clock_set":
		if !s.host.Clock.Manual() {
			return nil // time is the guest's
		}
		if name == "clock_set" {
			return s.clockSet
		}
		return s.clockStep
	}
	return nil
}

func (s *Server) in1(a args, size int) (string, error) {
	port, err := a.port(0)
	if err != nil {
		return "", err
	}
	var b [8]byte
	s.host.IO.Access(uint64(port), b[:size], false)
	return fmt.Sprintf(" 0x%04x", binary.LittleEndian.Uint64(b[:])), nil
}

func (s *Server) out1(a args, size int) (string, error) {
	port, err := a.port(0)
	if err != nil {
		return "", err
	}
	value, err := a.number(1)
	if err != nil {
		return "", err
	}
	s.host.IO.Access(uint64(port), binary.LittleEndian.AppendUint64(nil, value)[:size], true)
	return "", nil
}

func (s *Server) read1(a args, size int) (string, error) {
	addr, err := a.number(0)
	if err != nil {
		return "", err
	}
	var b [8]byte
	s.host.Memory.Access(addr, b[:size], false)
	return fmt.Sprintf(" 0x%016x", binary.LittleEndian.Uint64(b[:])), nil
}

func (s *Server) write1(a args, size int) (string, error) {
	addr, err := a.number(0)
	if err != nil {
		return "", err
	}
	value, err := a.number(1)
	if err != nil {
		return "", err
	}
	s.host.Memory.Access(addr, binary.LittleEndian.AppendUint64(nil, value)[:size], true)
	return "", nil
}

func (s *Server) read(a args) (string, error) {
	addr, n, err := a.extent(maxBlock)
	if err != nil {
		return "", err
	}
	if n == 0 {
		return "", errors.New("size 0 is out of range")
	}
	b := make([]byte, n)
	s.host.Memory.Access(addr, b, false)
	return " 0x" + hex.EncodeToString(b), nil
}

func (s *Server) read64(a args) (string, error) {
	addr, n, err := a.extent(maxBlock)
	if err != nil {
		return "", err
	}
	b := make([]byte, n)
	s.host.Memory.Access(addr, b, false)
	return " " + base64.StdEncoding.EncodeToString(b), nil
}

func (s *Server) write(a args, decode func(string) ([]byte, error)) (string, error) {
	addr, data, err := a.data(decode)
	if err != nil {
		return "", err
	}
	s.host.Memory.Access(addr, data, true)
	return "", nil
}

func (s *Server) memset(a args) (string, error) {
	addr, n, err := a.extent(maxFill)
	if err != nil {
		return "", err
	}
	c, err := a.number(2)
	if err != nil {
		return "", err
	}
	b := make([]byte, min(n, 1<<20))
	for i := range b {
		b[i] = byte(c)
	}
	for ; n > 0; n -= uint64(len(b)) {
		b = b[:min(n, uint64(len(b)))]
		s.host.Memory.Access(addr, b, true)
		addr += uint64(len(b))
	}
	return "", nil
}

// clockStep moves virtual time by a number of nanoseconds, or without one to
// the next timer. A step backwards does nothing.
func (s *Server) clockStep(a args) (string, error) {
	c := s.host.Clock
	to, pending := c.Next()
	if len(a) > 0 {
		ns, err := a.signed(0)
		if err != nil {
			return "", err
		}
		if ns > math.MaxInt64-c.Now() {
			return "", fmt.Errorf("'%s' is out of range", clip(a[0]))
		}
		to, pending = c.Now()+ns, true
	}
	if pending {
		s.advance(to)
	}
	return s.now(), nil
}

// advance moves virtual time on. Now and then others get the VM lock: many
// timers may come due on a long way. It stops where it is when the server is
// closed.
func (s *Server) advance(to int64) {
	c := s.host.Clock
	for n := 1; ; n++ {
		next, pending := c.Next()
		if !pending || next > to {
			c.Advance(to)
			return
		}
		c.Advance(next)
		if n%1024 == 0 {
			s.host.Lock.Unlock()
			s.host.Lock.Lock()
			if s.closed {
				return
			}
		}
	}
}

// clockSet moves virtual time to a number of nanoseconds, unless it has passed.
func (s *Server) clockSet(a args) (string, error) {
	ns, err := a.signed(0)
	if err != nil {
		return "", err
	}
	s.advance(ns)
	return s.now(), nil
}

func (s *Server) now() string { return " " + strconv.FormatInt(s.host.Clock.Now(), 10) }
