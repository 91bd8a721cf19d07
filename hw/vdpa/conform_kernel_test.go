package vdpa_test

import (
	"os"
	"testing"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/hw/vdpa/vdpatest"
	"github.com/gqemu/gqemu/qdev"
)

// The kernel's block simulator in GQEMU_VDPA_BLK passes the suite that the
// simulator in this process is held to.
func TestKernelConforms(t *testing.T) {
	path := os.Getenv("GQEMU_VDPA_BLK")
	if path == "" {
		t.Skip("GQEMU_VDPA_BLK names no device")
	}
	target := vdpatest.Target{Unsupported: 1, Open: func() (vdpa.Backend, error) { return vdpa.Open(&qdev.Host{}, path) }}
	t.Run("Calls", func(t *testing.T) { vdpatest.Calls(t, target) })
	t.Run("Block", func(t *testing.T) { vdpatest.Block(t, target) })
}
