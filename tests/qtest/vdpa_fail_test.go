package qtest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// vdpaState is the event that tells of devices that break and recover.
const vdpaState = "__io.github.gqemu_VDPA_DEVICE_STATE"

// vdpaChange is its data.
type vdpaChange struct {
	Device, Path, State, Verb, Error string
	Queue                            *int
	Errno                            int
	ErrnoName                        string `json:"errno-name"`
}

// nextState waits for the event, which may be held back until a second of the
// machine's clock has gone by.
func nextState(m *Machine) (c vdpaChange) {
	m.t.Helper()
	m.ClockStep(1e9)
	e := m.QMP.WaitEvent(vdpaState)
	if err := json.Unmarshal(e.Data, &c); err != nil {
		m.t.Fatalf("%s: %v", e, err)
	}
	return c
}

// vdpaCounters is the property x-stats.
type vdpaCounters struct {
	Failures, Recoveries int
	Changes              int `json:"config-interrupts"`
	Queues               []struct {
		Queue, Kicks, Interrupts, Starts, Failures int
		Ready                                      bool
	}
}

// failing starts a machine with a simulated disk d0 behind device v0.
func failing(t *testing.T, args ...string) *Machine {
	t.Helper()
	return Start(t, append([]string{"-nodefaults", "-M", "microvm", "-global", "virtio-mmio.force-legacy=false",
		"-object", "vdpa-sim-blk,id=d0,size=1M", "-device", "vhost-vdpa-device,id=v0,vhostdev=/objects/d0"}, args...)...)
}

func setObject(m *Machine, property string, value any) {
	m.t.Helper()
	m.QMP.Must("qom-set", map[string]any{"path": "/objects/d0", "property": property, "value": value}, nil)
}

// expectBroken looks at all that a client and a guest may see of a device that
// has broken.
func expectBroken(m *Machine, v *VirtioMMIO, c vdpaChange, verb, errno string) {
	m.t.Helper()
	if c.State != "broken" || c.Device != "v0" || c.Path != "/machine/peripheral/v0" || c.Verb != verb ||
		c.ErrnoName != errno || (c.Errno == 0) != (errno == "") || !strings.Contains(c.Error, verb+" on /objects/d0") {
		m.t.Errorf("event %+v", c)
	}
	if st := v.Status(); st&StatusNeedsReset == 0 {
		m.t.Errorf("status %#x", st)
	}
	if s := m.QMP.QOMGet("/machine/peripheral/v0", "x-state"); s != "broken" {
		m.t.Errorf("x-state %v", s)
	}
	if s := m.QMP.QOMGet("/machine/peripheral/v0", "x-error").(string); !strings.Contains(s, verb) {
		m.t.Errorf("x-error %q", s)
	}
	var s struct {
		Broken  bool
		Started bool `json:"vhost-started"`
		Dev     *struct {
			Sections int `json:"n-mem-sections"`
		} `json:"vhost-dev"`
	}
	m.QMP.Must("x-query-virtio-status", map[string]any{"path": "/machine/peripheral/v0"}, &s)
	if !s.Broken || s.Started || s.Dev == nil || s.Dev.Sections != 0 {
		m.t.Errorf("x-query-virtio-status %+v", s)
	}
	var q struct {
		Last *int `json:"last-avail-idx"`
	}
	m.QMP.Must("x-query-virtio-queue-status", map[string]any{"path": "/machine/peripheral/v0", "queue": 0}, &q)
	if q.Last != nil {
		m.t.Errorf("last-avail-idx %d of a device that does not run", *q.Last)
	}
	err := m.QMP.Execute("x-query-virtio-vhost-queue-status", map[string]any{"path": "/machine/peripheral/v0", "queue": 0}, nil)
	if err == nil || err.Error() != "GenericError: Error: vhost device has not started yet" {
		m.t.Errorf("x-query-virtio-vhost-queue-status: %v", err)
	}
}

// expectRecovered has the driver begin anew and use the disk.
func expectRecovered(m *Machine) {
	m.t.Helper()
	d := startDisk(m)
	if c := nextState(m); c.State != "inactive" || c.Device != "v0" || c.Verb != "" || c.Error != "" {
		m.t.Errorf("event %+v", c)
	}
	if s, e := m.QMP.QOMGet("/machine/peripheral/v0", "x-state"), m.QMP.QOMGet("/machine/peripheral/v0", "x-error"); s != "running" || e != "" {
		m.t.Errorf("x-state %v, x-error %v", s, e)
	}
	d.write(3, simPattern(3, 512))
	d.check(3, simPattern(3, 512))
}

// TestVDPAFailures: a call that fails while the device starts, stops, is
// configured or reset is shown to the guest and to the client, the VM goes on,
// and a reset recovers the device.
func TestVDPAFailures(t *testing.T) {
	t.Parallel()
	stop := func(m *Machine, _ *VirtioMMIO) { m.QMP.Must("stop", nil, nil) }
	start := func(m *Machine, v *VirtioMMIO) {
		v.Init(FeatureVersion1)
		v.Queue(0, 16, &Alloc{0x200000})
		v.DriverOK()
	}
	for _, c := range []struct {
		name, rule, verb, errno string
		running                 bool // the driver is ready before it happens
		do                      func(m *Machine, v *VirtioMMIO)
	}{
		{"features", "VHOST_SET_FEATURES:EIO:1", "VHOST_SET_FEATURES", "EIO", false, start},
		{"ring", "VHOST_SET_VRING_ADDR@0:EBUSY:1", "VHOST_SET_VRING_ADDR", "EBUSY", false, start},
		{"enable", "VHOST_VDPA_SET_VRING_ENABLE:ENODEV:1", "VHOST_VDPA_SET_VRING_ENABLE", "ENODEV", false, start},
		{"map", "VHOST_IOTLB_UPDATE:ENOMEM:1", "VHOST_IOTLB_UPDATE", "ENOMEM", false, start},
		{"suspend", "VHOST_VDPA_SUSPEND:EIO:1", "VHOST_VDPA_SUSPEND", "EIO", true, stop},
		{"base", "VHOST_GET_VRING_BASE:EIO:1", "VHOST_GET_VRING_BASE", "EIO", true, stop},
		{"read", "VHOST_VDPA_GET_CONFIG:EIO:1", "VHOST_VDPA_GET_CONFIG", "EIO", true,
			func(_ *Machine, v *VirtioMMIO) { v.Config(0, 1) }},
		{"write", "VHOST_VDPA_SET_CONFIG:EIO:1", "VHOST_VDPA_SET_CONFIG", "EIO", true,
			func(m *Machine, v *VirtioMMIO) { m.Writeb(v.Base+VConfig+32, 1) }},
		{"reset", "VHOST_VDPA_SET_STATUS:EIO:1", "VHOST_VDPA_SET_STATUS", "EIO", true,
			func(_ *Machine, v *VirtioMMIO) { v.Out(VStatus, 0) }},
		{"system_reset", "VHOST_VDPA_SET_STATUS:ENODEV:1", "VHOST_VDPA_SET_STATUS", "ENODEV", true,
			func(m *Machine, _ *VirtioMMIO) { m.QMP.Must("system_reset", nil, nil) }},
		{"signal", "VHOST_VDPA_GET_STATUS:EIO:1", "VHOST_VDPA_GET_STATUS", "EIO", true,
			func(m *Machine, _ *VirtioMMIO) { setObject(m, "size", 2<<20) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := failing(t)
			v := slot(m, 23)
			if c.running {
				start(m, v)
			}
			setObject(m, "x-fail", c.rule)
			c.do(m, v)
			change := nextState(m)
			expectBroken(m, v, change, c.verb, c.errno)
			if strings.Contains(c.verb, "VRING") && (change.Queue == nil || *change.Queue != 0) {
				t.Errorf("event %+v names no queue", change)
			}
			if c.name != "reset" && c.name != "system_reset" && v.In(VInterruptStatus)&2 == 0 {
				t.Error("no configuration interrupt")
			}
			m.Eventually("a line that names call and device", func() bool {
				return strings.Contains(m.Stderr(), c.verb+" on /objects/d0")
			})
			if left := m.QMP.QOMGet("/objects/d0", "x-fail"); left != "" {
				t.Errorf("x-fail is %q: the call was not made", left)
			}
			if c.name == "suspend" || c.name == "base" {
				m.QMP.Must("cont", nil, nil)
			}
			if st := m.QMP.Status(); st != "running" {
				t.Errorf("the VM is %s", st)
			}
			expectRecovered(m)
			var n vdpaCounters
			m.QMP.Must("qom-get", map[string]any{"path": "/machine/peripheral/v0", "property": "x-stats"}, &n)
			if n.Failures != 1 || n.Recoveries != 1 || len(n.Queues) != 1 || !n.Queues[0].Ready || n.Queues[0].Starts == 0 ||
				n.Queues[0].Kicks < 2 || n.Queues[0].Interrupts < 1 {
				t.Errorf("x-stats %+v", n)
			}
		})
	}
}

// TestVDPANeedsReset: a device that says that it needs a reset is passed on.
func TestVDPANeedsReset(t *testing.T) {
	t.Parallel()
	m := failing(t)
	d := startDisk(m)
	setObject(m, "x-needs-reset", true)
	c := nextState(m)
	expectBroken(m, d.VirtioMMIO, c, "VHOST_VDPA_GET_STATUS", "")
	if d.In(VInterruptStatus)&2 == 0 {
		t.Error("no configuration interrupt")
	}
	expectRecovered(m)
}

// TestVDPAVanishes: a device that is gone, every call failing, leaves the VM
// and QMP alive, and the client is told. A driver that goes on trying does not
// flood log or client, and has the device once it is back.
func TestVDPAVanishes(t *testing.T) {
	t.Parallel()
	m := failing(t)
	d := startDisk(m)
	fds := m.FDs()
	d.write(3, simPattern(3, 512))
	setObject(m, "x-fail", "*:ENODEV")
	setObject(m, "size", 2<<20) // the last that it signals
	expectBroken(m, d.VirtioMMIO, nextState(m), "VHOST_VDPA_GET_STATUS", "ENODEV")
	for i := range 100 {
		d.Out(VStatus, 0)
		if st := d.Status(); st != StatusNeedsReset {
			t.Fatalf("status %#x after a reset of nothing", st)
		}
		d.Out(VStatus, 1)
		d.Out(VStatus, 3)
		m.Readb(d.Base + VConfig + uint64(i%8))
		if i%20 == 0 {
			m.QMP.Must("stop", nil, nil)
			m.QMP.Must("cont", nil, nil)
		}
	}
	m.ClockStep(10e9)
	m.QMP.Must("query-status", nil, nil)
	if l := slices.DeleteFunc(m.QMP.Events(), func(e Event) bool { return e.Event != vdpaState }); len(l) > 2 {
		t.Errorf("events %v", l)
	}
	if lines := strings.Count(m.Stderr(), "\n"); lines > 30 {
		t.Errorf("%d lines on standard error", lines)
	}
	// Once it is back a reset is enough.
	setObject(m, "x-fail", "")
	d = startDisk(m)
	m.ClockStep(10e9)
	m.QMP.Must("query-status", nil, nil)
	l := m.QMP.Events()
	if len(l) != 1 || !strings.Contains(string(l[0].Data), `"inactive"`) {
		t.Errorf("events %v", l)
	}
	d.check(3, simPattern(3, 512))
	if have := m.FDs(); fmt.Sprint(have) != fmt.Sprint(fds) {
		t.Errorf("descriptors %v, were %v", have, fds)
	}
}

// TestVDPAEventLimit: of a device that breaks and recovers all the time clients
// hear at most once a second, and what they hear last is true.
func TestVDPAEventLimit(t *testing.T) {
	t.Parallel()
	m := failing(t)
	setObject(m, "x-fail", "VHOST_SET_FEATURES:EIO")
	v := slot(m, 23)
	const rounds = 50
	for range rounds {
		v.Init(FeatureVersion1)
		v.Queue(0, 16, &Alloc{0x200000})
		v.DriverOK()
	}
	states := func() (out []string) {
		m.QMP.Must("query-status", nil, nil) // events precede its reply
		for _, e := range m.QMP.Events() {
			var c vdpaChange
			if err := json.Unmarshal(e.Data, &c); err != nil || e.Event != vdpaState {
				t.Fatalf("%s: %v", e, err)
			}
			out = append(out, c.State)
		}
		return out
	}
	if got := states(); !slices.Equal(got, []string{"broken"}) {
		t.Errorf("events %q", got)
	}
	m.ClockStep(1e9)
	if got := states(); !slices.Equal(got, []string{"broken"}) {
		t.Errorf("a second later: events %q", got)
	}
	m.ClockStep(10e9)
	if got := states(); len(got) != 0 {
		t.Errorf("then: events %q", got)
	}
	var c vdpaCounters
	m.QMP.Must("qom-get", map[string]any{"path": "/machine/peripheral/v0", "property": "x-stats"}, &c)
	if c.Failures != rounds || c.Recoveries != rounds-1 {
		t.Errorf("x-stats %+v", c)
	}
	if lines := strings.Count(m.Stderr(), "\n"); lines < 10 || lines >= rounds {
		t.Errorf("%d lines on standard error", lines)
	}
}

// TestVhostFDOption: vhostfd= on the command line takes an inherited number.
func TestVhostFDOption(t *testing.T) {
	t.Parallel()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const not = "unable to parse vhostfd: "
	for _, c := range []struct{ props, want string }{
		{"vhostfd=3", "cmd 0x8004af70 failed: Inappropriate ioctl for device"},
		{"vhostfd=3,vhostdev=/dev/vhost-vdpa-0", "vhostdev= and vhostfd= are mutually exclusive"},
		{"vhostfd=4", not + "File descriptor 4 is not valid or already in use"},
		{"vhostfd=1", not + "fd cannot be a standard I/O stream"},
		{"vhostfd=name", not + "Invalid file descriptor number 'name'"},
		{"vhostfd=-1", not + "Invalid file descriptor number '-1'"},
		{"vhostfd=3x", not + "Invalid file descriptor number '3x'"},
		{"vhostfd=99999999999", not + "Invalid file descriptor number '99999999999'"},
		{"vhostfd=", not + "Invalid file descriptor number ''"},
		{"queue-size=64", "vhostdev are missing"},
	} {
		p := Spawn(t, Config{Files: []*os.File{f},
			Args: Args("-nodefaults -display none -M microvm -accel qtest -device vhost-vdpa-device," + c.props)})
		want := ProgramName + ": -device vhost-vdpa-device," + c.props + ": vhost-vdpa-device: " + c.want + "\n"
		if code := p.Wait(); code != 1 || p.Stderr() != want {
			t.Errorf("%s: exit status %d, %q", c.props, code, p.Stderr())
		}
	}
}

// TestVhostFDWorks: a device that was opened by another is used as one by path,
// and closed with the machine's end only.
func TestVhostFDWorks(t *testing.T) {
	t.Parallel()
	s := NewVDPASim(t)
	f, err := os.OpenFile(s.Path(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := StartWith(t, Config{Sim: s, Files: []*os.File{f}, // 3 is the simulator's
		Args: Args("-nodefaults -M microvm -global virtio-mmio.force-legacy=false -device vhost-vdpa-device,id=v0,vhostfd=4")})
	if fd, dev := m.QMP.QOMGet("/machine/peripheral/v0", "vhostfd"), m.QMP.QOMGet("/machine/peripheral/v0", "vhostdev"); fd != "4" || dev != "" {
		t.Errorf("vhostfd %v, vhostdev %v", fd, dev)
	}
	var props []Property
	m.QMP.Must("device-list-properties", map[string]any{"typename": "vhost-vdpa-device"}, &props)
	if !slices.ContainsFunc(props, func(p Property) bool { return p.Name == "vhostfd" && p.Type == "str" }) {
		t.Errorf("device-list-properties has no vhostfd: %v", props)
	}
	if out := m.QMP.HMP("device_add vhost-vdpa-device,help"); !strings.Contains(out, "\n  vhostfd=<str>\r\n") && !strings.Contains(out, "\n  vhostfd=<str>\n") {
		t.Errorf("no vhostfd in the help: %q", out)
	}
	v := slot(m, 23)
	for range 2 {
		v.Init(FeatureVersion1)
		r := v.Queue(0, 16, &Alloc{0x200000})
		if st := v.DriverOK(); st&StatusDriverOK == 0 || st&StatusNeedsReset != 0 {
			t.Fatalf("status %#x", st)
		}
		s.Kicked(0, 5000)
		request(v, r, 7)
		if n := s.Process(0, sectorOf); n != 1 {
			t.Fatalf("%d requests", n)
		}
		m.QMP.Must("system_reset", nil, nil)
	}
	// What fails is told by the option's words.
	s.Fail(0x10, syscall.EIO)
	v.Init(FeatureVersion1)
	v.Queue(0, 16, &Alloc{0x200000})
	v.DriverOK()
	if c := nextState(m); c.State != "broken" || c.Verb != "VHOST_SET_VRING_NUM" || !strings.Contains(c.Error, " on vhostfd=4 queue 0: ") {
		t.Errorf("event %+v", c)
	}
	err = m.QMP.Execute("device_add", map[string]any{"driver": "vhost-vdpa-device", "vhostfd": "4"}, nil)
	if err == nil {
		t.Error("the descriptor is given twice")
	}
}
