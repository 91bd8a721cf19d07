package pci

import (
	"fmt"
	"slices"
)

// Resources is what there is to give to the functions of a root bus: ranges of
// addresses, each with both ends, in the order in which they are used.
type Resources struct {
	IO, Mem32, Mem64 []Window
	// IRQ is the number that a guest is told in the interrupt line register of
	// a function on the root bus, for pin 0 to 3.
	IRQ func(devfn, pin int) uint8
}

// Granularity and least size of what a bridge passes on (PCI-to-PCI Bridge
// Architecture 1.2 section 3.2.5), in bytes.
const (
	ioWindowUnit  = 4 << 10
	memWindowUnit = 1 << 20
	// A slot that may be filled later gets a window of two units.
	hotplugMem = 2 << 20
)

// Assign does what firmware does before an operating system starts: it numbers
// the buses below root, gives every function and bridge addresses, and switches
// the decoders on. What finds no room stays off; the error lists it.
func Assign(root *Bus, r Resources) error {
	next := 1
	number(root, &next)
	a := &assigner{Resources: r}
	need := demand(root)
	a.place(root, need, [numWindows][]Window{windowIO: r.IO, windowMem: r.Mem32, windowPref: append(slices.Clone(r.Mem32), r.Mem64...)})
	a.enable(root)
	if len(a.homeless) > 0 {
		return fmt.Errorf("pci: no room for %v", a.homeless)
	}
	return nil
}

type assigner struct {
	Resources
	homeless []string
}

// number gives the buses below b numbers, depth first.
func number(b *Bus, next *int) {
	for _, f := range b.Functions() {
		if f.bridge == nil {
			continue
		}
		if *next > 255 {
			return
		}
		secondary := *next
		*next++
		f.writeConfig(regPrimary, uint32(b.Number()), 1)
		f.writeConfig(regSecondary, uint32(secondary), 1)
		f.writeConfig(regSubordinate, 0xff, 1)
		number(f.bridge.bus, next)
		if p, ok := f.Self().(*Port); ok && p.reserved().buses != ^uint32(0) {
			*next = min(*next+int(min(p.reserved().buses, 255)), 256)
		}
		f.writeConfig(regSubordinate, uint32(*next-1), 1)
	}
}

// item is something that wants addresses: a region, or a bridge's window.
type item struct {
	f           *Function
	bar         int // -1 for a window
	kind        int // windowIO and so on
	size, align uint64
	low         bool    // only below 4 GiB
	inside      []*item // of a window
	at          uint64
}

// demand lists what the functions of a bus want, those behind bridges inside
// the bridges' windows.
func demand(b *Bus) []*item {
	var out []*item
	for _, f := range b.Functions() {
		for n, r := range f.bars {
			if r == nil {
				continue
			}
			i := &item{f: f, bar: n, size: r.size, align: max(r.size, 16)}
			switch {
			case r.io():
				i.kind, i.align = windowIO, r.size
			case r.kind&BARPrefetch != 0 && r.wide():
				i.kind = windowPref
			default:
				i.kind, i.low = windowMem, true
			}
			out = append(out, i)
		}
		if f.bridge == nil {
			continue
		}
		inside := demand(f.bridge.bus)
		for kind := range numWindows {
			if w := window(f, kind, inside); w != nil {
				out = append(out, w)
			}
		}
	}
	return out
}

// window is what a bridge needs of one kind, nil for nothing.
func window(f *Function, kind int, inside []*item) *item {
	unit := uint64(memWindowUnit)
	if kind == windowIO {
		unit = ioWindowUnit
	}
	w := &item{f: f, bar: -1, kind: kind, align: unit, low: kind == windowMem}
	for _, i := range inside {
		if i.kind == kind {
			w.inside = append(w.inside, i)
			w.align = max(w.align, i.align)
		}
	}
	sortItems(w.inside)
	for _, i := range w.inside {
		w.size = alignUp(w.size, i.align) + i.size
	}
	w.size = max(alignUp(w.size, unit), alignUp(least(f, kind), unit))
	if w.size == 0 {
		return nil
	}
	return w
}

// least is what a port asks for besides, for devices that come later.
func least(f *Function, kind int) uint64 {
	p, ok := f.Self().(*Port)
	if !ok {
		return 0
	}
	r, none, byDefault := p.reserved(), ^uint64(0), uint64(0)
	if p.hotplug && kind != windowIO {
		byDefault = hotplugMem
	}
	asked := none
	switch kind {
	case windowIO:
		asked = r.io
	case windowMem:
		asked = r.mem
	case windowPref:
		if asked = r.pref64; asked == none {
			asked = r.pref32
		}
	}
	if asked == none {
		return byDefault
	}
	// More than there can be is as good as nothing: the rest still works.
	return min(asked, 1<<40)
}

func alignUp(n, unit uint64) uint64 { return (n + unit - 1) / unit * unit }

// sortItems puts the largest alignment first, so that there are no gaps.
func sortItems(items []*item) {
	slices.SortStableFunc(items, func(a, b *item) int {
		switch {
		case a.align > b.align:
			return -1
		case a.align < b.align:
			return 1
		}
		return 0
	})
}

// place gives the items of a bus addresses out of free.
func (a *assigner) place(b *Bus, items []*item, free [numWindows][]Window) {
	sortItems(items)
	// Memory of both kinds comes out of the same ranges on the root bus: there
	// one list of free ranges serves both.
	shared := b.Root()
	for _, i := range items {
		from := free[i.kind]
		if shared && i.kind == windowMem {
			from = free[windowPref]
		}
		at, rest, ok := carve(from, i)
		if !ok {
			a.homeless = append(a.homeless, i.String())
			continue
		}
		if shared && i.kind != windowIO {
			free[windowPref] = rest
		} else {
			free[i.kind] = rest
		}
		i.at = at
		a.program(i)
	}
}

func (i *item) String() string {
	if i.bar < 0 {
		return fmt.Sprintf("%s %s window", DevicePath(i.f.model()), [numWindows]string{"I/O", "memory", "prefetchable"}[i.kind])
	}
	return fmt.Sprintf("%s BAR %d", DevicePath(i.f.model()), i.bar)
}

// carve takes an item's addresses off the first range that has room.
func carve(free []Window, i *item) (at uint64, rest []Window, ok bool) {
	for n, w := range free {
		if i.low && w.Limit >= 1<<32 {
			continue
		}
		start := alignUp(w.Base, i.align)
		if start < w.Base || start > w.Limit || w.Limit-start < i.size-1 {
			continue
		}
		rest = slices.Clone(free)
		if start+i.size-1 == w.Limit {
			rest = slices.Delete(rest, n, n+1)
		} else {
			rest[n].Base = start + i.size
		}
		return start, rest, true
	}
	return 0, free, false
}

// program writes an item's place into its registers, and places what is inside.
func (a *assigner) program(i *item) {
	f, last := i.f, i.at+i.size-1
	if i.bar >= 0 {
		at := f.barOffset(i.bar)
		f.writeConfig(at, uint32(i.at), 4)
		if f.bars[i.bar].wide() {
			f.writeConfig(at+4, uint32(i.at>>32), 4)
		}
		return
	}
	switch i.kind {
	case windowIO:
		f.writeConfig(regIOBase, uint32(i.at>>8), 1)
		f.writeConfig(regIOLimit, uint32(last>>8), 1)
	case windowMem:
		f.writeConfig(regMemBase, uint32(i.at>>16), 2)
		f.writeConfig(regMemLimit, uint32(last>>16), 2)
	default:
		f.writeConfig(regPrefBase, uint32(i.at>>16&0xffff), 2)
		f.writeConfig(regPrefLimit, uint32(last>>16&0xffff), 2)
		f.writeConfig(regPrefBaseHigh, uint32(i.at>>32), 4)
		f.writeConfig(regPrefLimitHigh, uint32(last>>32), 4)
	}
	var free [numWindows][]Window
	free[i.kind] = []Window{{i.at, last}}
	a.place(f.bridge.bus, i.inside, free)
}

// enable lets every function decode what it was given.
func (a *assigner) enable(b *Bus) {
	for _, f := range b.Functions() {
		cmd := uint32(0)
		for n, r := range f.bars {
			if r == nil || f.barUnset(n) {
				continue
			}
			if r.io() {
				cmd |= cmdIO
			} else {
				cmd |= cmdMemory
			}
		}
		if f.bridge != nil {
			cmd |= cmdIO | cmdMemory | cmdMaster
		}
		if cmd != 0 {
			f.writeConfig(regCommand, uint32(f.u16(regCommand))|cmd|cmdSERR, 2)
		}
		if pin := int(f.u8(regIntPin)); pin != 0 && a.IRQ != nil {
			devfn, up := f.devfn, f.bus
			for pin--; !up.Root(); up = up.bridge.bus {
				devfn, pin = up.bridge.devfn, swizzle(devfn, pin)
			}
			f.writeConfig(regIntLine, uint32(a.IRQ(devfn, pin)), 1)
		}
		if f.bridge != nil {
			a.enable(f.bridge.bus)
		}
	}
}

// barUnset tells whether a base address register holds no address.
func (f *Function) barUnset(n int) bool {
	at := f.barOffset(n)
	v := f.u32(at) &^ 0xf
	if f.bars[n].wide() {
		v |= f.u32(at + 4)
	}
	return v == 0
}
