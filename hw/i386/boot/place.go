package boot

import (
	"fmt"
	"slices"
)

// initrdTooLarge is QEMU's message, max being the room there is.
func initrdTooLarge(max, size uint64) error {
	return linef("qemu: initrd is too large, cannot support.(max: %d, need %d)", uint32(max), size)
}

// free are the parts of RAM below 4 GiB that neither the kernel nor the boot
// data use, from the highest to the lowest. The first MiB is not among them.
func (im *Image) free() []Range {
	taken := im.kernel.occupied()
	var parts []Range
	for _, r := range im.data.e820 {
		if r.Type != E820RAM || r.Addr >= 4*giB {
			continue
		}
		at := max(r.Addr, miB)
		for _, t := range taken {
			if t.Addr >= r.end() || t.end() <= at {
				continue
			}
			if t.Addr > at {
				parts = append(parts, Range{at, t.Addr - at, E820RAM})
			}
			at = t.end()
		}
		if at < r.end() {
			parts = append(parts, Range{at, r.end() - at, E820RAM})
		}
	}
	slices.Reverse(parts)
	return parts
}

// placeInitrd finds the highest page-aligned place for the RAM disk that ends
// below limit, where QEMU puts it unless something is there already.
func (im *Image) placeInitrd(limit uint64) (Range, error) {
	const page = 0x1000
	size := im.initrd.size
	var largest uint64
	for _, r := range im.free() {
		end := min(r.end(), limit)
		if end <= r.Addr {
			continue
		}
		largest = max(largest, end-r.Addr)
		if size > end-r.Addr {
			continue
		}
		if at := (end - size) &^ (page - 1); at >= r.Addr {
			return Range{at, size, E820RAM}, nil
		}
	}
	return Range{}, initrdTooLarge(largest, size)
}

// checkRoom makes sure that all the kernel needs is RAM, and not the RAM that
// holds the boot data.
func (im *Image) checkRoom(ram RAM) error {
	refuse := func(format string, args ...any) error {
		return linef("qemu: could not load kernel '%s': %s", im.kernelName, fmt.Sprintf(format, args...))
	}
	if ram.Below4G < miB {
		return refuse("the guest has less than 1 MiB of RAM")
	}
	low := Range{Addr: 0, Size: bootDataEnd, Type: E820RAM}
	if !im.isRAM(low) {
		return refuse("the RAM below %#x is reserved", bootDataEnd)
	}
	for _, r := range im.kernel.occupied() {
		switch {
		case r.overlaps(low):
			return refuse("it needs the memory at %#x, which is in use for boot data", r.Addr)
		case r.end() > ram.Below4G:
			return refuse("it needs %d MiB of RAM below 4 GiB, the guest has %d",
				(r.end()+miB-1)/miB, ram.Below4G/miB)
		case !im.isRAM(r):
			return refuse("%#x bytes at %#x are not all RAM", r.Size, r.Addr)
		}
	}
	return nil
}

// isRAM says whether all of r is RAM in the memory map. Neighbouring ranges
// of RAM are one there.
func (im *Image) isRAM(r Range) bool {
	return slices.ContainsFunc(im.data.e820, func(m Range) bool {
		return m.Type == E820RAM && m.Addr <= r.Addr && r.end() <= m.end()
	})
}
