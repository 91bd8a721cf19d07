package qtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// member is a member of an event's data.
func member(e Event, name string) any {
	var m map[string]any
	if json.Unmarshal(e.Data, &m) != nil {
		return nil
	}
	return m[name]
}

// TestPanicAction: what a guest's panic brings is up to -action panic=.
func TestPanicAction(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ action, told, status string }{
		{"none", "run", "running"},
		{"pause", "pause", "guest-panicked"},
	} {
		t.Run(c.action, func(t *testing.T) {
			t.Parallel()
			m := q35(t, "-device", "pvpanic", "-action", "panic="+c.action)
			if v := m.Inb(0x505); v != 3 {
				t.Errorf("the device understands %#x", v)
			}
			m.Outb(0x505, 1)
			if e := m.QMP.WaitEvent("GUEST_PANICKED"); member(e, "action") != c.told {
				t.Errorf("event %v", e)
			}
			m.Eventually(c.status, func() bool { return m.QMP.Status() == c.status })
		})
	}
}

// TestPanicPoweroff: by default a panic ends the VM, after the events that say
// so.
func TestPanicPoweroff(t *testing.T) {
	t.Parallel()
	for action, want := range map[string]int{"shutdown": 0, "exit-failure": 1} {
		m := q35(t, "-device", "pvpanic", "-action", "panic="+action)
		m.Send("outb 0x505 1\n")
		if e := m.QMP.WaitEvent("GUEST_PANICKED"); member(e, "action") != "poweroff" {
			t.Errorf("event %v", e)
		}
		if e := m.QMP.WaitEvent("SHUTDOWN"); member(e, "reason") != "guest-panic" || member(e, "guest") != true {
			t.Errorf("event %v", e)
		}
		if code := m.Wait(); code != want {
			t.Errorf("panic=%s: exit status %d, want %d", action, code, want)
		}
	}
}

// TestCrashLoaded: a crash kernel is told of, and the guest goes on.
func TestCrashLoaded(t *testing.T) {
	t.Parallel()
	m := q35(t, "-device", "pvpanic,ioport=0x600,events=2")
	if v := m.Inb(0x600); v != 2 {
		t.Errorf("the device understands %#x", v)
	}
	m.Outb(0x600, 2)
	if e := m.QMP.WaitEvent("GUEST_CRASHLOADED"); member(e, "action") != "run" {
		t.Errorf("event %v", e)
	}
	if s := m.QMP.Status(); s != "running" {
		t.Errorf("status %s", s)
	}
}

// TestDebugExit: a guest program ends the process with its status.
func TestDebugExit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		line string
		want int
	}{
		{"isa-debug-exit", "outb 0x501 0", 1},
		{"isa-debug-exit", "outw 0x501 0x15", 43},
		{"isa-debug-exit,iobase=0xf4,iosize=4", "outl 0xf4 0x10", 33},
		{"isa-debug-exit,iobase=0xf4,iosize=4", "outl 0xf4 0x12345678", 0xf1}, // eight bits remain
	} {
		m := q35(t, "-device", c.args)
		m.Send(c.line + "\n")
		if code := m.Wait(); code != c.want {
			t.Errorf("%s on %s: exit status %d, want %d", c.line, c.args, code, c.want)
		}
	}
	m := q35(t, "-device", "isa-debug-exit")
	if v := m.Inw(0x501); v != 0 {
		t.Errorf("the port reads %#x", v)
	}
	p := Spawn(t, Config{Args: Args("-nodefaults -display none -accel qtest -device isa-debug-exit,iobase=0xffff,iosize=2")})
	if code := p.Wait(); code != 1 || !strings.Contains(p.Stderr(), "beyond the I/O space") {
		t.Errorf("exit status %d, %s", code, p.Stderr())
	}
}

// TestDebugConsole: what is written to the port is in the chardev's file, and
// the port is recognised by what it reads.
func TestDebugConsole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	m := q35(t, "-chardev", "file,id=log,path="+path, "-device", "isa-debugcon,chardev=log,iobase=0x402")
	if v := m.Inb(0x402); v != 0xe9 {
		t.Errorf("the port reads %#x", v)
	}
	for _, c := range []byte("hello\n") {
		m.Outb(0x402, c)
	}
	m.Eventually("the text", func() bool {
		b, err := os.ReadFile(path)
		return err == nil && string(b) == "hello\n"
	})
	p := Spawn(t, Config{Args: Args("-nodefaults -display none -accel qtest -device isa-debugcon")})
	if code := p.Wait(); code != 1 || !strings.Contains(p.Stderr(), "Can't create debugcon device, empty char device") {
		t.Errorf("exit status %d, %s", code, p.Stderr())
	}
}
