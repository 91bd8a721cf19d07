package rig

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// missingPackages returns which of installPackages the host lacks.
func missingPackages() []string {
	var missing []string
	for _, p := range installPackages {
		if filepath.IsAbs(p.provides) {
			if _, err := os.Stat(p.provides); err == nil {
				continue
			}
		} else if lookTool(p.provides) {
			continue
		}
		missing = append(missing, p.name)
	}
	return missing
}

// lookTool finds a program in PATH or where Debian keeps root's, which is not
// in everybody's PATH.
func lookTool(name string) bool {
	if _, err := exec.LookPath(name); err == nil {
		return true
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// installMissing installs the tools that the host lacks. It asks nothing.
func (b *builder) installMissing(ctx context.Context) error {
	missing := missingPackages()
	if len(missing) == 0 {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("these packages are missing: %s; install them, or run this as root", strings.Join(missing, " "))
	}
	b.printf("apt-get install %s", strings.Join(missing, " "))
	if err := aptUpdate(ctx); err != nil {
		return err
	}
	if _, err := command(ctx, "", append([]string{"apt-get", "install", "-y", "-q", "--no-install-recommends"}, missing...)...); err != nil {
		return err
	}
	if still := missingPackages(); len(still) != 0 {
		return fmt.Errorf("installed, but still missing what these should bring: %s", strings.Join(still, " "))
	}
	return nil
}

func aptUpdate(ctx context.Context) error {
	_, err := command(ctx, "", "apt-get", "update", "-q")
	return err
}

// newestKernel asks apt for the newest release, such as 6.1.0-56, of which
// both image and headers exist.
func newestKernel(ctx context.Context) (string, error) {
	image, err := command(ctx, "", "apt-cache", "pkgnames", "linux-image-"+kernelSeries+".")
	if err != nil {
		return "", err
	}
	headers, err := command(ctx, "", "apt-cache", "pkgnames", "linux-headers-"+kernelSeries+".")
	if err != nil {
		return "", err
	}
	return chooseKernel(image, headers)
}

func chooseKernel(images, headers []byte) (string, error) {
	abis := func(list []byte, prefix string) map[int]bool {
		m := make(map[int]bool)
		for s := bufio.NewScanner(bytes.NewReader(list)); s.Scan(); {
			name, ok := strings.CutPrefix(s.Text(), prefix+kernelSeries+".0-")
			name, ok2 := strings.CutSuffix(name, "-amd64")
			if abi, err := strconv.Atoi(name); ok && ok2 && err == nil {
				m[abi] = true
			}
		}
		return m
	}
	withHeaders := abis(headers, "linux-headers-")
	newest := -1
	for abi := range abis(images, "linux-image-") {
		if withHeaders[abi] {
			newest = max(newest, abi)
		}
	}
	if newest < 0 {
		return "", errors.New("apt knows no linux-image-" + kernelSeries + ".0-NN-amd64 with headers of the same NN; is this Debian 12?")
	}
	return fmt.Sprintf("%s.0-%d", kernelSeries, newest), nil
}

// unpack downloads packages and unpacks them into dir, without installing
// them: dpkg's database does not change and no package of the host's has to
// give way.
func unpack(ctx context.Context, dir string, packages ...string) error {
	debs, err := os.MkdirTemp(filepath.Dir(dir), "debs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(debs)
	// Run as root, apt would drop to a user who may not write here, and say so.
	args := append([]string{"apt-get", "download", "-q", "-o", "APT::Sandbox::User=root"}, packages...)
	if _, err := command(ctx, debs, args...); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return err
	}
	if len(files) != len(packages) {
		return fmt.Errorf("apt-get download brought %d files for %d packages", len(files), len(packages))
	}
	for _, f := range files {
		if _, err := command(ctx, "", "dpkg", "-x", f, dir); err != nil {
			return err
		}
	}
	return nil
}
