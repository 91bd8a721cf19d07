package rig

import (
	"fmt"
	"os"
	"path/filepath"
)

// Hardware is what an L1 has besides the plain one's.
type Hardware struct {
	// VirtioPCI adds a disk on virtio-pci behind an IOMMU that L1 sees, for the
	// module vp_vdpa. Its data are in the file VirtioPCIDisk of the results
	// folder.
	VirtioPCI bool
	// Disk adds an empty disk on virtio-pci of DiskMiB, for the module
	// virtio_blk: a file system on it is backed by a block device.
	Disk bool
}

// VirtioPCIDisk is the file with the data of the disk for vp_vdpa, of
// VirtioPCIMiB.
const (
	VirtioPCIDisk = "virtio-pci-disk"
	VirtioPCIMiB  = 128
)

// DiskMiB is the size of Hardware.Disk, whose serial number is DiskSerial.
const (
	DiskMiB    = 2048
	DiskSerial = "rig-disk"
	diskFile   = "l1-disk"
)

// arguments are the emulator's, once the files are there.
func (h Hardware) arguments(dir string) (args []string, err error) {
	if h.VirtioPCI {
		path := filepath.Join(dir, VirtioPCIDisk)
		if err := sparseFile(path, VirtioPCIMiB); err != nil {
			return nil, err
		}
		args = append(args, "-device", "intel-iommu",
			"-blockdev", "driver=file,node-name=vp,filename="+path,
			"-device", "virtio-blk-pci,drive=vp,iommu_platform=on,page-per-vq=on,disable-legacy=on,num-queues=2,bus=pcie.0,addr=10")
	}
	if h.Disk {
		path := filepath.Join(dir, diskFile)
		if err := sparseFile(path, DiskMiB); err != nil {
			return nil, err
		}
		args = append(args, "-blockdev", "driver=file,node-name=disk,filename="+path,
			"-device", "virtio-blk-pci,drive=disk,disable-legacy=on,serial="+DiskSerial)
	}
	return args, nil
}

// kernelArguments are L1's kernel's.
func (h Hardware) kernelArguments() string {
	if h.VirtioPCI {
		return " intel_iommu=on"
	}
	return ""
}

// release removes what would only fill the host's disk. Without it the
// clean-up of old results does so.
func (h Hardware) release(dir string) {
	for _, name := range []string{VirtioPCIDisk, diskFile} {
		_ = os.Remove(filepath.Join(dir, name))
	}
}

func sparseFile(path string, mib int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("rig: L1's disk: %w", err)
	}
	defer f.Close()
	return f.Truncate(mib << 20)
}
