package rig

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// vdpaSources are the files of the kernel's source that the vDPA modules are
// built from, and their names in the flat folder they are built in.
var vdpaSources = map[string]string{
	"drivers/vdpa/vdpa.c":                  "",
	"drivers/vdpa/vdpa_sim/vdpa_sim.c":     "",
	"drivers/vdpa/vdpa_sim/vdpa_sim.h":     "",
	"drivers/vdpa/vdpa_sim/vdpa_sim_blk.c": "",
	"drivers/vdpa/vdpa_sim/vdpa_sim_net.c": "",
	"drivers/vdpa/vdpa_user/iova_domain.c": "",
	"drivers/vdpa/vdpa_user/iova_domain.h": "",
	"drivers/vdpa/vdpa_user/vduse_dev.c":   "",
	"drivers/vdpa/virtio_pci/vp_vdpa.c":    "",
	"drivers/vhost/vringh.c":               "",
	"drivers/vhost/vhost.h":                "",
	"drivers/vhost/vdpa.c":                 "vhost_vdpa.c", // there are two vdpa.c
	"drivers/virtio/virtio_vdpa.c":         "",
}

const vdpaKbuild = `obj-m := vdpa.o vringh.o vdpa_sim.o vdpa_sim_net.o vdpa_sim_blk.o
obj-m += vduse.o vhost_vdpa.o virtio_vdpa.o vp_vdpa.o
vduse-y := vduse_dev.o iova_domain.o
`

func vdpaModules() []string {
	return []string{"vdpa", "vringh", "vdpa_sim", "vdpa_sim_net", "vdpa_sim_blk",
		"vduse", "vhost_vdpa", "virtio_vdpa", "vp_vdpa"}
}

func (a *Artifacts) vdpaDir() string { return a.path("vdpa") }

// fetchVDPASources takes the vDPA drivers out of Debian's kernel source.
func (b *builder) fetchVDPASources(ctx context.Context) error {
	if err := os.RemoveAll(b.vdpaDir()); err != nil {
		return err
	}
	if err := os.MkdirAll(b.vdpaDir(), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(b.Dir, "source-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	b.printf("vdpa-sources: downloading %s (140 MB)", sourcePackage)
	if err := unpack(ctx, filepath.Join(tmp, "deb"), sourcePackage); err != nil {
		return err
	}
	top := "linux-source-" + kernelSeries
	args := []string{"tar", "-xf", filepath.Join(tmp, "deb", "usr", "src", top+".tar.xz"), "-C", tmp}
	for name := range vdpaSources {
		args = append(args, top+"/"+name)
	}
	if _, err := command(ctx, "", args...); err != nil {
		return err
	}
	for name, flat := range vdpaSources {
		if flat == "" {
			flat = filepath.Base(name)
		}
		if err := os.Rename(filepath.Join(tmp, top, name), filepath.Join(b.vdpaDir(), flat)); err != nil {
			return err
		}
	}
	return nil
}

// buildVDPA builds the modules out of tree and puts them beside the kernel's
// own, where depmod finds them.
func (b *builder) buildVDPA(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(b.vdpaDir(), "Kbuild"), []byte(vdpaKbuild), 0o644); err != nil {
		return err
	}
	if _, err := command(ctx, b.vdpaDir(), "make", "-j2", "-C", b.headersDir(), "M="+b.vdpaDir(), "modules"); err != nil {
		return err
	}
	extra := filepath.Join(b.modulesDir(), "extra")
	if err := os.MkdirAll(extra, 0o755); err != nil {
		return err
	}
	for _, m := range vdpaModules() {
		ko, err := os.ReadFile(filepath.Join(b.vdpaDir(), m+".ko"))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(extra, m+".ko"), ko, 0o644); err != nil {
			return err
		}
	}
	_, err := command(ctx, "", toolPath("depmod"), "-b", b.kernelDir(), b.Release)
	return err
}

// toolPath is the program's path when it is one of root's.
func toolPath(name string) string {
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if p := filepath.Join(dir, name); allExist([]string{p}) {
			return p
		}
	}
	return name
}

// moduleDeps is what depmod wrote into modules.dep: a module's name to its
// file and, in the order written, the files it depends on.
type moduleDeps map[string][]string

func parseModulesDep(text string) (moduleDeps, error) {
	deps := make(moduleDeps)
	for _, line := range strings.Split(text, "\n") {
		if line == "" {
			continue
		}
		file, rest, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("modules.dep: no colon in %q", line)
		}
		deps[moduleName(file)] = append([]string{file}, strings.Fields(rest)...)
	}
	return deps, nil
}

// moduleName is the name modprobe knows: dashes and underscores are one.
func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".ko"), "-", "_")
}

// closure returns the files of the named modules and of all they depend on,
// each once.
func (d moduleDeps) closure(names []string) ([]string, error) {
	var files []string
	seen := make(map[string]bool)
	for _, n := range names {
		list, ok := d[moduleName(n)]
		if !ok {
			return nil, fmt.Errorf("the kernel has no module %s", n)
		}
		for _, f := range list {
			if !seen[f] {
				seen[f] = true
				files = append(files, f)
			}
		}
	}
	return files, nil
}
