package kvm

import (
	"fmt"

	"github.com/gqemu/gqemu/memory"
)

// ports is the listener for the port space. KVM hands every access to a
// device's port out, so it has use for ioeventfds and for the other ports.
type ports struct {
	vm   *VM
	dead deadPorts
}

func newPorts(vm *VM) *ports { return &ports{vm: vm, dead: deadPorts{vm: vm, stale: true}} }

func (*ports) Begin()        {}
func (*ports) Commit() error { return nil }

// AddSection notes ports that a device answers.
func (p *ports) AddSection(sec memory.Section) error {
	return p.dead.add(sec)
}

// RemoveSection notes ports that are not answered any more.
func (p *ports) RemoveSection(sec memory.Section) error {
	p.dead.remove(sec)
	return nil
}

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
