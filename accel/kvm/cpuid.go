package kvm

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/sys"
)

// CPUID leaves and bits (Intel SDM volume 2A, CPUID; Linux
// Documentation/virt/kvm/x86/cpuid.rst).
const (
	leafFeatures = 1
	leafPMU      = 0xa
	leafKVM      = 0x40000001

	ecxX2APIC      = 1 << 21
	ecxTSCDeadline = 1 << 24
	ecxHypervisor  = 1 << 31

	edxMCE  = 1 << 7
	edxMTRR = 1 << 12
	edxMCA  = 1 << 14
)

// kernelAPICFeatures are the bits of KVM's leaf that need its local APIC: page
// fault notifications, EOI without an exit, halting in spin locks, IPIs by
// hypercall.
const kernelAPICFeatures = 1<<4 | 1<<6 | 1<<7 | 1<<10 | 1<<11 | 1<<14

// SupportedCPUID is all that this kernel and the host's processors give a
// guest, including what an in-kernel local APIC adds (x2APIC, TSC deadline)
// and KVM's own leaves from 0x40000000 on. Leaves that describe a certain
// processor (APIC ids, topology, caches) hold the host's values: whoever
// makes a CPUConfig replaces them.
func (vm *VM) SupportedCPUID() []accel.CPUID { return slices.Clone(vm.cpuid) }

// supportedCPUID reads the table and adds what KVM_GET_SUPPORTED_CPUID
// leaves to capabilities.
func supportedCPUID(dev int, chip accel.IRQChip, tscDeadline bool) ([]accel.CPUID, error) {
	size := int(sys.Sizeof[cpuidEntry]())
	for n := 64; ; n *= 2 {
		buf := make([]byte, 8+n*size)
		binary.NativeEndian.PutUint32(buf, uint32(n))
		_, err := sys.IoctlBytes(dev, kvmGetSupportedCPUID, buf)
		if err == unix.E2BIG && n < 1<<14 {
			continue
		}
		if err != nil {
			return nil, err
		}
		got := int(binary.NativeEndian.Uint32(buf))
		if got > n {
			return nil, fmt.Errorf("kernel reports %d entries in room for %d", got, n)
		}
		list := make([]accel.CPUID, got)
		for i := range list {
			var e cpuidEntry
			copy(sys.Bytes(&e), buf[8+i*size:])
			list[i] = accel.CPUID{
				Function: e.function, Index: e.index, Flags: e.flags,
				EAX: e.eax, EBX: e.ebx, ECX: e.ecx, EDX: e.edx,
			}
			fitAPIC(&list[i], chip, tscDeadline)
		}
		return list, nil
	}
}

// fitAPIC makes a leaf say what the local APIC can do, which KVM does not know.
func fitAPIC(c *accel.CPUID, chip accel.IRQChip, tscDeadline bool) {
	switch {
	case c.Function == leafKVM && chip == accel.IRQChipOff:
		c.EAX &^= kernelAPICFeatures
	case c.Function == leafFeatures:
		c.ECX |= ecxHypervisor
		c.ECX &^= ecxX2APIC | ecxTSCDeadline
		if chip != accel.IRQChipOff {
			c.ECX |= ecxX2APIC
			if tscDeadline {
				c.ECX |= ecxTSCDeadline
			}
		}
	}
}

func (v *VCPU) setCPUID() error {
	list := v.cfg.CPUID
	buf := make([]byte, 8, 8+len(list)*int(sys.Sizeof[cpuidEntry]()))
	binary.NativeEndian.PutUint32(buf, uint32(len(list)))
	for _, c := range list {
		e := cpuidEntry{
			function: c.Function, index: c.Index, flags: c.Flags,
			eax: c.EAX, ebx: c.EBX, ecx: c.ECX, edx: c.EDX,
		}
		buf = append(buf, sys.Bytes(&e)...)
	}
	if _, err := sys.IoctlBytes(v.fd, kvmSetCPUID2, buf); err != nil {
		return v.failed("KVM_SET_CPUID2", err)
	}
	return nil
}

// leaf finds a CPUID leaf without an index; zeroes if the vCPU has none.
func (v *VCPU) leaf(function uint32) accel.CPUID {
	for _, c := range v.cfg.CPUID {
		if c.Function == function {
			return c
		}
	}
	return accel.CPUID{}
}
