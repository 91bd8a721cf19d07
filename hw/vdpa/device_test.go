package vdpa

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// What realize refuses, in QEMU's words.
func TestRealizeErrors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		props []string
		want  string
	}{
		{nil, "vhost-vdpa-device: vhostdev are missing"},
		{[]string{"queue-size=0x10"}, "vhost-vdpa-device: vhostdev are missing"},
		{[]string{"queue-size=65536"}, "Parameter 'queue-size' expects uint16_t"},
		{[]string{"vhostdev="}, "Could not open '': No such file or directory"},
		{[]string{"vhostdev=" + dir}, "Could not open '" + dir + "': Is a directory"},
		{[]string{"vhostdev=" + dir + "/x"}, "Could not open '" + dir + "/x': No such file or directory"},
		{[]string{"vhostdev=/dev/null"}, "vhost-vdpa-device: cmd 0x8004af70 failed: Inappropriate ioctl for device"},
		{[]string{"vhostdev=/dev/fdset/1"}, "Could not dup FD for /dev/fdset/1 flags 2: No such file or directory"},
		{[]string{"vhostdev=/dev/fdset/abc"}, "Could not parse fdset /dev/fdset/abc"},
		{[]string{"vhostdev=/dev/fdset/-1"}, "Could not parse fdset /dev/fdset/-1"},
	} {
		r := newMachine(t, true, nil)
		before := openFDs(t)
		r.Do(func() {
			_, err := r.Create("vhost-vdpa-device", r.mmio.Buses()[0], func(d qdev.Device) error {
				d.(*Device).open = Open
				for _, p := range c.props {
					name, v, _ := strings.Cut(p, "=")
					if err := qom.Set(d, name, qom.Keyval(v)); err != nil {
						return err
					}
				}
				return nil
			})
			// Create puts the type before the text.
			if fmt.Sprint(err) != "vhost-vdpa-device: "+c.want && fmt.Sprint(err) != c.want {
				t.Errorf("%v: %v, want %s", c.props, err, c.want)
			}
		})
		if n := openFDs(t); n != before {
			t.Errorf("%v: %d descriptors, %d before", c.props, n, before)
		}
	}
}

// A set of descriptors is the machine's to open.
func TestOpenFDSet(t *testing.T) {
	asked := ""
	h := &qdev.Host{OpenFD: func(path string) (int, error) { asked = path; return -1, errors.New("no such set") }}
	if _, err := Open(h, "/dev/fdset/3"); err == nil || err.Error() != "no such set" || asked != "/dev/fdset/3" {
		t.Errorf("asked for %q, %v", asked, err)
	}
}

// The device's numbers are checked against the properties.
func TestQueryChecks(t *testing.T) {
	for _, c := range []struct {
		set  func(*Recorder)
		prop string
		want string // "" for success
		max  uint32
	}{
		{nil, "queue-size=512", "vhost-vdpa-device: invalid queue_size: 512 (max:256)", 0},
		{nil, "queue-size=3", "vhost-vdpa-device: invalid queue_size: 3 (must be a power of two)", 0},
		{nil, "queue-size=64", "", 64},
		{nil, "queue-size=0", "", 256},
		{func(r *Recorder) { r.VringNum = 300 }, "queue-size=0", "", 256},
		{func(r *Recorder) { r.VringNum = 0 }, "queue-size=0", "vhost-vdpa-device: invalid queue_size: 0 (max:32768)", 0},
		{func(r *Recorder) { r.VqsCount = 0 }, "queue-size=0", "invalid number of virtqueues: 0 (max:1024)", 0},
		{func(r *Recorder) { r.VqsCount = 1025 }, "queue-size=0", "invalid number of virtqueues: 1025 (max:1024)", 0},
		{func(r *Recorder) { r.Config = make([]byte, maxConfig+1) }, "queue-size=0",
			"vhost-vdpa-device: invalid config size: 65537 (max:65536)", 0},
		{func(r *Recorder) { r.Config = nil }, "queue-size=0", "", 256},
	} {
		rec := NewRecorder("/dev/vhost-vdpa-0", 1)
		if c.set != nil {
			c.set(rec)
		}
		r := newMachine(t, false, rec)
		err := r.plug(c.prop)
		if c.want == "" && err == nil {
			if got := r.read(regQueueNumMax); got != c.max {
				t.Errorf("%s: QueueNumMax %d, want %d", c.prop, got, c.max)
			}
			continue
		}
		// Create puts the type before the text.
		if err == nil || !strings.HasSuffix(err.Error(), ": "+c.want) {
			t.Errorf("%s: %v, want %s", c.prop, err, c.want)
		}
		if !rec.Closed() {
			t.Errorf("%s: the device is still open", c.prop)
		}
	}
}

// The guest sees the device's features through the allow-list and the
// properties; ACCESS_PLATFORM goes to the device whatever the guest says.
func TestFeatures(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	rec.Features = ^uint64(0)
	r := newRig(t, false, rec)
	r.write(regDeviceFeaturesSel, 0)
	lo := r.read(regDeviceFeatures)
	r.write(regDeviceFeaturesSel, 1)
	if hi := r.read(regDeviceFeatures); lo != 0x30ffffff || hi != 0xfffc0019 {
		t.Errorf("offered %#x %08x", hi, lo)
	}
	rec.TakeCalls()
	r.drive(1)
	if c := rec.TakeCalls()[0]; c != "VHOST_SET_FEATURES 0x300000046" {
		t.Error(c)
	}
}

// After each start every queue is kicked once, and a guest's kicks reach the
// queue's eventfd also without an ioeventfd.
func TestKicks(t *testing.T) {
	r := newRig(t, false, NewRecorder("/dev/vhost-vdpa-0", 3))
	kicks := func() (out []uint64) {
		for i := range 3 {
			n, err := r.dev.Queue(i).Kick.Drain()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, n)
		}
		return out
	}
	r.drive(2)
	if got := kicks(); !slices.Equal(got, []uint64{1, 1, 0}) {
		t.Errorf("kicks after start: %v", got)
	}
	r.write(regQueueNotify, 1)
	if got := kicks(); !slices.Equal(got, []uint64{0, 1, 0}) {
		t.Errorf("kicks of the guest: %v", got)
	}
	r.run(false)
	r.run(true)
	r.waitState(stateRunning)
	if got := kicks(); !slices.Equal(got, []uint64{1, 1, 0}) {
		t.Errorf("kicks after cont: %v", got)
	}
}

// A call eventfd becomes a queue interrupt, the config one a new generation
// and a config interrupt with fresh contents.
func TestInterrupts(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 2)
	r := newRig(t, false, rec)
	r.drive(2)
	for queue := range 2 {
		if err := rec.Interrupt(queue); err != nil {
			t.Fatal(err)
		}
		r.wait("queue interrupt", func() bool { return r.line.Level })
		if got := r.read(regInterruptStatus); got != 1 {
			t.Errorf("InterruptStatus %d", got)
		}
		r.write(regInterruptACK, 1)
		if r.high() {
			t.Error("the line is high after the ACK")
		}
	}
	r.Readb(base + 0x100)
	gen := r.read(regConfigGeneration)
	if err := rec.ChangeConfig(0, []byte{0x55}); err != nil {
		t.Fatal(err)
	}
	r.wait("config interrupt", func() bool { return r.line.Level })
	if got := r.read(regInterruptStatus); got != 2 {
		t.Errorf("InterruptStatus %d", got)
	}
	if r.read(regConfigGeneration) == gen || r.Readb(base+0x100) != 0x55 {
		t.Error("the change does not show")
	}
}

// What a call eventfd holds when the VM stops is an interrupt when the stop is
// complete, or very soon after: nothing is lost.
func TestNoInterruptLostAtStop(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	r := newRig(t, false, rec)
	r.drive(1)
	for i := range 50 {
		r.Do(func() {
			if err := rec.Interrupt(0); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				runtime.Gosched()
			}
			if err := r.State.Set(false); err != nil {
				t.Fatal(err)
			}
		})
		r.wait("interrupt of a stopped device", func() bool { return r.line.Level })
		r.write(regInterruptACK, 3)
		r.run(true)
		r.waitState(stateRunning)
	}
}

// An interrupt of before a reset does not reach the driver that comes after.
func TestNoInterruptAcrossReset(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	r := newRig(t, false, rec)
	r.drive(1)
	r.Do(func() {
		if err := rec.Interrupt(0); err != nil {
			t.Fatal(err)
		}
		qdev.Reset(r.mmio)
	})
	time.Sleep(5 * time.Millisecond)
	if got := r.read(regInterruptStatus); got != 0 || r.high() {
		t.Errorf("InterruptStatus %d after a reset", got)
	}
}

// The guest's writes of the configuration space reach the device as they are.
func TestConfigWrite(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	r := newRig(t, false, rec)
	rec.TakeCalls()
	r.Writeb(base+0x120, 1)
	r.Writew(base+0x102, 0x1234)
	want := []string{"VHOST_VDPA_SET_CONFIG offset 32 01", "VHOST_VDPA_SET_CONFIG offset 2 3412"}
	if got := rec.TakeCalls(); !slices.Equal(got, want) {
		t.Errorf("calls %v", got)
	}
}

// A driver takes one queue back while the device runs.
func TestStopQueue(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 2)
	r := newRig(t, false, rec)
	r.drive(2)
	rec.TakeCalls()
	r.write(regQueueSel, 1)
	r.write(regQueueReady, 0)
	if got := rec.TakeCalls(); !slices.Equal(got, []string{"VHOST_VDPA_SET_VRING_ENABLE queue 1 false"}) {
		t.Errorf("calls %v", got)
	}
}

// A VM that was started with -S: the driver of a qtest client may be ready
// before the VM runs.
func TestReadyWhilePaused(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	r := newRig(t, false, rec)
	r.run(false)
	rec.TakeCalls()
	r.drive(1)
	if got := rec.TakeCalls(); len(got) != 0 || r.dev.state != stateSuspended {
		t.Errorf("state %s, calls %v", r.dev.state, got)
	}
	r.run(true)
	r.waitState(stateRunning)
	if len(rec.Mapped()) != 1 {
		t.Errorf("mapped %v", rec.Mapped())
	}
}

// RLIMIT_MEMLOCK too low: one line with the limit and the need, the driver
// sees DEVICE_NEEDS_RESET, and once the limit is raised a reset recovers.
func TestMemlock(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	rec.MaxMapped = 8 << 20
	r := newRig(t, false, rec)
	for range 3 {
		before := len(r.reports())
		r.drive(1)
		if got := r.read(regStatus); got != 0x4f {
			t.Fatalf("status %#x", got)
		}
		if got := r.read(regInterruptStatus); got != 2 {
			t.Errorf("InterruptStatus %d", got)
		}
		lines := r.reports()[before:]
		const want = "vhost-vdpa-device: start failed: vdpa: VHOST_IOTLB_UPDATE on /dev/vhost-vdpa-0: bad address " +
			"(RLIMIT_MEMLOCK is 8388608 bytes, 67108864 bytes are needed)"
		if len(lines) != 1 || lines[0] != want {
			t.Errorf("reported %q", lines)
		}
		if v, err := qom.Get(r.dev, "x-state"); err != nil || v != "broken" {
			t.Errorf("x-state %v %v", v, err)
		}
		if v, err := qom.Get(r.dev, "x-error"); err != nil || !strings.Contains(v.(string), "VHOST_IOTLB_UPDATE") {
			t.Errorf("x-error %v %v", v, err)
		}
		if err := rec.Check(); err != nil {
			t.Error(err)
		}
	}
	rec.MaxMapped = 0
	r.Do(func() { qdev.Reset(r.mmio) })
	r.drive(1)
	if got := r.read(regStatus); got != 0xf || r.dev.state != stateRunning {
		t.Errorf("status %#x, state %s", got, r.dev.state)
	}
	if v, _ := qom.Get(r.dev, "x-error"); v != "" {
		t.Errorf("x-error %v", v)
	}
}

// Ten drivers come and go, with stops in between: descriptors and mappings do
// not grow.
func TestReload(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 2)
	r := newRig(t, true, rec)
	r.drive(2)
	r.hear()
	fds := openFDs(t)
	for range 10 {
		r.drive(2)
		r.run(false)
		r.run(true)
		r.waitState(stateRunning)
		if n, m := openFDs(t), rec.Mapped(); n != fds || len(m) != 1 {
			t.Fatalf("%d descriptors, %d before; mapped %v", n, fds, m)
		}
	}
}

// A device comes and goes with all it has.
func TestUnplugLeavesNothing(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 3)
	r := newMachine(t, false, rec)
	fds, goroutines := openFDs(t), runtime.NumGoroutine()
	if err := r.plug("bootindex=4"); err != nil {
		t.Fatal(err)
	}
	if got := r.Boot.Paths(); !slices.Equal(got, []string{"/virtio-mmio@00000000feb00000"}) {
		t.Errorf("boot order %v", got)
	}
	r.drive(3)
	r.unplug()
	if n := openFDs(t); n != fds {
		t.Errorf("%d descriptors, %d before", n, fds)
	}
	r.waitGoroutines(goroutines)
	if !rec.Closed() || r.State.Hooks() != 0 || len(r.Boot.Paths()) != 0 {
		t.Errorf("closed %v, %d hooks, boot order %v", rec.Closed(), r.State.Hooks(), r.Boot.Paths())
	}
	if got := r.read(8); got != 0 {
		t.Errorf("the transport still shows device %d", got)
	}
	// The next device finds the place free.
	r.rec = NewRecorder("/dev/vhost-vdpa-0", 1)
	if err := r.plug(); err == nil {
		t.Error("a closed recorder was opened")
	}
}

// Property order and types are QEMU's.
func TestProperties(t *testing.T) {
	r := newRig(t, true, NewRecorder("x", 1))
	var got []string
	for _, p := range r.dev.Type().Listed() {
		got = append(got, fmt.Sprintf("%s %s %v", p.Name, p.Type, p.Default))
	}
	want := []string{"vhostdev str <nil>", "queue-size uint16 0", "vhostfd str <nil>", "bootindex int32 <nil>"}
	if !slices.Equal(got, want) {
		t.Errorf("properties %q", got)
	}
}

// Every move of the state table leads somewhere, and what has no place in it
// is caught.
func TestStates(t *testing.T) {
	for s, moves := range transitions {
		for e, n := range moves {
			if s.after(e) != n {
				t.Errorf("%s after %s", e, s)
			}
			if e == evFailed && n != stateBroken || e == evReset && n != stateInactive {
				t.Errorf("%s in state %s leads to %s", e, s, n)
			}
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a start of a running device was allowed")
		}
	}()
	stateRunning.after(evReady)
}

// Sections are cut to whole pages within the range, and to pieces.
func TestSplit(t *testing.T) {
	ram, err := memory.NewAnonRAM("ram", 0x100000)
	if err != nil {
		t.Fatal(err)
	}
	defer ram.Close()
	region := memory.NewRAM(ram)
	sec := func(addr, size, offset uint64) memory.Section {
		return memory.Section{Addr: addr, Last: addr + size - 1, Offset: offset, Region: region}
	}
	all := IOVARange{0, ^uint64(0)}
	for _, c := range []struct {
		s     memory.Section
		rng   IOVARange
		piece uint64
		want  string
	}{
		{sec(0, 0x3000, 0), all, 1 << 20, "0+3000"},
		{sec(0, 0x3000, 0), all, 0x1000, "0+1000 1000+1000 2000+1000"},
		{sec(0, 0x3000, 0), all, 0x2000, "0+2000 2000+1000"},
		{sec(0x1800, 0x2000, 0x800), all, 1 << 20, "2000+1000"},
		{sec(0x1800, 0x2000, 0x900), all, 1 << 20, ""},
		{sec(0x1800, 0x100, 0x800), all, 1 << 20, ""},
		{sec(0, 0x800, 0), all, 1 << 20, ""},
		{sec(^uint64(0)-0x1fff, 0x2000, 0), all, 0x1000, "ffffffffffffe000+1000 fffffffffffff000+1000"},
		{sec(^uint64(0)-0x7ff, 0x800, 0x800), all, 0x1000, ""},
		{sec(0x1000, 0x4000, 0), IOVARange{0x2000, 0x3fff}, 1 << 20, "2000+2000"},
		{sec(0x1000, 0x4000, 0), IOVARange{0x2001, 0x3ffe}, 1 << 20, ""},
		{sec(0x1000, 0x4000, 0), IOVARange{0x8000, ^uint64(0)}, 1 << 20, ""},
	} {
		d := &dmaMap{rng: c.rng, piece: c.piece}
		var got []string
		for _, m := range d.split(c.s) {
			got = append(got, fmt.Sprintf("%x+%x", m.iova, m.size()))
			if off := c.s.Offset + m.iova - c.s.Addr; &m.mem[0] != &ram.Bytes()[off] {
				t.Errorf("%x: memory of another address", m.iova)
			}
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%#x-%#x in pieces of %#x: %s, want %s", c.s.Addr, c.s.Last, c.piece, g, c.want)
		}
	}
}

// The numbers of linux/vhost.h, as its compiler makes them.
func TestIoctlNumbers(t *testing.T) {
	for verb, want := range map[Verb]uintptr{
		VerbGetDeviceID: 0x8004af70, VerbSetVringAddr: 0x4028af11, VerbGetVringBase: 0xc008af12,
		VerbGetConfig: 0x8008af73, VerbSetConfig: 0x4008af74, VerbGetVringNum: 0x8002af76,
		VerbGetIOVARange: 0x8010af78, VerbSetOwner: 0xaf01, VerbSuspend: 0xaf7d, VerbSetStatus: 0x4001af72,
	} {
		if ioctls[verb] != want {
			t.Errorf("%s is %#x, want %#x", verb, ioctls[verb], want)
		}
	}
}

// Errors of the kernel carry verb, device, queue and errno, and the backend
// closes its descriptor once.
func TestKernelErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	k := NewKernel(fd, "/dev/vhost-vdpa-0")
	err = k.SetVringAddr(2, VringAddr{})
	const want = "vdpa: VHOST_SET_VRING_ADDR on /dev/vhost-vdpa-0 queue 2: inappropriate ioctl for device"
	if err == nil || err.Error() != want || !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("%v", err)
	}
	for _, err := range []error{
		k.GetConfig(0, make([]byte, 4)), k.SetConfig(0, []byte{1}), k.SetOwner(), k.Suspend(), k.SetConfigCall(-1),
		k.SetVringKick(0, -1), k.SetVringCall(0, -1), k.SetVringNum(0, 1), k.SetVringBase(0, 0), k.SetVringEnable(0, true),
		k.SetStatus(0), k.SetFeatures(0), k.SetBackendFeatures(0),
	} {
		if !errors.Is(err, syscall.ENOTTY) {
			t.Errorf("a file answers %v", err)
		}
	}
	// A message is 72 bytes (struct vhost_msg_v2).
	if err := errors.Join(k.BatchBegin(), k.InvalidateIOTLB(0x1000, 0x2000), k.BatchEnd()); err != nil {
		t.Error(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Size != 3*72 {
		t.Errorf("three messages of %d bytes, %v", st.Size, err)
	}
	if err := errors.Join(k.Close(), k.Close()); err != nil {
		t.Error(err)
	}
}

// VmPin is counted in KiB.
func TestParsePinned(t *testing.T) {
	if n := parsePinned([]byte("VmLck:\t      0 kB\nVmPin:\t  524288 kB\nVmHWM:\t 1 kB\n")); n != 512<<20 {
		t.Errorf("%d bytes", n)
	}
	if n := parsePinned([]byte("VmPin:\tmany\n")) + parsePinned(nil); n != 0 {
		t.Errorf("%d bytes of nothing", n)
	}
	if s := (memlock{limit: 100, pinned: 50}).shortfall(60, 10); s != "RLIMIT_MEMLOCK is 100 bytes, 100 bytes are needed" && s != "" {
		t.Error(s)
	}
	if s := (memlock{limit: unix.RLIM_INFINITY}).shortfall(1<<40, 0); s != "" {
		t.Error(s)
	}
	if s := (memlock{limit: 99, pinned: 50}).shortfall(60, 10); s != "RLIMIT_MEMLOCK is 99 bytes, 100 bytes are needed" {
		t.Error(s)
	}
}

// RAM that the device cannot reach is said at the start, in QEMU's words.
func TestRAMOutOfRangeIsSaid(t *testing.T) {
	for want, rng := range map[string]IOVARange{
		"[RAM section out of device range (min=0x1000, addr=0x0)]":              {0x1000, ^uint64(0)},
		"[RAM section out of device range (max=0x1ffffff, end addr=0x4000000)]": {0, 32<<20 - 1},
		"[]": {0, 64<<20 - 1},
	} {
		rec := NewRecorder("/dev/vhost-vdpa-0", 1)
		rec.Range = rng
		r := newRig(t, false, rec)
		if got := fmt.Sprint(r.reports()); got != want {
			t.Errorf("%x..%x: reported %s, want %s", rng.First, rng.Last, got, want)
		}
		r.drive(1)
		r.waitState(stateRunning)
	}
}
