package boot

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// E820Type is what a range of the guest-physical address space is good for
// (ACPI 6.4 table 15.1).
type E820Type uint32

const (
	E820RAM      E820Type = 1
	E820Reserved E820Type = 2
	E820ACPI     E820Type = 3 // reclaimable once the tables have been read
	E820NVS      E820Type = 4
	E820Unusable E820Type = 5
)

// Range is a part of the guest-physical address space.
type Range struct {
	Addr, Size uint64
	Type       E820Type
}

func (r Range) end() uint64 { return r.Addr + r.Size }

func (r Range) overlaps(o Range) bool { return r.Addr < o.end() && o.Addr < r.end() }

// The part of the first MiB that PC software expects not to be RAM: the
// extended BIOS data area, the VGA and option ROM window and the BIOS.
const (
	ebdaAddr       = 0x9fc00
	vgaWindowAddr  = 0xa0000
	biosAddr       = 0xf0000
	e820MaxEntries = 128 // as many as boot_params holds
	e820EntryLen   = 20
)

// RAM is where the guest's memory lies: Below4G bytes at 0 and Above4G bytes
// at Above4GBase, which is 4 GiB when zero.
type RAM struct {
	Below4G     uint64
	Above4G     uint64
	Above4GBase uint64
}

func (r RAM) check() (RAM, error) {
	if r.Above4GBase == 0 {
		r.Above4GBase = 4 * giB
	}
	switch {
	case r.Below4G > 4*giB:
		return r, fmt.Errorf("boot: %#x bytes of RAM do not fit below 4 GiB", r.Below4G)
	case r.Above4GBase < 4*giB, r.Above4GBase+r.Above4G < r.Above4GBase:
		return r, fmt.Errorf("boot: %#x bytes of RAM at %#x", r.Above4G, r.Above4GBase)
	}
	return r, nil
}

// E820 is the memory map of a guest with the given RAM, sorted and without
// overlaps. Where reserved ranges overlap RAM or each other, the one that
// comes last in the list holds. The legacy areas below 1 MiB are taken out
// as a PC's firmware does. More ranges than boot_params can hold are an error.
func E820(ram RAM, reserved []Range) ([]Range, error) {
	ram, err := ram.check()
	if err != nil {
		return nil, err
	}
	layers := []Range{
		{0, ram.Below4G, E820RAM},
		{ram.Above4GBase, ram.Above4G, E820RAM},
		{vgaWindowAddr, biosAddr - vgaWindowAddr, 0},
		{ebdaAddr, vgaWindowAddr - ebdaAddr, E820Reserved},
		{biosAddr, miB - biosAddr, E820Reserved},
	}
	for _, r := range reserved {
		if r.end() < r.Addr || r.Type == 0 {
			return nil, fmt.Errorf("boot: reserved range of %#x bytes at %#x, type %d", r.Size, r.Addr, r.Type)
		}
		layers = append(layers, r)
	}
	var edges []uint64
	for _, r := range layers {
		if r.Size != 0 {
			edges = append(edges, r.Addr, r.end())
		}
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)

	var m []Range
	for i := 1; i < len(edges); i++ {
		part := Range{Addr: edges[i-1], Size: edges[i] - edges[i-1]}
		for _, r := range layers {
			if r.overlaps(part) {
				part.Type = r.Type
			}
		}
		if part.Type == 0 {
			continue
		}
		if n := len(m); n > 0 && m[n-1].end() == part.Addr && m[n-1].Type == part.Type {
			m[n-1].Size += part.Size
			continue
		}
		m = append(m, part)
	}
	if len(m) > e820MaxEntries {
		return nil, fmt.Errorf("boot: a memory map of %d ranges, at most %d fit", len(m), e820MaxEntries)
	}
	return m, nil
}

// EncodeE820 is the map in the form that boot_params and the fw_cfg file
// "etc/e820" share: 20 bytes per range, little-endian.
func EncodeE820(m []Range) []byte {
	b := make([]byte, 0, e820EntryLen*len(m))
	for _, r := range m {
		b = binary.LittleEndian.AppendUint64(b, r.Addr)
		b = binary.LittleEndian.AppendUint64(b, r.Size)
		b = binary.LittleEndian.AppendUint32(b, uint32(r.Type))
	}
	return b
}
