package vdpa

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/gqemu/gqemu/memory"
)

// pieceSize bounds one message to the IOTLB, in bytes. The kernel holds the
// process's mmap_lock while it pins what one message names; in between,
// others get at it: the Go runtime, and every page fault.
const pieceSize = 128 << 20

// errCanceled is a start that was called off.
var errCanceled = errors.New("vdpa: start called off")

// mapping is one piece of guest memory in the IOTLB.
type mapping struct {
	iova uint64
	mem  []byte
	perm Perm
}

func (m mapping) size() uint64 { return uint64(len(m.mem)) }

// same tells whether two mappings are of the same memory at the same place.
func (m mapping) same(o mapping) bool {
	return m.iova == o.iova && len(m.mem) == len(o.mem) && m.perm == o.perm && &m.mem[0] == &o.mem[0]
}

// dmaMap keeps a device's IOTLB like the guest's RAM. It follows the address
// space from realize on, but only while the device is live does it map.
//
// A task has mapped and live to itself: while busy is set, changes of the
// address space are only noted. Everything else is guarded by the VM lock.
type dmaMap struct {
	be    Backend
	rng   IOVARange
	piece uint64 // bytes
	batch bool   // the device takes batches
	// warn tells the user of RAM that the device cannot reach; nil does not.
	warn func(text string)

	sections []memory.Section // RAM, as the guest sees it
	live     bool             // mapped follows sections
	busy     bool             // a task owns live and mapped
	mapped   []mapping        // what the IOTLB holds
	open     bool             // a change of the address space began a batch
	pins     pinState
}

// pinState tells whether mapping memory pins it. Some devices (VDUSE) do not;
// making memory resident for them would only cost memory.
type pinState int

const (
	pinsUnknown pinState = iota
	pinsYes
	pinsNo
)

// want lists what the IOTLB should hold.
func (d *dmaMap) want() []mapping {
	var out []mapping
	for _, s := range d.sections {
		out = append(out, d.split(s)...)
	}
	return out
}

// split cuts a section to whole pages in the device's range, and to pieces.
func (d *dmaMap) split(s memory.Section) []mapping {
	mask := uint64(os.Getpagesize()) - 1
	if s.Addr&mask != s.Offset&mask {
		return nil // no page of it is a page of the guest's
	}
	// Ends are inclusive: a section may reach the end of the address space.
	first, last := max(s.Addr, d.rng.First), min(s.Last, d.rng.Last)
	if first > last || first+mask < first {
		return nil
	}
	first = (first + mask) &^ mask
	if last&mask != mask {
		if last < mask {
			return nil
		}
		last = last&^mask - 1
	}
	if first > last {
		return nil
	}
	perm := PermReadWrite
	if s.ReadOnly {
		perm = PermRead
	}
	mem := s.Bytes()
	var out []mapping
	for {
		n := min(last-first, d.piece-1) + 1
		at := first - s.Addr
		out = append(out, mapping{first, mem[at : at+n : at+n], perm})
		if last-first == n-1 {
			return out
		}
		first += n
	}
}

// add maps pieces, all or none. canceled is asked before each.
func (d *dmaMap) add(pieces []mapping, canceled func() bool) error {
	had := len(d.mapped)
	for _, p := range pieces {
		err := errCanceled
		if !canceled() {
			err = d.update(p, canceled)
		}
		if err != nil {
			for len(d.mapped) > had {
				last := d.mapped[len(d.mapped)-1]
				if e := d.be.InvalidateIOTLB(last.iova, last.size()); e != nil {
					return errors.Join(err, e)
				}
				d.mapped = d.mapped[:len(d.mapped)-1]
			}
			return err
		}
	}
	return nil
}

// update maps one piece.
func (d *dmaMap) update(p mapping, canceled func() bool) error {
	if d.pins == pinsYes && !settlePages(p, canceled) {
		return errCanceled
	}
	if err := d.be.UpdateIOTLB(p.iova, p.mem, p.perm); err != nil {
		return err
	}
	d.mapped = append(d.mapped, p)
	return nil
}

// probe finds out, with one page, whether the device pins what is mapped.
func (d *dmaMap) probe(p mapping) error {
	page := p.mem[:os.Getpagesize()]
	before := pinnedBytes()
	if err := d.be.UpdateIOTLB(p.iova, page, p.perm); err != nil {
		return err
	}
	d.pins = pinsNo
	if pinnedBytes() > before {
		d.pins = pinsYes
	}
	err := d.be.InvalidateIOTLB(p.iova, uint64(len(page)))
	if err != nil {
		// It is still there, and is to be taken out.
		d.mapped = append(d.mapped, mapping{p.iova, page, p.perm})
	}
	return err
}

// removeAll takes everything out of the IOTLB, by the pieces that went in.
// What cannot be taken out stays noted.
func (d *dmaMap) removeAll() error {
	if len(d.mapped) == 0 {
		return nil
	}
	all := func() error { return d.remove(func(mapping) bool { return true }) }
	err := d.batched(all)
	if err != nil && len(d.mapped) > 0 {
		// Where no batch can be begun, one by one.
		err = errors.Join(err, all())
	}
	return err
}

// remove takes what matches out of the IOTLB.
func (d *dmaMap) remove(match func(mapping) bool) error {
	var errs []error
	d.mapped = slices.DeleteFunc(d.mapped, func(m mapping) bool {
		if !match(m) {
			return false
		}
		err := d.be.InvalidateIOTLB(m.iova, m.size())
		errs = append(errs, err)
		return err == nil
	})
	return errors.Join(errs...)
}

// batched makes the device see what f does as one change, where it can.
func (d *dmaMap) batched(f func() error) error {
	if !d.batch {
		return f()
	}
	if err := d.be.BatchBegin(); err != nil {
		return err
	}
	// The end comes whatever f's outcome: the device acts on it.
	return errors.Join(f(), d.be.BatchEnd())
}

// start makes the IOTLB hold the pieces, on the goroutine of a start. It may
// hold some from before.
func (d *dmaMap) start(pieces []mapping, canceled func() bool) error {
	return d.change(pieces, func(missing []mapping) error {
		if d.pins == pinsUnknown && len(missing) > 0 {
			if err := d.probe(missing[0]); err != nil {
				return err
			}
		}
		return d.add(missing, canceled)
	})
}

// catchUp makes up for what changed in the address space during a task.
func (d *dmaMap) catchUp() error {
	return d.change(d.want(), func(missing []mapping) error { return d.add(missing, never) })
}

// change makes the IOTLB hold what is wanted and nothing else.
func (d *dmaMap) change(want []mapping, add func(missing []mapping) error) error {
	in := func(list []mapping) func(mapping) bool {
		return func(m mapping) bool { return slices.ContainsFunc(list, m.same) }
	}
	gone := slices.ContainsFunc(d.mapped, func(m mapping) bool { return !in(want)(m) })
	missing := slices.DeleteFunc(slices.Clone(want), in(d.mapped))
	if !gone && len(missing) == 0 {
		return nil
	}
	return d.batched(func() error {
		if err := d.remove(func(m mapping) bool { return !in(want)(m) }); err != nil {
			return err
		}
		return add(missing)
	})
}

func never() bool { return false }

// total is how many bytes the guest's RAM is to the device.
func total(pieces []mapping) (n uint64) {
	for _, p := range pieces {
		n += p.size()
	}
	return n
}

// checkRange says, as QEMU does, that a section is not all in the device's
// range. What is of it is mapped; what is not the guest must not use for I/O.
func (d *dmaMap) checkRange(s memory.Section) {
	switch {
	case d.warn == nil:
	case s.Addr < d.rng.First:
		d.warn(fmt.Sprintf("RAM section out of device range (min=0x%x, addr=0x%x)", d.rng.First, s.Addr))
	case s.Last > d.rng.Last:
		d.warn(fmt.Sprintf("RAM section out of device range (max=0x%x, end addr=0x%x)", d.rng.Last, s.Last+1))
	}
}

// Begin is part of memory.Listener, as are those below.
func (d *dmaMap) Begin() {}

// follow runs f in the batch of this change of the address space.
func (d *dmaMap) follow(f func() error) error {
	if d.busy || !d.live {
		return nil
	}
	if d.batch && !d.open {
		if err := d.be.BatchBegin(); err != nil {
			return err
		}
		d.open = true
	}
	return f()
}

func (d *dmaMap) AddSection(s memory.Section) error {
	if !s.IsRAM() {
		return nil
	}
	d.checkRange(s)
	err := d.follow(func() error { return d.add(d.split(s), never) })
	i, _ := slices.BinarySearchFunc(d.sections, s.Addr, func(x memory.Section, addr uint64) int {
		if x.Addr < addr {
			return -1
		}
		return 1
	})
	d.sections = slices.Insert(d.sections, i, s)
	return err // it is the guest's all the same
}

func (d *dmaMap) RemoveSection(s memory.Section) error {
	i := slices.Index(d.sections, s)
	if i < 0 {
		return nil
	}
	d.sections = slices.Delete(d.sections, i, i+1)
	gone := d.split(s)
	return d.follow(func() error {
		return d.remove(func(m mapping) bool { return slices.ContainsFunc(gone, m.same) })
	})
}

func (d *dmaMap) AddEventFD(uint64, memory.IOEventFD) error { return nil }

func (d *dmaMap) RemoveEventFD(uint64, memory.IOEventFD) error { return nil }

func (d *dmaMap) Commit() error {
	if !d.open {
		return nil
	}
	d.open = false
	return d.be.BatchEnd()
}
