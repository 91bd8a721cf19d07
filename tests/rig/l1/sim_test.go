package l1

import "testing"

// TestSimulator: a guest on gqemu's own vDPA devices, with a limit on pinned
// memory under which the kernel's do not work. What the kernel's devices are
// held to holds for them.
func TestSimulator(t *testing.T) {
	vdpaOnly(t, isQEMU(Binary()))
	g := boot(t, Config{
		Modern: true, MemoryMiB: 256, Memlock: 64 << 10, SimNet: "/objects/n0",
		Args: []string{
			"-object", "vdpa-sim-blk,id=d0,size=128M", "-device", "vhost-vdpa-device,vhostdev=/objects/d0",
			"-object", "vdpa-sim-net,id=n0", "-device", "vhost-vdpa-device,vhostdev=/objects/n0",
		},
	})
	sub(t, g, "virtio-mmio is modern", checkTransport)
	sub(t, g, "24 MiB survive dropped caches", checkBlock)
	sub(t, g, "tx and rx rise together", checkNet)
	sub(t, g, "virtio_blk reloads ten times without a leak", checkReload)
	sub(t, g, "no request hangs over random stop and cont", checkRandomStops)
	sub(t, g, "poweroff ends the VMM", checkPoweroff)
}
