package vdpa

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// phase is a part of a device's life in which calls are made.
type phase struct {
	name string
	// before brings a device that is plugged in to where the phase begins; nil
	// for a driver that is ready. A device that is not plugged in is nil's too.
	before func(c *cell)
	run    func(c *cell) error
	kind   kind
}

// kind is who is to hear of a failure.
type kind int

const (
	kindLive    kind = iota // guest and client, by status, interrupt and event
	kindReset               // the same, but a driver that resets has no interrupt
	kindRealize             // the client's command fails
	kindUnplug              // the log: guest and client are rid of it
)

func phases() []phase {
	ready := func(c *cell) {
		c.drive(2)
		c.settled()
		c.Readl(base + 0x100)
	}
	return []phase{
		{"realize", nil, func(c *cell) error { return c.plugIn() }, kindRealize},
		{"start", func(*cell) {}, func(c *cell) error { c.drive(2); c.settled(); return nil }, kindLive},
		{"stop", ready, func(c *cell) error { return c.runState(false) }, kindLive},
		{"cont", func(c *cell) { ready(c); _ = c.runState(false) }, func(c *cell) error {
			err := c.runState(true)
			c.settled()
			return err
		}, kindLive},
		{"guest reset", ready, func(c *cell) error { c.write(regStatus, 0); c.settled(); return nil }, kindReset},
		{"system_reset", ready, func(c *cell) error { c.Do(func() { qdev.Reset(c.mmio) }); c.settled(); return nil }, kindReset},
		{"config read", ready, func(c *cell) error { c.Readb(base + 0x108); return nil }, kindLive},
		{"config write", ready, func(c *cell) error { c.Writeb(base+0x120, 1); return nil }, kindLive},
		{"queue taken back", ready, func(c *cell) error {
			c.write(regQueueSel, 1)
			c.write(regQueueReady, 0)
			c.settled()
			return nil
		}, kindLive},
		{"config interrupt", ready, func(c *cell) error {
			n := c.changes()
			if err := c.rec.ChangeConfig(0, []byte{1}); err != nil {
				return err
			}
			c.wait("config interrupt", func() bool { return c.dev.stats.changes > n })
			c.settled()
			return nil
		}, kindLive},
		{"memory comes", func(c *cell) { ready(c); c.newRegion() }, func(c *cell) error { return c.change(true) }, kindLive},
		{"memory goes", func(c *cell) {
			c.newRegion()
			if err := c.change(true); err != nil {
				c.T.Fatal(err)
			}
			ready(c)
		}, func(c *cell) error { return c.change(false) }, kindLive},
		{"unplug", ready, func(c *cell) error { c.unplug(); return nil }, kindUnplug},
	}
}

// cell is one run of a phase, with or without a call that fails.
type cell struct {
	*rig
	phase
	log  *logged
	fail string // the call that failed
	errs []string
	// What the process has before the device is plugged in.
	fds, goroutines int
	region          *memory.Region // besides the RAM that is always there
	ram             *memory.RAM    // behind it
	mapped          int            // pieces of memory in the end
}

// logged is what a machine writes to its log.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.b.String()
	l.b.Reset()
	return s
}

func newCell(t *testing.T, p phase) *cell {
	c := &cell{phase: p, log: &logged{}, mapped: 3}
	t.Cleanup(func() { // after the machine
		if c.ram != nil {
			c.ram.Close()
		}
	})
	c.rig = newMachine(t, false, NewRecorder("/dev/vhost-vdpa-0", 2))
	c.Log = zerolog.New(c.log)
	c.fds, c.goroutines = openFDs(t), runtime.NumGoroutine()
	if p.kind == kindRealize {
		return c
	}
	if err := c.plugIn(); err != nil {
		t.Fatal(err)
	}
	p.before(c)
	c.Posted.Take()
	c.log.take()
	return c
}

func (c *cell) plugIn() error {
	err := c.plug()
	if err == nil {
		c.Do(func() { c.dev.dma.piece = 24 << 20 })
	}
	return err
}

func (c *cell) runState(on bool) (err error) {
	c.Do(func() { err = c.State.Set(on) })
	c.settled()
	return err
}

// newRegion makes memory that can come and go.
func (c *cell) newRegion() {
	ram, err := memory.NewAnonRAM("more", 0x10000)
	if err != nil {
		c.T.Fatal(err)
	}
	c.region, c.ram = memory.NewRAM(ram), ram
	c.fds++
}

// change has the memory come or go, and waits for what follows from it.
func (c *cell) change(comes bool) (err error) {
	c.Do(func() {
		if comes {
			c.mapped++
			err = c.Map.Add(c.System, c.region, 1<<32, 0)
		} else {
			c.mapped--
			err = c.Map.Remove(c.region)
		}
	})
	c.wait("the device to be looked at", func() bool { return c.dev.unfollowed == nil })
	return err
}

func (c *cell) changes() (n uint64) {
	c.Do(func() { n = c.dev.stats.changes })
	return n
}

// settled waits until nothing is under way.
func (c *cell) settled() {
	c.wait("the end of what is under way", func() bool { return c.dev.task == nil })
}

// arm lets the nth call from now on fail, and with rest all after it.
func (c *cell) arm(n int, no syscall.Errno, rest bool) {
	count := 0
	c.rec.SetFail(func(_ int, call string) error {
		count++
		if count != n && !(rest && count > n) {
			return nil
		}
		if c.fail == "" {
			c.fail = call
		}
		return no
	})
}

func (c *cell) bad(format string, args ...any) { c.errs = append(c.errs, fmt.Sprintf(format, args...)) }

// outcome is what guest, client and log saw.
type outcome struct{ guest, client, log string }

// observe looks at a device with which something went wrong.
func (c *cell) observe(cmdErr error, no syscall.Errno) (o outcome) {
	verb := Verb(strings.Fields(c.fail)[0])
	events, logs, lines := c.Posted.Take(), c.log.take(), c.reports()
	switch {
	case logs != "" && strings.Contains(logs, string(verb)) && strings.Contains(logs, no.Error()):
		o.log = "call, device, errno"
	case logs != "":
		o.log = "another: " + logs
	default:
		o.log = "-"
	}
	switch c.kind {
	case kindRealize:
		o.guest, o.client = "no device", "-"
		if cmdErr != nil {
			o.client = "error: " + cmdErr.Error()
		}
		if c.read(8) != 0 || cmdErr == nil || len(events) != 0 {
			c.bad("device id %d, error %v, events %v", c.read(8), cmdErr, events)
		}
		return o
	case kindUnplug:
		o.guest, o.client = "device gone", "device deleted"
		if c.read(8) != 0 || o.log == "-" || len(events) != 0 {
			c.bad("device id %d, log %q, events %v", c.read(8), logs, events)
		}
		return o
	}
	if cmdErr != nil {
		c.bad("the command failed: %v", cmdErr)
	}
	status, isr := virtio.Status(c.read(regStatus)), c.read(regInterruptStatus)
	o.guest = fmt.Sprintf("status %#02x", uint8(status))
	if isr&2 != 0 {
		o.guest += ", config interrupt"
	}
	if !status.Has(virtio.StatusNeedsReset) || c.kind == kindLive && isr&2 == 0 {
		c.bad("the guest sees %s", o.guest)
	}
	o.client = c.event(events, verb, no)
	if o.log != "call, device, errno" {
		c.bad("the log has %q", logs)
	}
	if len(lines) != 1 || !strings.Contains(lines[0], string(verb)) || strings.Contains(lines[0], "\n") {
		c.bad("the user sees %q", lines)
	}
	return o
}

// event looks at what the client has been sent and can read.
func (c *cell) event(events []hwtest.Event, verb Verb, no syscall.Errno) string {
	if len(events) != 1 || events[0].Name != StateEvent {
		c.bad("events %v", events)
		return "-"
	}
	e := events[0].Data.(StateChange)
	if e.State != "broken" || e.Path != qom.Path(c.dev) || e.Verb == nil || *e.Verb != string(verb) || e.Error == nil ||
		e.Errno == nil || *e.Errno != int64(no) || e.ErrnoName == nil || *e.ErrnoName != unix.ErrnoName(no) {
		c.bad("event %+v", e)
	}
	queue := ""
	if e.Queue != nil {
		queue = fmt.Sprintf(" queue %d", *e.Queue)
	}
	if strings.Contains(c.fail, " queue ") && (queue == "" || !strings.Contains(c.fail+" ", queue+" ")) {
		c.bad("event of%s for %s", queue, c.fail)
	}
	c.Do(func() {
		state, err1 := qom.Get(c.dev, "x-state")
		text, err2 := qom.Get(c.dev, "x-error")
		if err := errors.Join(err1, err2); err != nil || state != "broken" || !strings.Contains(text.(string), string(verb)) {
			c.bad("x-state %v, x-error %v, %v", state, text, err)
		}
		if info := c.dev.Inspect(); !info.Broken || info.Vhost == nil || info.Vhost.Started || info.Vhost.MemSections != 0 {
			c.bad("x-query-virtio-status: %+v, vhost %+v", info, info.Vhost)
		}
		if q := c.dev.InspectQueue(0); q == nil || q.Live {
			c.bad("x-query-virtio-queue-status: %+v", q)
		}
	})
	return "event: broken, " + *e.Verb + queue + ", errno; properties"
}

// recover repairs the device and has the driver begin anew.
func (c *cell) recover() {
	c.rec.SetFail(nil)
	c.rig.run(true)
	c.drive(2)
	c.settled()
	c.Do(func() {
		text, _ := qom.Get(c.dev, "x-error")
		if c.dev.state != stateRunning || c.dev.Status() != 0xf || text != "" || len(c.rec.Mapped()) != c.mapped {
			c.bad("after a reset: %s, status %s, x-error %q, mapped %v", c.dev.state, c.dev.Status(), text, c.rec.Mapped())
		}
		if c.dev.stats.failures == 0 || c.dev.stats.recoveries == 0 {
			c.bad("counted %d failures, %d recoveries", c.dev.stats.failures, c.dev.stats.recoveries)
		}
	})
	events := c.Posted.Take()
	if i := slices.IndexFunc(events, func(e hwtest.Event) bool { return e.Data.(StateChange).State == "inactive" }); i < 0 {
		c.bad("no event tells of the recovery: %v", events)
	}
}

// undone tells what a device that is gone left behind.
func (c *cell) undone() {
	if err := c.rec.Check(); err != nil || !c.rec.Closed() {
		c.bad("%v, closed %v", err, c.rec.Closed())
	}
	if n := openFDs(c.T); n != c.fds {
		c.bad("%d descriptors of %d", n, c.fds)
	}
	c.waitGoroutines(c.goroutines)
	if c.State.Hooks() != 0 || c.read(8) != 0 {
		c.bad("%d hooks, device id %d", c.State.Hooks(), c.read(8))
	}
}

// Each call of each phase fails, alone and with all that follow it, with each
// errno: the guest, the client and the log see it, the VM goes on, nothing is
// left behind, and a reset recovers the device. go test -v prints the table.
func TestFailureMatrix(t *testing.T) {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "phase\tcall\tguest\tclient\tlog")
	rows := map[string]bool{}
	for _, p := range phases() {
		clean := newCell(t, p)
		clean.rec.TakeCalls()
		if err := p.run(clean); err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		calls := slices.DeleteFunc(clean.rec.TakeCalls(), func(c string) bool { return c == "close" })
		if len(calls) == 0 {
			t.Fatalf("%s makes no calls", p.name)
		}
		for i, call := range calls {
			t.Run(p.name+"/"+short(call), func(t *testing.T) {
				for _, no := range []syscall.Errno{syscall.EIO, syscall.ENODEV, syscall.ENOMEM, syscall.EBUSY} {
					for _, rest := range []bool{false, true} {
						o := oneFailure(t, p, i+1, call, no, rest)
						o.client = strings.ReplaceAll(o.client, errno.Text(no), "ERRNO")
						row := fmt.Sprintf("%s\t%s\t%s\t%s\t%s", p.name, short(call), o.guest, o.client, o.log)
						if !rows[row] {
							rows[row] = true
							fmt.Fprintln(w, row)
						}
					}
				}
			})
		}
	}
	w.Flush()
	t.Logf("%d rows:\n%s", len(rows), table.String())
}

// short is a call without what it was given, but for its queue.
func short(call string) string {
	call, _, _ = strings.Cut(call, " = ")
	words := strings.Fields(call)
	if len(words) > 2 && words[1] == "queue" {
		return strings.Join(words[:3], " ")
	}
	if words[0] == string(VerbSetStatus) || words[0] == string(VerbSetConfigCall) {
		return strings.Join(words[:2], " ")
	}
	return words[0]
}

// oneFailure runs a phase whose nth call fails.
func oneFailure(t *testing.T, p phase, n int, call string, no syscall.Errno, rest bool) outcome {
	c := newCell(t, p)
	c.arm(n, no, rest)
	err := p.run(c)
	if c.fail == "" {
		t.Fatalf("%s: call %d, %s, was not made", p.name, n, call)
	}
	o := c.observe(err, no)
	if running := p.name != "stop"; c.State.Running() != running {
		c.bad("the VM runs: %v", !running)
	}
	if p.kind == kindLive || p.kind == kindReset {
		if m := c.rec.Mapped(); !rest && len(m) != 0 && !strings.HasPrefix(c.fail, string(VerbInvalidate)) {
			c.bad("still mapped: %v", m)
		}
		c.recover()
		c.unplug()
	}
	c.undone()
	for _, e := range c.errs {
		t.Errorf("%s: %s fails (%s, all after it too: %v): %s", p.name, call, unix.ErrnoName(no), rest, e)
	}
	return o
}
