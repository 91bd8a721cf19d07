package rig

import (
	"context"
	_ "embed"
	"errors"
	"os"
	"path/filepath"
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
	w := newCpio()
	if err := b.base(ctx, w, l2Modules, nil); err != nil {
		return err
	}
	w.File("init", 0o755, []byte(l2InitScript))
	// The name under which busybox's acpid looks for an action of EV_KEY,
	// KEY_POWER.
	w.File("etc/acpi/PWRF/00000080", 0o755, []byte(l2PowerScript))
	return replaceFile(b.L2Init, w.Bytes())
}

// agentSources are the Go files the agent is made of.
func (b *builder) agentSources() ([]string, error) {
	var files []string
	for _, dir := range []string{"wire", "cmd/rig-agent"} {
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
