package vdpa

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// These tests are a driver for the kernel's own block simulator, where there
// is one (tests/rig has it): the device in GQEMU_VDPA_BLK, which they
// overwrite.

// disk is a driver of virtio-blk with one split ring of 128 in guest RAM.
type disk struct {
	*rig
	next  uint16 // available index
	ring  uint64
	avail uint64
	used  uint64
}

func newDisk(t *testing.T, legacy bool) *disk {
	t.Helper()
	path := os.Getenv("GQEMU_VDPA_BLK")
	if path == "" {
		t.Skip("GQEMU_VDPA_BLK names no device")
	}
	setMemlock(t, unix.RLIM_INFINITY)
	d := &disk{rig: &rig{}}
	d.Machine = hwtest.New(t, virtio.RegisterTypes, RegisterTypes)
	d.Report = func(text string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.reported = append(d.reported, text)
	}
	d.mmio = hwtest.Add(d.Machine, "virtio-mmio", nil, func(x *virtio.MMIO) error {
		return qom.Set(x, "force-legacy", qom.JSON(legacy))
	})
	d.Do(func() {
		d.line = d.NewLine()
		d.mmio.ConnectIRQ(0, d.line.IRQ)
		if err := d.mmio.MapMMIO(0, base); err != nil {
			t.Fatal(err)
		}
	})
	d.dev = hwtest.Add(d.Machine, "vhost-vdpa-device", d.mmio.Buses()[0], func(x *Device) error {
		return qom.Set(x, "vhostdev", qom.JSON(path))
	})
	d.Do(func() { d.dev.dma.piece = 24 << 20 })
	return d
}

func setMemlock(t *testing.T, limit uint64) {
	t.Helper()
	var had unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &had); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: limit, Max: unix.RLIM_INFINITY}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &had) })
}

// probe takes the device to DRIVER_OK with a fresh ring.
func (d *disk) probe() {
	d.T.Helper()
	d.next, d.ring = 0, 0x1000000
	d.avail, d.used = d.ring+0x1000, d.ring+0x2000
	if d.mmio.Legacy() {
		d.avail, d.used = d.ring+16*128, d.ring+0x1000
	}
	clear(d.RAM.Bytes()[d.ring : d.ring+0x4000])
	d.drive(1)
}

// submit puts one request into the ring and notifies the device.
func (d *disk) submit(write bool, sector, data uint64) {
	const header, status = 0x2000000, 0x2001000
	h := make([]byte, 16)
	if write {
		h[0] = 1 // VIRTIO_BLK_T_OUT
	}
	binary.LittleEndian.PutUint64(h[8:], sector)
	ram := d.RAM.Bytes()
	copy(ram[header:], h)
	ram[status] = 0xff
	desc := func(i int, addr uint64, n uint32, flags uint16) {
		b := ram[d.ring+16*uint64(i):]
		binary.LittleEndian.PutUint64(b, addr)
		binary.LittleEndian.PutUint32(b[8:], n)
		binary.LittleEndian.PutUint16(b[12:], flags)
		binary.LittleEndian.PutUint16(b[14:], uint16(i+1))
	}
	in := uint16(2)
	if write {
		in = 0
	}
	desc(0, header, 16, 1)
	desc(1, data, 512, 1|in)
	desc(2, status, 1, 2)
	d.Writew(d.avail+4+2*uint64(d.next%128), 0)
	d.next++
	d.Writew(d.avail+2, d.next)
	d.write(regQueueNotify, 0)
}

// complete waits for the interrupt of the request and its success.
func (d *disk) complete() {
	d.T.Helper()
	d.wait("the request's interrupt", func() bool { return d.line.Level })
	if got := d.read(regInterruptStatus); got&1 == 0 {
		d.T.Errorf("InterruptStatus %d", got)
	}
	d.write(regInterruptACK, 3)
	if idx := d.Readw(d.used + 2); idx != d.next {
		d.T.Errorf("used index %d, want %d", idx, d.next)
	}
	if s := d.Readb(0x2001000); s != 0 {
		d.T.Errorf("request status %d", s)
	}
}

// check writes a sector and reads it back.
func (d *disk) check(sector uint64) {
	d.T.Helper()
	const out, in = 0x2002000, 0x3003000
	ram := d.RAM.Bytes()
	want := []byte(strings.Repeat(fmt.Sprintf("sector %d ", sector), 100))[:512]
	copy(ram[out:], want)
	d.submit(true, sector, out)
	d.complete()
	clear(ram[in : in+512])
	d.submit(false, sector, in)
	d.complete()
	if !bytes.Equal(ram[in:in+512], want) {
		d.T.Errorf("sector %d reads %q", sector, ram[in:in+32])
	}
}

// Reads, writes, interrupts, stop and cont, drivers that come and go, with the
// kernel's simulator on both versions of virtio-mmio.
func TestKernelDevice(t *testing.T) {
	for _, legacy := range []bool{true, false} {
		d := newDisk(t, legacy)
		pinned := pinnedBytes()
		if n := d.Readq(base + 0x100); n == 0 || n == ^uint64(0) {
			t.Fatalf("capacity %d", n)
		}
		d.probe()
		if s := d.read(regStatus); s&0x44 != 4 {
			t.Fatalf("status %#x: %v", s, d.reports())
		}
		if n := pinnedBytes() - pinned; n != hwtest.RAMSize || d.dev.dma.pins != pinsYes {
			t.Errorf("%d bytes are pinned, want %d", n, hwtest.RAMSize)
		}
		for i := range uint64(300) { // the indices pass the ring's end
			d.check(i)
		}
		fds := openFDs(t)
		for i := range uint64(20) {
			d.run(false)
			if n := pinnedBytes(); n != pinned {
				t.Errorf("%d bytes are pinned while stopped", n)
			}
			// A request of the moment: it is done after cont.
			d.submit(false, i, 0x3003000)
			d.run(true)
			d.complete()
			d.check(1000 + i)
		}
		for i := range uint64(10) {
			d.probe()
			d.check(i)
			if n := openFDs(t); n != fds {
				t.Fatalf("%d descriptors after a reload, %d before", n, fds)
			}
		}
		d.Do(func() { qdev.Delete(d.dev) })
		if n := pinnedBytes(); n != pinned {
			t.Errorf("%d bytes are pinned after unplug, %d before", n, pinned)
		}
		if l := d.reports(); len(l) != 0 {
			t.Errorf("reported %q", l)
		}
	}
}

// A device that is open is busy, and free as soon as it is unplugged.
func TestKernelDeviceBusy(t *testing.T) {
	d := newDisk(t, true)
	path := os.Getenv("GQEMU_VDPA_BLK")
	if _, err := Open(d.Host, path); err == nil || err.Error() != "Could not open '"+path+"': Device or resource busy" {
		t.Errorf("second open: %v", err)
	}
	d.Do(func() { qdev.Delete(d.dev) })
	b, err := Open(d.Host, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// With RLIMIT_MEMLOCK too low, one line says so, and raising it helps.
func TestKernelMemlock(t *testing.T) {
	d := newDisk(t, false)
	setMemlock(t, 1<<20)
	d.probe()
	if s := d.read(regStatus); s != 0x4f {
		t.Errorf("status %#x", s)
	}
	l := d.reports()
	if len(l) != 1 || !strings.Contains(l[0], "RLIMIT_MEMLOCK is 1048576 bytes, ") || !strings.Contains(l[0], " bytes are needed") {
		t.Errorf("reported %q", l)
	}
	t.Log(l)
	setMemlock(t, unix.RLIM_INFINITY)
	d.Do(func() { qdev.Reset(d.mmio) })
	d.probe()
	d.check(5)
}
