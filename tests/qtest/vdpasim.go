package qtest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// VDPASim stands in for a vhost-vdpa character device and the hardware behind
// it: the emulator opens a plain file, whose ioctls this process answers as
// Linux's vhost_vdpa does (linux/vhost.h), and into which it writes its IOTLB
// messages. The simulated device reads and writes guest memory at the addresses
// that those messages map.
type VDPASim struct {
	// What the device is. Set before Args or Config is called.
	DeviceID        uint32
	Features        uint64
	BackendFeatures uint64
	Config          []byte
	Queues          int
	QueueSize       uint16

	t        testing.TB
	path     string
	pid      int
	listener int
	stop     chan struct{}
	done     chan struct{}

	mu        sync.Mutex // guards all below
	fail      map[uint8]syscall.Errno
	calls     []string
	status    uint8
	acked     uint64
	suspended bool
	rings     map[int]*simRing
	configFD  int
	maps      []simMap
	messages  int64 // bytes of the file that have been read
}

// simRing is the device's side of a split virtqueue.
type simRing struct {
	num               uint32
	base              uint32
	desc, avail, used uint64
	enabled           bool
	kick, call        int
	usedIdx           uint16
}

// simMap is one IOTLB entry.
type simMap struct{ iova, size, uaddr uint64 }

// NewVDPASim makes a block device of one queue and 64 sectors, and the file to
// name in vhostdev=.
func NewVDPASim(t testing.TB) *VDPASim {
	t.Helper()
	s := &VDPASim{
		DeviceID: 2, Queues: 1, QueueSize: 256, BackendFeatures: 1<<1 | 1<<2 | 1<<4,
		Features: FeatureVersion1 | 1<<33 | 1<<9 | 1<<6,
		Config:   make([]byte, 60),
		t:        t, configFD: -1, listener: -1, rings: map[int]*simRing{}, fail: map[uint8]syscall.Errno{},
		stop: make(chan struct{}), done: make(chan struct{}),
		path: filepath.Join(ShortDir(t), "vhost-vdpa-0"),
	}
	binary.LittleEndian.PutUint64(s.Config, 64)
	if err := os.WriteFile(s.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// Path is what vhostdev= names.
func (s *VDPASim) Path() string { return s.path }

// start changes c so that its process has its vhost calls answered by s; attach
// must follow the start of the process.
func (s *VDPASim) start(c Config) (changed Config, attach func(pid int)) {
	s.t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	child := os.NewFile(uintptr(pair[1]), "shim")
	c.Env = append(c.Env, shimEnv+"="+Binary(s.t))
	c.Files = append([]*os.File{child}, c.Files...)
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	c.Path = self
	return c, func(pid int) {
		s.t.Helper()
		child.Close()
		f := os.NewFile(uintptr(pair[0]), "shim")
		conn, err := net.FileConn(f)
		f.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		defer conn.Close()
		if s.listener, err = receiveFD(conn.(*net.UnixConn)); err != nil {
			s.t.Fatalf("seccomp: %v", err)
		}
		s.pid = pid
		go s.serve()
		s.t.Cleanup(func() {
			close(s.stop)
			<-s.done
			syscall.Close(s.listener)
		})
	}
}

// StartVDPA starts microvm with the simulated device as vhost-vdpa-device; dev
// is added to its properties.
func StartVDPA(t testing.TB, s *VDPASim, dev string, args ...string) *Machine {
	t.Helper()
	if dev != "" {
		dev = "," + dev
	}
	return StartWith(t, Config{Sim: s,
		Args: append([]string{"-nodefaults", "-M", "microvm", "-device", "vhost-vdpa-device,vhostdev=" + s.path + dev}, args...)})
}

// serve answers calls until the process is gone.
func (s *VDPASim) serve() {
	defer close(s.done)
	for {
		select {
		case <-s.stop:
			return
		default:
		}
		ok, gone := readable(s.listener, 50)
		if gone {
			return
		}
		if !ok {
			continue
		}
		n, err := receive(s.listener)
		if err != nil {
			continue
		}
		val, errno := s.call(n)
		// A call that was interrupted comes again.
		_ = answer(s.listener, n.id, val, errno)
	}
}

// Fail makes calls of a number, the low byte of the ioctl, end with an errno; 0
// lets them work again.
func (s *VDPASim) Fail(nr uint8, errno syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[nr] = errno
}

// Calls takes the list of calls so far, by number, with what they set.
func (s *VDPASim) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.calls
	s.calls = nil
	return l
}

// Status is the device status.
func (s *VDPASim) Status() uint8 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Acked is the features that the driver accepted.
func (s *VDPASim) Acked() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

// call performs one ioctl.
func (s *VDPASim) call(n notification) (int64, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	nr, size, write := uint8(n.args[1]), int(n.args[1]>>16&0x3fff), n.args[1]>>30&1 != 0
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", n.pid), os.O_RDWR, 0)
	if err != nil {
		return 0, syscall.EFAULT
	}
	defer mem.Close()
	at := int64(n.args[2])
	if nr == 0x73 || nr == 0x74 { // the length of the data is in the header
		var h [8]byte
		if _, err := mem.ReadAt(h[:], at); err != nil {
			return 0, syscall.EFAULT
		}
		size = 8 + int(min(binary.LittleEndian.Uint32(h[4:]), 4096))
		write = true
	}
	arg := make([]byte, size)
	if write {
		if _, err := mem.ReadAt(arg, at); err != nil {
			return 0, syscall.EFAULT
		}
	}
	s.calls = append(s.calls, describe(n.args[1], arg))
	if e := s.fail[nr]; e != 0 {
		return 0, e
	}
	out, e := s.perform(uint32(n.args[1]), arg)
	if e == 0 && out != nil {
		if _, err := mem.WriteAt(out, at); err != nil {
			return 0, syscall.EFAULT
		}
	}
	return 0, e
}

func describe(request uint64, arg []byte) string {
	if request>>30&1 == 0 || len(arg) == 0 {
		return fmt.Sprintf("%02x", uint8(request))
	}
	return fmt.Sprintf("%02x %x", uint8(request), arg)
}

// perform is what Linux's vhost_vdpa_unlocked_ioctl does. out goes back to the
// caller's buffer.
func (s *VDPASim) perform(request uint32, arg []byte) (out []byte, errno syscall.Errno) {
	le := binary.LittleEndian
	u32 := func(i int) uint32 { return le.Uint32(arg[4*i:]) }
	var ring *simRing
	if nr := uint8(request); nr >= 0x10 && nr <= 0x22 || nr == 0x75 {
		if int(u32(0)) >= s.Queues {
			return nil, syscall.ENOBUFS
		}
		if ring = s.rings[int(u32(0))]; ring == nil {
			ring = &simRing{kick: -1, call: -1}
			s.rings[int(u32(0))] = ring
		}
	}
	switch request {
	case 0x8008af00: // VHOST_GET_FEATURES
		return le.AppendUint64(nil, s.Features), 0
	case 0x4008af00: // VHOST_SET_FEATURES
		if s.status&StatusFeaturesOK != 0 {
			return nil, syscall.EBUSY
		}
		if s.acked = le.Uint64(arg); s.acked&^s.Features != 0 {
			return nil, syscall.EINVAL
		}
	case 0xaf01: // VHOST_SET_OWNER
	case 0x4008af10:
		ring.num = u32(1)
	case 0x4028af11:
		ring.desc, ring.used, ring.avail = le.Uint64(arg[8:]), le.Uint64(arg[16:]), le.Uint64(arg[24:])
	case 0x4008af12:
		ring.base, ring.usedIdx = u32(1), uint16(u32(1))
	case 0xc008af12:
		return append(arg[:4:4], le.AppendUint32(nil, ring.base)...), 0
	case 0x4008af20:
		errno = s.take(&ring.kick, int(int32(u32(1))))
	case 0x4008af21:
		errno = s.take(&ring.call, int(int32(u32(1))))
	case 0x4008af25: // VHOST_SET_BACKEND_FEATURES
	case 0x8008af26:
		return le.AppendUint64(nil, s.BackendFeatures), 0
	case 0x8004af70:
		return le.AppendUint32(nil, s.DeviceID), 0
	case 0x8001af71:
		return []byte{s.status}, 0
	case 0x4001af72:
		s.status = arg[0]
		if s.status == 0 {
			for _, r := range s.rings {
				r.enabled, r.base, r.usedIdx = false, 0, 0
			}
			s.suspended = false
		}
	case 0x8008af73:
		off := u32(0)
		if int(off)+len(arg)-8 > len(s.Config) {
			return nil, syscall.E2BIG
		}
		return append(arg[:8:8], s.Config[off:int(off)+len(arg)-8]...), 0
	case 0x4008af74:
		copy(s.Config[min(int(u32(0)), len(s.Config)):], arg[8:])
	case 0x4008af75:
		ring.enabled = u32(1) != 0
	case 0x8002af76:
		return le.AppendUint16(nil, s.QueueSize), 0
	case 0x4004af77:
		errno = s.take(&s.configFD, int(int32(u32(0))))
	case 0x8010af78:
		return append(make([]byte, 8), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 0
	case 0x8004af79:
		return le.AppendUint32(nil, uint32(len(s.Config))), 0
	case 0x8004af80:
		return le.AppendUint32(nil, uint32(s.Queues)), 0
	case 0xaf7d: // VHOST_VDPA_SUSPEND
		s.suspended = true
	default:
		return nil, syscall.ENOTTY
	}
	return nil, errno
}

// take replaces a descriptor by one of the emulator's, -1 for none.
func (s *VDPASim) take(to *int, fd int) syscall.Errno {
	if *to >= 0 {
		syscall.Close(*to)
		*to = -1
	}
	if fd < 0 {
		return 0
	}
	n, err := stealFD(s.pid, fd)
	if err != nil {
		return syscall.EBADF
	}
	*to = n
	return 0
}

// sync reads the IOTLB messages written since the last time.
func (s *VDPASim) sync() {
	f, err := os.Open(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	for {
		var b [72]byte
		if _, err := f.ReadAt(b[:], s.messages); err == io.EOF {
			return
		} else if err != nil {
			s.t.Fatal(err)
		}
		s.messages += int64(len(b))
		le := binary.LittleEndian
		m := simMap{iova: le.Uint64(b[8:]), size: le.Uint64(b[16:]), uaddr: le.Uint64(b[24:])}
		switch b[33] {
		case 2:
			s.maps = append(s.maps, m)
		case 3:
			s.maps = slices.DeleteFunc(s.maps, func(x simMap) bool {
				return x.iova >= m.iova && x.iova-m.iova < m.size
			})
		}
	}
}

// Mapped sums up the IOTLB entries, in bytes.
func (s *VDPASim) Mapped() (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sync()
	for _, m := range s.maps {
		n += m.size
	}
	return n
}

// dma reads or writes guest memory as the device would.
func (s *VDPASim) dma(iova uint64, b []byte, write bool) {
	s.t.Helper()
	for _, m := range s.maps {
		if iova < m.iova || iova-m.iova+uint64(len(b)) > m.size {
			continue
		}
		mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", s.pid), os.O_RDWR, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		defer mem.Close()
		at := int64(m.uaddr + iova - m.iova)
		if write {
			_, err = mem.WriteAt(b, at)
		} else {
			_, err = mem.ReadAt(b, at)
		}
		if err != nil {
			s.t.Fatalf("DMA at %#x: %v", iova, err)
		}
		return
	}
	s.t.Fatalf("DMA of %d bytes at %#x, which is not mapped", len(b), iova)
}

// Kicked waits for a kick of a queue and tells whether one came within ms
// milliseconds.
func (s *VDPASim) Kicked(queue, ms int) bool {
	s.mu.Lock()
	fd := -1
	if r := s.rings[queue]; r != nil {
		fd = r.kick
	}
	s.mu.Unlock()
	if fd < 0 {
		return false
	}
	ok, _ := readable(fd, ms)
	if ok {
		var b [8]byte
		_, _ = syscall.Read(fd, b[:]) // it was readable
	}
	return ok
}

// Process completes what is available on a queue: handle gets the readable
// part of each chain and returns what to write into the rest. It gives the
// number of chains.
func (s *VDPASim) Process(queue int, handle func(in []byte) []byte) int {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sync()
	r := s.rings[queue]
	if r == nil || !r.enabled || s.status&StatusDriverOK == 0 {
		s.t.Fatalf("queue %d is not running: status %#x, %+v", queue, s.status, r)
	}
	le := binary.LittleEndian
	u16 := func(at uint64) uint16 {
		var b [2]byte
		s.dma(at, b[:], false)
		return le.Uint16(b[:])
	}
	n := 0
	for uint16(r.base) != u16(r.avail+2) {
		head := u16(r.avail + 4 + 2*uint64(r.base%r.num))
		r.base = uint32(uint16(r.base + 1))
		var in []byte
		var outs [][2]uint64
		for i, more := head, true; more; {
			var d [16]byte
			s.dma(r.desc+16*uint64(i), d[:], false)
			addr, size, flags := le.Uint64(d[0:]), le.Uint32(d[8:]), le.Uint16(d[12:])
			if flags&2 != 0 {
				outs = append(outs, [2]uint64{addr, uint64(size)})
			} else {
				b := make([]byte, size)
				s.dma(addr, b, false)
				in = append(in, b...)
			}
			i, more = le.Uint16(d[14:]), flags&1 != 0
		}
		reply := handle(in)
		written := uint32(0)
		for _, o := range outs {
			k := min(len(reply), int(o[1]))
			s.dma(o[0], reply[:k], true)
			reply, written = reply[k:], written+uint32(k)
		}
		e := le.AppendUint32(le.AppendUint32(nil, uint32(head)), written)
		s.dma(r.used+4+8*uint64(uint32(r.usedIdx)%r.num), e, true)
		r.usedIdx++
		s.dma(r.used+2, le.AppendUint16(nil, r.usedIdx), true)
		n++
	}
	if n > 0 && r.call >= 0 {
		_, _ = syscall.Write(r.call, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // an eventfd takes it
	}
	return n
}

// ChangeConfig replaces bytes of the configuration and raises the configuration
// interrupt.
func (s *VDPASim) ChangeConfig(off int, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(s.Config[off:], b)
	if s.configFD >= 0 {
		_, _ = syscall.Write(s.configFD, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // an eventfd takes it
	}
}
