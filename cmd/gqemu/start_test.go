package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/system"
)

// TestSignalDuringStart: a signal that arrives while the VM is being made is
// never lost: the VM is not made, or Run gets the signal.
func TestSignalDuringStart(t *testing.T) {
	failed := 0
	for range 50 {
		cfg, err := cli.Env{CheckFilename: checkFilename}.Parse(
			strings.Fields("gqemu -M microvm -accel qtest -nodefaults -display none -m 16"))
		if err != nil {
			t.Fatal(err)
		}
		signals := make(chan os.Signal, 1)
		signals <- syscall.SIGTERM
		vm, err := system.New(cfg, system.Env{
			Types: newTypes(), Accelerators: accelerators(), Stdout: io.Discard, Stderr: io.Discard,
			Log: zerolog.Nop(), Signals: signals,
		})
		if err != nil {
			failed++
			continue
		}
		if len(signals) == 0 {
			t.Error("the signal is gone and the VM there")
		}
		vm.Close()
	}
	if failed == 0 {
		t.Error("no signal was seen while the VM was made")
	}
}

// TestAcceleratorFallback: when the first accelerator fails and the next one
// works, the user is told of both.
func TestAcceleratorFallback(t *testing.T) {
	cfg, err := cli.Env{CheckFilename: checkFilename}.Parse(
		strings.Fields("gqemu -M none,accel=kvm:qtest -nodefaults -display none"))
	if err != nil {
		t.Fatal(err)
	}
	accels := accelerators()
	accels[0].New = func(system.AccelArgs) (accel.VM, error) {
		return nil, &accel.InitError{Detail: "Could not access KVM kernel module: No such file or directory", Err: syscall.ENOENT}
	}
	var out bytes.Buffer
	vm, err := system.New(cfg, system.Env{
		Types: newTypes(), Accelerators: accels, Stdout: io.Discard, Stderr: &out, Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err, out.String())
	}
	vm.Close()
	want := "Could not access KVM kernel module: No such file or directory\n" +
		"gqemu: failed to initialize kvm: No such file or directory\ngqemu: falling back to QTest\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
