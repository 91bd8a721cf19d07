package rig

import (
	"context"
	_ "embed"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
)

//go:embed initramfs/l1-init
var l1InitScript string

//go:embed initramfs/l2-init
var l2InitScript string

//go:embed initramfs/l2-power
var l2PowerScript string

func (a *Artifacts) busybox() string   { return filepath.Join(a.kernelDir(), "bin", "busybox") }
func (a *Artifacts) agentPath() string { return a.path("rig-agent") }
func (a *Artifacts) guestPath() string { return a.path("rig-guest") }

// base is what both initramfs have: busybox, the modules with a modules.dep
// for them, and the list of those to load.
func (b *builder) base(ctx context.Context, w *cpioWriter, load, extra []string) error {
	for _, d := range []string{"dev", "proc", "sys", "tmp", "run", "root", "etc", "var/log"} {
		w.Dir(d)
	}
	w.Char("dev/console", 0o600, 5, 1)
	w.Char("dev/null", 0o666, 1, 3)
	if err := w.Copy("bin/busybox", 0o755, b.busybox()); err != nil {
		return err
	}
	applets, err := command(ctx, "", b.busybox(), "--list")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(applets)) {
		if name != "busybox" {
			w.Link("bin/"+name, "busybox")
		}
	}
	w.File("modules", 0o644, []byte(strings.Join(load, "\n")+"\n"))

	text, err := os.ReadFile(filepath.Join(b.modulesDir(), "modules.dep"))
	if err != nil {
		return err
	}
	deps, err := parseModulesDep(string(text))
	if err != nil {
		return err
	}
	files, err := deps.closure(append(append([]string(nil), load...), extra...))
	if err != nil {
		return err
	}
	sort.Strings(files)
	var dep strings.Builder
	dir := "lib/modules/" + b.Release + "/"
	for _, f := range files {
		if err := w.Copy(dir+f, 0o644, filepath.Join(b.modulesDir(), f)); err != nil {
			return err
		}
		dep.WriteString(f + ": " + strings.Join(deps[moduleName(f)][1:], " ") + "\n")
	}
	w.File(dir+"modules.dep", 0o644, []byte(dep.String()))
	return nil
}

func (b *builder) makeL1(ctx context.Context) error {
	w := newCpio()
	if err := b.base(ctx, w, l1Modules, l1ExtraModules); err != nil {
		return err
	}
	w.File("init", 0o755, []byte(l1InitScript))
	if err := w.Copy("rig-agent", 0o755, b.agentPath()); err != nil {
		return err
	}
	return replaceFile(b.L1Init, w.Bytes())
}

func (b *builder) makeL2(ctx context.Context) error {
	return b.makeGuest(ctx, b.L2Init, nil, nil)
}

// makeL2Tools makes the initramfs of guests that do more than what busybox
// does: it has a file system with its checker, and rig-guest.
func (b *builder) makeL2Tools(ctx context.Context) error {
	return b.makeGuest(ctx, b.L2Tools, l2ToolModules, map[string]string{
		"bin/e2fsck":    b.path("tools", "sbin", "e2fsck.static"),
		"bin/rig-guest": b.guestPath(),
	})
}

// fetchTools brings the guest's programs that are not ours.
func (b *builder) fetchTools(ctx context.Context) error {
	if err := os.RemoveAll(b.path("tools")); err != nil {
		return err
	}
	if err := os.MkdirAll(b.path("tools"), 0o755); err != nil {
		return err
	}
	return unpack(ctx, b.path("tools"), fsckPackage)
}

func (b *builder) makeGuest(ctx context.Context, path string, modules []string, programs map[string]string) error {
	w := newCpio()
	if err := b.base(ctx, w, l2Modules, modules); err != nil {
		return err
	}
	for name, file := range programs {
		if err := w.Copy(name, 0o755, file); err != nil {
			return err
		}
	}
	w.File("init", 0o755, []byte(l2InitScript))
	// The name under which busybox's acpid looks for an action of EV_KEY,
	// KEY_POWER.
	w.File("etc/acpi/PWRF/00000080", 0o755, []byte(l2PowerScript))
	return replaceFile(path, w.Bytes())
}

// buildProgram builds one of our programs without C, for a machine that has no
// libraries.
func (b *builder) buildProgram(ctx context.Context, path, pkg string) error {
	_, err := command(ctx, b.Checkout, "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, pkg)
	return err
}

// programKey is the key of a stage that builds what is in these folders.
func (b *builder) programKey(dirs ...string) (string, error) {
	files, err := b.goFiles(dirs...)
	if err != nil {
		return "", err
	}
	key, err := digestFiles(files...)
	return digest("1", runtime.Version(), key), err
}

// goFiles are the Go files in folders of the rig's, and go.mod.
func (b *builder) goFiles(dirs ...string) ([]string, error) {
	var files []string
	for _, dir := range dirs {
		list, err := filepath.Glob(filepath.Join(b.Checkout, "tests", "rig", dir, "*.go"))
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, errors.New("no Go files in tests/rig/" + dir)
		}
		files = append(files, list...)
	}
	return append(files, filepath.Join(b.Checkout, "go.mod")), nil
}
