package qtest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestHundredClients: a hundred control connections at once, of which many read
// slowly or never, get answers and every event, and none of them holds up the
// VM or its end.
func TestHundredClients(t *testing.T) {
	t.Parallel()
	dir := ShortDir(t)
	const n, rounds = 100, 30
	args := []string{"-nodefaults", "-M", "none"}
	for i := range n {
		args = append(args, "-chardev", fmt.Sprintf("socket,id=m%d,path=%s/%d,server=on,wait=off", i, dir, i),
			"-mon", fmt.Sprintf("chardev=m%d,mode=control", i))
	}
	m := Start(t, args...)
	var ready, done sync.WaitGroup
	ready.Add(n)
	talk := make(chan struct{}) // closed when all are connected
	for i := range n {
		c, err := net.Dial("unix", fmt.Sprintf("%s/%d", dir, i))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%4 == 3 { // sends, never reads
			done.Go(func() {
				ready.Done()
				<-talk
				_ = c.SetWriteDeadline(time.Now().Add(2 * time.Second)) // sockets have deadlines
				msg := []byte(`{"execute":"qmp_capabilities"}` + strings.Repeat(`{"execute":"query-qmp-schema"}`, 50))
				for {
					if _, err := c.Write(msg); err != nil {
						return
					}
				}
			})
			continue
		}
		if i%4 == 2 { // reads in small pieces, with pauses
			c = &slowConn{Conn: c}
		}
		q := NewQMP(t, c)
		done.Go(func() {
			q.Negotiate()
			ready.Done()
			<-talk
			for range rounds {
				if s := q.Status(); s != "running" && s != "paused" {
					t.Errorf("client %d: %s", i, s)
				}
			}
			for range rounds {
				q.WaitEvent("STOP")
				q.WaitEvent("RESUME")
			}
		})
	}
	ready.Wait()
	close(talk)
	for range rounds {
		m.QMP.Must("stop", nil, nil)
		m.QMP.Must("cont", nil, nil)
	}
	done.Wait()
	if kb := m.memory("VmHWM"); kb > 400<<10 {
		t.Errorf("took %d MiB", kb>>10)
	}
}

// slowConn takes some bytes at a time and rests.
type slowConn struct{ net.Conn }

func (c *slowConn) Read(p []byte) (int, error) {
	time.Sleep(2 * time.Millisecond)
	return c.Conn.Read(p[:min(len(p), 48)])
}

// memory reads a line of /proc/PID/status, in KiB.
func (p *Process) memory(line string) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		p.t.Fatal(err)
	}
	for l := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(l, []byte(line+":")); ok {
			kb, err := strconv.Atoi(strings.Fields(string(rest))[0])
			if err != nil {
				p.t.Fatal(err)
			}
			return kb
		}
	}
	p.t.Fatalf("no %s", line)
	return 0
}

// TestHugeToken: a token beyond QEMU's limit of 64 MiB is refused there and
// costs no more than that, which is given back; the session goes on.
func TestHugeToken(t *testing.T) {
	m := Start(t, "-nodefaults", "-M", "none")
	before := m.memory("VmRSS")
	piece := strings.Repeat("a", 1<<20)
	var sent sync.WaitGroup
	sent.Go(func() {
		m.QMP.Send(`{"execute":"`)
		for range 70 {
			m.QMP.Send(piece)
		}
		m.QMP.Send("\xff\n" + `{"execute":"query-name","id":"after"}`)
	})
	r := m.QMP.Next()
	if r.Error == nil || r.Error.Desc != "JSON token size limit exceeded" {
		t.Errorf("%+v", r)
	}
	for string(r.ID) != `"after"` {
		r = m.QMP.Next()
	}
	sent.Wait()
	if got := m.memory("VmHWM") - before; got > (64+24)<<10 {
		t.Errorf("took %d MiB", got>>10)
	}
	m.Eventually("the memory to be given back", func() bool { return m.memory("VmRSS")-before < 16<<10 })
}

// TestEventRateLimit: events that a guest can cause at will come at most once a
// second, of the guest's clock, and the last of each second is not lost.
func TestEventRateLimit(t *testing.T) {
	t.Parallel()
	m := Start(t, "-nodefaults", "-M", "microvm,rtc=on")
	rtc := RTC{m}
	offset := func(e Event) string { return e.String() }
	rtc.Out(RTCMinutes, 0x11)
	first := m.QMP.WaitEvent("RTC_CHANGE")
	for _, v := range []uint8{0x12, 0x13, 0x14} {
		rtc.Out(RTCMinutes, v)
	}
	m.ClockStep(999_000_000)
	m.QMP.Must("query-name", nil, nil)
	if l := m.QMP.Events(); len(l) > 0 {
		t.Fatalf("%v within the second", l)
	}
	m.ClockStep(2_000_000)
	second := m.QMP.WaitEvent("RTC_CHANGE")
	m.QMP.Must("query-name", nil, nil)
	if l := m.QMP.Events(); len(l) > 0 || offset(first) == offset(second) {
		t.Errorf("%v after %v and %v", l, first, second)
	}
	// The second after that one is a limit too, and then there is none.
	rtc.Out(RTCMinutes, 0x15)
	m.QMP.Must("query-name", nil, nil)
	if l := m.QMP.Events(); len(l) > 0 {
		t.Errorf("%v at once", l)
	}
	m.ClockStep(1_000_000_000)
	m.QMP.WaitEvent("RTC_CHANGE")
	m.ClockStep(1_000_000_000)
	rtc.Out(RTCMinutes, 0x16)
	m.QMP.WaitEvent("RTC_CHANGE")
}

// TestOutOfBandOvertakes: while an in-band command blocks, and others wait
// behind it, those that are marked to run out of band are answered.
func TestOutOfBandOvertakes(t *testing.T) {
	t.Parallel()
	m, path := server(t)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	q := NewQMP(t, c)
	q.ReadGreeting()
	q.Must("qmp_capabilities", map[string]any{"enable": []string{"oob"}}, nil)
	// It waits for a client of the new chardev.
	q.Send(`{"execute":"chardev-add","id":"blocks","arguments":{"id":"s","backend":{"type":"socket","data":` +
		`{"addr":{"type":"unix","data":{"path":"` + m.Dir + `/s"}},"server":true,"wait":true}}}}`)
	for i := range 6 {
		q.Send(fmt.Sprintf(`{"execute":"query-name","id":%d}`, i))
	}
	for i := range 3 {
		q.Send(fmt.Sprintf(`{"exec-oob":"query-yank","id":"oob%d"}`, i))
		if r := q.Next(); string(r.ID) != fmt.Sprintf(`"oob%d"`, i) || r.Error != nil {
			t.Fatalf("%+v, want the answer to oob%d", r, i)
		}
	}
	q.Send(`{"exec-oob":"query-status","id":"no"}`)
	if r := q.Next(); r.Error == nil || r.Error.Desc != "The command query-status does not support OOB" {
		t.Errorf("%+v", r)
	}
	var peer net.Conn
	m.Eventually("the chardev's socket", func() bool {
		peer, err = net.Dial("unix", m.Dir+"/s")
		return err == nil
	})
	defer peer.Close()
	for _, id := range []string{`"blocks"`, "0", "1", "2", "3", "4", "5"} {
		if r := q.Next(); string(r.ID) != id || r.Error != nil {
			t.Fatalf("%+v, want the answer to %s", r, id)
		}
	}
}

// TestPrettyMonitor: -mon pretty=on indents what is sent by four spaces.
func TestPrettyMonitor(t *testing.T) {
	t.Parallel()
	dir := ShortDir(t)
	Start(t, "-nodefaults", "-M", "none", "-chardev", "socket,id=p,path="+dir+"/p,server=on,wait=off",
		"-mon", "chardev=p,mode=control,pretty=on")
	c, err := net.Dial("unix", dir+"/p")
	if err != nil {
		t.Fatal(err)
	}
	q := NewQMP(t, c)
	for q.Line() != "}" {
	}
	q.Send(`{"execute":"qmp_capabilities","id":[1,{}]}`)
	var got []string
	for len(got) == 0 || got[len(got)-1] != "}" {
		got = append(got, q.Line())
	}
	want := []string{"{", `    "return": {`, "    },", `    "id": [`, "        1,", "        {", "        }", "    ]", "}"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}
