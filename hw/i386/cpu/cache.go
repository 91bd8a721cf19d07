package cpu

// cache describes one cache for leaves 4, 0x80000005, 0x80000006 and
// 0x8000001d.
type cache struct {
	kind   uint32 // 1 data, 2 instruction, 3 unified
	level  uint32
	size   uint32 // bytes
	ways   uint32
	flags  uint32 // EDX: 1 WBINVD is for this level only, 2 inclusive, 4 complex indexing
	noInit bool   // not self-initializing
}

const lineSize = 64 // bytes

func (c cache) sets() uint32 { return c.size / lineSize / c.ways }

// The caches QEMU shows for models that define none. AMD's leaves and Intel's
// do not agree with each other, there as here.
var (
	intelL1D = cache{kind: 1, level: 1, size: 32 << 10, ways: 8, flags: 1}
	intelL1I = cache{kind: 2, level: 1, size: 32 << 10, ways: 8, flags: 1}
	intelL2  = cache{kind: 3, level: 2, size: 4 << 20, ways: 16, flags: 1}
	amdL1D   = cache{kind: 1, level: 1, size: 64 << 10, ways: 2, flags: 1}
	amdL1I   = cache{kind: 2, level: 1, size: 64 << 10, ways: 2, flags: 1}
	amdL2    = cache{kind: 3, level: 2, size: 512 << 10, ways: 16, noInit: true}
	sharedL3 = cache{kind: 3, level: 3, size: 16 << 20, ways: 16, flags: 2 | 4}
)

// Descriptors of leaf 2 (Intel SDM volume 2A, table 3-12): L1D 32 KiB 8 ways,
// L1I 32 KiB 8 ways, L2 2 MiB 8 ways, L3 16 MiB 16 ways.
const (
	descL1D = 0x2c
	descL1I = 0x30
	descL2  = 0x7d
	descL3  = 0x4d
)

// Leaves 0x80000005 and 0x80000006: TLBs of 255 entries for L1, of 512 for
// L2, the latter for small pages only.
const (
	amdL1TLB      = 0x01ff01ff
	amdL2TLBSmall = 0x42004200
)

// amdWays is the number of ways as leaf 0x80000006 has it.
func amdWays(n uint32) uint32 { return map[uint32]uint32{1: 1, 2: 2, 4: 4, 8: 6, 16: 8}[n] }

// type and level, as EAX of leaves 4 and 0x8000001d begins.
func (c cache) eax() uint32 {
	v := c.kind | c.level<<5
	if !c.noInit {
		v |= 1 << 8
	}
	return v
}

// geometry is EBX and ECX of the same leaves.
func (c cache) geometry() (ebx, ecx uint32) {
	return lineSize - 1 | (c.ways-1)<<22, c.sets() - 1
}

// sharing is the number of APIC ids that share a cache, gaps included.
func (t topology) sharing(c cache) uint32 {
	if c.level == 3 {
		return 1 << t.dieShift()
	}
	return 1 << t.coreShift()
}

// legacyCaches lists the caches by subleaf.
func legacyCaches(l1d, l1i, l2 cache, l3 bool) []cache {
	list := []cache{l1d, l1i, l2}
	if l3 {
		list = append(list, sharedL3)
	}
	return list
}
