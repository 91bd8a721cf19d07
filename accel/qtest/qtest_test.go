package qtest

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/clock"
	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// wire is the client's end: it takes up to room bytes, all of them if that is
// negative.
type wire struct {
	fe       chardev.Frontend
	got      bytes.Buffer
	room     int
	accepted int
}

func (w *wire) Attach(fe chardev.Frontend) error { w.fe = fe; return nil }
func (w *wire) Detach()                          { w.fe = nil }
func (w *wire) AcceptInput()                     { w.accepted++ }
func (w *wire) Write(p []byte) int {
	n := len(p)
	if w.room >= 0 {
		n = min(n, w.room)
		w.room -= n
	}
	w.got.Write(p[:n])
	return n
}

// probe is a device with pins of every kind. Its inputs go to its outputs.
type probe struct {
	qdev.State
	out [3]*qdev.IRQ // two unnamed ones, one named
	in  []string
}

func (p *probe) Realize(*qdev.Host) error {
	set := func(name string) func(int, bool) {
		return func(n int, level bool) {
			p.in = append(p.in, fmt.Sprintf("%s%d=%v", name, n, level))
			p.out[n].Set(level)
		}
	}
	if err := p.AddGPIOIn("", 2, set("")); err != nil {
		return err
	}
	if err := p.AddGPIOIn("extra", 1, set("extra")); err != nil {
		return err
	}
	if err := p.AddGPIOOut("", &p.out[0], &p.out[1]); err != nil {
		return err
	}
	return p.AddGPIOOut("named", &p.out[2])
}

// bare is a device without pins.
type bare struct{ qdev.State }

func (*bare) Realize(*qdev.Host) error { return nil }

// rig is a server over a test machine, and what its client sees.
type rig struct {
	*hwtest.Machine
	t    testing.TB
	wire *wire
	s    *Server
	log  bytes.Buffer
	dev  *probe
	far  []string // what reaches the other end of the device's output 0
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, wire: &wire{room: -1}}
	r.Machine = hwtest.New(t, func(types *qom.Registry) {
		types.Register(qom.Type{Name: "probe", Parent: "device", New: func() qom.Object { return new(probe) }})
		types.Register(qom.Type{Name: "bare", Parent: "device", New: func() qom.Object { return new(bare) }})
	})
	for _, typ := range []string{"probe", "bare"} {
		d, err := r.Create(typ, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := d.(*probe); ok {
			r.dev = p
		}
	}
	r.dev.Connect("", 0, r.NewIRQ(0, func(_ int, level bool) { r.far = append(r.far, fmt.Sprint(level)) }))
	var err error
	if r.s, err = NewServer(r.Host, r.wire, &r.log); err != nil {
		t.Fatal(err)
	}
	r.s.Serve()
	r.s.Event(chardev.EventOpened)
	return r
}

// send gives what the server says to some bytes.
func (r *rig) send(s string) string {
	r.t.Helper()
	for len(s) > 0 {
		n := min(len(s), r.s.CanReceive())
		if n == 0 {
			r.t.Fatal("the server takes no more")
		}
		r.s.Receive([]byte(s[:n]))
		s = s[n:]
	}
	out := r.wire.got.String()
	r.wire.got.Reset()
	return out
}

// talk compares answers: a line of each, joined by " / " where IRQ lines come
// first.
func (r *rig) talk(pairs ...string) {
	r.t.Helper()
	for ; len(pairs) > 0; pairs = pairs[2:] {
		if have := strings.TrimSuffix(strings.ReplaceAll(r.send(pairs[0]+"\n"), "\n", " / "), " / "); have != pairs[1] {
			r.t.Errorf("%.60q: %.100q, want %q", pairs[0], have, pairs[1])
		}
	}
}

// Each access has its width, its place and QEMU's form of answer.
func TestAccess(t *testing.T) {
	r := newRig(t)
	port := uint64(0)
	ops := memory.OpsFuncs{
		ReadFunc:  func(o uint64, n int) uint64 { return port>>(8*o) | uint64(n)<<28 },
		WriteFunc: func(o uint64, v uint64, n int) { port = v },
	}
	r.Do(func() {
		if err := r.Map.Add(r.Ports, memory.NewIO("x", 4, ops, memory.Access{}), 0x100, 0); err != nil {
			t.Fatal(err)
		}
	})
	r.talk(
		"outl 0x100 0x89abcdef", "OK",
		"inb 0x100", "OK 0x00ef",
		"inw 256", "OK 0xcdef",
		"inl 0400", "OK 0xc9abcdef",
		"outb 0x100 0x1ff", "OK", "inw 0x100", "OK 0x00ff",
		"outw 0x100 -1", "OK", "inw 0x100", "OK 0xffff",
		"inb 0x200", "OK 0x00ff", "inl 0xffff", "OK 0xffffffff",
		"writeq 0x1000 0x0123456789abcdef", "OK",
		"readb 0x1000", "OK 0x00000000000000ef",
		"readw 0x1001", "OK 0x000000000000abcd",
		"readl 0x1004", "OK 0x0000000001234567",
		"readq 0x1000", "OK 0x0123456789abcdef",
		"writeb 0x1000 0x100", "OK", "writew 0x1002 0x12222", "OK", "writel 0x1004 18446744073709551615", "OK",
		"read 0x1000 8", "OK 0x00cd2222ffffffff",
		"write 0x1000 4 0x0102", "OK", "read 0x1000 5", "OK 0x01020000ff",
		"write 0x1000 1 0xAAbb", "OK", "read 0x1000 2", "OK 0xaa02",
		"write 0x1000 3 0x123", "OK", "read 0x1000 3", "OK 0x120000",
		"write 0x1000 0 0xff", "OK",
		"b64write 0x1000 3 AQID", "OK", "b64read 0x1000 3", "OK AQID", "b64read 0x1000 0", "OK ",
		"b64write 0x1000 2 /////w==", "OK", "read 0x1000 3", "OK 0xffff03",
		"memset 0x1000 2 0x17", "OK", "read 0x1000 3", "OK 0x171703", "memset 0 0 0", "OK",
		"memset 0x100000 0x180000 0x2a", "OK", "readw 0x27ffff", "OK 0x000000000000002a",
		"readq 0x800000000", "OK 0x0000000000000000",
		"endianness", "OK little",
		"  readb   0x1002  and more", "OK 0x0000000000000003",
	)
}

// What makes QEMU end on an assertion is answered, with what is wrong.
func TestMalformed(t *testing.T) {
	r := newRig(t)
	r.talk(
		"", "FAIL Unknown command ''",
		"foo bar", "FAIL Unknown command 'foo'",
		"rtas x", "FAIL Unknown command 'rtas'",
		"inb", "FAIL missing argument",
		"inb x", "FAIL 'x' is not a number",
		"inb 0x10000", "FAIL port 0x10000 is out of range",
		"outb 0x70", "FAIL missing argument",
		"outb -1 0", "FAIL port 0xffffffffffffffff is out of range",
		"readb 08", "FAIL '08' is not a number",
		"readb 0b1", "FAIL '0b1' is not a number",
		"readb 1_0", "FAIL '1_0' is not a number",
		"readb --1", "FAIL '--1' is not a number",
		"readb 0x", "FAIL '0x' is not a number",
		"readb 0x-1", "FAIL '0x-1' is not a number",
		"readb 0x1ffffffffffffffff", "FAIL '0x1ffffffffffffffff' is out of range",
		"writeq 0 "+strings.Repeat("y", 50), "FAIL '"+strings.Repeat("y", 40)+"...' is not a number",
		"read 0 0", "FAIL size 0 is out of range",
		"read 0 0x4000001", "FAIL size 67108865 is out of range",
		"memset 0 -1 0", "FAIL size 18446744073709551615 is out of range",
		"write 0 1 0x", "ERR invalid argument size",
		"b64write 0 1 ==", "ERR invalid argument size",
		"write 0 1 abcd", "FAIL data does not begin with 0x",
		"write 0 1 0xzz", "FAIL encoding/hex: invalid byte: U+007A 'z'",
		"b64write 0 1 !!!!", "FAIL illegal base64 data at input byte 0",
		"clock_step x", "FAIL 'x' is not a number",
		"clock_step 0x8000000000000000", "FAIL '0x8000000000000000' is out of range",
		"clock_set", "FAIL missing argument",
		"irq_intercept_in", "FAIL missing argument",
		"set_irq_in /machine x 0", "FAIL missing argument",
		"module_load accel- tcg", "FAIL modules are not supported",
	)
}

// Time moves by steps, to the next timer and to a point, and never back;
// timers fire at their own time.
func TestClock(t *testing.T) {
	r := newRig(t)
	var fired []int64
	timer := func(at int64) {
		r.Do(func() { r.Clock.NewTimer(func() { fired = append(fired, r.Clock.Now()) }).Set(at) })
	}
	r.talk("clock_step", "OK 0", "clock_step 10", "OK 10", "clock_step -5", "OK 10", "clock_set 7", "OK 10")
	timer(25)
	timer(40)
	timer(9)
	r.talk("clock_step", "OK 10", "clock_step", "OK 25", "clock_set 100", "OK 100", "clock_step 0", "OK 100")
	if !slices.Equal(fired, []int64{10, 25, 40}) {
		t.Errorf("timers at %v", fired)
	}
	r.talk("clock_step 0x7fffffffffffffff", "FAIL '0x7fffffffffffffff' is out of range",
		"clock_set 0x7fffffffffffffff", "OK 9223372036854775807")
}

// A step over more timers than anybody waits for keeps neither the VM lock nor
// the server from being closed.
func TestLongStep(t *testing.T) {
	r := newRig(t)
	r.Do(func() {
		var tm *clock.Timer
		tm = r.Clock.NewTimer(func() { tm.Set(tm.Deadline() + 1) })
		tm.Set(1)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.s.Receive([]byte("clock_set 0x7fffffffffffffff\n"))
	}()
	for seen := int64(0); seen < 3000; {
		r.Do(func() { seen = r.Clock.Now() })
	}
	if err := r.s.Close(); err != nil {
		t.Error(err)
	}
	<-done
}

// A clock that follows the host is not the client's to move.
func TestNoClockOfOthers(t *testing.T) {
	r := newRig(t)
	r.Host.Clock = clock.New(r.Lock)
	defer r.Host.Clock.Close()
	r.talk("clock_step 1", "FAIL Unknown command 'clock_step'", "clock_set 1", "FAIL Unknown command 'clock_set'")
}

// Changes of input pins come before the OK of their cause, once each, and
// still reach the device.
func TestInterceptIn(t *testing.T) {
	r := newRig(t)
	path := qom.Path(r.dev)
	r.talk(
		"irq_intercept_in "+path+" unnamed-gpio-in", "FAIL Interception of named in-GPIOs not yet supported",
		"irq_intercept_in "+path, "OK",
		"irq_intercept_in "+path, "OK",
		"set_irq_in "+path+" unnamed-gpio-in 1 1", "IRQ raise 1 / OK",
		"set_irq_in "+path+" unnamed-gpio-in 1 7", "OK",
		"set_irq_in "+path+" unnamed-gpio-in 0 0", "OK",
		"set_irq_in "+path+" unnamed-gpio-in 1 0", "IRQ lower 1 / OK",
		"set_irq_in "+path+" extra 0 -1", "IRQ raise 0 / OK",
		"set_irq_in "+path+" extra 1 1", "FAIL no input extra[1]",
		"set_irq_in "+path+" unnamed-gpio-in -1 1", "FAIL no input unnamed-gpio-in[-1]",
		"set_irq_in "+path+" unnamed-gpio-in 0 0x100000000", "FAIL '0x100000000' is out of range",
	)
	want := []string{"1=true", "1=true", "0=false", "1=false", "extra0=true"}
	if !slices.Equal(r.dev.in, want) {
		t.Errorf("the device saw %q, want %q", r.dev.in, want)
	}
}

// Outputs of one name are told, those that lead nowhere as well, and still
// reach what they lead to.
func TestInterceptOut(t *testing.T) {
	r := newRig(t)
	path := qom.Path(r.dev)
	in := "set_irq_in " + path + " unnamed-gpio-in "
	r.talk(
		"irq_intercept_out "+path+" nosuch", "FAIL No intercepts installed",
		"irq_intercept_out "+path, "OK",
		in+"0 1", "IRQ raise 0 / OK",
		in+"1 1", "IRQ raise 1 / OK",
		in+"0 0", "IRQ lower 0 / OK",
	)
	if !slices.Equal(r.far, []string{"true", "false"}) {
		t.Errorf("the other end saw %q", r.far)
	}
	r.s.Event(chardev.EventClosed)
	r.s.Event(chardev.EventOpened)
	r.talk(in+"0 1", "OK", "irq_intercept_out "+path+" named", "OK", in+"0 0", "OK")
	r.Do(func() { r.dev.out[2].Set(true) })
	if s := r.send(""); s != "IRQ raise 0\n" {
		t.Errorf("the named output: %q", s)
	}
}

// One device at a time is listened to.
func TestInterceptErrors(t *testing.T) {
	r := newRig(t)
	r.talk(
		"irq_intercept_in /nosuch", "FAIL Unknown device",
		"irq_intercept_out nosuch", "FAIL Unknown device",
		"irq_intercept_in /machine", "FAIL Unknown device",
		"set_irq_in /nosuch x 0 0", "FAIL Unknown device",
		"irq_intercept_in /machine/unattached/device[1]", "FAIL No intercepts installed",
		"irq_intercept_in "+qom.Path(r.dev), "OK",
		"irq_intercept_in /machine/unattached/device[1]", "FAIL IRQ intercept already enabled",
		"irq_intercept_out "+qom.Path(r.dev), "OK",
	)
}

// A command may come in any pieces, several in one; one that is too long costs
// itself only.
func TestLines(t *testing.T) {
	r := newRig(t)
	if s := r.send("endian"); s != "" {
		t.Errorf("half a command: %q", s)
	}
	if s := r.send("ness\r\nendianness\nfoo"); s != "OK little\nOK little\n" {
		t.Errorf("%q", s)
	}
	r.talk("", "FAIL Unknown command 'foo'")
	r.s.Do(func() { r.s.in = make([]byte, maxLine) })
	if s := r.send("x"); s != "FAIL line too long\n" {
		t.Errorf("too long: %q", s)
	}
	if s := r.send("y z\nendianness\n"); s != "OK little\n" {
		t.Errorf("after it: %q", s)
	}
}

// Do runs f under the VM lock.
func (s *Server) Do(f func()) {
	s.host.Lock.Lock()
	defer s.host.Lock.Unlock()
	f()
}

// No command is taken before the machine is complete or while the client does
// not read; nothing is lost by that.
func TestBackPressure(t *testing.T) {
	r := newRig(t)
	other, err := NewServer(r.Host, &wire{}, nil)
	if err != nil || other.CanReceive() != 0 {
		t.Errorf("a server that does not serve takes %d bytes, %v", other.CanReceive(), err)
	}
	r.wire.room = 5
	if s := r.send("endianness\n"); s != "OK li" {
		t.Errorf("%q", s)
	}
	if n := r.s.CanReceive(); n != 0 {
		t.Errorf("takes %d bytes while answers wait", n)
	}
	r.wire.room = -1
	before := r.wire.accepted
	r.s.Writable()
	if s := r.send("endianness\n"); s != "ttle\nOK little\n" || r.wire.accepted != before+1 {
		t.Errorf("%q, asked for input %d times", s, r.wire.accepted-before)
	}
}

// A client that leaves takes its half command and what it did not read along.
func TestNewClientStartsAfresh(t *testing.T) {
	r := newRig(t)
	r.wire.room = 0
	r.send("endianness\n")
	r.s.Receive([]byte("junk"))
	r.s.Event(chardev.EventClosed)
	r.wire.room = -1
	r.s.Event(chardev.EventOpened)
	r.talk("endianness", "OK little")
	if err := r.s.Close(); err != nil || r.wire.fe != nil {
		t.Errorf("after Close: %v, attached: %v", err, r.wire.fe != nil)
	}
	r.s.Receive([]byte("endianness\n"))
	if r.wire.got.Len() != 0 {
		t.Errorf("after Close: %q", r.wire.got.String())
	}
}

// The log has QEMU's form.
func TestLog(t *testing.T) {
	r := newRig(t)
	r.talk("irq_intercept_in "+qom.Path(r.dev), "OK", "set_irq_in "+qom.Path(r.dev)+" unnamed-gpio-in  0 1", "IRQ raise 0 / OK")
	r.s.Event(chardev.EventClosed)
	want := regexp.MustCompile(`^\[I 0\.000000\] OPENED
\[R \+0\.\d{6}\] irq_intercept_in /\S+
\[S \+0\.\d{6}\] OK
\[R \+0\.\d{6}\] set_irq_in /\S+ unnamed-gpio-in 0 1
\[S \+0\.\d{6}\] IRQ raise 0
\[S \+0\.\d{6}\] OK
\[I \+0\.\d{6}\] CLOSED
$`)
	if !want.MatchString(r.log.String()) {
		t.Errorf("log:\n%s", r.log.String())
	}
}

// FuzzServer: any bytes in any pieces get one answer per line, and the server
// goes on.
func FuzzServer(f *testing.F) {
	for _, s := range []string{
		"inb 0x70\noutb 0x70 1\nreadq 0\nwriteq 0 -1\n", "read 0x1000 16\nwrite 0 4 0x0102\nmemset 0 4096 0xa5\n",
		"b64read 0 12\nb64write 0 3 AQID\n", "clock_step\nclock_step 10\nclock_set 0x10\n",
		"irq_intercept_in /machine/unattached/device[0]\nset_irq_in /machine/unattached/device[0] unnamed-gpio-in 1 1\n",
		"irq_intercept_out device[0] named\n", "module_load a b\nendianness\n\n \x00\n", "read 0 -1\nreadb 0x8000000000000000\n",
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		r := newRig(t)
		r.s.log = nil
		for rest := in; len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			r.s.Receive(rest[:n])
			rest = rest[n:]
		}
		answers := 0
		for _, l := range strings.SplitAfter(r.send(""), "\n") {
			switch word, _, _ := strings.Cut(strings.TrimSuffix(l, "\n"), " "); word {
			case "OK", "FAIL", "ERR":
				answers++
			case "IRQ", "":
			default:
				t.Fatalf("answer %q", l)
			}
		}
		if want := bytes.Count(in, []byte("\n")); answers != want {
			t.Fatalf("%d answers to %d lines", answers, want)
		}
		if s := r.send("\nendianness\n"); !strings.HasSuffix(s, "\nOK little\n") {
			t.Fatalf("then: %q", s)
		}
	})
}

// BenchmarkWriteb is one command without its transport.
func BenchmarkWriteb(b *testing.B) {
	r := newRig(b)
	r.s.log = nil
	line := []byte("writeb 0x1000 0x5a\n")
	b.ReportAllocs()
	for b.Loop() {
		r.s.Receive(line)
		r.wire.got.Reset()
	}
}
