package pci

import (
	"errors"
	"fmt"

	"github.com/gqemu/gqemu/memory"
)

const (
	numBARs   = 7 // six base address registers and the option ROM's
	romBARNum = 6
)

// BARKind says what a base address register is for.
type BARKind uint8

// The kinds, as the low bits of the register show them (PCI 3.0 section
// 6.2.5.1).
const (
	BARMem32    BARKind = 0
	BARIO       BARKind = 1
	BARMem64    BARKind = 4
	BARPrefetch BARKind = 8 // with BARMem32 or BARMem64
)

// bar is a base address register.
type bar struct {
	kind   BARKind
	region *memory.Region
	size   uint64
	addr   uint64 // where region is mapped, unmapped for nowhere
}

const unmapped = ^uint64(0)

func (b *bar) io() bool   { return b.kind&BARIO != 0 }
func (b *bar) wide() bool { return !b.io() && b.kind&BARMem64 != 0 }

// barOffset is the register's place.
func (f *Function) barOffset(n int) int {
	if n == romBARNum {
		if f.bridge != nil {
			return 0x38
		}
		return regROM
	}
	return regBAR0 + 4*n
}

// AddBAR makes base address register n place a region, whose size is a power
// of two. A 64-bit one takes the next register too.
func (f *Function) AddBAR(n int, kind BARKind, r *memory.Region) error {
	size := r.Last() + 1
	limit := 6
	if f.bridge != nil {
		limit = 2
	}
	if kind&(BARIO|BARMem64) == BARMem64 {
		limit--
	}
	if n < 0 || n >= limit || f.bars[n] != nil {
		return fmt.Errorf("pci: %s has no base address register %d", f.TypeName(), n)
	}
	if size&(size-1) != 0 || size == 0 {
		return fmt.Errorf("pci: %s: region %s of %d bytes", f.TypeName(), r.Name(), size)
	}
	b := &bar{kind: kind, region: r, size: size, addr: unmapped}
	f.bars[n] = b
	mask := ^(size - 1)
	at := f.barOffset(n)
	f.set32(at, uint32(kind))
	f.allow32(at, uint32(mask))
	if b.wide() {
		f.allow32(at+4, uint32(mask>>32))
	}
	return nil
}

// setBARRegister writes an address, keeping the low bits.
func (f *Function) setBARRegister(n int, addr uint64) {
	b, at := f.bars[n], f.barOffset(n)
	f.set32(at, uint32(addr)|uint32(b.kind))
	if b.wide() {
		f.set32(at+4, uint32(addr>>32))
	}
}

// barAddr is where the registers put a region, unmapped if nowhere: its decoder
// is off, or the address is none that a guest can mean. A memory region at 0, or
// one that reaches the end of its space, is being sized.
func (f *Function) barAddr(n int) uint64 {
	b, cmd := f.bars[n], f.u16(regCommand)
	at := f.barOffset(n)
	addr := uint64(f.u32(at))
	limit := uint64(1<<32 - 1)
	if b.io() {
		if cmd&cmdIO == 0 {
			return unmapped
		}
	} else {
		if cmd&cmdMemory == 0 {
			return unmapped
		}
		if b.wide() {
			addr |= uint64(f.u32(at+4)) << 32
			limit = ^uint64(0)
		}
	}
	addr &^= b.size - 1
	last := addr + b.size - 1
	if addr == 0 || last < addr || last >= limit {
		return unmapped
	}
	return addr
}

// mapBARs follows the registers.
func (f *Function) mapBARs() error {
	var errs []error
	for n, b := range f.bars {
		if b == nil {
			continue
		}
		addr := f.barAddr(n)
		if addr == b.addr {
			continue
		}
		errs = append(errs, f.moveBAR(b, addr))
	}
	return errors.Join(errs...)
}

func (f *Function) moveBAR(b *bar, addr uint64) error {
	m := f.Host().Map
	return m.Update(func() error {
		if b.addr != unmapped {
			b.addr = unmapped
			if err := m.Remove(b.region); err != nil {
				return err
			}
		}
		if addr == unmapped {
			return nil
		}
		mem, ports := f.containers()
		if b.io() {
			mem = ports
		}
		b.addr = addr
		return m.Add(mem, b.region, addr, 1)
	})
}

func (f *Function) unmapBARs() {
	h := f.Host()
	err := h.Map.Update(func() error {
		var errs []error
		for _, b := range f.bars {
			if b != nil {
				errs = append(errs, f.moveBAR(b, unmapped))
			}
		}
		return errors.Join(errs...)
	})
	if err != nil {
		h.Log.Error().Err(err).Str("device", f.TypeName()).Msg("unmapping base address registers")
	}
}
