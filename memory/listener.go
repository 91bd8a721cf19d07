package memory

import (
	"errors"
	"fmt"
	"slices"
)

// IOEventFD asks that guest writes to an offset signal an eventfd.
type IOEventFD struct {
	Offset uint64 // in the region
	Size   int    // of the write in bytes; 0 matches any
	Match  bool   // only writes of Data
	Data   uint64
	FD     int
}

// Listener follows an address space. All calls come with the VM lock held,
// in the order: Begin, removals (descending address), additions (ascending),
// eventfd removals, eventfd additions, Commit. An error goes to whoever
// changed the tree; the thing the call was about then counts as not added.
type Listener interface {
	Begin()
	AddSection(Section) error
	RemoveSection(Section) error
	AddEventFD(addr uint64, e IOEventFD) error
	RemoveEventFD(addr uint64, e IOEventFD) error
	Commit() error
}

// placedEventFD is an eventfd at its guest address.
type placedEventFD struct {
	addr uint64
	e    IOEventFD
}

// Listen adds l and tells it all there is now.
func (s *Space) Listen(l Listener) error {
	l.Begin()
	var errs []error
	for _, sec := range *s.view.Load() {
		errs = append(errs, l.AddSection(sec))
	}
	for _, p := range s.eventfds {
		errs = append(errs, l.AddEventFD(p.addr, p.e))
	}
	errs = append(errs, l.Commit())
	s.listeners = append(s.listeners, l)
	return errors.Join(errs...)
}

// Unlisten takes l off. It is told that everything goes.
func (s *Space) Unlisten(l Listener) error {
	i := slices.Index(s.listeners, l)
	if i < 0 {
		return fmt.Errorf("memory: %s has no such listener", s.name)
	}
	s.listeners = slices.Delete(slices.Clone(s.listeners), i, i+1)
	l.Begin()
	var errs []error
	for _, p := range s.eventfds {
		errs = append(errs, l.RemoveEventFD(p.addr, p.e))
	}
	v := *s.view.Load()
	for i := len(v) - 1; i >= 0; i-- {
		errs = append(errs, l.RemoveSection(v[i]))
	}
	errs = append(errs, l.Commit())
	return errors.Join(errs...)
}

func (s *Space) commit() error {
	old, next := *s.view.Load(), render(s.root)
	oldFDs, nextFDs := s.eventfds, placeEventFDs(next)
	gone, come := difference(old, next), difference(next, old)
	goneFDs, comeFDs := difference(oldFDs, nextFDs), difference(nextFDs, oldFDs)
	s.view.Store(&next)
	s.eventfds = nextFDs
	if len(gone)+len(come)+len(goneFDs)+len(comeFDs) == 0 {
		return nil
	}
	var errs []error
	for _, l := range s.listeners {
		l.Begin()
		for i := len(gone) - 1; i >= 0; i-- {
			errs = append(errs, l.RemoveSection(gone[i]))
		}
		for _, sec := range come {
			errs = append(errs, l.AddSection(sec))
		}
		for _, p := range goneFDs {
			errs = append(errs, l.RemoveEventFD(p.addr, p.e))
		}
		for _, p := range comeFDs {
			errs = append(errs, l.AddEventFD(p.addr, p.e))
		}
		errs = append(errs, l.Commit())
	}
	return errors.Join(errs...)
}

// difference lists what is in a and not in b, in a's order.
func difference[T comparable](a, b []T) []T {
	in := make(map[T]struct{}, len(b))
	for _, x := range b {
		in[x] = struct{}{}
	}
	var out []T
	for _, x := range a {
		if _, ok := in[x]; !ok {
			out = append(out, x)
		}
	}
	return out
}

func placeEventFDs(v view) []placedEventFD {
	var out []placedEventFD
	for _, sec := range v {
		for _, e := range sec.Region.eventfds {
			size := uint64(max(e.Size, 1))
			if e.Offset < sec.Offset || e.Offset-sec.Offset > sec.Last-sec.Addr ||
				e.Offset+size-1-sec.Offset > sec.Last-sec.Addr {
				continue
			}
			out = append(out, placedEventFD{sec.Addr + (e.Offset - sec.Offset), e})
		}
	}
	return out
}
