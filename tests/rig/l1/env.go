package l1

import (
	"os"
	"path/filepath"
	"strings"
)

// Inside says whether this process runs in an L1 of package rig's.
func Inside() bool { return os.Getenv("GQEMU_RIG_L1") != "" }

// Full says whether the whole matrix and the long counts are asked for.
func Full() bool { return os.Getenv("GQEMU_RIG_FULL") != "" }

// DebianQEMU is the VMM that gqemu is compared with.
const DebianQEMU = "/usr/bin/qemu-system-x86_64"

// Binary is the VMM under test.
func Binary() string { return os.Getenv("GQEMU_BINARY") }

// Where the rig put the guest's parts.
func bzImage() string { return os.Getenv("GQEMU_RIG_BZIMAGE") }
func vmlinux() string { return os.Getenv("GQEMU_RIG_VMLINUX") }

// initrd is the guest's initramfs, or the one with tools.
func initrd(tools bool) string {
	if tools {
		return os.Getenv("GQEMU_RIG_INITRD_TOOLS")
	}
	return os.Getenv("GQEMU_RIG_INITRD")
}

// Results is the folder that outlives L1.
func Results() string { return os.Getenv("GQEMU_RIG_RESULTS") }

// isQEMU tells Debian's QEMU, which has no vhost-vdpa-device, by its name.
func isQEMU(binary string) bool {
	return strings.HasPrefix(filepath.Base(binary), "qemu-system-")
}

// The vDPA devices that the rig creates in L1.
const (
	vdpaBlock = "/dev/vhost-vdpa-0"
	vdpaNet   = "/dev/vhost-vdpa-1"
)

// diskBytes is the size of the kernel's block simulator, and of the file that
// stands in for it.
const diskBytes = 128 << 20
