package main

import (
	"runtime/debug"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/accel/kvm"
	"github.com/gqemu/gqemu/accel/qtest"
	"github.com/gqemu/gqemu/entropy"
	"github.com/gqemu/gqemu/hostmem"
	"github.com/gqemu/gqemu/hw/acpi"
	"github.com/gqemu/gqemu/hw/char"
	"github.com/gqemu/gqemu/hw/i386"
	"github.com/gqemu/gqemu/hw/i386/cpu"
	"github.com/gqemu/gqemu/hw/input"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/hw/machine"
	"github.com/gqemu/gqemu/hw/misc"
	"github.com/gqemu/gqemu/hw/nvram"
	"github.com/gqemu/gqemu/hw/pci"
	"github.com/gqemu/gqemu/hw/rtc"
	"github.com/gqemu/gqemu/hw/timer"
	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/hw/vdpa/sim"
	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/hw/virtio/rng"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
	"github.com/gqemu/gqemu/system"
)

// newTypes registers everything the program is made of.
func newTypes() *qom.Registry {
	r := qom.NewRegistry()
	qdev.RegisterTypes(r)
	machine.RegisterTypes(r)
	hostmem.RegisterTypes(r)
	entropy.RegisterTypes(r)
	system.RegisterTypes(r)
	pci.RegisterTypes(r)
	isa.RegisterTypes(r)
	isa.RegisterICH9(r)
	acpi.RegisterTypes(r)
	char.RegisterTypes(r)
	input.RegisterTypes(r)
	intc.RegisterTypes(r)
	misc.RegisterTypes(r)
	misc.RegisterPCITypes(r)
	nvram.RegisterTypes(r)
	rtc.RegisterTypes(r)
	timer.RegisterTypes(r)
	virtio.RegisterTypes(r)
	rng.RegisterTypes(r)
	vdpa.RegisterTypes(r)
	sim.RegisterTypes(r)
	cpu.RegisterTypes(r)
	i386.RegisterTypes(r)
	return r
}

// accelerators lists what -accel takes.
func accelerators() []system.Accelerator {
	return []system.Accelerator{
		{Name: "kvm", Title: "KVM", IRQChip: true, New: func(a system.AccelArgs) (accel.VM, error) {
			return kvm.New(kvm.Options{IRQChip: a.IRQChip, Pins: a.Pins}, a.Handler, a.Lock, a.Log)
		}},
		{Name: "qtest", Title: "QTest", New: func(system.AccelArgs) (accel.VM, error) {
			oneProcessor()
			return qtest.New(), nil
		}},
	}
}

// packageVersion is the package part of the version that clients see.
func packageVersion() string {
	version := "devel"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	return "gqemu-" + version
}
