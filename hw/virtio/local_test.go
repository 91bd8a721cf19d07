package virtio

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/virtio/vring"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// filler is a device served in this process: it fills what the driver gives it
// with 0xaa.
type filler struct {
	State
	model  fillerModel
	serves int
}

type fillerModel struct{ Local }

func (*fillerModel) ReadConfig(int, []byte) error  { return nil }
func (*fillerModel) WriteConfig(int, []byte) error { return nil }

func (d *filler) Reset() { d.State.Reset() }

func (d *filler) Realize(*qdev.Host) error {
	return d.model.Plug(&d.State, Setup{
		DeviceID: 4, Features: LocalFeatures, Queues: 2, QueueMax: 8, Model: &d.model,
	}, d.serve)
}

func (d *filler) serve(n int) {
	d.serves++
	q := d.model.Ring(n)
	for {
		c, err := q.Pop()
		if c == nil || err != nil {
			break
		}
		written := uint32(0)
		for _, b := range c.In {
			copy(b, bytes.Repeat([]byte{0xaa}, len(b)))
			written += uint32(len(b))
		}
		if q.Push(c, written) != nil {
			break
		}
	}
	d.model.Interrupt(n)
}

// localRig is a filler and its driver.
type localRig struct {
	*hwtest.Machine
	mmio *MMIO
	dev  *filler
	line *hwtest.Line
	next uint16
}

const localRing = 0x100000

func newLocalRig(t *testing.T) *localRig {
	t.Helper()
	r := &localRig{}
	r.Machine = hwtest.New(t, RegisterTypes, func(reg *qom.Registry) {
		reg.Register(qom.Type{Name: "test-filler", Parent: "virtio-device", New: func() qom.Object { return new(filler) }})
	})
	r.mmio = hwtest.Add(r.Machine, "virtio-mmio", nil, func(x *MMIO) error { return qom.Set(x, "force-legacy", qom.JSON(false)) })
	r.Do(func() {
		r.line = r.NewLine()
		r.mmio.ConnectIRQ(0, r.line.IRQ)
		if err := r.mmio.MapMMIO(0, base); err != nil {
			t.Fatal(err)
		}
	})
	r.dev = hwtest.Add[*filler](r.Machine, "test-filler", r.mmio.Buses()[0], nil)
	return r
}

func (r *localRig) write(reg uint64, v uint32) { r.Writel(base+reg, v) }

// setUp takes the device to FEATURES_OK with queue 0.
func (r *localRig) setUp() {
	r.next = 0
	clear(r.RAM.Bytes()[localRing : localRing+0x4000])
	for _, s := range []uint32{0, 1, 3} {
		r.write(regStatus, s)
	}
	r.write(regDriverFeaturesSel, 1)
	r.write(regDriverFeatures, 1)
	r.write(regStatus, 0xb)
	r.write(regQueueNum, 8)
	for i, reg := range []uint64{regQueueDescLow, regQueueDriverLow, regQueueDeviceLow} {
		r.write(reg, localRing+uint32(i)<<12)
	}
	r.write(regQueueReady, 1)
}

// offer makes a buffer of 100 bytes available.
func (r *localRig) offer() {
	r.Writeq(localRing, localRing+0x3000)
	r.Writel(localRing+8, 100)
	r.Writew(localRing+12, 2)
	r.next++
	r.Writew(localRing+0x1002, r.next)
}

func (r *localRig) used() uint16 { return r.Readw(localRing + 0x2002) }

func TestLocalQueueIsServedBeforeTheNotificationReturns(t *testing.T) {
	r := newLocalRig(t)
	r.setUp()
	r.offer()
	r.write(regQueueNotify, 0) // too early
	if r.used() != 0 {
		t.Fatal("served before DRIVER_OK")
	}
	r.write(regStatus, 0xf)
	if r.used() != 1 || !r.line.Level {
		t.Fatalf("used %d, line %v: what was there before DRIVER_OK is not lost", r.used(), r.line.Level)
	}
	if b := r.RAM.Bytes()[localRing+0x3000:][:101]; b[0] != 0xaa || b[99] != 0xaa || b[100] != 0 {
		t.Errorf("buffer %x", b)
	}
	r.write(regInterruptACK, 1)
	r.offer()
	r.write(regQueueNotify, 1) // not set up
	if r.used() != 1 {
		t.Error("served on another queue's notification")
	}
	r.write(regQueueNotify, 0)
	if r.used() != 2 || !r.line.Level {
		t.Errorf("used %d, line %v", r.used(), r.line.Level)
	}
	r.setUp()
	r.offer()
	r.write(regQueueNotify, 0)
	if r.used() != 0 {
		t.Error("served after a reset")
	}
}

// With KVM the notification goes to the eventfd.
func TestLocalQueueIsServedOnItsEventfd(t *testing.T) {
	n := runtime.NumGoroutine()
	r := newLocalRig(t)
	r.setUp()
	r.write(regStatus, 0xf)
	r.offer()
	if err := r.dev.Queue(0).Kick.Signal(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); r.used() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not served")
		}
	}
	r.Do(func() { qdev.Delete(r.dev) })
	if got := runtime.NumGoroutine(); got > n {
		t.Errorf("%d goroutines, %d before", got, n)
	}
}

func TestLocalQueueRestsWhileTheVMIsStopped(t *testing.T) {
	r := newLocalRig(t)
	r.setUp()
	r.write(regStatus, 0xf)
	set := func(on bool) {
		r.Do(func() {
			if err := r.State.Set(on); err != nil {
				t.Error(err)
			}
		})
	}
	set(false)
	r.offer()
	r.write(regQueueNotify, 0)
	if r.used() != 0 {
		t.Error("served while stopped")
	}
	set(true)
	if r.used() != 1 {
		t.Error("not served once it runs")
	}
}

// A driver that breaks the ring is told so, and a reset helps.
func TestLocalQueueBroken(t *testing.T) {
	r := newLocalRig(t)
	r.setUp()
	r.write(regStatus, 0xf)
	r.Writew(localRing+0x1002, 100)
	r.write(regQueueNotify, 0)
	if s := r.Readl(base + regStatus); s != 0x4f {
		t.Errorf("status %#x", s)
	}
	r.Do(func() {
		if r.dev.model.Ring(0) != nil || r.dev.IllegalMoves() != 1 {
			t.Errorf("the queue goes on, %d illegal moves", r.dev.IllegalMoves())
		}
	})
	r.setUp()
	r.write(regStatus, 0xf)
	r.offer()
	r.write(regQueueNotify, 0)
	if r.used() != 1 {
		t.Error("not served after the reset")
	}
}

// A device in this process reaches RAM only, in as many pieces as it comes in,
// and writes only what the guest may write.
func TestLocalMemory(t *testing.T) {
	m := hwtest.New(t)
	rom, err := memory.NewROM("rom", make([]byte, 4096))
	if err != nil {
		t.Fatal(err)
	}
	m.Do(func() {
		r := memory.NewRAM(rom)
		if err := m.Map.Add(m.System, r, hwtest.RAMSize, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { rom.Close() })
	})
	const end = hwtest.RAMSize
	for _, c := range []struct {
		addr, n uint64
		write   bool
		pieces  int
	}{
		{0, 1, true, 1}, {end - 8, 8, true, 1}, {end - 8, 16, false, 2}, {end - 8, 16, true, 0}, {end, 4096, false, 1},
		{end, 1, true, 0}, {end, 4097, false, 0}, {0, 0, false, 0}, {^uint64(0), 2, false, 0}, {^uint64(0), 1, false, 0},
	} {
		list, err := spaceMemory{m.Memory}.Pieces([][]byte{{1}}, c.addr, c.n, c.write)
		if (err == nil) != (c.pieces > 0) || len(list) != 1+c.pieces || err == nil && vring.Bytes(list) != 1+c.n {
			t.Errorf("%d bytes at %#x, write %v: %d pieces, %v", c.n, c.addr, c.write, len(list)-1, err)
		}
	}
}
