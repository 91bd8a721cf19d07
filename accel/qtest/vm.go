// Package qtest is the accelerator for tests: it runs no guest code. A client
// drives the machine instead, over the qtest protocol (QEMU
// docs/devel/qtest.rst): it reads and writes ports and memory, steps the
// clock and watches interrupt lines.
package qtest

import (
	"os"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/memory"
)

// VM is the accelerator. Its vCPUs exist and can be asked for, but never run.
type VM struct {
	// MSI, if not nil, takes the messages devices send. Set before the machine
	// is built.
	MSI func(accel.MSI)
}

// New makes the accelerator.
func New() *VM { return new(VM) }

func (*VM) Name() string                        { return "qtest" }
func (*VM) IRQChip() accel.IRQChip              { return accel.IRQChipOff }
func (*VM) Memory() memory.Listener             { return nil }
func (*VM) IO() memory.Listener                 { return nil }
func (*VM) SupportedCPUID() []accel.CPUID       { return nil }
func (*VM) SetLine(int, bool) error             { return nil }
func (*VM) SetPinRoutes([]accel.PinRoute) error { return nil }
func (*VM) SetExtINT(bool, func() uint8)        {}
func (*VM) Resume()                             {}
func (*VM) RequestPause()                       {}
func (*VM) WaitPaused()                         {}
func (*VM) Close() error                        { return nil }

// SendMSI has no LAPIC to go to.
func (v *VM) SendMSI(m accel.MSI) error {
	if v.MSI != nil {
		v.MSI(m)
	}
	return nil
}

// NewVCPU makes a vCPU that never runs.
func (*VM) NewVCPU(c accel.CPUConfig) (accel.VCPU, error) { return &vcpu{c}, nil }

type vcpu struct{ config accel.CPUConfig }

func (c *vcpu) Config() accel.CPUConfig     { return c.config }
func (*vcpu) ThreadID() int                 { return os.Getpid() }
func (*vcpu) Reset() error                  { return nil }
func (*vcpu) SetBoot(accel.BootState) error { return nil }
func (*vcpu) Registers() (string, error)    { return "", nil }
