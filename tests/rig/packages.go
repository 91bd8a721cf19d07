package rig

// What the rig needs from Debian 12 is listed here and nowhere else.

// kernelSeries is the stable series of Debian's kernel that the rig runs, in
// L1 and in L2.
const kernelSeries = "6.1"

// installPackages are installed on the host when a program of theirs is
// missing. They are tools that run here; what only ends up inside the machines
// is unpacked into the cache instead, so that no package of the host's is
// replaced.
var installPackages = []struct {
	name string
	// provides is a program looked up to see whether the package is needed,
	// or an absolute path.
	provides string
}{
	{"qemu-system-x86", "qemu-system-x86_64"},     // L1's emulator, and the VMM to compare with
	{"kmod", "modprobe"},                          // depmod, modprobe
	{"iproute2", "vdpa"},                          // the vdpa tool
	{"qemu-system-common", "qemu-storage-daemon"}, // vDPA devices in user space
	{"e2fsprogs", "mkfs.ext4"},
	{"xz-utils", "xz"},   // the kernel's payload and the source tarball
	{"gcc-12", "gcc-12"}, // the compiler Debian's kernel was built with
	{"make", "make"},
	{"libc6-dev", "/usr/include/stdio.h"},
	{"libelf1", "/usr/lib/x86_64-linux-gnu/libelf.so.1"}, // objtool of linux-kbuild
}

// unpackPackages are downloaded and unpacked into the cache. "@" stands for
// the kernel's release, such as 6.1.0-56.
var unpackPackages = []string{
	"linux-image-@-amd64",
	"linux-headers-@-amd64",
	"linux-headers-@-common",
	"linux-kbuild-" + kernelSeries,
	"busybox-static",
}

// fsckPackage holds an e2fsck that needs no libraries, for the guest.
const fsckPackage = "e2fsck-static"

// sourcePackage holds the sources of the vDPA modules, which Debian's kernel
// is built without. It may be a newer 6.1.x than the kernel.
const sourcePackage = "linux-source-" + kernelSeries

// l1Modules are loaded in L1, in this order; their dependencies come along.
var l1Modules = []string{
	"virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console",
	"kvm-amd", "tun", "vhost_net",
	"vdpa", "vhost_vdpa", "vdpa_sim_blk", "vdpa_sim_net", "vduse",
}

// l1ExtraModules are put into L1's initramfs and loaded by whoever wants them.
var l1ExtraModules = []string{"vp_vdpa", "virtio_vdpa", "virtio_blk", "virtio_net", "ext4", "crc32c_generic"}

// l2Modules are loaded in the guest, those that may wait for a device last.
var l2Modules = []string{
	"button", "evdev", "qemu_fw_cfg", "virtio_mmio", "virtio_pci",
	"virtio_net", "virtio_blk",
}

// l2ToolModules are in the initramfs with tools, for whoever loads them.
var l2ToolModules = []string{"ext4", "crc32c_generic"}
