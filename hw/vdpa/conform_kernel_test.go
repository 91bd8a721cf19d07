package vdpa_test

import (
	"os"
	"testing"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/hw/vdpa/vdpatest"
	"github.com/gqemu/gqemu/qdev"
)

// The kernel's simulators in GQEMU_VDPA_BLK and GQEMU_VDPA_NET pass the suite
// that those in this process are held to.
func TestKernelConforms(t *testing.T) {
	t.Run("block", func(t *testing.T) {
		target := kernelDevice(t, "GQEMU_VDPA_BLK")
		target.Unsupported = 1
		t.Run("Calls", func(t *testing.T) { vdpatest.Calls(t, target) })
		t.Run("Block", func(t *testing.T) { vdpatest.Block(t, target) })
	})
	t.Run("network", func(t *testing.T) {
		target := kernelDevice(t, "GQEMU_VDPA_NET")
		target.ConfigSticks = true
		t.Run("Calls", func(t *testing.T) { vdpatest.Calls(t, target) })
		t.Run("Net", func(t *testing.T) { vdpatest.Net(t, target) })
	})
}

func kernelDevice(t *testing.T, name string) vdpatest.Target {
	path := os.Getenv(name)
	if path == "" {
		t.Skipf("%s names no device", name)
	}
	return vdpatest.Target{Open: func() (vdpa.Backend, error) { return vdpa.Open(&qdev.Host{}, path) }}
}
