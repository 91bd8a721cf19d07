package l1

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/tests/rig"
)

// TestVirtioPCI: a guest on a virtio-pci disk of L1's behind L1's IOMMU, by
// the module vp_vdpa. It has a limited range of addresses, it cannot be
// suspended, and its rings begin at 0 and nowhere else.
func TestVirtioPCI(t *testing.T) {
	vdpaOnly(t, isQEMU(Binary()))
	device := addVDPA(t, "vp0", "pci/"+bindVirtioPCI(t))
	image := filepath.Join(Results(), rig.VirtioPCIDisk)
	outside := pattern(2, imageMiB<<20)
	f, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(outside, outsideAt<<20); err != nil {
		t.Fatal(err)
	}
	f.Close()

	g := boot(t, Config{Modern: true, MemoryMiB: 256, Block: true, Device: device})
	sub(t, g, "24 MiB survive dropped caches", checkBlock)
	sub(t, g, "the image is the same on both sides", func(g *Guest) { checkImage(g, image, outside) })
	sub(t, g, "virtio_blk reloads ten times without a leak", checkReload)
	sub(t, g, "after stop and cont the guest is told that the ring cannot go on", checkNoVringBase)
	sub(t, g, "a reload of the driver recovers", checkDriverRecovers)
	sub(t, g, "the device can be deleted, and is gone once the VMM is", func(g *Guest) { checkDeleted(g, "vp0") })
}

// bindVirtioPCI gives the disk of rig.Hardware.VirtioPCI to vp_vdpa and
// returns its PCI address.
func bindVirtioPCI(t *testing.T) string {
	t.Helper()
	const device = "0000:00:10.0" // rig.Hardware
	dir := "/sys/bus/pci/devices/" + device
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("L1 has no virtio-pci disk; give it one with -virtio-pci: %v", err)
	}
	tool(t, "modprobe", "vp_vdpa")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	const driver = "vp-vdpa" // as vp_vdpa calls itself
	write(dir+"/driver_override", driver)
	if _, err := os.Stat(dir + "/driver"); err == nil {
		write(dir+"/driver/unbind", device)
	}
	write("/sys/bus/pci/drivers_probe", device)
	if link, err := os.Readlink(dir + "/driver"); err != nil || filepath.Base(link) != driver {
		t.Fatalf("the disk's driver is %s, %v", link, err)
	}
	return device
}

// checkNoVringBase: what has run cannot go on after a stop, for the device
// takes no place to go on from. The guest is told, and the VM runs.
func checkNoVringBase(g *Guest) {
	mark := g.QMP.Mark()
	g.Run("stop", nil)
	g.Event(mark, "STOP")
	g.Run("cont", nil)
	g.Event(mark, "RESUME")
	waitBroken(g)
	e := g.Event(mark, stateEvent)
	g.T.Logf("%s %v", e.Event, e.Data)
	if e.Data["state"] != "broken" || e.Data["verb"] != "VHOST_SET_VRING_BASE" || e.Data["errno"] != float64(unix.EOPNOTSUPP) {
		g.Fatalf("the event says %v", e.Data)
	}
	if !strings.Contains(g.Stderr(), "VRING_BASE") {
		g.Fatalf("stderr does not name the call that failed")
	}
	if s := g.Status(); s != "running" {
		g.Fatalf("query-status says %s", s)
	}
}

// needsReset is DEVICE_NEEDS_RESET; virtio 1.2 section 2.1.
const needsReset = 0x40

// waitBroken waits until client and guest see that the device works no more.
func waitBroken(g *Guest) {
	g.T.Helper()
	for end := time.Now().Add(time.Minute); deviceState(g) != "broken"; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			g.Fatalf("x-state is %s", deviceState(g))
		}
	}
	status := g.Number("cat /sys/bus/virtio/devices/virtio0/status")
	if status&needsReset == 0 {
		g.Fatalf("the device's status is %#x, without DEVICE_NEEDS_RESET", status)
	}
	g.T.Logf("x-error: %s; the device's status in the guest: %#x", property(g, "x-error"), status)
}

// checkDriverRecovers: a reset by the guest's driver makes the device work.
func checkDriverRecovers(g *Guest) {
	mark := g.QMP.Mark()
	g.Sh("rmmod virtio_blk && modprobe virtio_blk")
	g.Until("/dev/vda is back", "test -b /dev/vda", time.Minute)
	if s := deviceState(g); s != "running" {
		g.Fatalf("x-state is %s", s)
	}
	if e := g.Event(mark, stateEvent); e.Data["state"] == "broken" {
		g.Fatalf("the event says %v", e.Data)
	}
	checkDisk(g)
}
