package rig

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Build brings the cache of the checkout up to date and returns what is in it.
// It installs and downloads Debian packages when something is missing, which
// needs root and a network; with a full cache it does next to nothing. Progress
// goes to log, one line at a time. Builds of the same checkout wait for each
// other.
func Build(ctx context.Context, checkout string, log io.Writer) (*Artifacts, error) {
	checkout, err := filepath.Abs(checkout)
	if err != nil {
		return nil, err
	}
	b := &builder{Artifacts: newArtifacts(checkout), log: log}
	for _, dir := range []string{b.Dir, b.Results} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	unlock, err := lockCache(b.Dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := b.readRelease(); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	for _, s := range b.stages() {
		if err := b.runStage(ctx, s); err != nil {
			return nil, err
		}
	}
	return b.Artifacts, nil
}

func (b *builder) stages() []stage {
	release := func() (string, error) {
		err := b.readRelease()
		return b.Release, err
	}
	return []stage{
		{
			name: "packages",
			// Missing tools are part of the key: the stage runs when one went away.
			key: func() (string, error) { return digest(missingPackages()...), nil },
			run: b.installMissing,
		},
		{
			name:    "kernel",
			outputs: []string{b.path("release"), b.BzImage, b.busybox()},
			// The headers' Makefile holds the cache's own path.
			key: fixedKey(append([]string{"1", b.Dir, kernelSeries}, unpackPackages...)...),
			run: b.fetchKernel,
		},
		{
			name:    "vdpa-sources",
			outputs: []string{filepath.Join(b.vdpaDir(), "vdpa.c")},
			key: func() (string, error) {
				r, err := release()
				return digest("1", r, sourcePackage), err
			},
			run: b.fetchVDPASources,
		},
		{
			name:    "vdpa-modules",
			outputs: []string{filepath.Join(b.vdpaDir(), "vhost_vdpa.ko")},
			key: func() (string, error) {
				r, err := release()
				return digest("1", r, vdpaKbuild, strings.Join(vdpaModules(), " ")), err
			},
			run: b.buildVDPA,
		},
		{
			name:    "vmlinux",
			outputs: []string{b.VMLinux},
			key: func() (string, error) {
				r, err := release()
				return digest("1", r), err
			},
			run: func(ctx context.Context) error { return extractVMLinux(ctx, b.BzImage, b.VMLinux) },
		},
		{
			name:    "agent",
			outputs: []string{b.agentPath()},
			key:     func() (string, error) { return b.programKey("wire", "cmd/rig-agent") },
			run: func(ctx context.Context) error {
				return b.buildProgram(ctx, b.agentPath(), "./tests/rig/cmd/rig-agent")
			},
		},
		{
			name:    "guest-program",
			outputs: []string{b.guestPath()},
			key:     func() (string, error) { return b.programKey("cmd/rig-guest") },
			run: func(ctx context.Context) error {
				return b.buildProgram(ctx, b.guestPath(), "./tests/rig/cmd/rig-guest")
			},
		},
		{
			name:    "guest-tools",
			outputs: []string{b.path("tools", "sbin", "e2fsck.static")},
			key:     fixedKey("1", fsckPackage),
			run:     b.fetchTools,
		},
		{
			name:    "l1-initramfs",
			outputs: []string{b.L1Init},
			key: func() (string, error) {
				agent, err := digestFiles(b.agentPath(), filepath.Join(b.vdpaDir(), "vhost_vdpa.ko"))
				return digest("1", b.Release, l1InitScript, agent, strings.Join(l1Modules, " "), strings.Join(l1ExtraModules, " ")), err
			},
			run: b.makeL1,
		},
		{
			name:    "l2-initramfs",
			outputs: []string{b.L2Init},
			key: func() (string, error) {
				return digest("1", b.Release, l2InitScript, l2PowerScript, strings.Join(l2Modules, " ")), nil
			},
			run: b.makeL2,
		},
		{
			name:    "l2-tools-initramfs",
			outputs: []string{b.L2Tools},
			key: func() (string, error) {
				program, err := digestFiles(b.guestPath())
				return digest("1", b.Release, l2InitScript, l2PowerScript, program,
					strings.Join(l2Modules, " "), strings.Join(l2ToolModules, " ")), err
			},
			run: b.makeL2Tools,
		},
	}
}
