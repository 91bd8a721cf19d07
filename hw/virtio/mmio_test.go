package virtio

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Without a device, three registers answer and device id 0 keeps drivers
// away; writes do nothing.
func TestEmptyTransport(t *testing.T) {
	for _, legacy := range []bool{true, false} {
		m := hwtest.New(t, register)
		x := hwtest.Add(m, "virtio-mmio", nil, func(x *MMIO) error { return qom.Set(x, "force-legacy", qom.JSON(legacy)) })
		m.Do(func() {
			if err := x.MapMMIO(0, base); err != nil {
				t.Fatal(err)
			}
		})
		version := uint32(2)
		if legacy {
			version = 1
		}
		for off := uint64(0); off < MMIOSize; off += 4 {
			m.Writel(base+off, 0xffffffff)
			want := map[uint64]uint32{0: 0x74726976, 4: version, 0xc: 0x554d4551}[off]
			if got := m.Readl(base + off); got != want {
				t.Errorf("version %d: register %#x reads %#x, want %#x", version, off, got, want)
			}
		}
	}
}

// Linux's virtio_mmio.c with a version 2 device, from probe to remove.
func TestLinuxModern(t *testing.T) {
	r := newRig(t, false, nil)
	r.want(regMagic, 0x74726976)
	r.want(regVersion, 2)
	r.want(regDeviceID, 2)
	r.want(regVendorID, 0x554d4551)
	r.probe()
	r.write(regDeviceFeaturesSel, 1)
	r.want(regDeviceFeatures, 1) // VERSION_1; ACCESS_PLATFORM is off
	r.write(regDeviceFeaturesSel, 0)
	r.want(regDeviceFeatures, testFeatures&0xffffffff&^(1<<FeatureAnyLayout))
	r.write(regDeviceFeaturesSel, 2)
	r.want(regDeviceFeatures, 0)
	r.features(1<<FeatureVersion1 | 0x46)
	r.addStatus(StatusFeaturesOK)
	r.want(regStatus, 0xb)

	for n := range uint32(testQueues) {
		r.write(regQueueSel, n)
		r.want(regQueueReady, 0)
		r.want(regQueueNumMax, 256)
		r.modernQueue(n, 128, 0x1_0000_0000+uint64(n)<<20)
		r.want(regQueueReady, 1)
		q := r.dev.Queue(int(n))
		if a := 0x1_0000_0000 + uint64(n)<<20; q.Num != 128 || q.Desc != a || q.Avail != a+0x1000 || q.Used != a+0x2000 {
			t.Errorf("queue %d is %+v", n, q)
		}
	}
	r.write(regQueueSel, testQueues)
	r.want(regQueueNumMax, 0)
	r.want(regQueueReady, 0)
	r.write(regQueueSel, MaxQueues) // the selection stays, as in QEMU
	r.write(regQueueSel, 1)
	r.write(regQueueSel, MaxQueues)
	r.want(regQueueNumMax, 256)

	r.write(regSHMSel, 0)
	for _, reg := range []uint64{regSHMLenLow, regSHMLenHigh, regSHMBaseLow, regSHMBaseHigh} {
		r.want(reg, 0xffffffff)
	}
	r.addStatus(StatusDriverOK)
	r.want(regStatus, 0xf)
	if r.dev.starts != 1 || r.dev.Negotiated() != 1<<FeatureVersion1|0x46 {
		t.Errorf("started %d times with %#x", r.dev.starts, r.dev.Negotiated())
	}
	r.write(regQueueNotify, 1)
	if n, _ := r.dev.Queue(1).Kick.Drain(); n != 1 {
		t.Errorf("queue 1 was kicked %d times", n)
	}

	// Remove: reset, then each queue goes.
	r.write(regStatus, 0)
	r.want(regStatus, 0)
	for n := range uint32(testQueues) {
		r.write(regQueueSel, n)
		r.write(regQueueReady, 0)
		r.want(regQueueReady, 0)
	}
	if r.dev.resets != 2 || r.dev.Negotiated() != 0 {
		t.Errorf("reset %d times, features %#x", r.dev.resets, r.dev.Negotiated())
	}
	if n := r.dev.IllegalMoves(); n != 2 {
		t.Errorf("%d moves were refused, want the two selections of queue 1024", n)
	}
}

// Linux's virtio_mmio.c with a version 1 device.
func TestLinuxLegacy(t *testing.T) {
	r := newRig(t, true, nil)
	r.want(regVersion, 1)
	r.write(regGuestPageSize, 4096)
	r.probe()
	r.write(regDeviceFeaturesSel, 1)
	r.want(regDeviceFeatures, 0)
	r.write(regDeviceFeaturesSel, 0)
	r.want(regDeviceFeatures, testFeatures&0xffffffff)
	r.features(0x08000046)
	for n := range uint32(testQueues) {
		r.write(regQueueSel, n)
		r.want(regQueuePFN, 0)
		r.want(regQueueNumMax, 256)
		r.write(regQueueNum, 256)
		r.write(regQueueAlign, 4096)
		r.write(regQueuePFN, 0x2458+16*n)
		r.want(regQueuePFN, 0x2458+16*n)
	}
	q := r.dev.Queue(0)
	if q.Desc != 0x2458000 || q.Avail != 0x2459000 || q.Used != 0x245a000 {
		t.Errorf("ring is %#x %#x %#x", q.Desc, q.Avail, q.Used)
	}
	r.addStatus(StatusDriverOK)
	r.want(regStatus, 7)
	if r.dev.starts != 1 || r.dev.Negotiated() != 0x08000046 {
		t.Errorf("started %d times with %#x", r.dev.starts, r.dev.Negotiated())
	}
	r.write(regStatus, 0)
	for n := range uint32(testQueues) {
		r.write(regQueueSel, n)
		r.write(regQueuePFN, 0)
		r.want(regQueuePFN, 0)
	}
	// The page size is from probe, before the first reset.
	r.probe()
	r.write(regQueueSel, 0)
	r.write(regQueuePFN, 0x100)
	if got := r.dev.Queue(0).Desc; got != 0x100000 {
		t.Errorf("after a reset the ring is at %#x", got)
	}
	if n := r.dev.IllegalMoves(); n != 0 {
		t.Errorf("%d moves were refused", n)
	}
}

// QEMU's legacy drivers give PFN 0 to reset the whole device.
func TestLegacyPFNZeroResets(t *testing.T) {
	r := newRig(t, true, nil)
	r.live()
	r.Do(func() { r.dev.QueueUsed(0) })
	r.write(regQueuePFN, 0)
	r.want(regStatus, 0)
	r.want(regInterruptStatus, 0)
	if r.line.Level || r.dev.resets != 2 {
		t.Errorf("line %v, %d resets", r.line.Level, r.dev.resets)
	}
}

// Registers of the other version read 0 and take no write; so do accesses
// that are not 32 bits wide.
func TestForeignRegisters(t *testing.T) {
	for legacy, regs := range map[bool][]uint64{
		true:  {regQueueReady, regQueueDescLow, regQueueDeviceHigh, regConfigGeneration},
		false: {regGuestPageSize, regQueueAlign, regQueuePFN},
	} {
		r := newRig(t, legacy, nil)
		for _, reg := range regs {
			before := r.dev.IllegalMoves()
			r.write(reg, 1)
			r.want(reg, 0)
			if r.dev.IllegalMoves() < before+1 {
				t.Errorf("legacy %v: register %#x was taken", legacy, reg)
			}
		}
		r.Writeb(base+regStatus, 1)
		r.Writew(base+regStatus, 1)
		r.want(regStatus, 0)
		if v := r.Readb(base + regDeviceID); v != 0 {
			t.Errorf("a byte of the device id reads %#x", v)
		}
	}
}

// The line is high while InterruptStatus has a bit, and only ACK clears one.
func TestInterruptsAreLevels(t *testing.T) {
	r := newRig(t, false, nil)
	r.Do(func() { r.dev.QueueUsed(0); r.dev.ConfigChanged() })
	r.want(regInterruptStatus, 0) // nobody is there yet
	r.live()
	r.Do(func() { r.dev.QueueUsed(2); r.dev.QueueUsed(0) })
	r.want(regInterruptStatus, 1)
	r.Do(r.dev.ConfigChanged)
	r.want(regInterruptStatus, 3)
	r.write(regInterruptACK, 1)
	r.want(regInterruptStatus, 2)
	if !r.line.Level {
		t.Error("the line fell while a cause was left")
	}
	r.write(regInterruptACK, 2)
	if r.line.Level || r.line.Raised != 2 {
		t.Errorf("line %v after %d edges", r.line.Level, r.line.Raised)
	}
	r.Do(func() { r.dev.QueueUsed(0); qdev.Reset(r.mmio) })
	r.want(regInterruptStatus, 0)
	if r.line.Level {
		t.Error("the line stays high over a machine reset")
	}
}

// A bit that comes between a driver's read of the status and its write of what
// it read makes an edge of its own.
func TestInterruptAfterTheStatusWasRead(t *testing.T) {
	r := newRig(t, false, nil)
	r.live()
	r.Do(func() { r.dev.QueueUsed(0) })
	read := r.read(regInterruptStatus)
	r.Do(r.dev.ConfigChanged)
	r.write(regInterruptACK, read)
	if !r.line.Level || r.line.Raised != 2 {
		t.Errorf("level %v after %d edges", r.line.Level, r.line.Raised)
	}
	r.write(regInterruptACK, 4) // nothing of it is pending
	if r.line.Raised != 2 {
		t.Errorf("%d edges", r.line.Raised)
	}
	r.write(regInterruptACK, interruptConfig)
	if r.line.Level {
		t.Error("high with nothing pending")
	}
}

// Configuration reads are fresh, of any width, and a generation ends when
// what was read has changed.
func TestConfigSpace(t *testing.T) {
	r := newRig(t, false, nil)
	copy(r.dev.config, []byte{1, 2, 3, 4, 5, 6, 7, 8})
	if a, b, c := r.Readb(base+0x101), r.Readw(base+0x102), r.Readl(base+0x104); a != 2 || b != 0x403 || c != 0x8070605 {
		t.Errorf("read %#x %#x %#x", a, b, c)
	}
	if v := r.Readq(base + 0x100); v != 0x0807060504030201 {
		t.Errorf("eight bytes read %#x", v)
	}
	gen := r.read(regConfigGeneration)
	r.want(regConfigGeneration, gen)
	r.dev.config[20] = 9 // not read yet
	r.want(regConfigGeneration, gen)
	r.dev.config[3] = 9
	if v := r.Readb(base + 0x103); v != 9 {
		t.Errorf("a stale byte: %#x", v)
	}
	if got := r.read(regConfigGeneration); got == gen {
		t.Error("the generation is the old one")
	}
	gen = r.read(regConfigGeneration)
	r.Do(r.dev.ConfigChanged)
	if got := r.read(regConfigGeneration); got == gen {
		t.Error("a change notification without a new generation")
	}
	r.Writew(base+0x106, 0xbeef)
	if r.dev.writtenAt != 6 || !bytes.Equal(r.dev.written, []byte{0xef, 0xbe}) {
		t.Errorf("the device saw %x at %d", r.dev.written, r.dev.writtenAt)
	}
	// Past the end, as in QEMU.
	r.dev.written = nil
	r.Writel(base+0x118, 1)
	r.Writeb(base+0x1ff, 1)
	if v := r.Readl(base + 0x118); v != 0xffffffff || r.dev.written != nil {
		t.Errorf("past the end: read %#x, wrote %x", v, r.dev.written)
	}
	// A device that fails leaves what was read.
	r.dev.configErr = errors.New("gone")
	if v := r.Readb(base + 0x100); v != 1 {
		t.Errorf("a failed read gives %#x", v)
	}
}

// All queues' ioeventfds come in one transaction and go with the device;
// ioeventfd=off registers none.
func TestIOEventFDs(t *testing.T) {
	for _, on := range []bool{true, false} {
		m := hwtest.New(t, register)
		w := &fdWatch{}
		x := hwtest.Add(m, "virtio-mmio", nil, func(x *MMIO) error { return qom.Set(x, "ioeventfd", qom.JSON(on)) })
		m.Do(func() {
			if err := errors.Join(x.MapMMIO(0, base), m.Memory.Listen(w)); err != nil {
				t.Fatal(err)
			}
		})
		d := hwtest.Add[*dummy](m, "test-virtio", x.Buses()[0], nil)
		if !on {
			if len(w.have) != 0 {
				t.Errorf("ioeventfd=off registered %v", w.have)
			}
			continue
		}
		if len(w.have) != testQueues || w.commits != 1 || w.addr != base+regQueueNotify {
			t.Errorf("%d ioeventfds at %#x in %d transactions", len(w.have), w.addr, w.commits)
		}
		for i, e := range w.have {
			if !e.Match || e.Data != uint64(i) || e.Size != 4 || e.FD != d.Queue(i).Kick.FD() {
				t.Errorf("queue %d has %+v", i, e)
			}
		}
		m.Do(func() { qdev.Delete(d) })
		if len(w.have) != 0 || w.commits != 2 {
			t.Errorf("left %v after %d transactions", w.have, w.commits)
		}
	}
}

// When one ioeventfd cannot be had, the device is not realized and the others
// are gone.
func TestIOEventFDFails(t *testing.T) {
	for n := 1; n <= testQueues; n++ {
		m := hwtest.New(t, register)
		w := &fdWatch{failAt: n}
		x := hwtest.Add[*MMIO](m, "virtio-mmio", nil, nil)
		m.Do(func() {
			if err := errors.Join(x.MapMMIO(0, base), m.Memory.Listen(w)); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Create("test-virtio", x.Buses()[0], nil); err == nil {
				t.Errorf("realized without ioeventfd %d", n)
			}
		})
		if len(w.have) != 0 || x.dev != nil {
			t.Errorf("left %v, device %v", w.have, x.dev)
		}
		if got := m.Readl(base + regDeviceID); got != 0 {
			t.Errorf("device id %d", got)
		}
	}
}

// The access that sets DRIVER_OK waits for the device without the VM lock.
func TestDriverOKWaits(t *testing.T) {
	r := newRig(t, false, nil)
	r.dev.done = make(chan struct{})
	returned := make(chan struct{})
	go func() {
		r.live()
		close(returned)
	}()
	for started := false; !started; time.Sleep(time.Millisecond) {
		r.Do(func() { started = r.dev.starts > 0 })
	}
	// Others have the lock meanwhile.
	r.want(regStatus, 0xf)
	select {
	case <-returned:
		t.Fatal("the access returned before the device had started")
	case <-time.After(10 * time.Millisecond):
	}
	close(r.dev.done)
	<-returned
}

// A host that can interrupt the wait is asked to.
func TestDriverOKAwait(t *testing.T) {
	r := newRig(t, true, nil)
	r.dev.done = make(chan struct{})
	asked := 0
	r.Await = func(done <-chan struct{}) {
		if done != (<-chan struct{})(r.dev.done) {
			t.Error("asked to wait for something else")
		}
		asked++
	}
	r.live()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}
