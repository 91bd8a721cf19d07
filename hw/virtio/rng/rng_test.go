package rng

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/gqemu/gqemu/entropy"
	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

func register(r *qom.Registry) {
	r.Register(qom.Type{Name: "user-creatable", Parent: "interface", Abstract: true})
	virtio.RegisterTypes(r)
	entropy.RegisterTypes(r)
	RegisterTypes(r)
}

// Where the transport and, for the driver, the ring is.
const (
	base  = 0xfeb00000
	ring  = 0x100000
	desc  = ring
	avail = ring + 0x1000
	used  = ring + 0x2000
	data  = ring + 0x3000
)

// Registers (virtio 1.2 section 4.2.2).
const (
	regFeatures, regFeaturesSel      = 0x20, 0x24
	regQueueNum, regQueueReady       = 0x38, 0x44
	regNotify, regIntStatus          = 0x50, 0x60
	regIntACK, regStatus             = 0x64, 0x70
	regDesc, regAvailable, regUsed   = 0x80, 0x90, 0xa0
	statusDriver, statusReady, needs = 3, 0xf, 0x40
)

type rig struct {
	*hwtest.Machine
	dev  *Device
	bus  *qdev.Bus
	next uint16
}

func newRig(t *testing.T, setup func(*Device) error) *rig {
	t.Helper()
	r := &rig{Machine: hwtest.New(t, register)}
	mmio := hwtest.Add[*virtio.MMIO](r.Machine, "virtio-mmio", nil, func(x *virtio.MMIO) error {
		return qom.Set(x, "force-legacy", qom.JSON(false))
	})
	r.Do(func() {
		if err := mmio.MapMMIO(0, base); err != nil {
			t.Fatal(err)
		}
	})
	r.bus = mmio.Buses()[0]
	r.dev = hwtest.Add(r.Machine, "virtio-rng-device", r.bus, setup)
	return r
}

func (r *rig) write(reg uint64, v uint32) { r.Writel(base+reg, v) }

// start takes the device to DRIVER_OK with a ring of 8.
func (r *rig) start() {
	r.next = 0
	r.Do(func() { clear(r.RAM.Bytes()[ring : ring+0x4000]) })
	for _, s := range []uint32{0, 1, statusDriver} {
		r.write(regStatus, s)
	}
	r.write(regFeaturesSel, 1)
	r.write(regFeatures, 1) // VERSION_1
	r.write(regStatus, statusDriver|8)
	r.write(regQueueNum, 8)
	r.write(regDesc, desc)
	r.write(regAvailable, avail)
	r.write(regUsed, used)
	r.write(regQueueReady, 1)
	r.write(regStatus, statusReady)
}

// offer makes a buffer available: n bytes, for the device to write unless
// flags says otherwise.
func (r *rig) offer(n uint32, flags uint16) {
	i := r.next % 8
	d := uint64(desc + 16*uint64(i))
	r.Writeq(d, data+uint64(i)*64)
	r.Writel(d+8, n)
	r.Writew(d+12, flags)
	r.Writew(avail+4+2*uint64(i), i)
	r.next++
	r.Writew(avail+2, r.next)
	r.write(regNotify, 0)
}

// wait waits until count buffers were used and gives the last one's length.
func (r *rig) wait(count uint16) uint32 {
	r.T.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if r.Readw(used+2) == count {
			break
		}
		if time.Now().After(end) {
			r.T.Fatalf("%d used, want %d", r.Readw(used+2), count)
		}
	}
	var n uint32
	r.Do(func() {
		n = binary.LittleEndian.Uint32(r.RAM.Bytes()[used+8+8*int((count-1)%8):])
	})
	return n
}

const deviceWrites = 2

// A buffer that the device cannot write to comes back empty, and those behind
// it are filled.
func TestBuffersWithoutRoom(t *testing.T) {
	r := newRig(t, nil)
	r.start()
	r.offer(32, 0)
	r.offer(32, deviceWrites)
	if n := r.wait(2); n != 32 {
		t.Errorf("%d bytes", n)
	}
	var illegal uint64
	r.Do(func() { illegal = r.dev.IllegalMoves() })
	if illegal == 0 {
		t.Error("it was not counted")
	}
}

// Bytes that come after a reset are nobody's, and the device works on.
func TestResetForgetsRequest(t *testing.T) {
	r := newRig(t, nil)
	for range 50 {
		r.start()
		r.offer(64, deviceWrites)
		r.Do(r.dev.Reset)
		r.start()
		r.offer(16, deviceWrites)
		if n := r.wait(1); n != 16 {
			t.Fatalf("%d bytes", n)
		}
	}
}

// A ring that leads out of memory breaks the queue, and a reset mends it.
func TestBrokenRing(t *testing.T) {
	r := newRig(t, nil)
	r.start()
	r.Writew(avail+4, 200)
	r.Writew(avail+2, 1)
	r.write(regNotify, 0)
	if s := r.Readl(base + regStatus); s&needs == 0 {
		t.Errorf("status %#x", s)
	}
	r.start()
	r.offer(8, deviceWrites)
	if n := r.wait(1); n != 8 {
		t.Errorf("%d bytes", n)
	}
}

// A period begins with the first request in it, and what was not used up is
// lost with it.
func TestPeriods(t *testing.T) {
	r := newRig(t, func(d *Device) error {
		if err := qom.Set(d, "period", qom.JSON(int64(10))); err != nil {
			return err
		}
		return qom.Set(d, "max-bytes", qom.JSON(int64(40)))
	})
	r.start()
	r.Step(100e6) // idle periods add nothing
	r.offer(32, deviceWrites)
	r.wait(1)
	r.offer(32, deviceWrites)
	if n := r.wait(2); n != 8 {
		t.Errorf("%d bytes, 8 are left in the period", n)
	}
	r.offer(32, deviceWrites)
	r.Step(9e6)
	if n := r.Readw(used + 2); n != 2 {
		t.Errorf("%d used within the period", n)
	}
	r.Step(2e6)
	if n := r.wait(3); n != 32 {
		t.Errorf("%d bytes in the next period", n)
	}
}

// Devices come and go with requests under way.
func TestUnplugWithRequest(t *testing.T) {
	r := newRig(t, nil)
	r.start()
	r.offer(64, deviceWrites)
	r.Do(func() { qdev.Delete(r.dev) })
	d := hwtest.Add[*Device](r.Machine, "virtio-rng-device", r.bus, nil)
	if o := qom.Child(d, "default-backend"); o == nil {
		t.Error("no default source")
	}
}
