package memory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
)

// Map holds a VM's address spaces and makes changes to their trees take
// effect together. Its methods are called with the VM lock held.
type Map struct {
	spaces []*Space
	depth  int
	dirty  bool
}

// Space is one address space: the tree below a root region, as the guest
// sees it.
type Space struct {
	name      string
	root      *Region
	fill      byte
	view      atomic.Pointer[view]
	eventfds  []placedEventFD
	listeners []Listener
}

// NewSpace adds an address space. Reads where nothing answers give fill:
// 0x00 for memory, 0xff for ports.
func (m *Map) NewSpace(name string, root *Region, fill byte) *Space {
	s := &Space{name: name, root: root, fill: fill}
	s.view.Store(&view{})
	m.spaces = append(m.spaces, s)
	m.dirty = true
	// Without listeners there is nobody who could fail.
	_ = m.commit()
	return s
}

// Update runs change; all it does to the trees takes effect in one step when
// the outermost Update returns. The error joins change's with those of the
// listeners; a listener that failed has not taken the section or eventfd in
// question, and the caller undoes its change with another Update.
func (m *Map) Update(change func() error) error {
	m.depth++
	err := change()
	m.depth--
	return errors.Join(err, m.commit())
}

func (m *Map) touch() error {
	m.dirty = true
	return m.commit()
}

func (m *Map) commit() error {
	if m.depth > 0 || !m.dirty {
		return nil
	}
	m.dirty = false
	var errs []error
	for _, s := range m.spaces {
		errs = append(errs, s.commit())
	}
	return errors.Join(errs...)
}

// Add maps sub into parent at offset. Higher priorities hide lower ones;
// among equals the one added last wins.
func (m *Map) Add(parent, sub *Region, offset uint64, priority int) error {
	parent.insert(sub, offset, priority)
	return m.touch()
}

// Remove takes sub out of its parent.
func (m *Map) Remove(sub *Region) error {
	sub.parent.remove(sub)
	return m.touch()
}

// SetEnabled shows or hides a region.
func (m *Map) SetEnabled(r *Region, on bool) error {
	if r.disabled == !on {
		return nil
	}
	r.disabled = !on
	return m.touch()
}

// Move changes a region's offset in its parent.
func (m *Map) Move(r *Region, offset uint64) error {
	if r.addr == offset {
		return nil
	}
	r.addr = offset
	return m.touch()
}

// AddIOEventFD makes guest writes that match e signal e.FD instead of
// calling the region's Ops, where the accelerator can.
func (m *Map) AddIOEventFD(r *Region, e IOEventFD) error {
	r.eventfds = append(r.eventfds, e)
	return m.touch()
}

// RemoveIOEventFD undoes AddIOEventFD.
func (m *Map) RemoveIOEventFD(r *Region, e IOEventFD) error {
	for i, have := range r.eventfds {
		if have == e {
			r.eventfds = append(r.eventfds[:i:i], r.eventfds[i+1:]...)
			return m.touch()
		}
	}
	return fmt.Errorf("memory: region %s has no such ioeventfd", r.name)
}

// Name is the space's name.
func (s *Space) Name() string { return s.name }

// Root is the region the space shows.
func (s *Space) Root() *Region { return s.root }

// Sections lists the current view in address order. Needs no lock.
func (s *Space) Sections() []Section { return append([]Section(nil), *s.view.Load()...) }

// Find tells who answers at addr. Needs no lock.
func (s *Space) Find(addr uint64) (Section, bool) { return s.view.Load().find(addr) }

// maxAccess is the widest access of a processor, in bytes.
const maxAccess = 8

// Access performs a guest access of any length. It tells whether every byte
// was answered by something that accepted the access; bytes read where
// nothing did hold the space's fill. Device regions are called, so the VM
// lock must be held.
func (s *Space) Access(addr uint64, data []byte, write bool) bool {
	v := *s.view.Load()
	ok := true
	for len(data) > 0 {
		sec, found := v.find(addr)
		n := uint64(len(data))
		if !found {
			if gap := v.gap(addr); gap-1 < n-1 { // 0 is 2^64
				n = gap
			}
			if !write {
				for i := range data[:n] {
					data[i] = s.fill
				}
			}
			ok = false
		} else {
			off := sec.Offset + (addr - sec.Addr)
			room := sec.Last - addr
			if n <= maxAccess && !sec.IsRAM() {
				// A register is accessed in its full width even where another
				// lies over its end, as port 0xcf9 does over 0xcf8.
				room = sec.Region.last - off
			}
			if room < n-1 {
				n = room + 1
			}
			if !sec.access(off, data[:n], write, s.fill) {
				ok = false
			}
		}
		data = data[n:]
		addr += n
	}
	return ok
}

func (s Section) access(off uint64, data []byte, write bool, fill byte) bool {
	r := s.Region
	if r.ram != nil {
		mem := r.ram.data[off : off+uint64(len(data))]
		if !write {
			copy(data, mem)
		} else if !s.ReadOnly {
			copy(mem, data)
		}
		return true
	}
	ok := true
	for len(data) > 0 {
		n := accessSize(off, len(data), r.access)
		if !r.io(off, data[:n], write) {
			ok = false
			if !write {
				for i := range data[:n] {
					data[i] = fill
				}
			}
		}
		data = data[n:]
		off += uint64(n)
	}
	return ok
}

// accessSize is the largest single access, a power of two and aligned unless
// the region takes misaligned ones, that starts at off.
func accessSize(off uint64, n int, a Access) int {
	size := a.ValidMax
	for size > n || (!a.Unaligned && off%uint64(size) != 0) {
		size /= 2
	}
	return max(size, 1)
}

// io makes one access of 1, 2, 4 or 8 bytes to the region's Ops, in pieces
// the Ops implement.
func (r *Region) io(off uint64, data []byte, write bool) bool {
	size := len(data)
	a := r.access
	if size < a.ValidMin || size > a.ValidMax {
		return false
	}
	impl := min(max(size, a.ImplMin), a.ImplMax)
	var buf [8]byte
	if impl > size {
		if write {
			return false
		}
		base := off &^ uint64(impl-1)
		binary.LittleEndian.PutUint64(buf[:], r.ops.Read(base, impl))
		copy(data, buf[off-base:])
		return true
	}
	for i := 0; i < size; i += impl {
		if write {
			buf = [8]byte{}
			copy(buf[:], data[i:i+impl])
			r.ops.Write(off+uint64(i), binary.LittleEndian.Uint64(buf[:]), impl)
		} else {
			binary.LittleEndian.PutUint64(buf[:], r.ops.Read(off+uint64(i), impl))
			copy(data[i:i+impl], buf[:])
		}
	}
	return true
}

// ReadAt copies guest RAM to p, for a device's DMA. Anything but RAM is an
// error, and p's contents are then unspecified. Needs no lock.
func (s *Space) ReadAt(p []byte, addr uint64) error {
	return s.dma(addr, uint64(len(p)), false, func(mem []byte, off uint64) { copy(p[off:], mem) })
}

// WriteAt copies p to guest RAM; see ReadAt. Nothing is written unless all
// of it fits.
func (s *Space) WriteAt(p []byte, addr uint64) error {
	return s.dma(addr, uint64(len(p)), true, func(mem []byte, off uint64) { copy(mem, p[off:]) })
}

// Slice gives direct access to n bytes of guest RAM that lie in one section.
// The bytes change under the reader. Needs no lock; valid while the section
// stays in the view.
func (s *Space) Slice(addr, n uint64) ([]byte, error) {
	var out []byte
	err := s.dma(addr, n, false, func(mem []byte, off uint64) { out = mem })
	if err == nil && uint64(len(out)) != n {
		err = &DMAError{Addr: addr, Size: n}
	}
	return out, err
}

// DMAError is an access of a device to something that is not guest RAM.
type DMAError struct{ Addr, Size uint64 }

func (e *DMAError) Error() string {
	return fmt.Sprintf("no guest RAM at 0x%x, size 0x%x", e.Addr, e.Size)
}

func (s *Space) dma(addr, n uint64, write bool, each func(mem []byte, off uint64)) error {
	if n == 0 {
		return nil
	}
	fail := &DMAError{Addr: addr, Size: n}
	if addr+(n-1) < addr {
		return fail
	}
	v := *s.view.Load()
	for pass := range 2 { // first check all, then copy
		for off := uint64(0); off < n; {
			sec, ok := v.find(addr + off)
			if !ok || !sec.IsRAM() || (write && sec.ReadOnly) {
				return fail
			}
			at := addr + off - sec.Addr
			mem := sec.Bytes()[at:]
			if uint64(len(mem)) > n-off {
				mem = mem[:n-off]
			}
			if pass == 1 {
				each(mem, off)
			}
			off += uint64(len(mem))
		}
	}
	return nil
}
