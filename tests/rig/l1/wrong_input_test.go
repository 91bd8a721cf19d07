package l1

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestWrongInput: each ends with exit code 1 and a clear line, and at once.
func TestWrongInput(t *testing.T) {
	dir := t.TempDir()
	image, err := os.ReadFile(bzImage())
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte, size int64) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if size != 0 {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	headless := write("headless", image[:600], 0)
	huge := write("huge-initrd", nil, 200<<20)
	elf, err := os.ReadFile(vmlinux())
	if err != nil {
		t.Fatal(err)
	}
	half := write("half-elf", elf[:1<<20], 0)

	kernel := []string{"-kernel", bzImage(), "-initrd", initrd(false)}
	device := func(d string) []string { return append([]string{"-device", d}, kernel...) }
	for _, c := range []struct {
		name string
		args []string
		want string // a regular expression over stderr
		vdpa bool
	}{
		{"no vhostdev", device("vhost-vdpa-device"), `vhost-vdpa-device: vhostdev are missing`, true},
		{"a vhostdev that is not there", device("vhost-vdpa-device,vhostdev=/dev/vhost-vdpa-77"),
			`Could not open '/dev/vhost-vdpa-77': No such file or directory`, true},
		{"vhostdev /dev/null", device("vhost-vdpa-device,vhostdev=/dev/null"),
			`vhost-vdpa-device: cmd 0x8004af70 failed: Inappropriate ioctl for device`, true},
		{"queue-size above the device's", device("vhost-vdpa-device,queue-size=512,vhostdev=" + vdpaBlock),
			`vhost-vdpa-device: .*queue.size.*512`, true},
		{"queue-size that is no power of two", device("vhost-vdpa-device,queue-size=100,vhostdev=" + vdpaBlock),
			`queue.size.*100|100.*queue.size`, true},
		{"the same vDPA device twice", append(device("vhost-vdpa-device,vhostdev="+vdpaBlock),
			"-device", "vhost-vdpa-device,vhostdev="+vdpaBlock), `Device or resource busy`, true},
		{"a kernel cut inside its header", []string{"-kernel", headless}, `kernel`, false},
		{"an ELF kernel cut in its segments", []string{"-kernel", half}, `kernel`, false},
		{"a missing kernel", []string{"-kernel", "/nonexistent"},
			`could not open kernel file '/nonexistent': No such file or directory`, false},
		{"an initrd that does not fit", []string{"-m", "128m", "-kernel", bzImage(), "-initrd", huge}, `initrd`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			qemu := isQEMU(Binary())
			if c.vdpa {
				vdpaOnly(t, qemu)
			}
			accel := "-M microvm"
			if qemu {
				accel += ",accel=kvm"
			}
			args := append(strings.Fields(accel+" -nodefaults -display none"), c.args...)
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			var stderr bytes.Buffer
			cmd := exec.CommandContext(ctx, Binary(), args...)
			cmd.Stderr = &stderr
			err := cmd.Run()
			t.Logf("%s\n%s", strings.Join(args, " "), stderr.String())
			if ctx.Err() != nil {
				t.Fatal("it still ran after 30 s")
			}
			if code := cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit code %d (%v), want 1", code, err)
			}
			if !regexp.MustCompile(c.want).MatchString(stderr.String()) {
				t.Errorf("stderr does not match %q", c.want)
			}
		})
	}
}
