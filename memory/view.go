package memory

import "sort"

// Section is a run of addresses of one address space that one region
// answers.
type Section struct {
	Addr     uint64  // first guest address
	Last     uint64  // last guest address
	Region   *Region // RAM or device region, never a container or an alias
	Offset   uint64  // of Addr in Region
	ReadOnly bool
}

// Size is the length in bytes; 0 stands for 2^64.
func (s Section) Size() uint64 { return s.Last - s.Addr + 1 }

// IsRAM tells whether guest RAM or ROM backs the section.
func (s Section) IsRAM() bool { return s.Region.ram != nil }

// Bytes is the host's view of a RAM section.
func (s Section) Bytes() []byte {
	return s.Region.ram.data[s.Offset : s.Offset+(s.Last-s.Addr)+1]
}

// view is an immutable list of disjoint sections in address order.
type view []Section

// clip is a range of absolute addresses, both ends included.
type clip struct{ first, last uint64 }

func render(root *Region) view {
	var v view
	v.render(root, 0, clip{0, ^uint64(0)}, false)
	return v
}

// render adds what r contributes when its offset 0 stands at base. base may
// wrap below zero for an alias into the middle of its target; c keeps what
// is seen of it in bounds.
func (v *view) render(r *Region, base uint64, c clip, readonly bool) {
	if r.disabled {
		return
	}
	c, ok := intersect(base, r.last, c)
	if !ok {
		return
	}
	readonly = readonly || r.readonly
	if r.kind == kindAlias {
		v.render(r.alias, base-r.aliasOffset, c, readonly)
		return
	}
	for _, s := range r.subs {
		v.render(s, base+s.addr, c, readonly)
	}
	if r.kind != kindContainer {
		v.fill(Section{Region: r, ReadOnly: readonly}, base, c)
	}
}

// intersect clips c to the region of last+1 bytes at base, which may have
// been placed below address zero.
func intersect(base, last uint64, c clip) (clip, bool) {
	lo, hi := c.first-base, c.last-base // offsets in the region
	if lo > hi {
		// The clip starts below the region: its start wrapped.
		lo = 0
		c.first = base
	}
	if lo > last {
		return c, false
	}
	if hi > last {
		c.last = base + last
	}
	return c, true
}

// fill puts s wherever c is not yet covered.
func (v *view) fill(s Section, base uint64, c clip) {
	put := func(at int, first, last uint64) {
		n := s
		n.Addr, n.Last, n.Offset = first, last, first-base
		*v = append(*v, Section{})
		copy((*v)[at+1:], (*v)[at:])
		(*v)[at] = n
	}
	next := c.first
	i := sort.Search(len(*v), func(i int) bool { return (*v)[i].Last >= c.first })
	for ; i < len(*v) && (*v)[i].Addr <= c.last; i++ {
		cur := (*v)[i]
		if cur.Addr > next {
			put(i, next, cur.Addr-1)
			i++
		}
		if cur.Last >= c.last {
			return
		}
		next = cur.Last + 1
	}
	put(i, next, c.last)
}

func (v view) find(addr uint64) (Section, bool) {
	i := sort.Search(len(v), func(i int) bool { return v[i].Last >= addr })
	if i < len(v) && v[i].Addr <= addr {
		return v[i], true
	}
	return Section{}, false
}

// gap is how many bytes nothing answers from addr on, where find finds nothing:
// up to the next section or the end of the space. 0 stands for 2^64.
func (v view) gap(addr uint64) uint64 {
	i := sort.Search(len(v), func(i int) bool { return v[i].Last >= addr })
	if i == len(v) {
		return -addr
	}
	return v[i].Addr - addr
}
