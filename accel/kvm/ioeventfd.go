package kvm

import (
	"fmt"

	"github.com/gqemu/gqemu/memory"
)

// ports is the listener for the port space. KVM hands every port access out,
// so it has use for ioeventfds only.
type ports struct{ vm *VM }

func (*ports) Begin()                             {}
func (*ports) AddSection(memory.Section) error    { return nil }
func (*ports) RemoveSection(memory.Section) error { return nil }
func (*ports) Commit() error                      { return nil }

// AddEventFD has guest writes to a port signal an eventfd.
func (p *ports) AddEventFD(addr uint64, e memory.IOEventFD) error {
	return p.vm.ioeventfd(addr, e, ioeventfdPIO)
}

// RemoveEventFD undoes AddEventFD.
func (p *ports) RemoveEventFD(addr uint64, e memory.IOEventFD) error {
	return p.vm.ioeventfd(addr, e, ioeventfdPIO|ioeventfdDeassign)
}

// AddEventFD has guest writes to memory signal an eventfd.
func (s *slots) AddEventFD(addr uint64, e memory.IOEventFD) error {
	return s.vm.ioeventfd(addr, e, 0)
}

// RemoveEventFD undoes AddEventFD.
func (s *slots) RemoveEventFD(addr uint64, e memory.IOEventFD) error {
	return s.vm.ioeventfd(addr, e, ioeventfdDeassign)
}

func (vm *VM) ioeventfd(addr uint64, e memory.IOEventFD, flags uint32) error {
	if e.Size == 0 && !vm.caps.anyLength {
		return fmt.Errorf("kvm: no ioeventfd of any length at 0x%x: KVM_CAP_IOEVENTFD_NO_LENGTH is missing", addr)
	}
	k := ioeventfd{addr: addr, len: uint32(e.Size), fd: int32(e.FD), flags: flags}
	if e.Match {
		k.flags |= ioeventfdDatamatch
		k.datamatch = e.Data
	}
	if _, err := ioctl(vm, "KVM_IOEVENTFD", kvmIOEventFD, &k); err != nil {
		return fmt.Errorf("%w (%d bytes at 0x%x)", err, e.Size, addr)
	}
	return nil
}
