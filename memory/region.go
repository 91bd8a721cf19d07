// Package memory is the guest's physical address spaces: RAM, devices and
// containers of both in a tree of regions, and the flat view of who answers
// at which address. What the view becomes is told to listeners (KVM's
// memory slots, a vDPA device's IOTLB), and what they cannot do comes back
// to whoever changed the tree.
//
// The tree is changed under the VM lock. Views are immutable, so lookups and
// RAM access need no lock; a device's Ops are called under it.
package memory

import (
	"fmt"
	"sort"
)

// Ops answers accesses to a device's region. Values are little-endian,
// size is 1, 2, 4 or 8 and within the region's Access bounds. Called with the
// VM lock held.
type Ops interface {
	Read(offset uint64, size int) uint64
	Write(offset uint64, value uint64, size int)
}

// OpsFuncs makes Ops of two functions. A nil one reads as zero or ignores
// the write.
type OpsFuncs struct {
	ReadFunc  func(offset uint64, size int) uint64
	WriteFunc func(offset uint64, value uint64, size int)
}

func (f OpsFuncs) Read(offset uint64, size int) uint64 {
	if f.ReadFunc == nil {
		return 0
	}
	return f.ReadFunc(offset, size)
}

func (f OpsFuncs) Write(offset uint64, value uint64, size int) {
	if f.WriteFunc != nil {
		f.WriteFunc(offset, value, size)
	}
}

// Access bounds what a region's Ops see, in bytes. Guest accesses outside
// Valid fail as if nothing answered. Those wider than ImplMax are split; reads
// narrower than ImplMin get their part of the whole register, and writes
// narrower than it fail. Zero means 1 for minima, 8 for Valid.Max and 4 for
// Impl.Max.
type Access struct {
	ValidMin, ValidMax int
	ImplMin, ImplMax   int
	Unaligned          bool // misaligned accesses are passed on as they are
}

func (a Access) withDefaults() Access {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&a.ValidMin, 1)
	def(&a.ValidMax, 8)
	def(&a.ImplMin, 1)
	def(&a.ImplMax, 4)
	return a
}

type kind int

const (
	kindContainer kind = iota
	kindRAM
	kindIO
	kindAlias
)

// Region is a node of the tree. It is part of at most one parent; aliases
// make it appear elsewhere.
type Region struct {
	// Object is for whoever shows the region to clients, to find its object by.
	Object any

	name     string
	kind     kind
	last     uint64 // size - 1, so that 2^64 bytes fit
	disabled bool
	readonly bool

	ram    *RAM
	ops    Ops
	access Access

	alias       *Region
	aliasOffset uint64

	parent   *Region
	addr     uint64 // offset in parent
	priority int
	subs     []*Region // highest priority first; within one, latest first

	eventfds []IOEventFD
}

// MaxSize stands for the whole 64-bit space, 2^64 bytes.
const MaxSize = 0

func newRegion(name string, k kind, size uint64) *Region {
	return &Region{name: name, kind: k, last: size - 1}
}

// NewContainer makes a region that only holds others. A size of MaxSize is
// 2^64 bytes.
func NewContainer(name string, size uint64) *Region {
	return newRegion(name, kindContainer, size)
}

// NewRAM makes a region of guest RAM. Size and contents are the block's.
func NewRAM(ram *RAM) *Region {
	r := newRegion(ram.name, kindRAM, ram.Size())
	r.ram = ram
	r.readonly = ram.readonly
	return r
}

// NewIO makes a device region of size bytes.
func NewIO(name string, size uint64, ops Ops, access Access) *Region {
	r := newRegion(name, kindIO, size)
	r.ops, r.access = ops, access.withDefaults()
	return r
}

// NewAlias makes size bytes of target, from offset on, appear elsewhere.
func NewAlias(name string, target *Region, offset, size uint64) *Region {
	r := newRegion(name, kindAlias, size)
	r.alias, r.aliasOffset = target, offset
	return r
}

// NewReadOnlyAlias is an alias through which guest writes are dropped.
func NewReadOnlyAlias(name string, target *Region, offset, size uint64) *Region {
	r := NewAlias(name, target, offset, size)
	r.readonly = true
	return r
}

// Name is the region's name as `info mtree` shows it.
func (r *Region) Name() string { return r.name }

// Last is the offset of the region's last byte.
func (r *Region) Last() uint64 { return r.last }

// Addr is the region's offset in its parent.
func (r *Region) Addr() uint64 { return r.addr }

// Priority is the region's priority in its parent.
func (r *Region) Priority() int { return r.priority }

// Container is the region that this one is mapped in, nil for none.
func (r *Region) Container() *Region { return r.parent }

// Mapped tells whether the region has a parent.
func (r *Region) Mapped() bool { return r.parent != nil }

// Enabled tells whether the region takes part in the view.
func (r *Region) Enabled() bool { return !r.disabled }

// ReadOnly tells whether guest writes are dropped.
func (r *Region) ReadOnly() bool { return r.readonly }

// RAM is the block behind a RAM region, nil for others.
func (r *Region) RAM() *RAM { return r.ram }

// Alias is the target of an alias and the offset in it, nil for others.
func (r *Region) Alias() (*Region, uint64) { return r.alias, r.aliasOffset }

// Subregions lists the children, by address and then priority, as
// `info mtree` does.
func (r *Region) Subregions() []*Region {
	s := append([]*Region(nil), r.subs...)
	sort.SliceStable(s, func(i, j int) bool { return s[i].addr < s[j].addr })
	return s
}

func (r *Region) insert(sub *Region, offset uint64, priority int) {
	if sub.parent != nil {
		panic(fmt.Sprintf("memory: region %s is already mapped", sub.name))
	}
	sub.parent, sub.addr, sub.priority = r, offset, priority
	i := sort.Search(len(r.subs), func(i int) bool { return r.subs[i].priority <= priority })
	r.subs = append(r.subs[:i], append([]*Region{sub}, r.subs[i:]...)...)
}

func (r *Region) remove(sub *Region) {
	for i, s := range r.subs {
		if s == sub {
			r.subs = append(r.subs[:i:i], r.subs[i+1:]...)
			sub.parent = nil
			return
		}
	}
	panic(fmt.Sprintf("memory: region %s is not in %s", sub.name, r.name))
}
