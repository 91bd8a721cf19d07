package vdpatest

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/memory"
)

// Target is what the suite is run on.
type Target struct {
	// Open opens the device, which is closed. A second Open before it is
	// closed fails with EBUSY.
	Open func() (vdpa.Backend, error)
	// ConfigSticks says that the configuration space can be written.
	ConfigSticks bool
	// Unsupported is the status of a request of no known type: 2 by the
	// standard, 1 in Linux 6.1.
	Unsupported byte
	// KeepsKicks says that a kick that comes too early is not lost.
	KeepsKicks bool
}

func (c Target) open(t testing.TB) vdpa.Backend {
	t.Helper()
	be, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	return be
}

// Calls runs the tests of what the calls answer (Linux 6.1's vhost_vdpa with
// vdpa_sim).
func Calls(t *testing.T, target Target) {
	t.Run("Busy", target.busy)
	t.Run("BeforeOwner", target.beforeOwner)
	t.Run("Table", target.table)
	t.Run("Reset", target.reset)
	t.Run("IOTLB", target.iotlb)
	t.Run("Config", target.config)
}

// expect checks the errno of a call; 0 is success.
func expect(t testing.TB, what string, err error, want syscall.Errno) {
	t.Helper()
	var got syscall.Errno
	if err != nil && !errors.As(err, &got) {
		t.Errorf("%s: %v has no errno", what, err)
	} else if got != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func (c Target) busy(t *testing.T) {
	be := c.open(t)
	for range 3 {
		if second, err := c.Open(); !errors.Is(err, syscall.EBUSY) {
			t.Errorf("second open: %v, %v", second, err)
		}
	}
	if err := be.Close(); err != nil {
		t.Error(err)
	}
	be = c.open(t)
	if s, err := be.GetStatus(); s != 0 || err != nil {
		t.Errorf("status %#x, %v after it was opened again", s, err)
	}
	if err := be.Close(); err != nil {
		t.Error(err)
	}
	if err := be.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func (c Target) beforeOwner(t *testing.T) {
	be := c.open(t)
	defer be.Close()
	fd, err := sys.NewEventfd()
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	ram, err := memory.NewAnonRAM("ram", 4096)
	if err != nil {
		t.Fatal(err)
	}
	defer ram.Close()
	f, err := be.GetFeatures()
	expect(t, "GET_FEATURES", err, 0)
	_, err = be.GetVringBase(0)
	expect(t, "GET_VRING_BASE", err, syscall.EPERM)
	_, err = be.GetVringBase(1000)
	expect(t, "GET_VRING_BASE of a queue there is not", err, syscall.EPERM)
	expect(t, "SET_FEATURES", be.SetFeatures(f), 0)
	expect(t, "SET_STATUS", be.SetStatus(0), 0)
	expect(t, "SET_VRING_NUM", be.SetVringNum(0, 256), syscall.EPERM)
	expect(t, "SET_VRING_ENABLE", be.SetVringEnable(0, true), syscall.EPERM)
	expect(t, "SET_VRING_CALL", be.SetVringCall(0, fd.FD()), syscall.EPERM)
	expect(t, "SET_CONFIG_CALL", be.SetConfigCall(fd.FD()), 0)
	expect(t, "UPDATE", be.UpdateIOTLB(0x100000, ram.Bytes(), 3), syscall.EFAULT)
	expect(t, "SET_OWNER", be.SetOwner(), 0)
	expect(t, "SET_OWNER again", be.SetOwner(), syscall.EBUSY)
}

// table is the calls with an owner, in order.
func (c Target) table(t *testing.T) {
	be := c.open(t)
	defer be.Close()
	event, err := sys.NewEventfd()
	if err != nil {
		t.Fatal(err)
	}
	defer event.Close()
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	expect(t, "SET_OWNER", be.SetOwner(), 0)
	f, _ := be.GetFeatures()
	f &^= 1 << 34 // a packed ring's base has two halves
	b, _ := be.GetBackendFeatures()
	n, _ := be.GetVqsCount()
	queues := int(n)
	base := func(n int, want uint32) func() error {
		return func() error {
			got, err := be.GetVringBase(n)
			if err == nil && got != want {
				t.Errorf("the base of queue %d is %d, want %d", n, got, want)
			}
			return err
		}
	}
	status := func(s uint8) func() error { return func() error { return be.SetStatus(s) } }
	features := func(f uint64) func() error { return func() error { return be.SetFeatures(f) } }
	addr := func(n int, d, a, u uint64) func() error {
		return func() error { return be.SetVringAddr(n, vdpa.VringAddr{Desc: d, Avail: a, Used: u}) }
	}
	num := func(n int, v uint32) func() error { return func() error { return be.SetVringNum(n, v) } }
	setBase := func(n int, v uint32) func() error { return func() error { return be.SetVringBase(n, v) } }
	kick := func(n, fd int) func() error { return func() error { return be.SetVringKick(n, fd) } }
	call := func(n, fd int) func() error { return func() error { return be.SetVringCall(n, fd) } }
	enable := func(n int, on bool) func() error { return func() error { return be.SetVringEnable(n, on) } }
	backend := func(f uint64) func() error { return func() error { return be.SetBackendFeatures(f) } }
	const ok, inval, nobufs, badf = syscall.Errno(0), syscall.EINVAL, syscall.ENOBUFS, syscall.EBADF
	for _, r := range []struct {
		what string
		call func() error
		want syscall.Errno
	}{
		{"SET_BACKEND_FEATURES with an unknown bit", backend(b | 1<<20), syscall.EOPNOTSUPP},
		{"SET_BACKEND_FEATURES 1", backend(1), syscall.EOPNOTSUPP},
		{"SET_BACKEND_FEATURES 0", backend(0), ok},
		{"SET_BACKEND_FEATURES of all", backend(b), ok},
		{"SUSPEND in status 0", be.Suspend, ok},
		{"SET_STATUS 0", status(0), ok},
		{"SET_FEATURES without ACCESS_PLATFORM", features(f &^ (1 << 33)), inval},
		{"SET_FEATURES with an unknown bit", features(f | 1<<62), ok},
		{"SET_FEATURES with ACCESS_PLATFORM only", features(1 << 33), ok},
		{"SET_FEATURES", features(f), ok},
		{"SET_STATUS 1", status(1), ok},
		{"SET_STATUS 3", status(3), ok},
		{"SET_FEATURES in status 3", features(f), ok},
		{"SET_STATUS 2 after 3", status(2), inval},
		{"SET_STATUS 11", status(11), ok},
		{"SET_FEATURES after FEATURES_OK", features(f), syscall.EBUSY},
		{"SET_VRING_NUM 0", num(0, 0), inval},
		{"SET_VRING_NUM 3", num(0, 3), inval},
		{"SET_VRING_NUM 512", num(0, 512), ok},
		{"SET_VRING_NUM 65536", num(0, 65536), inval},
		{"SET_VRING_NUM of a queue too many", num(queues, 256), nobufs},
		{"SET_VRING_NUM", num(0, 256), ok},
		{"SET_VRING_BASE 65536", setBase(0, 65536), inval},
		{"SET_VRING_BASE 5", setBase(0, 5), ok},
		{"GET_VRING_BASE", base(0, 5), ok},
		{"SET_VRING_BASE 0", setBase(0, 0), ok},
		{"GET_VRING_BASE of a queue too many", base(queues, 0), nobufs},
		{"SET_VRING_ADDR with desc at an odd address", addr(0, 0x100001, 0x101000, 0x102000), ok},
		{"SET_VRING_ADDR with avail at an odd address", addr(0, 0x100000, 0x101001, 0x102000), inval},
		{"SET_VRING_ADDR with used at no multiple of 4", addr(0, 0x100000, 0x101000, 0x102002), inval},
		{"SET_VRING_ADDR where nothing is mapped", addr(0, 0x7700000000, 0x7700001000, 0x7700002000), ok},
		{"SET_VRING_ADDR of a queue too many", addr(queues, 0x100000, 0x101000, 0x102000), nobufs},
		{"SET_VRING_KICK -1", kick(0, -1), ok},
		{"SET_VRING_KICK -2", kick(0, -2), badf},
		{"SET_VRING_KICK of no descriptor", kick(0, 99999), badf},
		{"SET_VRING_KICK of no eventfd", kick(0, int(null.Fd())), inval},
		{"SET_VRING_KICK", kick(0, event.FD()), ok},
		{"SET_VRING_KICK of the same", kick(0, event.FD()), ok},
		{"SET_VRING_KICK of a queue too many", kick(queues, event.FD()), nobufs},
		{"SET_VRING_CALL", call(0, event.FD()), ok},
		{"SET_VRING_CALL -1", call(0, -1), ok},
		{"SET_VRING_CALL of no descriptor", call(0, 99999), badf},
		{"SET_VRING_CALL of no eventfd", call(0, int(null.Fd())), inval},
		{"SET_CONFIG_CALL -1", func() error { return be.SetConfigCall(-1) }, ok},
		{"SET_CONFIG_CALL of no descriptor", func() error { return be.SetConfigCall(99999) }, badf},
		{"SET_VRING_ENABLE of a queue too many", enable(queues, true), nobufs},
		{"SET_VRING_ENABLE", enable(0, true), ok},
		{"SET_VRING_NUM of an enabled queue", num(0, 128), ok},
		{"SET_STATUS 15", status(15), ok},
		{"SET_STATUS 15 again", status(15), ok},
		{"SET_STATUS 11 after 15", status(11), inval},
		{"GET_VRING_BASE of a running queue", base(0, 0), ok},
		{"SET_VRING_ENABLE off", enable(0, false), ok},
		{"SUSPEND", be.Suspend, ok},
		{"SUSPEND again", be.Suspend, ok},
		{"SET_VRING_BASE of a suspended queue", setBase(0, 3), ok},
		{"SET_STATUS with FAILED", status(0x8f), ok},
		{"SET_STATUS with NEEDS_RESET", status(0xcf), ok},
		{"SET_STATUS 0", status(0), ok},
		{"GET_VRING_BASE after a reset", base(0, 0), ok},
		{"SET_FEATURES after a reset", features(f), ok},
		{"SET_STATUS 4 after 0", status(4), ok},
		{"SET_STATUS 0", status(0), ok},
		{"SET_STATUS with undefined bits", status(0x30), ok},
		{"SET_STATUS 0", status(0), ok},
	} {
		expect(t, r.what, r.call(), r.want)
	}
}

func (c Target) reset(t *testing.T) {
	be := c.open(t)
	defer be.Close()
	for _, s := range []uint8{0, 1, 3, 11, 15, 0x8f, 0xcf, 0} {
		expect(t, "SET_STATUS", be.SetStatus(s), 0)
		if got, err := be.GetStatus(); got != s || err != nil {
			t.Errorf("status %#x, %v, want %#x", got, err, s)
		}
	}
}

func (c Target) iotlb(t *testing.T) {
	be := c.open(t)
	defer be.Close()
	ram, err := memory.NewAnonRAM("ram", 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { be.Close(); ram.Close() }()
	mem := ram.Bytes()
	expect(t, "SET_OWNER", be.SetOwner(), 0)
	update := func(iova uint64, n int) func() error {
		return func() error { return be.UpdateIOTLB(iova, mem[:n], 3) }
	}
	drop := func(iova, n uint64) func() error { return func() error { return be.InvalidateIOTLB(iova, n) } }
	const ok, fault = syscall.Errno(0), syscall.EFAULT
	for _, r := range []struct {
		what string
		call func() error
		want syscall.Errno
	}{
		{"BATCH_BEGIN", be.BatchBegin, ok},
		{"UPDATE", update(0x100000, 0x10000), ok},
		{"BATCH_END", be.BatchEnd, ok},
		{"UPDATE of what is mapped", update(0x100000, 0x1000), fault},
		{"UPDATE over an end", update(0x10f000, 0x2000), fault},
		{"UPDATE over a beginning", update(0xff000, 0x2000), fault},
		{"UPDATE of size 0", update(0x300000, 0), syscall.EINVAL},
		{"UPDATE that wraps", update(^uint64(0)-0xfff, 0x2000), fault},
		{"UPDATE at the top", update(^uint64(0)-0xfff, 0x1000), ok},
		{"INVALIDATE of nothing", drop(0x9000000, 0x1000), ok},
		{"INVALIDATE", drop(0x100000, 0x10000), ok},
		{"UPDATE after it", update(0x100000, 0x1000), ok},
		{"INVALIDATE of all", drop(0, ^uint64(0)), ok},
		{"UPDATE after that", update(0x100000, 0x1000), ok},
		{"INVALIDATE of size 0", drop(0x100000, 0), ok},
		{"UPDATE after that", update(0x100000, 0x1000), fault},
		{"BATCH_END without a beginning", be.BatchEnd, ok},
		{"BATCH_BEGIN", be.BatchBegin, ok},
		{"BATCH_BEGIN in a batch", be.BatchBegin, ok},
		{"BATCH_END", be.BatchEnd, ok},
	} {
		expect(t, r.what, r.call(), r.want)
	}
	// Closing drops what is mapped.
	if err := be.Close(); err != nil {
		t.Fatal(err)
	}
	be = c.open(t)
	expect(t, "SET_OWNER", be.SetOwner(), 0)
	expect(t, "UPDATE once more", be.UpdateIOTLB(0x100000, mem[:0x1000], 3), ok)
}

func (c Target) config(t *testing.T) {
	be := c.open(t)
	defer be.Close()
	n, err := be.GetConfigSize()
	if err != nil || n == 0 {
		t.Fatalf("size %d, %v", n, err)
	}
	size := int(n)
	buf := make([]byte, size+1)
	for _, r := range []struct {
		off, n int
		want   syscall.Errno
	}{{0, size, 0}, {size - 1, 1, 0}, {8, 8, 0}, {0, 0, syscall.EINVAL}, {size, 1, syscall.EINVAL}, {size + 1, 1, syscall.EINVAL}, {0, size + 1, syscall.EINVAL}} {
		expect(t, "GET_CONFIG", be.GetConfig(r.off, buf[:r.n]), r.want)
		if r.want != 0 {
			expect(t, "SET_CONFIG", be.SetConfig(r.off, buf[:r.n]), r.want)
		}
	}
	var had, have [1]byte
	expect(t, "GET_CONFIG", be.GetConfig(0, had[:]), 0)
	expect(t, "SET_CONFIG", be.SetConfig(0, []byte{had[0] ^ 0xff}), 0)
	expect(t, "GET_CONFIG", be.GetConfig(0, have[:]), 0)
	if changed := have != had; changed != c.ConfigSticks {
		t.Errorf("after SET_CONFIG the first byte is %#x, was %#x", have, had)
	}
	expect(t, "SET_CONFIG", be.SetConfig(0, had[:]), 0)
}
