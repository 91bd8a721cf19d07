package qtest

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// server starts a machine whose QMP is a listening unix socket, and gives its
// path.
func server(t *testing.T, more ...string) (*Machine, string) {
	t.Helper()
	dir := ShortDir(t)
	m := Start(t, append([]string{"-nodefaults", "-M", "none", "-qmp", "unix:" + dir + "/q,server=on,wait=off"}, more...)...)
	return m, dir + "/q"
}

// TestReconnect: clients of a listening socket come and go; each is greeted and
// negotiates anew, and nothing of one reaches the next.
func TestReconnect(t *testing.T) {
	t.Parallel()
	m, path := server(t)
	before := m.FDs()
	for i := range 50 {
		q := DialQMP(t, path)
		if q.Status() != "running" {
			t.Fatal("state")
		}
		switch i % 3 {
		case 0:
			q.Send(`{"execute":"query-na`)
		case 1:
			q.Send(strings.Repeat("[", 100))
		}
		q.Close()
	}
	q := DialQMP(t, path)
	q.Close()
	m.Eventually("the descriptors to be closed", func() bool {
		now := m.FDs()
		return now["socket"] <= before["socket"] && now["anon_inode"] <= before["anon_inode"]
	})
}

// TestSecondClientWaits: a listening socket serves one client at a time; the
// next is greeted when the first has left.
func TestSecondClientWaits(t *testing.T) {
	t.Parallel()
	_, path := server(t)
	first := DialQMP(t, path)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	second := NewQMP(t, c)
	if s, err := second.LineErr(50 * time.Millisecond); err == nil {
		t.Fatalf("the second client gets %q while the first is there", s)
	}
	if first.Status() != "running" {
		t.Fatal("the first client is gone")
	}
	first.Close()
	second.Negotiate()
}

// TestManySessions: monitors are independent: each negotiates for itself, and
// all that have get every event.
func TestManySessions(t *testing.T) {
	t.Parallel()
	dir := ShortDir(t)
	args := []string{"-nodefaults", "-M", "none"}
	const n = 8
	for i := range n {
		args = append(args, "-chardev", fmt.Sprintf("socket,id=m%d,path=%s/%d,server=on,wait=off", i, dir, i),
			"-mon", fmt.Sprintf("chardev=m%d,mode=control", i))
	}
	m := Start(t, args...)
	var clients [n]*QMP
	for i := range clients {
		clients[i] = DialQMP(t, fmt.Sprintf("%s/%d", dir, i))
	}
	c, err := net.Dial("unix", dir+"/0")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	var wg sync.WaitGroup
	for _, q := range clients {
		wg.Go(func() {
			for range 200 {
				var name struct{ Name string }
				if err := q.Execute("query-name", nil, &name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	m.QMP.Must("stop", nil, nil)
	m.QMP.Must("cont", nil, nil)
	for _, q := range clients {
		q.ExpectEvents("STOP", "RESUME")
	}
}

// TestStreaming: the server needs no newlines: a stream of objects cut at any
// place is answered in order.
func TestStreaming(t *testing.T) {
	t.Parallel()
	m, _ := server(t)
	q := m.QMP
	var b strings.Builder
	const n = 300
	for i := range n {
		fmt.Fprintf(&b, `{"execute":"query-status","id":%d}`, i)
		if i%7 == 0 {
			b.WriteString("\r\n")
		}
	}
	s := b.String()
	for i := 0; len(s) > 0; i++ {
		k := min(len(s), 1+i%97)
		q.Send(s[:k])
		s = s[k:]
	}
	for i := range n {
		r := q.Next()
		if string(r.ID) != fmt.Sprint(i) || r.Error != nil {
			t.Fatalf("reply %d: %+v", i, r)
		}
	}
}

// TestFlood: a client that sends and does not read is held back, and the VM and
// other clients live on.
func TestFlood(t *testing.T) {
	t.Parallel()
	m, path := server(t)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)) // sockets have deadlines
	blocked := false
	msg := []byte(`{"execute":"qmp_capabilities"}` + strings.Repeat(`{"execute":"query-commands"}`, 100))
	for range 10_000 {
		if _, err := c.Write(msg); err != nil {
			blocked = os.IsTimeout(err)
			break
		}
	}
	if !blocked {
		t.Error("the client is never held back")
	}
	if s := m.QMP.Status(); s != "running" {
		t.Error(s)
	}
}

// TestQueries: what the queries of a fresh machine say.
func TestQueries(t *testing.T) {
	t.Parallel()
	q := Start(t, "-nodefaults", "-M", "microvm", "-smp", "2", "-name", "guest=box,process=x", "-uuid",
		"46648900-9e1b-4b5c-8a5e-1234567890ab").QMP
	for _, c := range []struct{ command, want string }{
		{"query-name", `{"name": "box"}`},
		{"query-uuid", `{"UUID": "46648900-9e1b-4b5c-8a5e-1234567890ab"}`},
		{"query-status", `{"status": "running", "singlestep": false, "running": true}`},
		{"query-target", `{"arch": "x86_64"}`},
	} {
		var have json.RawMessage
		q.Must(c.command, nil, &have)
		if string(have) != c.want {
			t.Errorf("%s: %s, want %s", c.command, have, c.want)
		}
	}
	var kvm struct{ Enabled, Present bool }
	q.Must("query-kvm", nil, &kvm)
	if kvm.Enabled {
		t.Error("KVM is enabled under qtest")
	}
	var version struct {
		QEMU    struct{ Major, Minor, Micro int }
		Package string
	}
	q.Must("query-version", nil, &version)
	if version.QEMU.Major != 8 || version.QEMU.Minor != 2 || version.QEMU.Micro != 7 || !strings.HasPrefix(version.Package, "gqemu-") {
		t.Errorf("%+v", version)
	}
	var cpus []struct {
		Index  int    `json:"cpu-index"`
		Path   string `json:"qom-path"`
		Thread int    `json:"thread-id"`
		Target string
	}
	q.Must("query-cpus-fast", nil, &cpus)
	if len(cpus) != 2 || cpus[1].Index != 1 || cpus[0].Thread == 0 || cpus[0].Target != "x86_64" {
		t.Errorf("%+v", cpus)
	}
	for _, c := range cpus {
		q.QOMList(c.Path)
	}
	var machines []map[string]any
	q.Must("query-machines", nil, &machines)
	if len(machines) != 3 {
		t.Errorf("%v", machines)
	}
	var commands []struct{ Name string }
	q.Must("query-commands", nil, &commands)
	have := map[string]bool{}
	for _, c := range commands {
		have[c.Name] = true
	}
	for _, c := range strings.Fields("qmp_capabilities query-version query-status query-commands query-name query-uuid query-kvm " +
		"query-chardev query-cpus-fast query-machines query-target stop cont quit system_reset system_powerdown qom-list qom-get " +
		"qom-set qom-list-types device-list-properties device_add device_del human-monitor-command") {
		if !have[c] {
			t.Errorf("no command %s", c)
		}
	}
}

// refusals are what queries for things that microvm does not have answer, with
// QEMU's words.
var refusals = map[string]string{
	"query-balloon":           "DeviceNotActive: No balloon device has been activated",
	"query-hotpluggable-cpus": "GenericError: machine does not support hot-plugging CPUs",
	"query-vm-generation-id":  "GenericError: VM Generation ID device not found",
}

// TestEveryQuery: every query command can be called without arguments; it
// returns or says what it misses.
func TestEveryQuery(t *testing.T) {
	t.Parallel()
	q := microvm(t).QMP
	var commands []struct{ Name string }
	q.Must("query-commands", nil, &commands)
	for _, c := range commands {
		if !strings.HasPrefix(c.Name, "query-") {
			continue
		}
		err := q.Execute(c.Name, nil, nil)
		if err != nil && !strings.Contains(err.Error(), "is missing") && err.Error() != refusals[c.Name] {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}

// TestEventTimestamps: events carry the time they happened.
func TestEventTimestamps(t *testing.T) {
	t.Parallel()
	m, _ := server(t)
	before := time.Now().Add(-time.Second)
	m.QMP.Must("stop", nil, nil)
	e := m.QMP.NextEvent()
	at := time.Unix(e.Timestamp.Seconds, e.Timestamp.Microseconds*1000)
	if at.Before(before) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("%v, it is %v", at, time.Now())
	}
}
