package qtest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// helpDifferences lists lines of recorded help texts that are rightly missing
// here, by file and the line's beginning up to the "=".
var helpDifferences = map[string]string{
	"device-isa-serial/serial":       "the UART is not an object of its own",
	"object-memory-backend-file/rom": "memory from files is always writable",
}

// ownHelp lists properties of gqemu's own, which no recording has, by file and
// name.
var ownHelp = map[string]bool{
	"device-virtio-mmio/x-irqfd":       true,
	"device-vhost-vdpa-device/vhostfd": true,
}

// TestHelpTexts: TYPE,help prints what QEMU 8.2.7 prints, on standard output
// with exit status 0.
func TestHelpTexts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/help/*.txt")
	if err != nil || len(files) < 8 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".txt")
		option, typ, _ := strings.Cut(name, "-")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Run(t, patience, "-"+option, typ+",help")
			if o.Code != 0 || o.Stderr != "" {
				t.Errorf("exit status %d, %q", o.Code, o.Stderr)
			}
			want := strings.Split(strings.TrimSuffix(readFile(t, f), "rc=0\n"), "\n")
			have := slices.DeleteFunc(strings.Split(o.Stdout, "\n"), func(l string) bool {
				prop, _, _ := strings.Cut(strings.TrimSpace(l), "=")
				return ownHelp[name+"/"+prop]
			})
			for _, l := range want {
				prop, _, _ := strings.Cut(strings.TrimSpace(l), "=")
				if why := helpDifferences[name+"/"+prop]; why != "" {
					if slices.Contains(have, l) {
						t.Errorf("%q is listed as a difference and is none", l)
					}
					continue
				}
				if !slices.Contains(have, l) {
					t.Errorf("missing: %q", l)
				}
			}
			for _, l := range have {
				if !slices.Contains(want, l) {
					t.Errorf("not in QEMU: %q", l)
				}
			}
			if !t.Failed() && len(have) == len(want) {
				equal(t, "order", have, want)
			}
		})
	}
}

// TestVersion: -version begins as QEMU's does, with the version whose behaviour
// is the model.
func TestVersion(t *testing.T) {
	t.Parallel()
	o := Run(t, patience, "-version")
	if o.Code != 0 || o.Stderr != "" || !strings.HasPrefix(o.Stdout, "QEMU emulator version 8.2.7 (gqemu-") {
		t.Errorf("%+v", o)
	}
}

// TestDeviceList: -device help lists the devices that users can make.
func TestDeviceList(t *testing.T) {
	t.Parallel()
	o := Run(t, patience, "-device", "help")
	for _, want := range []string{"name \"vhost-vdpa-device\", bus virtio-bus, desc \"VDPA-based generic device assignment\"\n", "name \"isa-serial\", bus ISA\n"} {
		if !strings.Contains(o.Stdout, want) {
			t.Errorf("no %q in\n%s", want, o.Stdout)
		}
	}
}
