package qtest

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

var errUnknownDevice = errors.New("Unknown device")

// device finds a device by its path, which may be partial.
func (s *Server) device(a args) (qdev.Device, error) {
	path, err := a.word(0)
	if err != nil {
		return nil, err
	}
	o, _ := qom.Resolve(s.host.Root, path, "device")
	d, ok := o.(qdev.Device)
	if !ok {
		return nil, errUnknownDevice
	}
	return d, nil
}

// interceptIn makes all input pins of a device report their levels.
func (s *Server) interceptIn(a args) (string, error) {
	d, err := s.device(a)
	if err != nil {
		return "", err
	}
	if len(a) > 1 {
		return "", errors.New("Interception of named in-GPIOs not yet supported")
	}
	return s.intercept(d, func() (func(), bool) { return d.Qdev().InterceptIn(s.irq) })
}

// interceptOut makes a device's output pins of a name report their levels,
// without one those that have none.
func (s *Server) interceptOut(a args) (string, error) {
	d, err := s.device(a)
	if err != nil {
		return "", err
	}
	name := ""
	if len(a) > 1 {
		name = a[1]
	}
	return s.intercept(d, func() (func(), bool) { return d.Qdev().InterceptOut(name, s.irq) })
}

// intercept begins to listen. A client listens to one device, and only once.
func (s *Server) intercept(d qdev.Device, begin func() (stop func(), ok bool)) (string, error) {
	switch {
	case s.intercepted == nil:
	case s.intercepted != d:
		return "", errors.New("IRQ intercept already enabled")
	default:
		return "", nil
	}
	stop, ok := begin()
	if !ok {
		return "", errors.New("No intercepts installed")
	}
	s.intercepted, s.release = d, stop
	return "", nil
}

// endIntercept forgets what was listened to and heard.
func (s *Server) endIntercept() {
	if s.intercepted != nil {
		s.release()
	}
	s.intercepted, s.release = nil, nil
	clear(s.levels)
}

// irq tells the client of a level that changed.
func (s *Server) irq(n int, level bool) {
	if s.levels[n] == level {
		return
	}
	s.levels[n] = level
	verb := "lower "
	if level {
		verb = "raise "
	}
	s.reply("IRQ " + verb + strconv.Itoa(n))
}

// setIRQ drives an input pin of a device: path, name, number, level.
func (s *Server) setIRQ(a args) (string, error) {
	if len(a) < 4 {
		return "", errMissing
	}
	d, err := s.device(a)
	if err != nil {
		return "", err
	}
	n, err := a.signed(2)
	if err != nil {
		return "", err
	}
	level, err := a.signed(3)
	if err != nil {
		return "", err
	}
	if level != int64(int32(level)) {
		return "", fmt.Errorf("'%s' is out of range", clip(a[3]))
	}
	name := a[1]
	if name == "unnamed-gpio-in" {
		name = ""
	}
	if n < 0 || n > math.MaxInt32 || d.Qdev().GPIOIn(name, int(n)) == nil {
		return "", fmt.Errorf("no input %s[%d]", clip(a[1]), n)
	}
	d.Qdev().GPIOIn(name, int(n)).Set(level != 0)
	return "", nil
}
