// Command mainjob is `make run`: it boots Debian's kernel in gqemu with a disk
// and a network card behind vhost-vdpa, shows the guest's console, asks over
// QMP, lets the guest write and read its disk, and powers it off.
//
// It does so on this machine where KVM can run a guest and a vhost-vdpa device
// exists, and otherwise in the rig (package rig), a machine made for it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gqemu/gqemu/accel/kvm"
	"github.com/gqemu/gqemu/tests/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "main job:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 3 && args[0] == "here" {
		return here(ctx, args[1], args[2])
	}
	checkout, err := rig.Checkout()
	if err != nil {
		return err
	}
	say("preparing the guest's kernel and initramfs (the first time takes minutes)")
	a, err := rig.Build(ctx, checkout, os.Stderr)
	if err != nil {
		return err
	}
	if why := unusable(ctx); why != "" {
		return inRig(ctx, checkout, a, why)
	}
	say("KVM and vhost-vdpa are usable here")
	return here(ctx, a.BzImage, a.L2Init)
}

func say(format string, args ...any) {
	fmt.Printf("--- %s\n", fmt.Sprintf(format, args...))
}

// devices lists the vhost-vdpa devices of this machine.
func devices() []string {
	list, err := filepath.Glob("/dev/vhost-vdpa-*")
	if err != nil {
		return nil // a malformed pattern, which it is not
	}
	return list
}

// unusable says why the job cannot be done on this machine, "" if it can.
func unusable(ctx context.Context) string {
	r, err := kvm.Probe(ctx)
	switch {
	case err != nil:
		return fmt.Sprintf("KVM: %v", err)
	case !r.Usable:
		return "KVM cannot run a guest: " + r.Reason
	case len(devices()) == 0:
		return "there is no /dev/vhost-vdpa-*"
	}
	return ""
}

// inRig boots the rig and does the job inside.
func inRig(ctx context.Context, checkout string, a *rig.Artifacts, why string) error {
	say("not on this machine: %s", why)
	say("booting the rig: KVM and vhost-vdpa in software emulation, where a guest takes about half a minute to boot")
	self := filepath.Join(checkout, ".cache", "rig", "mainjob")
	for target, pkg := range map[string]string{
		self:                                 "./tests/rig/cmd/mainjob",
		filepath.Join(checkout, "bin/gqemu"): "./cmd/gqemu",
	} {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", target, pkg)
		build.Dir, build.Stdout, build.Stderr = checkout, os.Stdout, os.Stderr
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if err := build.Run(); err != nil {
			return fmt.Errorf("go build %s: %w", pkg, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	return rig.Repeat(ctx, os.Stdout, func() error {
		l1, err := rig.Boot(ctx, rig.Options{Artifacts: a, CPUs: 2})
		if err != nil {
			return err
		}
		defer l1.Close()
		code, err := l1.Run(ctx, rig.Cmd{
			Args: []string{self, "here", a.BzImage, a.L2Init}, Dir: checkout,
			Stdin: strings.NewReader(""), Stdout: os.Stdout, Stderr: os.Stderr,
		})
		if err == nil && code != 0 {
			err = fmt.Errorf("it failed inside the rig (exit status %d)", code)
		}
		return err
	})
}

// here does the job on the machine this process runs on.
func here(ctx context.Context, kernel, initrd string) error {
	list := devices()
	if len(list) == 0 {
		return errors.New("there is no /dev/vhost-vdpa-*")
	}
	dir, err := os.MkdirTemp("", "gqemu-run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	j := job{dir: dir, kernel: kernel, initrd: initrd, devices: list}
	return j.run(ctx)
}
