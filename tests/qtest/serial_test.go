package qtest

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// serial starts microvm with its serial port on a unix socket and connects.
func serial(t *testing.T, more ...string) (*Machine, *UART, net.Conn) {
	t.Helper()
	dir := ShortDir(t)
	m := microvm(t, append([]string{"-chardev", "socket,id=s0,path=" + dir + "/s,server=on,wait=off", "-serial", "chardev:s0"}, more...)...)
	c, err := net.Dial("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience)) // sockets have deadlines
	awaitPeer(m, true)
	return m, &UART{M: m, Base: COM1}, c
}

// awaitPeer waits until the VM has accepted the client of the serial port, or
// seen that it left. Output between connect and accept has nobody to go to,
// and is lost.
func awaitPeer(m *Machine, there bool) {
	m.t.Helper()
	m.Eventually("the port's client to come or go", func() bool {
		for _, ch := range chardevs(m.QMP) {
			if ch.Label == "s0" {
				return strings.HasPrefix(ch.Filename, "disconnected:") != there
			}
		}
		return false
	})
}

// TestSerialOut: what a guest writes reaches the chardev unchanged and in
// order, all byte values included.
func TestSerialOut(t *testing.T) {
	t.Parallel()
	_, u, c := serial(t)
	u.Init()
	var b strings.Builder
	for i := range 256 {
		b.WriteByte(byte(i))
	}
	u.Print(b.String())
	got := make([]byte, 256)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%q", got)
	}
}

// TestSerialIn: input is taken as fast as the guest reads it, nothing is lost,
// and the line is high while data are there.
func TestSerialIn(t *testing.T) {
	t.Parallel()
	m, u, c := serial(t)
	u.Init()
	m.InterceptIn("ioapic")
	u.Out(UARTIER, 1)
	text := strings.Repeat("0123456789abcdef", 40)
	go io.WriteString(c, text)
	m.WaitIRQ(4, true)
	if iir := u.In(UARTIIR) & 0x0f; iir != 0x04 && iir != 0x0c {
		t.Errorf("IIR %#x with data there", iir)
	}
	if got := u.ReadN(len(text)); got != text {
		t.Errorf("%q", got)
	}
	m.WaitIRQ(4, false)
	if iir := u.In(UARTIIR) & 0x0f; iir != 0x01 {
		t.Errorf("IIR %#x with nothing pending", iir)
	}
}

// TestSerialBackPressure: a client that does not read stops the transmitter
// and not the VM; when it reads on, all is there.
func TestSerialBackPressure(t *testing.T) {
	t.Parallel()
	m, u, c := serial(t)
	u.Init()
	var sent strings.Builder
	busy := false
	for i := 0; i < 1_000_000 && !busy; i++ {
		// THRE and TEMT stay clear once nothing more goes out.
		for tries := 0; u.In(UARTLSR)&0x20 == 0; tries++ {
			if tries == 20 {
				busy = true
				break
			}
			m.ClockStep(1e6)
		}
		if !busy {
			for range 16 { // the FIFO's worth
				b := byte('a' + sent.Len()%26)
				u.Out(UARTData, b)
				sent.WriteByte(b)
			}
		}
	}
	if !busy {
		t.Fatalf("%d bytes went to a client that does not read", sent.Len())
	}
	if s := m.QMP.Status(); s != "running" {
		t.Errorf("the VM is %s meanwhile", s)
	}
	t.Logf("%d bytes until the transmitter stopped", sent.Len())
	_ = c.SetDeadline(time.Now().Add(patience)) // filling took some of it
	done := make(chan string)
	go func() {
		got := make([]byte, sent.Len())
		n, _ := io.ReadFull(c, got) // what is missing shows in the length
		done <- string(got[:n])
	}()
	for {
		select {
		case got := <-done:
			if got != sent.String() {
				t.Errorf("%d bytes arrive of %d, or others", len(got), sent.Len())
			}
			return
		default:
			m.ClockStep(1e6)
		}
	}
}

// TestSerialReconnect: a port whose client left goes on working, and the next
// client gets what comes then.
func TestSerialReconnect(t *testing.T) {
	t.Parallel()
	m, u, c := serial(t)
	u.Init()
	path := c.RemoteAddr().String()
	c.Close()
	u.Print(strings.Repeat("lost ", 100))
	awaitPeer(m, false)
	c2, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c2.Close()
	_ = c2.SetDeadline(time.Now().Add(patience)) // sockets have deadlines
	awaitPeer(m, true)
	u.Print("kept")
	got := make([]byte, 4)
	if _, err := io.ReadFull(c2, got); err != nil || string(got) != "kept" {
		t.Errorf("the second client gets %q, %v", got, err)
	}
}

type chardevInfo struct {
	Label    string
	Filename string
	Open     bool `json:"frontend-open"`
}

func chardevs(q *QMP) []chardevInfo {
	q.t.Helper()
	var l []chardevInfo
	q.Must("query-chardev", nil, &l)
	return l
}

// TestSerialFile: -serial takes a file.
func TestSerialFile(t *testing.T) {
	t.Parallel()
	dir := ShortDir(t)
	m := microvm(t, "-serial", "file:"+dir+"/log")
	u := &UART{M: m, Base: COM1}
	u.Init()
	u.Print("into the file\n")
	m.Eventually("the file", func() bool {
		b, _ := os.ReadFile(dir + "/log") // there or not yet
		return string(b) == "into the file\n"
	})
}

// TestUARTRegisters: the registers that drivers probe a 16550A by.
func TestUARTRegisters(t *testing.T) {
	t.Parallel()
	m := microvm(t, "-serial", "null")
	u := &UART{M: m, Base: COM1}
	if v := u.In(UARTLSR); v != 0x60 {
		t.Errorf("LSR after reset %#x, want 0x60", v)
	}
	if v := u.In(UARTIIR); v != 0x01 {
		t.Errorf("IIR after reset %#x, want 0x01", v)
	}
	u.Out(UARTSCR, 0x5a)
	if v := u.In(UARTSCR); v != 0x5a {
		t.Errorf("scratch register %#x", v)
	}
	u.Out(UARTIER, 0xff)
	if v := u.In(UARTIER); v != 0x0f {
		t.Errorf("IER keeps %#x of 0xff, want 0x0f", v)
	}
	u.Out(UARTIER, 0)
	u.Out(UARTIIR, 0x01)
	if v := u.In(UARTIIR) >> 6; v != 3 {
		t.Errorf("FIFO bits %d, want 3 for a 16550A", v)
	}
	u.Out(UARTLCR, 0x83)
	u.Out(UARTData, 0x34)
	u.Out(UARTIER, 0x12)
	if lo, hi := u.In(UARTData), u.In(UARTIER); lo != 0x34 || hi != 0x12 {
		t.Errorf("divisor %#x %#x", lo, hi)
	}
	u.Out(UARTLCR, 0x03)
	// In loopback what is sent is received, and modem outputs come back.
	u.Out(UARTMCR, 0x1f)
	if v := u.In(UARTMSR) >> 4; v != 0x0f {
		t.Errorf("MSR's lines in loopback %#x", v)
	}
	u.Out(UARTData, 'x')
	m.Eventually("the looped byte", func() bool {
		m.ClockStep(1e6)
		return u.In(UARTLSR)&1 != 0
	})
	if v := u.In(UARTData); v != 'x' {
		t.Errorf("looped back %q", v)
	}
}
