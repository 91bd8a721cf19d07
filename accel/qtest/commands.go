package qtest

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// maxBlock bounds a read or write of memory, in bytes.
const maxBlock = 64 << 20

var errArgs = errors.New("wrong number of arguments")

// run performs one command and gives the line to answer. Real QEMU aborts on
// malformed arguments; here they are answered with FAIL and a reason.
func (s *Server) run(words []string) string {
	if len(words) == 0 {
		return "FAIL Unknown command ''"
	}
	name, args := words[0], words[1:]
	f := s.command(name)
	if f == nil {
		return fmt.Sprintf("FAIL Unknown command '%s'", name)
	}
	out, err := f(args)
	if err != nil {
		return "FAIL " + err.Error()
	}
	if out == "" {
		return "OK"
	}
	return "OK " + out
}

func (s *Server) command(name string) func([]string) (string, error) {
	sizes := map[byte]int{'b': 1, 'w': 2, 'l': 4, 'q': 8}
	last := sizes[name[len(name)-1]]
	switch name {
	case "inb", "inw", "inl":
		return func(a []string) (string, error) { return s.in1(a, last) }
	case "outb", "outw", "outl":
		return func(a []string) (string, error) { return s.out1(a, last) }
	case "readb", "readw", "readl", "readq":
		return func(a []string) (string, error) { return s.read1(a, last) }
	case "writeb", "writew", "writel", "writeq":
		return func(a []string) (string, error) { return s.write1(a, last) }
	case "read":
		return s.read
	case "write":
		return s.write
	case "b64read":
		return s.read64
	case "b64write":
		return s.write64
	case "memset":
		return s.memset
	case "endianness":
		return func([]string) (string, error) { return "little", nil }
	case "clock_step":
		return s.clockStep
	case "clock_set":
		return s.clockSet
	case "irq_intercept_in", "irq_intercept_out":
		return func(a []string) (string, error) { return s.intercept(a, name == "irq_intercept_out") }
	case "set_irq_in":
		return s.setIRQ
	case "module_load":
		return func([]string) (string, error) { return "", errors.New("modules are not supported") }
	}
	return nil
}

// numbers reads as many arguments as there are targets. They are hexadecimal
// with 0x, octal with a leading 0, or decimal.
func numbers(args []string, to ...*uint64) error {
	if len(args) != len(to) {
		return errArgs
	}
	for i, a := range args {
		n, err := strconv.ParseUint(a, 0, 64)
		if err != nil {
			// A negative number is its two's complement, as in C.
			m, e := strconv.ParseInt(a, 0, 64)
			if e != nil {
				return fmt.Errorf("'%s' is not a number", a)
			}
			n = uint64(m)
		}
		*to[i] = n
	}
	return nil
}

func (s *Server) in1(args []string, size int) (string, error) {
	var port uint64
	if err := numbers(args, &port); err != nil {
		return "", err
	}
	var b [8]byte
	s.host.IO.Access(port&0xffff, b[:size], false)
	return fmt.Sprintf("0x%04x", binary.LittleEndian.Uint64(b[:])), nil
}

func (s *Server) out1(args []string, size int) (string, error) {
	var port, value uint64
	if err := numbers(args, &port, &value); err != nil {
		return "", err
	}
	s.host.IO.Access(port&0xffff, binary.LittleEndian.AppendUint64(nil, value)[:size], true)
	return "", nil
}

func (s *Server) read1(args []string, size int) (string, error) {
	var addr uint64
	if err := numbers(args, &addr); err != nil {
		return "", err
	}
	var b [8]byte
	s.host.Memory.Access(addr, b[:size], false)
	return fmt.Sprintf("0x%016x", binary.LittleEndian.Uint64(b[:])), nil
}

func (s *Server) write1(args []string, size int) (string, error) {
	var addr, value uint64
	if err := numbers(args, &addr, &value); err != nil {
		return "", err
	}
	s.host.Memory.Access(addr, binary.LittleEndian.AppendUint64(nil, value)[:size], true)
	return "", nil
}

func (s *Server) readBlock(args []string) ([]byte, error) {
	var addr, n uint64
	if err := numbers(args, &addr, &n); err != nil {
		return nil, err
	}
	if n == 0 || n > maxBlock {
		return nil, fmt.Errorf("size %d is out of range", n)
	}
	b := make([]byte, n)
	s.host.Memory.Access(addr, b, false)
	return b, nil
}

func (s *Server) read(args []string) (string, error) {
	b, err := s.readBlock(args)
	return "0x" + hex.EncodeToString(b), err
}

func (s *Server) read64(args []string) (string, error) {
	b, err := s.readBlock(args)
	return base64.StdEncoding.EncodeToString(b), err
}

// writeBlock writes n bytes: data, padded with zeroes or cut.
func (s *Server) writeBlock(addr, n uint64, data []byte) error {
	if n > maxBlock {
		return fmt.Errorf("size %d is out of range", n)
	}
	b := make([]byte, n)
	copy(b, data)
	s.host.Memory.Access(addr, b, true)
	return nil
}

func (s *Server) write(args []string) (string, error) {
	var addr, n uint64
	if len(args) != 3 {
		return "", errArgs
	}
	if err := numbers(args[:2], &addr, &n); err != nil {
		return "", err
	}
	digits, ok := strings.CutPrefix(args[2], "0x")
	if !ok {
		return "", errors.New("data does not begin with 0x")
	}
	data, err := hex.DecodeString(digits[:len(digits)&^1])
	if err != nil {
		return "", err
	}
	return "", s.writeBlock(addr, n, data)
}

func (s *Server) write64(args []string) (string, error) {
	var addr, n uint64
	if len(args) != 3 {
		return "", errArgs
	}
	if err := numbers(args[:2], &addr, &n); err != nil {
		return "", err
	}
	data, err := base64.StdEncoding.DecodeString(args[2])
	if err != nil {
		return "", err
	}
	return "", s.writeBlock(addr, n, data)
}

func (s *Server) memset(args []string) (string, error) {
	var addr, n, c uint64
	if err := numbers(args, &addr, &n, &c); err != nil {
		return "", err
	}
	if n > maxBlock {
		return "", fmt.Errorf("size %d is out of range", n)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(c)
	}
	s.host.Memory.Access(addr, b, true)
	return "", nil
}

// clockStep moves virtual time by a number of nanoseconds, or without one to
// the next timer.
func (s *Server) clockStep(args []string) (string, error) {
	c := s.host.Clock
	to := c.Now()
	if len(args) == 0 {
		if next, ok := c.Next(); ok {
			to = max(to, next)
		}
	} else {
		var ns uint64
		if err := numbers(args, &ns); err != nil {
			return "", err
		}
		if ns > 1<<62 {
			return "", fmt.Errorf("step %d is out of range", ns)
		}
		to += int64(ns)
	}
	c.Advance(to)
	return strconv.FormatInt(c.Now(), 10), nil
}

func (s *Server) clockSet(args []string) (string, error) {
	var ns uint64
	if err := numbers(args, &ns); err != nil {
		return "", err
	}
	if ns > 1<<63-1 {
		return "", fmt.Errorf("time %d is out of range", ns)
	}
	s.host.Clock.Advance(int64(ns))
	return strconv.FormatInt(s.host.Clock.Now(), 10), nil
}

func (s *Server) device(path string) (qdev.Device, error) {
	o, _ := qom.Resolve(s.host.Root, path, "device")
	d, ok := o.(qdev.Device)
	if !ok {
		return nil, errors.New("Unknown device")
	}
	return d, nil
}

// intercept makes a device's input or output pins report their levels to the
// client. Inputs still reach the device; outputs no longer reach theirs.
func (s *Server) intercept(args []string, outputs bool) (string, error) {
	if len(args) != 1 {
		return "", errArgs
	}
	d, err := s.device(args[0])
	if err != nil {
		return "", err
	}
	if s.intercepted != nil {
		if s.intercepted != d {
			return "", errors.New("IRQ intercept already enabled")
		}
		return "", nil
	}
	pins := d.Qdev().GPIOIns("")
	if outputs {
		pins = outputPins(d)
	}
	for n, p := range pins {
		if p == nil {
			continue
		}
		p.Intercept(func(_ int, level bool) { s.irq(n, level) }, outputs)
	}
	s.intercepted, s.levels = d, map[int]bool{}
	return "", nil
}

func outputPins(d qdev.Device) []*qdev.IRQ {
	_, names := d.Qdev().GPIOCount()
	var pins []*qdev.IRQ
	for name := range names {
		pins = append(pins, d.Qdev().GPIOOuts(name)...)
	}
	return pins
}

// release ends the interception.
func (s *Server) release() {
	for _, p := range slices.Concat(s.intercepted.Qdev().GPIOIns(""), outputPins(s.intercepted)) {
		if p != nil {
			p.Intercept(nil, false)
		}
	}
	s.intercepted = nil
}

// irq tells the client of a level that changed.
func (s *Server) irq(n int, level bool) {
	if s.levels[n] == level {
		return
	}
	s.levels[n] = level
	if level {
		s.reply(fmt.Sprintf("IRQ raise %d", n))
	} else {
		s.reply(fmt.Sprintf("IRQ lower %d", n))
	}
}

// setIRQ drives an input pin of a device.
func (s *Server) setIRQ(args []string) (string, error) {
	if len(args) != 4 {
		return "", errArgs
	}
	d, err := s.device(args[0])
	if err != nil {
		return "", err
	}
	var n, level uint64
	if err := numbers(args[2:], &n, &level); err != nil {
		return "", err
	}
	name := args[1]
	if name == "unnamed-gpio-in" {
		name = ""
	}
	pin := d.Qdev().GPIOIn(name, int(min(n, 1<<16)))
	if pin == nil {
		return "", fmt.Errorf("no input %s[%d]", args[1], n)
	}
	pin.Set(level != 0)
	return "", nil
}
