package qtest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// slot finds the driver of the device on transport n.
func slot(m *Machine, n int) *VirtioMMIO { return &VirtioMMIO{M: m, Base: SlotAddr(n)} }

// TestTransportsFillFromTop: each -device takes the highest free transport, as
// QEMU's bus search does, and the rest stay empty.
func TestTransportsFillFromTop(t *testing.T) {
	t.Parallel()
	s := NewVDPASim(t)
	m := StartVDPA(t, s, "id=v0", "-device", "vhost-vdpa-device,id=v1,vhostdev="+s.Path())
	for i := range VirtioSlots {
		want := uint32(0)
		if i >= VirtioSlots-2 {
			want = 2
		}
		if id := slot(m, i).In(VDeviceID); id != want {
			t.Errorf("slot %d: device id %d, want %d", i, id, want)
		}
	}
	for id, bus := range map[string]int{"v0": 23, "v1": 22} {
		want := fmt.Sprintf("/virtio-mmio-bus.%d", bus)
		if p := m.QMP.QOMGet("/machine/peripheral/"+id, "parent_bus").(string); !strings.HasSuffix(p, want) {
			t.Errorf("%s is on %s, want %s", id, p, want)
		}
	}
}

// TestBootOrder: bootindex becomes QEMU's device path in fw_cfg's bootorder;
// a second device with the same number is refused; -1 takes it out; qom-set
// changes it.
func TestBootOrder(t *testing.T) {
	t.Parallel()
	s := NewVDPASim(t)
	m := StartVDPA(t, s, "id=v0,bootindex=7", "-device", "vhost-vdpa-device,id=v1,bootindex=3,vhostdev="+s.Path())
	f := &FwCfg{m, 0x10000}
	const v0, v1 = "/virtio-mmio@00000000feb02e00", "/virtio-mmio@00000000feb02c00"
	order := func(want ...string) {
		t.Helper()
		m.QMP.Must("system_reset", nil, nil)
		m.QMP.WaitEvent("RESET")
		equal(t, "boot order", f.BootOrder(), want)
	}
	set := func(id string, n int) error {
		return m.QMP.Execute("qom-set", map[string]any{"path": "/machine/peripheral/" + id, "property": "bootindex", "value": n}, nil)
	}
	order(v1, v0)
	if err := set("v1", 7); err == nil || err.Error() != "GenericError: The bootindex 7 has already been used" {
		t.Errorf("the same number: %v", err)
	}
	if err := set("v1", 9); err != nil {
		t.Fatal(err)
	}
	order(v0, v1)
	if err := set("v0", -1); err != nil {
		t.Fatal(err)
	}
	order(v1)
	if n := m.QMP.QOMGet("/machine/peripheral/v0", "bootindex"); fmt.Sprint(n) != "-1" {
		t.Errorf("bootindex %v", n)
	}
}

// versions runs a test with both versions of virtio-mmio.
func versions(t *testing.T, f func(t *testing.T, args ...string)) {
	t.Run("legacy", func(t *testing.T) { t.Parallel(); f(t) })
	t.Run("modern", func(t *testing.T) {
		t.Parallel()
		f(t, "-global", "virtio-mmio.force-legacy=false")
	})
}

// request puts one request on the ring and kicks: 16 bytes out, 512 and a
// status in.
func request(v *VirtioMMIO, r *Vring, sector byte) {
	const header, data = 0x300000, 0x301000
	v.M.Write(header, append([]byte{0, 0, 0, 0, 0, 0, 0, 0, sector}, make([]byte, 7)...))
	r.Add(Buffer{Addr: header, Len: 16}, Buffer{Addr: data, Len: 512, Write: true}, Buffer{Addr: data + 512, Len: 1, Write: true})
	v.Kick(0)
}

func sectorOf(in []byte) []byte {
	return append(bytes.Repeat(in[8:9], 512), 0)
}

// TestDataPath: handshake, queue, kick, completion and interrupt, through both
// versions: the device sees the guest's rings at the addresses given, with all
// of RAM mapped, and its interrupt shows in InterruptStatus and on the line.
func TestDataPath(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, args ...string) {
		s := NewVDPASim(t)
		m := StartVDPA(t, s, "", append(args, "-m", "64m")...)
		v := slot(m, 23)
		m.InterceptIn("/machine/unattached/device[3]") // the second IOAPIC
		if !v.Init(FeatureVersion1 | 1<<9 | 1<<6) {
			t.Fatalf("FEATURES_OK is refused, status %#x", v.Status())
		}
		if n := m.Readl(v.Base + VConfig); n != 64 {
			t.Errorf("capacity %d", n)
		}
		r := v.Queue(0, 64, &Alloc{0x200000})
		if st := v.DriverOK(); st&(StatusNeedsReset|StatusDriverOK) != StatusDriverOK {
			t.Fatalf("status %#x", st)
		}
		if st := s.Status(); st != 0x0f {
			t.Errorf("the device's status is %#x", st)
		}
		if f := s.Acked(); f&^(FeatureVersion1|1<<33|1<<9|1<<6) != 0 || f&(1<<9) == 0 {
			t.Errorf("features accepted: %#x", f)
		}
		if n := s.Mapped(); n != 64<<20 {
			t.Errorf("%#x bytes are mapped", n)
		}
		if !s.Kicked(0, 5000) {
			t.Error("no kick follows the start")
		}
		for i := range byte(100) {
			request(v, r, i)
			if !s.Kicked(0, 5000) {
				t.Fatal("the kick is lost")
			}
			if n := s.Process(0, sectorOf); n != 1 {
				t.Fatalf("%d requests", n)
			}
			m.WaitIRQ(23, true)
			if st := v.Interrupts(); st != 1 {
				t.Fatalf("interrupt status %#x", st)
			}
			if m.Command("endianness"); m.IRQ(23) {
				t.Fatal("the line stays high after the acknowledgement")
			}
			if _, n, ok := r.Take(); !ok || n != 513 {
				t.Fatalf("used %d, %v", n, ok)
			}
			if b := m.Read(0x301000, 513); !bytes.Equal(b, sectorOf([]byte{8: i})) {
				t.Fatalf("sector %d: %x", i, b)
			}
		}
		v.Reset()
		if n := s.Mapped(); n != 0 {
			t.Errorf("%#x bytes are still mapped after a reset", n)
		}
	})
}

// TestVDPAStopCont: the device is suspended while the VM stands and goes on
// where it was; a kick meanwhile is not lost.
func TestVDPAStopCont(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, args ...string) {
		s := NewVDPASim(t)
		m := StartVDPA(t, s, "", args...)
		v := slot(m, 23)
		v.Init(FeatureVersion1)
		r := v.Queue(0, 16, &Alloc{0x200000})
		v.DriverOK()
		for i := range byte(20) {
			m.QMP.Must("stop", nil, nil)
			if st := s.Status(); st&StatusDriverOK != 0 {
				t.Errorf("status %#x while the VM stands", st)
			}
			request(v, r, i)
			m.QMP.Must("cont", nil, nil)
			m.Eventually("the device to run", func() bool { return s.Status()&StatusDriverOK != 0 })
			m.Eventually("a kick", func() bool { return s.Kicked(0, 100) })
			if n := s.Process(0, sectorOf); n != 1 {
				t.Fatalf("%d requests after cont", n)
			}
			if _, n := r.Wait(); n != 513 {
				t.Fatalf("used %d", n)
			}
		}
	})
}

// TestVDPAReset: the driver and system_reset may reset and start the device any
// number of times; no descriptor and no mapping is left.
func TestVDPAReset(t *testing.T) {
	t.Parallel()
	s := NewVDPASim(t)
	m := StartVDPA(t, s, "", "-global", "virtio-mmio.force-legacy=false")
	v := slot(m, 23)
	cycle := func(system bool) {
		v.Init(FeatureVersion1)
		r := v.Queue(0, 16, &Alloc{0x200000})
		v.DriverOK()
		request(v, r, 7)
		s.Kicked(0, 5000)
		if n := s.Process(0, sectorOf); n != 1 {
			t.Fatalf("%d requests", n)
		}
		if system {
			m.QMP.Must("system_reset", nil, nil)
			m.QMP.WaitEvent("RESET")
			if st := v.Status(); st != 0 {
				t.Fatalf("status %#x after system_reset", st)
			}
		}
	}
	for i := range 4 {
		cycle(i%2 == 0)
	}
	fds, maps := m.FDs(), m.Mappings()
	for i := range 20 {
		cycle(i%2 == 0)
	}
	if have := m.FDs(); fmt.Sprint(have) != fmt.Sprint(fds) {
		t.Errorf("descriptors %v, were %v", have, fds)
	}
	if n := m.Mappings(); n != maps {
		t.Errorf("%d mappings, were %d", n, maps)
	}
}

// TestVDPAFailedStart: a call that fails when the driver starts the device
// leaves a modern guest with DEVICE_NEEDS_RESET, nothing mapped and the VM
// alive, and after a reset the device works.
func TestVDPAFailedStart(t *testing.T) {
	t.Parallel()
	for nr, name := range map[uint8]string{0x10: "SET_VRING_NUM", 0x11: "SET_VRING_ADDR", 0x20: "SET_VRING_KICK", 0x75: "SET_VRING_ENABLE"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := NewVDPASim(t)
			m := StartVDPA(t, s, "", "-global", "virtio-mmio.force-legacy=false")
			v := slot(m, 23)
			v.Init(FeatureVersion1)
			v.Queue(0, 16, &Alloc{0x200000})
			s.Fail(nr, syscall.EIO)
			v.DriverOK()
			m.Eventually("DEVICE_NEEDS_RESET", func() bool { return v.Status()&StatusNeedsReset != 0 })
			if v.In(VInterruptStatus)&2 == 0 {
				t.Error("no configuration interrupt")
			}
			if n := s.Mapped(); n != 0 {
				t.Errorf("%#x bytes are mapped", n)
			}
			if st := m.QMP.Status(); st != "running" {
				t.Errorf("the VM is %s", st)
			}
			m.Eventually("a line that names call, device and error", func() bool {
				return strings.Contains(m.Stderr(), name+" on "+s.Path()+" queue 0: input/output error\n")
			})
			s.Fail(nr, 0)
			v.Init(FeatureVersion1)
			r := v.Queue(0, 16, &Alloc{0x200000})
			v.DriverOK()
			request(v, r, 1)
			s.Kicked(0, 5000)
			if n := s.Process(0, sectorOf); n != 1 {
				t.Errorf("%d requests after the reset", n)
			}
		})
	}
}

// TestVDPAConfig: the guest's view of the configuration is the device's, a
// change interrupts and moves the generation, and guest writes arrive with
// offset and bytes.
func TestVDPAConfig(t *testing.T) {
	t.Parallel()
	s := NewVDPASim(t)
	m := StartVDPA(t, s, "", "-global", "virtio-mmio.force-legacy=false")
	v := slot(m, 23)
	v.Init(FeatureVersion1)
	v.Queue(0, 16, &Alloc{0x200000})
	v.DriverOK()
	if b := v.Config(0, 8); b[0] != 64 {
		t.Errorf("capacity %x", b)
	}
	gen := v.In(VConfigGeneration)
	s.ChangeConfig(0, []byte{0, 2})
	m.Eventually("a configuration interrupt", func() bool { return v.In(VInterruptStatus)&2 != 0 })
	if v.In(VConfigGeneration) == gen {
		t.Error("the generation is the same")
	}
	if b := v.Config(0, 2); b[0] != 0 || b[1] != 2 {
		t.Errorf("capacity %x after the change", b)
	}
	m.Writeb(v.Base+VConfig+32, 1)
	if b := v.Config(32, 1); b[0] != 1 {
		t.Errorf("written byte: guest sees %x", b)
	}
	if !slices.Contains(s.Calls(), "74 200000000100000001") {
		t.Error("the device did not get offset 32, length 1, byte 1")
	}
	m.Writel(v.Base+VConfig+58, 0xffffffff) // across the end
	v.Config(0, 60)
}

// TestVDPAFeatures: what the guest is offered is the device's, within the
// allow-list, and the properties mask.
func TestVDPAFeatures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dev        string
		have, want uint64
	}{
		{"", 1<<63 - 1 | 1<<63, 0},
		{"event_idx=off", 1 << 29, 0},
		{"indirect_desc=off", 1 << 28, 0},
	} {
		t.Run(c.dev, func(t *testing.T) {
			t.Parallel()
			s := NewVDPASim(t)
			s.Features = 1<<63 - 1 | 1<<63
			m := StartVDPA(t, s, c.dev, "-global", "virtio-mmio.force-legacy=false")
			f := slot(m, 23).DeviceFeatures()
			for _, bit := range []int{26, 37, 38, 39, 41} {
				if f>>bit&1 != 0 {
					t.Errorf("bit %d is offered: %#x", bit, f)
				}
			}
			if c.dev != "" && f&c.have != c.want {
				t.Errorf("%s: offers %#x", c.dev, f)
			}
			if c.dev == "" && (f&0xffffff != 0xffffff || f>>50 != 1<<14-1 || f&(1<<28|1<<29|1<<32) != 1<<28|1<<29|1<<32) {
				t.Errorf("offers %#x", f)
			}
		})
	}
}

// TestVDPAQueueSize: QueueNumMax is the device's limit or queue-size, which must
// be a power of two within it.
func TestVDPAQueueSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dev  string
		want uint32
	}{{"", 256}, {"queue-size=64", 64}, {"queue-size=256", 256}} {
		s := NewVDPASim(t)
		v := slot(StartVDPA(t, s, c.dev), 23)
		v.Out(VQueueSel, 0)
		if n := v.In(VQueueNumMax); n != c.want {
			t.Errorf("%q: %d, want %d", c.dev, n, c.want)
		}
		v.Out(VQueueSel, 1)
		if n := v.In(VQueueNumMax); n != 0 {
			t.Errorf("a second queue: %d", n)
		}
	}
	for _, size := range []string{"512", "100", "3"} {
		s := NewVDPASim(t)
		p := Spawn(t, Config{Sim: s, Args: Args("-nodefaults -display none -M microvm -accel qtest -device vhost-vdpa-device,queue-size=" +
			size + ",vhostdev=" + s.Path())})
		if code := p.Wait(); code != 1 || strings.Count(p.Stderr(), "\n") != 1 || !strings.Contains(p.Stderr(), "queue") {
			t.Errorf("queue-size=%s: exit status %d, %q", size, code, p.Stderr())
		}
	}
}

// TestVDPARealizeFails: each call of realize that fails ends the start with one
// line and exit status 1.
func TestVDPARealizeFails(t *testing.T) {
	t.Parallel()
	for _, nr := range []uint8{0x00, 0x01, 0x70, 0x72, 0x76, 0x78, 0x79, 0x80} {
		t.Run(fmt.Sprintf("%#x", nr), func(t *testing.T) {
			t.Parallel()
			s := NewVDPASim(t)
			s.Fail(nr, syscall.EIO)
			p := Spawn(t, Config{Sim: s, Args: Args("-nodefaults -display none -M microvm -accel qtest -device vhost-vdpa-device,vhostdev=" + s.Path())})
			code := p.Wait()
			if code != 1 || strings.Count(p.Stderr(), "\n") != 1 || !strings.Contains(strings.ToLower(p.Stderr()), "input/output error") {
				t.Errorf("exit status %d, %q", code, p.Stderr())
			}
		})
	}
}
