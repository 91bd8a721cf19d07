package rig

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The unpacked packages: image, headers, kbuild and busybox.
func (a *Artifacts) kernelDir() string { return a.path("debian") }
func (a *Artifacts) modulesDir() string {
	return filepath.Join(a.kernelDir(), "lib", "modules", a.Release)
}
func (a *Artifacts) headersDir() string {
	return filepath.Join(a.kernelDir(), "usr", "src", "linux-headers-"+a.Release)
}

// readRelease learns which kernel the cache holds.
func (a *Artifacts) readRelease() error {
	b, err := os.ReadFile(a.path("release"))
	if err != nil {
		return err
	}
	a.Release = strings.TrimSpace(string(b))
	return nil
}

// fetchKernel chooses the newest kernel and unpacks what belongs to it. The
// choice stays until the cache is removed.
func (b *builder) fetchKernel(ctx context.Context) error {
	if err := os.RemoveAll(b.kernelDir()); err != nil {
		return err
	}
	if err := aptUpdate(ctx); err != nil {
		return err
	}
	version, err := newestKernel(ctx)
	if err != nil {
		return err
	}
	names := make([]string, len(unpackPackages))
	for i, p := range unpackPackages {
		names[i] = strings.ReplaceAll(p, "@", version)
	}
	b.printf("kernel: downloading %s", strings.Join(names, " "))
	if err := os.MkdirAll(b.kernelDir(), 0o755); err != nil {
		return err
	}
	if err := unpack(ctx, b.kernelDir(), names...); err != nil {
		return err
	}
	b.Release = version + "-amd64"
	// The headers expect to be at home in /usr/src.
	common := filepath.Join(b.kernelDir(), "usr", "src", "linux-headers-"+version+"-common")
	makefile := filepath.Join(b.headersDir(), "Makefile")
	text, err := os.ReadFile(makefile)
	if err != nil {
		return err
	}
	moved := strings.Replace(string(text), "/usr/src/linux-headers-"+version+"-common", common, 1)
	if moved == string(text) {
		return fmt.Errorf("%s does not include the common headers' Makefile", makefile)
	}
	if err := os.WriteFile(makefile, []byte(moved), 0o644); err != nil {
		return err
	}
	image := filepath.Join(b.kernelDir(), "boot", "vmlinuz-"+b.Release)
	if err := os.Rename(image, b.BzImage); err != nil {
		return err
	}
	// The vDPA modules were beside the kernel's own, and are to be built anew.
	if err := os.Remove(filepath.Join(b.vdpaDir(), "vhost_vdpa.ko")); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.WriteFile(b.path("release"), []byte(b.Release+"\n"), 0o644)
}
