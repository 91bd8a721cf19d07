package rig

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const modulePath = "github.com/gqemu/gqemu"

// Checkout returns the root of the gqemu source tree that the working
// directory lies in.
func Checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if isCheckout(filepath.Join(d, "go.mod")) {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("rig: %s is not inside a checkout of %s", dir, modulePath)
		}
	}
}

func isCheckout(gomod string) bool {
	f, err := os.Open(gomod)
	if err != nil {
		return false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, ok := strings.CutPrefix(strings.TrimSpace(s.Text()), "module "); ok {
			return strings.TrimSpace(name) == modulePath
		}
	}
	return false
}

// Artifacts are what Build leaves behind; all are absolute paths unless said
// otherwise.
type Artifacts struct {
	Checkout string
	Dir      string // the cache, <checkout>/.cache/rig
	Results  string // the folder of all runs' results

	Release string // the kernel's release, such as 6.1.0-56-amd64; not a path
	BzImage string // Debian's vmlinuz
	VMLinux string // the ELF file inside it, with the PVH entry note
	L1Init  string // L1's initramfs
	L2Init  string // the guest's initramfs
	L2Tools string // the same with an ext4 file system, its checker and rig-guest
}

func newArtifacts(checkout string) *Artifacts {
	dir := filepath.Join(checkout, ".cache", "rig")
	return &Artifacts{
		Checkout: checkout,
		Dir:      dir,
		Results:  filepath.Join(dir, "results"),
		BzImage:  filepath.Join(dir, "vmlinuz"),
		VMLinux:  filepath.Join(dir, "vmlinux"),
		L1Init:   filepath.Join(dir, "l1.cpio"),
		L2Init:   filepath.Join(dir, "l2.cpio"),
		L2Tools:  filepath.Join(dir, "l2-tools.cpio"),
	}
}

// path returns a path inside the cache.
func (a *Artifacts) path(elem ...string) string {
	return filepath.Join(append([]string{a.Dir}, elem...)...)
}

// lockCache makes builds of one checkout wait for each other. The lock ends
// with the process at the latest.
func lockCache(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("rig: lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}
