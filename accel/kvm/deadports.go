package kvm

import (
	"slices"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/memory"
)

// deadPorts keeps guest writes to ports that nothing answers in the kernel.
// Such a write has no effect, but would cost an exit; a kernel that looks for
// PCI or a CMOS clock where there is none makes tens of thousands of them.
//
// The kernel is told that those writes may be coalesced (Linux
// Documentation/virt/kvm/api.rst, KVM_REGISTER_COALESCED_MMIO): it notes them
// in a ring, and what is in the ring is thrown away. All zones are such
// ports; nothing else may become one without its writes being carried out.
//
// It is guarded by the VM lock.
type deadPorts struct {
	vm    *VM
	live  []portRange // answered, in no order
	zones []portRange // told to the kernel
	stale bool        // zones is not all that live leaves
}

// portRange is a range of ports, both ends included.
type portRange struct{ first, last uint64 }

func (a portRange) overlaps(b portRange) bool { return a.first <= b.last && b.first <= a.last }

const lastPort = 0xffff

// minDeadRange keeps small gaps, which drivers seldom write to, from using
// up the kernel's table of devices.
const minDeadRange = 4

// usable tells whether the kernel can do it. With the interrupt controllers
// and the timer in the kernel, ports that nothing answers here are theirs.
func (d *deadPorts) usable() bool {
	return d.vm.caps.coalescedPIO && d.vm.opts.IRQChip != accel.IRQChipOn
}

func sectionPorts(s memory.Section) portRange { return portRange{s.Addr, s.Last} }

// add notes ports that something answers from now on. After an error their
// writes are still thrown away.
func (d *deadPorts) add(s memory.Section) error {
	r := sectionPorts(s)
	d.live = append(d.live, r)
	d.stale = true
	return d.drop(r.overlaps)
}

// remove notes ports that are not answered any more.
func (d *deadPorts) remove(s memory.Section) {
	if i := slices.Index(d.live, sectionPorts(s)); i >= 0 {
		d.live = slices.Delete(d.live, i, i+1)
	}
	d.stale = true
}

// update tells the kernel of all that has become dead. It is done when the
// guest is about to run, not each time a device is added.
func (d *deadPorts) update() {
	if !d.stale || !d.usable() {
		return
	}
	d.stale = false
	var want []portRange
	if len(d.live) > 0 { // or it is not a machine yet
		want = d.gaps()
	}
	err := d.drop(func(z portRange) bool { return !slices.Contains(want, z) })
	for _, z := range want {
		if slices.Contains(d.zones, z) {
			continue
		}
		e := d.set("KVM_REGISTER_COALESCED_MMIO", kvmRegCoalesced, z)
		if e == nil {
			d.zones = append(d.zones, z)
		}
		err = firstError(err, e)
	}
	if err != nil { // the guest is only slower
		d.vm.log.Warn().Err(err).Msg("kvm: ports that nothing answers")
	}
}

// drop takes back those zones for which gone is true.
func (d *deadPorts) drop(gone func(portRange) bool) error {
	var err error
	d.zones = slices.DeleteFunc(d.zones, func(z portRange) bool {
		if !gone(z) {
			return false
		}
		e := d.set("KVM_UNREGISTER_COALESCED_MMIO", kvmUnregCoalesced, z)
		err = firstError(err, e)
		return e == nil
	})
	return err
}

// gaps are the ranges that nothing answers.
func (d *deadPorts) gaps() []portRange {
	live := slices.SortedFunc(slices.Values(d.live), func(a, b portRange) int { return int(a.first) - int(b.first) })
	live = append(live, portRange{lastPort + 1, lastPort + 1})
	var out []portRange
	next := uint64(0)
	for _, r := range live {
		if r.first >= next+minDeadRange {
			out = append(out, portRange{next, r.first - 1})
		}
		next = max(next, r.last+1)
	}
	return out
}

// set makes one of the two calls.
func (d *deadPorts) set(name string, req uintptr, z portRange) error {
	k := coalescedZone{addr: z.first, size: uint32(z.last - z.first + 1), pio: 1}
	_, err := ioctl(d.vm, name, req, &k)
	return err
}
