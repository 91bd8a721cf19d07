package char_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/hw/char"
	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

const com1 = 0x3f8

// port is a machine with a serial port at COM1.
type port struct {
	*hwtest.Machine
	line   *hwtest.Line
	serial *char.ISASerial
	bus    *qdev.Bus
}

func newPort(t testing.TB, chardevID string) port {
	t.Helper()
	m := hwtest.New(t, isa.RegisterTypes, char.RegisterTypes)
	return addPort(m, chardevID)
}

func addPort(m *hwtest.Machine, chardevID string) port {
	m.T.Helper()
	p := port{Machine: m, line: m.NewLine()}
	bridge, err := isa.New(m.Host, []*qdev.IRQ{4: p.line.IRQ})
	if err != nil {
		m.T.Fatal(err)
	}
	p.bus = bridge.ISA()
	p.serial = hwtest.Add(m, "isa-serial", p.bus, func(s *char.ISASerial) error {
		return qom.Set(s, "chardev", qom.Keyval(chardevID))
	})
	return p
}

// newSocketPort is a port whose chardev has the test as its peer.
func newSocketPort(t testing.TB) (port, *os.File) {
	t.Helper()
	m := hwtest.New(t, isa.RegisterTypes, char.RegisterTypes)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	peer := os.NewFile(uintptr(pair[1]), "peer")
	t.Cleanup(func() { peer.Close() })
	if _, err := m.Chardevs.Add("c0", chardev.SocketConfig{FD: &pair[0]}); err != nil {
		t.Fatal(err)
	}
	return addPort(m, "c0"), peer
}

// eventually waits for something another goroutine does.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !cond(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: does not happen", what)
		}
	}
}

func (p port) lsr() uint8 { return p.Inb(com1 + 5) }

func (p port) wantIIR(t *testing.T, what string, want uint8) {
	t.Helper()
	if got := p.Inb(com1 + 2); got != want {
		t.Errorf("%s: IIR %#x, want %#x", what, got, want)
	}
}

// The registers read as after a master reset, and keep what they can hold.
func TestUARTRegisters(t *testing.T) {
	p := newPort(t, "")
	for i, want := range []uint8{0, 0, 0x01, 0, 0x08, 0x60, 0xb0, 0} {
		if got := p.Inb(com1 + uint16(i)); got != want {
			t.Errorf("register %d is %#x after reset, want %#x", i, got, want)
		}
	}
	p.Outb(com1+1, 0xff)
	p.Outb(com1+4, 0xef)
	p.Outb(com1+7, 0x5a)
	p.Outb(com1+3, 0x83)
	p.Outb(com1, 0x34)
	p.Outb(com1+1, 0x12)
	if lo, hi := p.Inb(com1), p.Inb(com1+1); lo != 0x34 || hi != 0x12 {
		t.Errorf("divisor %#x%02x", hi, lo)
	}
	p.Outb(com1+3, 0x03)
	if ier, mcr, scr := p.Inb(com1+1), p.Inb(com1+4), p.Inb(com1+7); ier != 0x0f || mcr != 0x0f || scr != 0x5a {
		t.Errorf("IER %#x MCR %#x SCR %#x", ier, mcr, scr)
	}
}

// FIFO enable shows in IIR, as drivers find the 16550A by it.
func TestUARTFIFODetection(t *testing.T) {
	p := newPort(t, "")
	p.Outb(com1+2, 0x01)
	p.wantIIR(t, "enabled", 0xc1)
	p.Outb(com1+2, 0x00)
	p.wantIIR(t, "disabled", 0x01)
}

// What is written comes out in order, and THRE is set all the time.
func TestUARTTransmit(t *testing.T) {
	p, peer := newSocketPort(t)
	text := strings.Repeat("The quick brown fox\r\n", 50)
	for _, b := range []byte(text) {
		if p.lsr() != 0x60 {
			t.Fatalf("LSR %#x", p.lsr())
		}
		p.Outb(com1, b)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(peer, got); err != nil || string(got) != text {
		t.Errorf("read %q, %v", got, err)
	}
}

// The THRE interrupt comes when it is enabled and after each transmission,
// and reading IIR takes it back.
func TestUARTTHREInterrupt(t *testing.T) {
	p := newPort(t, "")
	p.Outb(com1+1, 0x02)
	if !p.line.Level {
		t.Error("no interrupt when enabled with THRE set")
	}
	p.wantIIR(t, "enabled", 0x02)
	if p.line.Level {
		t.Error("reading IIR leaves the line high")
	}
	p.wantIIR(t, "after reading IIR", 0x01)
	before := p.line.Raised
	p.Outb(com1, 'x')
	p.Outb(com1, 'y')
	if p.line.Raised != before+2 {
		t.Errorf("%d edges for two transmissions", p.line.Raised-before)
	}
	p.wantIIR(t, "transmitted", 0x02)
}

// A chardev that takes nothing keeps THRE clear; nothing is lost when it
// goes on.
func TestUARTBackPressure(t *testing.T) {
	p, peer := newSocketPort(t)
	p.Outb(com1+2, 0x01)
	p.Outb(com1+1, 0x02)
	var sent []byte
	for p.lsr()&0x20 != 0 {
		for range 16 {
			b := byte(len(sent) * 7)
			p.Outb(com1, b)
			sent = append(sent, b)
			if p.lsr()&0x20 == 0 {
				break
			}
		}
		if len(sent) > 8<<20 {
			t.Fatal("the peer reads nothing, and THRE is still set")
		}
		if len(sent)%4096 == 0 {
			time.Sleep(time.Millisecond) // lets the writer reach the socket's limit
		}
	}
	p.Inb(com1 + 2)
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("what came out differs: %v", err)
	}
	eventually(t, "THRE", func() bool { return p.lsr()&0x20 != 0 })
	p.Do(func() {
		if !p.line.Level {
			t.Error("no interrupt when the transmitter is empty again")
		}
	})
	p.Outb(com1, '!')
	if _, err := io.ReadFull(peer, got[:1]); err != nil || got[0] != '!' {
		t.Errorf("after it: %q, %v", got[:1], err)
	}
}

// Input interrupts at the trigger level, or after four character times.
func TestUARTReceive(t *testing.T) {
	p, peer := newSocketPort(t)
	p.Outb(com1+2, 0x81) // FIFO, trigger at 8
	p.Outb(com1+1, 0x05)
	fmt.Fprint(peer, "hello")
	eventually(t, "data ready", func() bool { return p.lsr()&1 != 0 })
	got := ""
	eventually(t, "all of it", func() bool {
		p.wantNoLine(t, "below the trigger level")
		if len(got) == 0 { // leave the last four in the FIFO
			got += string(p.Inb(com1))
		}
		return true
	})
	p.Step(5e6) // 4 characters of 7 bits at 9600 baud are 2.9 ms
	eventually(t, "timeout", func() bool { p.Step(5e6); return p.Inb(com1+2) == 0xcc })
	for p.lsr()&1 != 0 {
		got += string(p.Inb(com1))
		time.Sleep(time.Millisecond)
	}
	if got != "hello" {
		t.Errorf("received %q", got)
	}
	p.wantIIR(t, "all read", 0xc1)

	fmt.Fprint(peer, "0123456789")
	eventually(t, "trigger level", func() bool { return p.Inb(com1+2) == 0xc4 })
}

func (p port) wantNoLine(t *testing.T, what string) {
	t.Helper()
	p.Do(func() {
		if p.line.Level {
			t.Errorf("%s: the line is high", what)
		}
	})
}

// A guest that does not read stops its peer, and gets all in the end.
func TestUARTReceiveFlowControl(t *testing.T) {
	p, peer := newSocketPort(t)
	p.Outb(com1+2, 0xc1)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 512)
	go peer.Write(sent)
	time.Sleep(20 * time.Millisecond)
	var got []byte
	eventually(t, "all input", func() bool {
		for range 100 {
			lsr := p.lsr()
			if lsr&2 != 0 {
				t.Fatal("overrun")
			}
			if lsr&1 != 0 {
				got = append(got, p.Inb(com1))
			}
		}
		return len(got) == len(sent)
	})
	if !bytes.Equal(got, sent) {
		t.Error("what came in differs")
	}
}

// Loopback joins the transmitter with the receiver and MCR with MSR, and
// overruns; nothing gets out.
func TestUARTLoopback(t *testing.T) {
	p, peer := newSocketPort(t)
	p.Outb(com1+4, 0x1a) // what Linux probes with
	if msr := p.Inb(com1 + 6); msr&0xf0 != 0x90 {
		t.Errorf("MSR %#x", msr)
	}
	if msr := p.Inb(com1 + 6); msr != 0x90 {
		t.Errorf("MSR %#x when read again: the deltas stay", msr)
	}
	p.Outb(com1+1, 0x04)
	p.Outb(com1, 'a')
	p.Outb(com1, 'b')
	p.wantIIR(t, "overrun", 0x06)
	if lsr := p.lsr(); lsr != 0x63 {
		t.Errorf("LSR %#x", lsr)
	}
	p.wantIIR(t, "LSR was read", 0x01)
	if b := p.Inb(com1); b != 'b' {
		t.Errorf("received %q", b)
	}
	p.Outb(com1+2, 0x01)
	for i := range 17 {
		p.Outb(com1, byte(i))
	}
	if lsr := p.lsr(); lsr&2 == 0 {
		t.Error("no overrun of the FIFO")
	}
	for i := range 16 {
		if b := p.Inb(com1); b != byte(i) {
			t.Fatalf("byte %d is %#x", i, b)
		}
	}
	p.Outb(com1+1, 0x08)
	p.Outb(com1+4, 0x1c) // OUT1: the ring indicator goes on
	p.Inb(com1 + 6)
	p.Outb(com1+4, 0x18) // and off, which counts
	p.wantIIR(t, "modem status", 0xc0)
	if msr := p.Inb(com1 + 6); msr&0x0f != 0x04 {
		t.Errorf("MSR %#x, want the trailing edge of RI", msr)
	}
	p.Outb(com1+4, 0x08)
	p.Outb(com1, '.')
	var b [1]byte
	if _, err := io.ReadFull(peer, b[:]); err != nil || b[0] != '.' {
		t.Errorf("the first byte out is %q, %v", b, err)
	}
}

// Ports take PC places by index and count up by themselves.
func TestISASerialPlaces(t *testing.T) {
	p := newPort(t, "")
	add := func(set map[string]string) (*char.ISASerial, error) {
		d, err := p.Create("isa-serial", p.bus, func(d qdev.Device) error {
			for k, v := range set {
				if err := qom.Set(d, k, qom.Keyval(v)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		return d.(*char.ISASerial), nil
	}
	second, err := add(nil)
	if err != nil {
		t.Fatal(err)
	}
	for prop, want := range map[string]uint64{"index": 1, "iobase": 0x2f8, "irq": 3} {
		if got, _ := qom.Get(second, prop); got != want {
			t.Errorf("%s = %v, want %v", prop, got, want)
		}
	}
	if lsr := p.Inb(0x2f8 + 5); lsr != 0x60 {
		t.Errorf("LSR of the second port %#x", lsr)
	}
	for want, set := range map[string]map[string]string{
		"Max. supported number of ISA serial ports is 4.":     {"index": "4"},
		`Maximum value for "irq" is: 15`:                      {"irq": "16"},
		"Property 'serial.chardev' can't find value 'nosuch'": {"chardev": "nosuch"},
		"Parameter 'baudbase' expects uint32_t":               {"baudbase": "4294967296"},
		"iobase 0x12345 is no I/O port":                       {"iobase": "0x12345"},
		"Property 'isa-serial.nosuch' not found":              {"nosuch": "1"},
	} {
		if _, err := add(set); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v: %v, want %s", set, err, want)
		}
	}
	if n := len(p.bus.Devices()); n != 2 {
		t.Errorf("%d devices on the bus, want 2", n)
	}
}

// A chardev serves one port at a time, and is free again when that goes.
func TestISASerialChardevInUse(t *testing.T) {
	p, _ := newSocketPort(t)
	add := func() error {
		_, err := p.Create("isa-serial", p.bus, func(d qdev.Device) error {
			return qom.Set(d, "chardev", qom.Keyval("c0"))
		})
		return err
	}
	want := "isa-serial: Property 'serial.chardev' can't take value 'c0': Device 'c0' is in use"
	if err := add(); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	p.Do(func() { qdev.Delete(p.serial) })
	p.Do(func() {
		if err := add(); err != nil {
			t.Error(err)
		}
	})
}

// The UART's properties appear at the port, and the tree has QEMU's names.
func TestISASerialIntrospection(t *testing.T) {
	p, _ := newSocketPort(t)
	if got, err := qom.Get(p.serial, "chardev"); err != nil || got != "c0" {
		t.Errorf("chardev = %v, %v", got, err)
	}
	for _, path := range []string{"/serial", "/serial[0]"} {
		if o, _ := qom.Resolve(p.Root, qom.Path(p.serial)+path, ""); o == nil {
			t.Errorf("no %s", path)
		}
	}
	if got := qdev.FirmwarePath(p.serial); got != "/isa/serial@03f8" {
		t.Errorf("firmware path %s", got)
	}
}

// A reset empties the FIFOs and lowers the line.
func TestUARTReset(t *testing.T) {
	p := newPort(t, "")
	p.Outb(com1+1, 0x02)
	p.Outb(com1+4, 0x10)
	p.Outb(com1, 'x')
	p.Do(func() { qdev.Reset(p.serial) })
	p.wantNoLine(t, "after reset")
	if lsr, msr := p.lsr(), p.Inb(com1+6); lsr != 0x60 || msr != 0xb0 {
		t.Errorf("LSR %#x MSR %#x", lsr, msr)
	}
}

func FuzzUART(f *testing.F) {
	f.Add([]byte{4, 2, 0, 1, 0, 0, 4, 4, 0, 0x10, 0, 0, 4, 0, 0, 0x41, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newPort(t, "")
		p.Fuzz(p.IO, com1, 8, data)
		if lsr := p.lsr(); lsr&0x60 != 0x60 {
			t.Errorf("LSR %#x: the transmitter is stuck without a chardev", lsr)
		}
	})
}

func BenchmarkTransmit(b *testing.B) {
	m := hwtest.New(b, isa.RegisterTypes, char.RegisterTypes)
	if _, err := m.Chardevs.Add("c0", chardev.NullConfig{}); err != nil {
		b.Fatal(err)
	}
	p := addPort(m, "c0")
	b.ReportAllocs()
	for b.Loop() {
		for p.lsr()&0x20 == 0 {
		}
		p.Outb(com1, 'x')
	}
}
