package cpu

// State components of XCR0 (Intel SDM volume 1, section 13.1).
const (
	xcr0X87    = 1 << 0
	xcr0SSE    = 1 << 1
	xcr0YMM    = 1 << 2
	xcr0MPX    = 3 << 3
	xcr0AVX512 = 7 << 5
	xcr0PKRU   = 1 << 9
	xcr0Tile   = 3 << 17
)

// xsaveHeaderEnd is where the legacy area and the header of an XSAVE area
// end, in bytes.
const xsaveHeaderEnd = 576

// components are the parts of XCR0 and the feature that each belongs to.
var components = []struct {
	mask    uint32
	word    word
	feature uint32
}{
	{xcr0X87 | xcr0SSE, w1ECX, f1XSAVE},
	{xcr0YMM, w1ECX, f1AVX},
	{xcr0MPX, w7EBX, f7MPX},
	{xcr0AVX512, w7EBX, f7AVX512F},
	{xcr0PKRU, w7ECX, f7PKU},
	{xcr0Tile, w7EDX, f7AMXTile},
}

// xcr0For is the XCR0 that goes with a set of features; without XSAVE there
// is none.
func xcr0For(f *features) (mask uint32) {
	if f[w1ECX]&f1XSAVE == 0 {
		return 0
	}
	for _, c := range components {
		if f[c.word]&c.feature != 0 {
			mask |= c.mask
		}
	}
	return mask
}

// layout is where a component is in the XSAVE area: leaf 0xd's EAX, EBX and
// ECX. Processors differ, so the accelerator is asked.
type layout struct{ size, offset, flags uint32 }

// areaSize is the size in bytes of an XSAVE area in the standard format with the
// components in mask.
func areaSize(mask uint32, at func(component uint32) layout) uint32 {
	end := uint32(xsaveHeaderEnd)
	for i := uint32(2); i < 32; i++ {
		if mask>>i&1 != 0 {
			l := at(i)
			end = max(end, l.offset+l.size)
		}
	}
	return end
}

// compactSize is areaSize for the compacted format, in which components
// follow one another, aligned to 64 bytes where flags bit 1 says so.
func compactSize(mask uint32, at func(component uint32) layout) uint32 {
	end := uint32(xsaveHeaderEnd)
	for i := uint32(2); i < 32; i++ {
		if mask>>i&1 != 0 {
			l := at(i)
			if l.flags&2 != 0 {
				end = (end + 63) &^ 63
			}
			end += l.size
		}
	}
	return end
}
