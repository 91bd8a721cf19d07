// Package goqemu drives the emulator through github.com/digitalocean/go-qemu,
// as programs that embed it do. It stands apart from package qtest so that that
// one needs the standard library only.
package goqemu

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/go-qemu/qemu"
	"github.com/digitalocean/go-qemu/qmp"
	"github.com/digitalocean/go-qemu/qmp/raw"

	"github.com/gqemu/gqemu/tests/qtest"
)

func TestMain(m *testing.M) { qtest.Main(m) }

// domain starts a machine whose QMP listens, and connects go-qemu to it.
func domain(t *testing.T, args ...string) (*qtest.Machine, *qemu.Domain, *qmp.SocketMonitor) {
	t.Helper()
	path := qtest.ShortDir(t) + "/q"
	m := qtest.Start(t, append([]string{"-nodefaults", "-M", "microvm", "-qmp", "unix:" + path + ",server=on,wait=off"}, args...)...)
	mon, err := qmp.NewSocketMonitor("unix", path, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := mon.Connect(); err != nil {
		t.Fatal(err)
	}
	d, err := qemu.NewDomain(mon, "guest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return m, d, mon
}

// TestDomain: what package qemu can ask for, answered.
func TestDomain(t *testing.T) {
	t.Parallel()
	_, d, _ := domain(t)
	if v, err := d.Version(); err != nil || v != "8.2.7" {
		t.Errorf("Version: %q, %v", v, err)
	}
	if v, err := d.PackageVersion(); err != nil || !strings.HasPrefix(v, "gqemu-") {
		t.Errorf("PackageVersion: %q, %v", v, err)
	}
	if s, err := d.Status(); err != nil || s != qemu.StatusRunning {
		t.Errorf("Status: %v, %v", s, err)
	}
	commands, err := d.Commands()
	if err != nil || !slices.Contains(commands, "system_powerdown") || len(commands) < 20 {
		t.Errorf("Commands: %q, %v", commands, err)
	}
	if ok, err := d.Supported("query-status"); err != nil || !ok {
		t.Errorf("Supported: %v, %v", ok, err)
	}
	if ok, err := d.Supported("nosuch"); err != nil || ok {
		t.Errorf("Supported: %v, %v", ok, err)
	}
}

// next waits for an event by name.
func next(t *testing.T, events <-chan qmp.Event, name string) qmp.Event {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("the stream ends before %s", name)
			}
			if e.Event == name {
				return e
			}
		case <-timeout:
			t.Fatalf("no %s", name)
		}
	}
}

// TestEvents: SystemReset and SystemPowerdown come back as events, with their
// data.
func TestEvents(t *testing.T) {
	t.Parallel()
	_, d, _ := domain(t)
	events, done, err := d.Events()
	if err != nil {
		t.Fatal(err)
	}
	defer close(done)
	if err := d.SystemReset(); err != nil {
		t.Fatal(err)
	}
	if e := next(t, events, "RESET"); e.Data["guest"] != false || e.Data["reason"] != "host-qmp-system-reset" {
		t.Errorf("%+v", e)
	}
	if err := d.SystemPowerdown(); err != nil {
		t.Fatal(err)
	}
	if e := next(t, events, "POWERDOWN"); e.Timestamp.Seconds < time.Now().Unix()-100 {
		t.Errorf("%+v", e)
	}
	if _, err := d.Run(qmp.Command{Execute: "stop"}); err != nil {
		t.Fatal(err)
	}
	next(t, events, "STOP")
	if s, err := d.Status(); err != nil || s != qemu.StatusPaused {
		t.Errorf("Status: %v, %v", s, err)
	}
	if _, err := d.Run(qmp.Command{Execute: "cont"}); err != nil {
		t.Fatal(err)
	}
	next(t, events, "RESUME")
}

// TestPowerdownAndExit: the guest answers the power button by powering off;
// the client sees SHUTDOWN with guest true, and the process ends with 0.
func TestPowerdownAndExit(t *testing.T) {
	t.Parallel()
	m, d, _ := domain(t)
	events, done, err := d.Events()
	if err != nil {
		t.Fatal(err)
	}
	defer close(done)
	m.InterceptIn("ioapic")
	if err := d.SystemPowerdown(); err != nil {
		t.Fatal(err)
	}
	next(t, events, "POWERDOWN")
	g := &qtest.GED{M: m}
	m.Eventually("the power button", func() bool { return g.Events()&qtest.GEDPowerDown != 0 })
	m.Send("writeb 0xfea00200 0x34\n") // the answer may not come any more
	if e := next(t, events, "SHUTDOWN"); e.Data["guest"] != true || e.Data["reason"] != "guest-shutdown" {
		t.Errorf("%+v", e)
	}
	if code := m.Wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestErrors: of an error go-qemu keeps the description.
func TestErrors(t *testing.T) {
	t.Parallel()
	_, d, _ := domain(t)
	_, err := d.Run(qmp.Command{Execute: "device_add", Args: map[string]string{"driver": "vhost-vdpa-device", "vhostdev": "/dev/null"}})
	if err == nil || err.Error() != "Bus 'virtio-mmio-bus.23' does not support hotplugging" {
		t.Errorf("device_add: %v", err)
	}
}

// TestRaw: the generated methods for commands that exist here.
func TestRaw(t *testing.T) {
	t.Parallel()
	_, _, mon := domain(t, "-name", "box", "-uuid", "46648900-9e1b-4b5c-8a5e-1234567890ab")
	r := raw.NewMonitor(mon)
	if n, err := r.QueryName(); err != nil || n.Name == nil || *n.Name != "box" {
		t.Errorf("QueryName: %+v, %v", n, err)
	}
	if u, err := r.QueryUUID(); err != nil || u.UUID != "46648900-9e1b-4b5c-8a5e-1234567890ab" {
		t.Errorf("QueryUUID: %+v, %v", u, err)
	}
	if k, err := r.QueryKVM(); err != nil || k.Enabled {
		t.Errorf("QueryKVM: %+v, %v", k, err)
	}
	if l, err := r.QueryMachines(); err != nil || len(l) < 2 {
		t.Errorf("QueryMachines: %+v, %v", l, err)
	}
	if l, err := r.QueryChardev(); err != nil || len(l) < 2 {
		t.Errorf("QueryChardev: %+v, %v", l, err)
	}
	if l, err := r.QomList("/machine"); err != nil || len(l) < 10 {
		t.Errorf("QomList: %+v, %v", l, err)
	}
	if s, err := r.HumanMonitorCommand("info status", nil); err != nil || s != "VM status: running\r\n" {
		t.Errorf("HumanMonitorCommand: %q, %v", s, err)
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	if err := r.Cont(); err != nil {
		t.Error(err)
	}
}

// TestReplySizes: no reply that go-qemu asks for is a line beyond its scanner's
// 64 KiB.
func TestReplySizes(t *testing.T) {
	t.Parallel()
	_, _, mon := domain(t)
	for _, c := range []string{"query-commands", "query-machines", "qom-list-types", "query-chardev", "query-cpus-fast", "query-qmp-schema",
		"query-command-line-options", "query-cpu-definitions"} {
		b, err := mon.Run([]byte(`{"execute":"` + c + `"}`))
		if err != nil || len(b) >= 64<<10 {
			t.Errorf("%s: %d bytes, %v", c, len(b), err)
		}
	}
}

// TestReconnects: one client after the other.
func TestReconnects(t *testing.T) {
	t.Parallel()
	path := qtest.ShortDir(t) + "/q"
	qtest.Start(t, "-nodefaults", "-M", "none", "-qmp", "unix:"+path+",server=on,wait=off")
	for range 10 {
		mon, err := qmp.NewSocketMonitor("unix", path, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := mon.Connect(); err != nil {
			t.Fatal(err)
		}
		if _, err := mon.Run([]byte(`{"execute":"query-status"}`)); err != nil {
			t.Fatal(err)
		}
		if err := mon.Disconnect(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrClosed) {
			t.Fatal(err)
		}
	}
}
