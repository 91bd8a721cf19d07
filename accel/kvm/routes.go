package kvm

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/sys"
)

// maxGSI bounds the interrupt numbers that get a route (KVM_MAX_IRQ_ROUTES
// is 4096).
const maxGSI = 4096

// routes is KVM's table of where an interrupt number leads, and the irqfds
// that feed it.
//
// A masked pin of an emulated IOAPIC keeps its last route: KVM derives from
// the routes of the first Options.Pins numbers which level-triggered vectors
// end in KVM_EXIT_IOAPIC_EOI, and Linux masks a pin while its vector is in
// service. So that nothing gets past the mask, an irqfd of a masked pin
// is taken off meanwhile; what is signalled then stays in its eventfd, and
// KVM delivers it when the irqfd is put on again.
type routes struct {
	vm *VM

	mu     sync.Mutex
	fixed  []routingEntry // of KVM's own chips
	msi    map[int]accel.MSI
	masked map[int]bool // pins
	irqfds map[int][]int
}

func newRoutes(vm *VM) *routes {
	return &routes{
		vm:     vm,
		msi:    map[int]accel.MSI{},
		masked: map[int]bool{},
		irqfds: map[int][]int{},
	}
}

// defaults are the routes of a PC: ISA lines go to both PIC and IOAPIC, and
// line 0 to the IOAPIC's pin 2.
func (r *routes) defaults() {
	chip := func(gsi, chip, pin int) {
		e := routingEntry{gsi: uint32(gsi), typ: routingIRQChip}
		e.u[0], e.u[1] = uint32(chip), uint32(pin)
		r.fixed = append(r.fixed, e)
	}
	for i := range 8 {
		chip(i, chipPICMaster, i)
		chip(8+i, chipPICSlave, i)
	}
	chip(0, chipIOAPIC, 2)
	for i := 1; i < ioapicPins; i++ {
		if i != 2 {
			chip(i, chipIOAPIC, i)
		}
	}
}

// commit gives the kernel the whole table; mu is held or not yet needed.
func (r *routes) commit() error {
	entries := slices.Clone(r.fixed)
	gsis := make([]int, 0, len(r.msi))
	for gsi := range r.msi {
		gsis = append(gsis, gsi)
	}
	slices.Sort(gsis)
	for _, gsi := range gsis {
		m := r.msi[gsi]
		e := routingEntry{gsi: uint32(gsi), typ: routingMSI}
		e.u[0], e.u[1], e.u[2] = uint32(m.Addr), uint32(m.Addr>>32), m.Data
		entries = append(entries, e)
	}
	size := int(sys.Sizeof[routingEntry]())
	buf := make([]byte, 8, 8+len(entries)*size)
	binary.NativeEndian.PutUint32(buf, uint32(len(entries)))
	for i := range entries {
		buf = append(buf, sys.Bytes(&entries[i])...)
	}
	_, err := ioctl(r.vm, "KVM_SET_GSI_ROUTING", kvmSetGSIRouting, &buf[0])
	return err
}

// SetPinRoutes tells what the emulated IOAPICs' pins send.
func (vm *VM) SetPinRoutes(list []accel.PinRoute) error {
	if vm.opts.IRQChip != accel.IRQChipSplit {
		return nil
	}
	r := vm.routes
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range list {
		if p.GSI < 0 || p.GSI >= vm.opts.Pins {
			return fmt.Errorf("kvm: no IOAPIC pin %d", p.GSI)
		}
	}
	changed := false
	var err error
	for _, p := range list {
		if p.Masked && !r.masked[p.GSI] {
			r.masked[p.GSI] = true
			for _, fd := range r.irqfds[p.GSI] {
				err = firstError(err, r.assign(p.GSI, fd, irqfdDeassign))
			}
		}
		if old, ok := r.msi[p.GSI]; !p.Masked && (!ok || old != p.MSI) {
			r.msi[p.GSI] = p.MSI
			changed = true
		}
	}
	if changed {
		err = firstError(err, r.commit())
	}
	for _, p := range list {
		if !p.Masked && r.masked[p.GSI] {
			r.masked[p.GSI] = false
			for _, fd := range r.irqfds[p.GSI] {
				err = firstError(err, r.assign(p.GSI, fd, 0))
			}
		}
	}
	return err
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// AddMSIRoute finds a free interrupt number for a device's message, to be
// used with AddIRQFD.
func (vm *VM) AddMSIRoute(m accel.MSI) (gsi int, err error) {
	if vm.opts.IRQChip == accel.IRQChipOff {
		return 0, fmt.Errorf("kvm: no interrupt routes with kernel-irqchip=off")
	}
	r := vm.routes
	r.mu.Lock()
	defer r.mu.Unlock()
	gsi = max(vm.opts.Pins, ioapicPins)
	for _, used := r.msi[gsi]; used; _, used = r.msi[gsi] {
		gsi++
	}
	if gsi >= maxGSI {
		return 0, fmt.Errorf("kvm: no free interrupt route")
	}
	r.msi[gsi] = m
	if err := r.commit(); err != nil {
		delete(r.msi, gsi)
		return 0, err
	}
	return gsi, nil
}

// SetMSIRoute changes the message of a number from AddMSIRoute.
func (vm *VM) SetMSIRoute(gsi int, m accel.MSI) error {
	r := vm.routes
	r.mu.Lock()
	defer r.mu.Unlock()
	old, ok := r.msi[gsi]
	if !ok {
		return fmt.Errorf("kvm: no interrupt route %d", gsi)
	}
	if old == m {
		return nil
	}
	r.msi[gsi] = m
	if err := r.commit(); err != nil {
		r.msi[gsi] = old
		return err
	}
	return nil
}

// RemoveMSIRoute gives a number from AddMSIRoute back. It has no irqfd any
// more.
func (vm *VM) RemoveMSIRoute(gsi int) error {
	r := vm.routes
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.msi[gsi]; !ok || len(r.irqfds[gsi]) > 0 {
		return fmt.Errorf("kvm: interrupt route %d is not there or in use", gsi)
	}
	delete(r.msi, gsi)
	return r.commit()
}

// AddIRQFD has signals of an eventfd raise an interrupt, edge-triggered. The
// number is an IOAPIC pin, a kernel line (IRQChipOn) or from AddMSIRoute.
func (vm *VM) AddIRQFD(gsi, fd int) error {
	r := vm.routes
	r.mu.Lock()
	defer r.mu.Unlock()
	if vm.opts.IRQChip == accel.IRQChipOff {
		return fmt.Errorf("kvm: no irqfd for interrupt %d with kernel-irqchip=off", gsi)
	}
	if gsi < 0 || gsi >= maxGSI {
		return fmt.Errorf("kvm: no interrupt number %d", gsi)
	}
	if _, routed := r.msi[gsi]; !routed && vm.opts.IRQChip == accel.IRQChipSplit && gsi < vm.opts.Pins {
		r.masked[gsi] = true // a pin is masked until the guest sets it up
	}
	if !r.masked[gsi] {
		if err := r.assign(gsi, fd, 0); err != nil {
			return err
		}
	}
	r.irqfds[gsi] = append(r.irqfds[gsi], fd)
	return nil
}

// RemoveIRQFD undoes AddIRQFD. Signals that came before are delivered.
func (vm *VM) RemoveIRQFD(gsi, fd int) error {
	r := vm.routes
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.irqfds[gsi], fd)
	if i < 0 {
		return fmt.Errorf("kvm: interrupt %d has no irqfd %d", gsi, fd)
	}
	r.irqfds[gsi] = slices.Delete(r.irqfds[gsi], i, i+1)
	if r.masked[gsi] {
		return nil
	}
	return r.assign(gsi, fd, irqfdDeassign)
}

var _ accel.EventInterrupts = (*VM)(nil)

func (r *routes) assign(gsi, fd int, flags uint32) error {
	k := irqfd{fd: uint32(fd), gsi: uint32(gsi), flags: flags}
	if _, err := ioctl(r.vm, "KVM_IRQFD", kvmIRQFD, &k); err != nil {
		return fmt.Errorf("%w (interrupt %d)", err, gsi)
	}
	return nil
}
