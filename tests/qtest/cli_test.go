package qtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRTCOption: the clock begins where -rtc says and goes by what it says.
func TestRTCOption(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		arg  string
		want time.Time
	}{
		{"base=2006-06-17T16:01:21,clock=vm", time.Date(2006, 6, 17, 16, 1, 21, 0, time.UTC)},
		{"base=2020-02-29,clock=vm", time.Date(2020, 2, 29, 0, 0, 0, 0, time.UTC)},
	} {
		r := &RTC{microvm(t, "-rtc", c.arg)}
		r.Out(RTCB, RTC24h|RTCBinary)
		if at := r.Time(); at.Sub(c.want).Abs() > time.Second {
			t.Errorf("%s: %v, want %v", c.arg, at, c.want)
		}
		// The virtual clock stands until the test moves it.
		r.M.ClockStep(int64(3 * time.Second))
		if at := r.Time(); at.Sub(c.want) < 2*time.Second || at.Sub(c.want) > 4*time.Second {
			t.Errorf("%s: %v after 3 s, want %v", c.arg, at, c.want.Add(3*time.Second))
		}
	}
	r := &RTC{microvm(t, "-rtc", "base=2006-06-17T16:01:21")}
	r.Out(RTCB, RTC24h|RTCBinary)
	if d := r.Time().Sub(time.Date(2006, 6, 17, 16, 1, 21, 0, time.UTC)); d < -time.Second || d > patience {
		t.Errorf("the clock is %v past its base", d)
	}
}

// TestFwCfgOption: -fw_cfg makes files that a guest reads.
func TestFwCfgOption(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(name, []byte("from\x00file"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := microvm(t, "-fw_cfg", "name=opt/org.test/s,string=a,,b", "-fw_cfg", "opt/org.test/f,file="+name)
	f := &FwCfg{m, 0x10000}
	for file, want := range map[string]string{"opt/org.test/s": "a,b", "opt/org.test/f": "from\x00file"} {
		if b := f.File(file); string(b) != want {
			t.Errorf("%s is %q, want %q", file, b, want)
		}
	}
}

// TestBootOption: firmware learns of -boot's menu and times.
func TestBootOption(t *testing.T) {
	t.Parallel()
	f := &FwCfg{microvm(t, "-boot", "menu=on,splash-time=5000", "-boot", "reboot-timeout=1000"), 0x10000}
	if v := f.U16(0x0e); v != 1 {
		t.Errorf("boot menu %d", v)
	}
	if b := f.File("etc/boot-menu-wait"); string(b) != "\x88\x13" {
		t.Errorf("menu wait %x", b)
	}
	if b := f.File("etc/boot-fail-wait"); string(b) != "\xe8\x03\x00\x00" {
		t.Errorf("fail wait %x", b)
	}
}

// TestAddFD: what -add-fd brings is what /dev/fdset/N opens, for chardevs and
// for clients, and the inherited descriptor itself is closed.
func TestAddFD(t *testing.T) {
	t.Parallel()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w, err := os.OpenFile(out.Name(), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	m := StartWith(t, Config{
		Args: []string{"-M", "microvm", "-nodefaults", "-add-fd", "fd=3,set=7,opaque=serial0-source",
			"-chardev", "file,id=c,path=/dev/fdset/7", "-serial", "chardev:c"},
		Files: []*os.File{w},
	})
	m.Outb(0x3f8, 'x')
	deadline := time.Now().Add(patience)
	for {
		b, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		if string(b) == "x" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the file holds %q", b)
		}
		time.Sleep(5 * time.Millisecond)
	}
	var sets []struct {
		ID  int `json:"fdset-id"`
		FDs []struct {
			FD     int
			Opaque string
		}
	}
	m.QMP.Must("query-fdsets", nil, &sets)
	if len(sets) != 1 || sets[0].ID != 7 || len(sets[0].FDs) != 1 || sets[0].FDs[0].Opaque != "serial0-source" {
		t.Errorf("%+v", sets)
	}
	if len(sets) == 1 && len(sets[0].FDs) == 1 && sets[0].FDs[0].FD == 3 {
		t.Error("the set has the inherited descriptor, not a duplicate")
	}
}

// TestReadConfig: a file of options is as good as the options, and -set changes
// what it says.
func TestReadConfig(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "vm.cfg")
	const cfg = `# a machine
[machine]
  type = "microvm"
  rtc = "off"

[memory]
  size = "64M"

[chardev "c0"]
  backend = "ringbuf"

[device "s0"]
  driver = "isa-serial"
  chardev = "c0"

[name]
  guest = "from a file"
`
	if err := os.WriteFile(name, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	m := Start(t, "-nodefaults", "-machine", "isa-serial=off", "-readconfig", name, "-set", "device.s0.index=1")
	var n struct{ Name string }
	m.QMP.Must("query-name", nil, &n)
	if n.Name != "from a file" {
		t.Errorf("name %q", n.Name)
	}
	var size struct {
		Base int64 `json:"base-memory"`
	}
	m.QMP.Must("query-memory-size-summary", nil, &size)
	if size.Base != 64<<20 {
		t.Errorf("memory %d", size.Base)
	}
	var index int
	m.QMP.Must("qom-get", map[string]any{"path": "/machine/peripheral/s0", "property": "index"}, &index)
	if index != 1 {
		t.Errorf("index %d: -set was lost", index)
	}
}

// TestSandboxOption: under -sandbox all threads have the filter and no new
// privileges, and the machine works.
func TestSandboxOption(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"on", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"} {
		m := microvm(t, "-sandbox", arg)
		m.QMP.Must("object-add", map[string]any{"qom-type": "memory-backend-ram", "id": "m0", "size": 1 << 20}, nil)
		m.QMP.Must("chardev-add", map[string]any{"id": "c0", "backend": map[string]any{
			"type": "file", "data": map[string]any{"out": filepath.Join(t.TempDir(), "out")}}}, nil)
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", m.Pid()))
		if err != nil || len(tasks) < 2 {
			t.Fatalf("%v %v", tasks, err)
		}
		for _, task := range tasks {
			b, err := os.ReadFile(task)
			if err != nil {
				continue // the thread has ended
			}
			for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", "Seccomp_filters:\t2\n"} {
				if !strings.Contains(string(b), want) {
					t.Errorf("%s: %s lacks %q", arg, task, want)
				}
			}
		}
		m.Quit()
	}
}

// TestNUMAOption: one node with a memory backend is the machine's memory.
func TestNUMAOption(t *testing.T) {
	t.Parallel()
	m := microvm(t, "-m", "64", "-smp", "2", "-object", "memory-backend-ram,id=m0,size=64M",
		"-numa", "node,nodeid=0,memdev=m0,cpus=0-1", "-numa", "dist,src=0,dst=0,val=10")
	m.Writel(0x3fffffc, 0x12345678)
	if v := m.Readl(0x3fffffc); v != 0x12345678 {
		t.Errorf("the last word of memory is %#x", v)
	}
}
