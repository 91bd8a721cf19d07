package pci

import "fmt"

// Capability identifiers (PCI Code and ID Assignment, sections 2 and 3).
const (
	CapPM     = 0x01
	CapMSI    = 0x05
	CapVendor = 0x09
	CapSSVID  = 0x0d
	CapPCIe   = 0x10
	CapMSIX   = 0x11

	ExtCapAER = 0x0001
	ExtCapACS = 0x000d
	ExtCapARI = 0x000e
)

// AddCapability takes size bytes for a capability, two for the header among
// them, at an offset or, with 0, behind those there are. It is read-only and
// zero but for the header. The list has the newest first.
func (f *Function) AddCapability(id uint8, at, size int) (int, error) {
	if at == 0 {
		at = f.freeCapability(size)
	}
	if at < headerLen || at+size > ConfigSize {
		return 0, fmt.Errorf("%s: no room for a PCI capability 0x%x of %d bytes", f.TypeName(), id, size)
	}
	for i := at; i < at+size; i++ {
		if f.caps[i] != 0 {
			return 0, fmt.Errorf("%s: PCI capability 0x%x at 0x%x overlaps another", f.TypeName(), id, at)
		}
	}
	for i := at; i < at+size; i++ {
		f.caps[i], f.writable[i], f.w1c[i], f.data[i] = 1, 0, 0, 0
	}
	f.set8(at, id)
	f.set8(at+1, f.nextCap)
	f.nextCap = uint8(at)
	f.set8(regCapPtr, f.nextCap)
	f.set16(regStatus, f.u16(regStatus)|statusCapList)
	return at, nil
}

// freeCapability is the first free place of size bytes, 0 for none.
func (f *Function) freeCapability(size int) int {
	free := 0
	for i := headerLen; i < ConfigSize; i++ {
		switch {
		case f.caps[i] != 0:
			free = 0
		case free == 0 && i%4 == 0:
			free = i
		}
		if free != 0 && i-free+1 >= size {
			return free
		}
	}
	return 0
}

// AddVendorCapability adds a vendor-specific capability with a body behind
// header and length (PCI 3.0 appendix H). The guest can write what writable has
// ones for; writable may be shorter than the body.
func (f *Function) AddVendorCapability(body, writable []byte) (int, error) {
	size := 3 + len(body)
	at, err := f.AddCapability(CapVendor, 0, size)
	if err != nil {
		return 0, err
	}
	f.set8(at+2, uint8(size))
	copy(f.data[at+3:], body)
	copy(f.config.writable[at+3:at+size], writable)
	return at, nil
}

// AddPM adds power management capability registers of version 3 that can do D0
// and D3hot (PCI Power Management 1.2 section 3.2). The device works on in
// either state.
func (f *Function) AddPM() (int, error) {
	at, err := f.AddCapability(CapPM, 0, 8)
	if err != nil {
		return 0, err
	}
	f.set16(at+2, 3)
	const powerState = 3
	f.allow16(at+4, powerState)
	return at, nil
}

// addSSVID adds the subsystem's ids, which a bridge has no registers for
// (PCI-to-PCI Bridge Architecture 1.2 section 3.2.5.13).
func (f *Function) addSSVID(at int, vendor, id uint16) error {
	at, err := f.AddCapability(CapSSVID, at, 8)
	if err != nil {
		return err
	}
	f.set16(at+4, vendor)
	f.set16(at+6, id)
	return nil
}

// AddExtCapability adds an extended capability of size bytes at an offset from
// 0x100 on, all of it read-only and zero but for the header (PCI Express 3.0
// section 7.9). The list has them in the order in which they are added, the
// first of which stands at 0x100.
func (f *Function) AddExtCapability(id uint16, version uint8, at, size int) error {
	if !f.Express() || at < regExtCap || at+size > ExpressConfigSize || at%4 != 0 {
		return fmt.Errorf("%s: no room for an extended capability 0x%x at 0x%x", f.TypeName(), id, at)
	}
	if f.lastExt == 0 && at != regExtCap {
		return fmt.Errorf("%s: the first extended capability is at 0x%x", f.TypeName(), at)
	}
	for i := at; i < at+size; i++ {
		if f.caps[i] != 0 {
			return fmt.Errorf("%s: extended capability 0x%x at 0x%x overlaps another", f.TypeName(), id, at)
		}
		f.caps[i], f.writable[i], f.w1c[i], f.data[i] = 1, 0, 0, 0
	}
	f.set32(at, uint32(version)<<16|uint32(id))
	if f.lastExt != 0 {
		last := int(f.lastExt)
		f.set32(last, f.u32(last)&0xfffff|uint32(at)<<20)
	}
	f.lastExt = uint16(at)
	return nil
}

// clearExtended makes the extended space read as zero where no capability is:
// it has no registers of a maker.
func (f *Function) clearExtended() {
	for i := regExtCap; i < len(f.data); i++ {
		f.writable[i] = 0
	}
}
