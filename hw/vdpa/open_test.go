package vdpa

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// plugExactly plugs a device with exactly these properties.
func (r *rig) plugExactly(props ...string) error {
	var err error
	r.Do(func() {
		_, err = r.Create("vhost-vdpa-device", r.mmio.Buses()[0], func(d qdev.Device) error {
			for _, p := range props {
				name, v, _ := strings.Cut(p, "=")
				if err := qom.Set(d, name, qom.Keyval(v)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return err
}

// vhostfd= takes a descriptor for good: it is closed once when the device
// fails, and untouched where the device did not get to take it.
func TestVhostFD(t *testing.T) {
	r := newMachine(t, false, NewRecorder("x", 1))
	fd, err := unix.Open(filepath.Join(t.TempDir(), "file"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	fds := openFDs(t)
	var asked []string
	r.TakeFD = func(name string) (int, error) {
		asked = append(asked, name)
		if name == "mine" {
			return fd, nil
		}
		return -1, errors.New("File descriptor named '" + name + "' has not been found")
	}
	for props, want := range map[string]string{
		"": "vhost-vdpa-device: vhostdev are missing",
		"vhostfd=mine vhostdev=/dev/vhost-vdpa-0": "vhost-vdpa-device: vhostdev= and vhostfd= are mutually exclusive",
		"vhostdev= vhostfd=":                      "vhost-vdpa-device: vhostdev= and vhostfd= are mutually exclusive",
	} {
		if err := r.plugExactly(strings.Fields(props)...); err == nil || err.Error() != "vhost-vdpa-device: "+want {
			t.Errorf("%q: %v", props, err)
		}
	}
	if len(asked) != 0 || openFDs(t) != fds {
		t.Fatalf("asked for %q, %d descriptors, %d before", asked, openFDs(t), fds)
	}
	for props, want := range map[string]string{
		"vhostfd=yours": "vhost-vdpa-device: unable to parse vhostfd: File descriptor named 'yours' has not been found",
		"vhostfd=":      "vhost-vdpa-device: unable to parse vhostfd: File descriptor named '' has not been found",
		"vhostfd=mine":  "vhost-vdpa-device: cmd 0x8004af70 failed: Inappropriate ioctl for device",
	} {
		if err := r.plugExactly(props); err == nil || err.Error() != "vhost-vdpa-device: "+want {
			t.Errorf("%q: %v", props, err)
		}
	}
	slices.Sort(asked)
	if !slices.Equal(asked, []string{"", "mine", "yours"}) || openFDs(t) != fds-1 {
		t.Errorf("asked for %q, %d descriptors, %d before", asked, openFDs(t), fds)
	}
	r.TakeFD = nil
	if err := r.plugExactly("vhostfd=mine"); err == nil {
		t.Error("a machine without descriptors gave one")
	}
}
