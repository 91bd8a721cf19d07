package qtest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// FailError is an answer other than OK.
type FailError struct{ Answer string }

func (e *FailError) Error() string { return "qtest: " + e.Answer }

// Raw sends a line as it is and gives all lines up to and including the answer:
// IRQ lines, then one with OK or FAIL.
func (m *Machine) Raw(line string) []string {
	m.t.Helper()
	m.Send(line + "\n")
	return m.Answer()
}

// Send sends bytes without waiting for an answer.
func (m *Machine) Send(s string) {
	m.t.Helper()
	_ = m.conn.SetWriteDeadline(time.Now().Add(patience)) // sockets have deadlines
	if _, err := m.conn.Write([]byte(s)); err != nil {
		m.t.Fatalf("qtest: sending %.60q: %v\n%s", s, err, m.Stderr())
	}
}

// Answer reads the lines of one answer. What it says of interrupt lines is
// noted.
func (m *Machine) Answer() []string {
	m.t.Helper()
	var lines []string
	for {
		_ = m.conn.SetReadDeadline(time.Now().Add(patience)) // sockets have deadlines
		s, err := m.in.ReadString('\n')
		if err != nil {
			m.t.Fatalf("qtest: waiting for an answer: %v after %q\n%s", err, lines, m.Stderr())
		}
		s = strings.TrimSuffix(s, "\n")
		lines = append(lines, s)
		if !strings.HasPrefix(s, "IRQ ") {
			return lines
		}
		m.noteIRQ(s)
	}
}

func (m *Machine) noteIRQ(line string) {
	m.t.Helper()
	var verb string
	var n int
	if _, err := fmt.Sscanf(line, "IRQ %s %d", &verb, &n); err != nil || verb != "raise" && verb != "lower" {
		m.t.Fatalf("qtest: malformed line %q", line)
	}
	m.irqs[n] = verb == "raise"
	m.log = append(m.log, fmt.Sprintf("%s %d", verb, n))
}

// CommandErr performs a command and gives what follows OK. Any other answer is
// a *FailError.
func (m *Machine) CommandErr(format string, args ...any) (string, error) {
	m.t.Helper()
	lines := m.Raw(fmt.Sprintf(format, args...))
	last := lines[len(lines)-1]
	if last == "OK" {
		return "", nil
	}
	if s, ok := strings.CutPrefix(last, "OK "); ok {
		return s, nil
	}
	return "", &FailError{last}
}

// Command performs a command that must not fail.
func (m *Machine) Command(format string, args ...any) string {
	m.t.Helper()
	s, err := m.CommandErr(format, args...)
	if err != nil {
		m.t.Fatalf("%.80s: %v", fmt.Sprintf(format, args...), err)
	}
	return s
}

// number performs a command that answers with a number.
func (m *Machine) number(format string, args ...any) uint64 {
	m.t.Helper()
	s := m.Command(format, args...)
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		m.t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
	return n
}

// InterceptIn makes the input lines of the device at a QOM path, which may be
// partial, report their changes. They still reach the device.
func (m *Machine) InterceptIn(path string) { m.t.Helper(); m.Command("irq_intercept_in %s", path) }

// InterceptOut makes the unnamed output lines of a device report their changes.
// They still reach what they lead to.
func (m *Machine) InterceptOut(path string) { m.t.Helper(); m.Command("irq_intercept_out %s", path) }

// InterceptOutNamed is InterceptOut for the output lines of a name, such as
// "sysbus-irq".
func (m *Machine) InterceptOutNamed(path, name string) {
	m.t.Helper()
	m.Command("irq_intercept_out %s %s", path, name)
}

// SetIRQ drives an input line of a device.
func (m *Machine) SetIRQ(path, name string, n, level int) {
	m.t.Helper()
	m.Command("set_irq_in %s %s %d %d", path, name, n, level)
}

// IRQ is the level of an intercepted line, as told with the answers so far.
func (m *Machine) IRQ(n int) bool { return m.irqs[n] }

// IRQLog lists the changes of intercepted lines since the last call, as
// "raise 4" and "lower 4".
func (m *Machine) IRQLog() []string {
	l := m.log
	m.log = nil
	return l
}

// WaitIRQ waits for a level that the outside world brings about, such as a
// client of a chardev.
func (m *Machine) WaitIRQ(n int, level bool) {
	m.t.Helper()
	m.Eventually(fmt.Sprintf("line %d to become %v", n, level), func() bool {
		m.Command("endianness")
		return m.irqs[n] == level
	})
}

// Eventually polls until ok holds. It fails the test after half a minute.
func (m *Machine) Eventually(what string, ok func() bool) {
	m.t.Helper()
	if !m.Within(patience, ok) {
		m.t.Fatalf("waited in vain for %s", what)
	}
}

// Within polls until ok holds or so much time has passed, and tells which.
func (m *Machine) Within(limit time.Duration, ok func() bool) bool {
	m.t.Helper()
	end := time.Now().Add(limit)
	for pause := time.Millisecond; !ok(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}
