package kvm

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/gqemu/gqemu/memory"
)

// slots is the memory listener: it keeps KVM's memory slots as the RAM of an
// address space is laid out.
//
// Changes are collected and made at Commit. Where a slot goes and another
// comes in one transaction, guest code may meet neither, so the vCPUs are
// kept out of the guest for that moment.
type slots struct {
	vm   *VM
	page uint64

	gone []memory.Section
	come []memory.Section

	mu  sync.Mutex // guards the below for readers that lack the VM lock
	set []slot
}

// slot is one KVM memory slot, of whole pages.
type slot struct {
	id       uint32
	addr     uint64
	host     uintptr
	bytes    []byte
	readonly bool
}

func newSlots(vm *VM) *slots { return &slots{vm: vm, page: uint64(os.Getpagesize())} }

// Begin starts a transaction.
func (s *slots) Begin() { s.gone, s.come = nil, nil }

// AddSection notes RAM that appears. Errors come from Commit.
func (s *slots) AddSection(sec memory.Section) error {
	if sec.IsRAM() {
		s.come = append(s.come, sec)
	}
	return nil
}

// RemoveSection notes RAM that goes away.
func (s *slots) RemoveSection(sec memory.Section) error {
	if sec.IsRAM() {
		s.gone = append(s.gone, sec)
	}
	return nil
}

// Commit makes the changes. A section whose slot cannot be made is not
// added; the others are.
func (s *slots) Commit() error {
	var remove, add []slot
	var errs []error
	for _, sec := range s.gone {
		if sl, ok, _ := s.slotOf(sec); ok {
			remove = append(remove, sl)
		}
	}
	for _, sec := range s.come {
		sl, ok, err := s.slotOf(sec)
		errs = append(errs, err)
		if !ok {
			continue
		}
		if i := slices.IndexFunc(remove, sl.same); i >= 0 {
			remove = slices.Delete(remove, i, i+1)
			continue
		}
		add = append(add, sl)
	}
	s.gone, s.come = nil, nil
	if len(remove) > 0 && len(add) > 0 {
		defer s.vm.stopGuests()()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sl := range remove {
		errs = append(errs, s.remove(sl))
	}
	for _, sl := range add {
		errs = append(errs, s.add(sl))
	}
	return errors.Join(errs...)
}

func (a slot) same(b slot) bool {
	return a.addr == b.addr && a.host == b.host && len(a.bytes) == len(b.bytes) && a.readonly == b.readonly
}

// slotOf is the slot, without an id, for the whole pages of a section. There
// is none for less than a page, nor for ROM where the kernel has no
// read-only slots; accesses there reach the Handler.
func (s *slots) slotOf(sec memory.Section) (slot, bool, error) {
	ram := sec.Region.RAM()
	head := -sec.Addr & (s.page - 1)
	size := sec.Last - sec.Addr + 1
	if size <= head || (size-head)&^(s.page-1) == 0 || (sec.ReadOnly && !s.vm.caps.readonly) {
		return slot{}, false, nil
	}
	size = (size - head) &^ (s.page - 1)
	sl := slot{
		addr:     sec.Addr + head,
		host:     ram.HostAddr() + uintptr(sec.Offset+head),
		bytes:    sec.Bytes()[head : head+size],
		readonly: sec.ReadOnly,
	}
	if uint64(sl.host)&(s.page-1) != 0 {
		return slot{}, false, fmt.Errorf("kvm: RAM %s at 0x%x does not start on a page of the host", ram.Name(), sec.Addr)
	}
	return sl, true, nil
}

func (s *slots) add(sl slot) error {
	for slices.ContainsFunc(s.set, func(x slot) bool { return x.id == sl.id }) {
		sl.id++
	}
	if int(sl.id) >= s.vm.caps.memslots {
		return fmt.Errorf("kvm: no free memory slot for 0x%x bytes at 0x%x", len(sl.bytes), sl.addr)
	}
	if err := s.put(sl, uint64(len(sl.bytes))); err != nil {
		return err
	}
	s.set = append(s.set, sl)
	return nil
}

func (s *slots) remove(sl slot) error {
	i := slices.IndexFunc(s.set, sl.same)
	if i < 0 {
		return nil // it could not be added
	}
	if err := s.put(s.set[i], 0); err != nil {
		return err
	}
	s.set = slices.Delete(s.set, i, i+1)
	return nil
}

// put makes the slot, or with a size of 0 removes it.
func (s *slots) put(sl slot, size uint64) error {
	r := userspaceMemoryRegion{
		slot:          sl.id,
		guestPhysAddr: sl.addr,
		size:          size,
		userspaceAddr: uint64(sl.host),
	}
	if sl.readonly {
		r.flags = memReadonly
	}
	if _, err := ioctl(s.vm, "KVM_SET_USER_MEMORY_REGION", kvmSetUserMemRegion, &r); err != nil {
		return fmt.Errorf("%w (slot %d, 0x%x bytes at 0x%x)", err, sl.id, size, sl.addr)
	}
	return nil
}

// read copies guest RAM at a guest physical address and tells whether there
// was any.
func (s *slots) read(p []byte, addr uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sl := range s.set {
		if off := addr - sl.addr; addr >= sl.addr && off < uint64(len(sl.bytes)) {
			return copy(p, sl.bytes[off:]) == len(p)
		}
	}
	return false
}
