package sim

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// guest drives a simulated disk through vhost-vdpa-device and virtio-mmio, on
// guest RAM, as a guest's processor does.
type guest struct {
	*kit
	mmio *virtio.MMIO
	dev  *vdpa.Device
	line *hwtest.Line
	next uint16
}

const (
	mmioBase = 0xfeb00000
	gRing    = 0x100000 // descriptors; the rings are a page and two behind
	gHeader  = 0x110000
	gStatus  = 0x110100
	gData    = 0x111000
	gNum     = 8

	regDriverFeatures, regDriverFeaturesSel = 0x20, 0x24
	regQueueNum, regQueueReady, regNotify   = 0x38, 0x44, 0x50
	regStatus, regQueueDesc                 = 0x70, 0x80
)

func newGuest(t *testing.T) *guest {
	t.Helper()
	return newGuestOn(t, backendFeatures)
}

// interfaced is a simulator behind an interface that can do more or less.
type interfaced struct {
	vdpa.Backend
	can uint64
}

func (i interfaced) GetBackendFeatures() (uint64, error) { return i.can, nil }

func (i interfaced) SetBackendFeatures(f uint64) error {
	return i.Backend.SetBackendFeatures(f & backendFeatures)
}

// newGuestOn makes a guest whose device's interface has these features.
func newGuestOn(t *testing.T, can uint64) *guest {
	t.Helper()
	g := &guest{kit: newKit(t)}
	virtio.RegisterTypes(g.Types)
	vdpa.RegisterTypesWith(g.Types, func(h *qdev.Host, path string) (vdpa.Backend, error) {
		b, err := vdpa.Open(h, path)
		if err != nil {
			return nil, err
		}
		return interfaced{b, can}, nil
	})
	g.mustMake("vdpa-sim-blk", "d0", map[string]any{"size": int64(1 << 20)})
	g.mmio = hwtest.Add(g.Machine, "virtio-mmio", nil, func(x *virtio.MMIO) error {
		return qom.Set(x, "force-legacy", qom.JSON(false))
	})
	g.Do(func() {
		g.line = g.NewLine()
		g.mmio.ConnectIRQ(0, g.line.IRQ)
		if err := g.mmio.MapMMIO(0, mmioBase); err != nil {
			t.Fatal(err)
		}
	})
	g.plug()
	return g
}

func (g *guest) plug() {
	g.dev = hwtest.Add(g.Machine, "vhost-vdpa-device", g.mmio.Buses()[0], func(d *vdpa.Device) error {
		return qom.Set(d, "vhostdev", qom.JSON("/objects/d0"))
	})
}

func (g *guest) write(reg uint64, v uint32) { g.Writel(mmioBase+reg, v) }

// start takes the device to DRIVER_OK.
func (g *guest) start() {
	g.T.Helper()
	g.write(regStatus, 0) // until then a request may be under way
	g.next = 0
	clear(g.RAM.Bytes()[gRing : gRing+0x3000])
	for _, s := range []uint32{1, 3} {
		g.write(regStatus, s)
	}
	g.write(regDriverFeaturesSel, 1)
	g.write(regDriverFeatures, 1)
	g.write(regStatus, 11)
	g.write(regQueueNum, gNum)
	for i, reg := range []uint64{regQueueDesc, regQueueDesc + 0x10, regQueueDesc + 0x20} {
		g.write(reg, gRing+uint32(i)<<12)
	}
	g.write(regQueueReady, 1)
	g.write(regStatus, 15)
	if s := g.Readl(mmioBase + regStatus); s != 15 {
		g.T.Fatalf("status %#x", s)
	}
}

// submit makes a request for a sector and notifies the device.
func (g *guest) submit(typ byte, sector uint64) {
	ram := g.RAM.Bytes()
	clear(ram[gHeader : gHeader+16])
	ram[gHeader], ram[gStatus] = typ, 0xff
	binary.LittleEndian.PutUint64(ram[gHeader+8:], sector)
	dir := uint16(2)
	if typ == blkOut {
		dir = 0
	}
	for i, d := range []struct {
		addr  uint64
		n     uint32
		flags uint16
	}{{gHeader, 16, 1}, {gData, 512, 1 | dir}, {gStatus, 1, 2}} {
		b := ram[gRing+16*i:]
		binary.LittleEndian.PutUint64(b, d.addr)
		binary.LittleEndian.PutUint32(b[8:], d.n)
		binary.LittleEndian.PutUint16(b[12:], d.flags)
		binary.LittleEndian.PutUint16(b[14:], uint16(i+1))
	}
	g.next++
	sys.StoreShared16(ram[gRing+0x1002:], g.next)
	g.write(regNotify, 0)
}

// wait waits for the last request.
func (g *guest) wait() {
	g.T.Helper()
	used := g.RAM.Bytes()[gRing+0x2002:]
	for end := time.Now().Add(10 * time.Second); sys.LoadShared16(used) != g.next; time.Sleep(10 * time.Microsecond) {
		if time.Now().After(end) {
			g.T.Fatalf("request %d is not done: used index %d", g.next, sys.LoadShared16(used))
		}
	}
	if s := g.RAM.Bytes()[gStatus]; s != blkOK {
		g.T.Fatalf("status %d", s)
	}
}

func (g *guest) run(on bool) {
	g.T.Helper()
	g.Do(func() {
		if err := g.State.Set(on); err != nil {
			g.T.Error(err)
		}
	})
}

// The VM stops and goes on, and the disk changes its size, while the guest
// writes and reads: every request is done, and done right, whatever the
// device's interface can do for a stop.
func TestStopsWhileTheGuestWorks(t *testing.T) {
	for name, can := range map[string]uint64{
		"suspend": backendFeatures,
		"reset":   backendFeatures &^ vdpa.FeatureSuspend,
		"resume":  backendFeatures | vdpa.FeatureResume,
		"persist": backendFeatures | vdpa.FeatureIOTLBPersist,
	} {
		t.Run(name, func(t *testing.T) { stopsWhileTheGuestWorks(t, newGuestOn(t, can)) })
	}
}

func stopsWhileTheGuestWorks(t *testing.T, g *guest) {
	g.start()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		rnd := rand.New(rand.NewPCG(3, 4))
		o := qom.Child(g.objects, "d0")
		for round := int64(0); ; round++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(rnd.IntN(300)) * time.Microsecond):
			}
			g.run(false)
			g.Do(func() {
				if err := qom.Set(o, "size", qom.JSON(1<<20+round%8*512)); err != nil {
					t.Error(err)
				}
			})
			g.run(true)
		}
	}()
	ram := g.RAM.Bytes()
	for i := range 400 {
		want := bytes.Repeat([]byte{byte(i)}, 512)
		copy(ram[gData:], want)
		g.submit(blkOut, uint64(i%2048))
		g.wait()
		clear(ram[gData : gData+512])
		g.submit(blkIn, uint64(i%2048))
		g.wait()
		if !bytes.Equal(ram[gData:gData+512], want) {
			t.Fatalf("sector %d reads %x", i, ram[gData])
		}
	}
	close(stop)
	<-done
}

// A guest may reset the device and a client unplug it with a request under
// way. Whoever comes next finds it free, and the last one leaves nothing.
func TestResetAndUnplugUnderWay(t *testing.T) {
	g := newGuest(t)
	g.start()
	n := runtime.NumGoroutine()
	for i := range 100 {
		g.submit(blkOut, uint64(i))
		switch i % 3 {
		case 0:
			g.Do(func() { qdev.Delete(g.dev) })
			g.plug()
		case 1:
			g.Do(func() { qdev.Reset(g.mmio) })
		}
		g.start()
		g.submit(blkIn, 1)
		g.wait()
	}
	for end := time.Now().Add(time.Second); runtime.NumGoroutine() > n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, were %d", runtime.NumGoroutine(), n)
		}
	}
}

// The memory of a device that the guest's driver has left is not touched: the
// mappings are gone with it.
func TestNothingIsMappedAfterReset(t *testing.T) {
	g := newGuest(t)
	g.start()
	g.submit(blkIn, 0)
	g.wait()
	mapped := func() (n int) {
		g.Do(func() {
			d := qom.Child(g.objects, "d0").(*Blk).dev
			d.io.Lock()
			defer d.io.Unlock()
			n = len(d.spaces[0].live)
		})
		return n
	}
	if mapped() == 0 {
		t.Error("nothing is mapped while the device works")
	}
	g.run(false)
	if n := mapped(); n != 0 {
		t.Errorf("%d mappings while the VM stands", n)
	}
	g.run(true)
	g.write(regStatus, 0)
	if n := mapped(); n != 0 {
		t.Errorf("%d mappings after a reset", n)
	}
}
