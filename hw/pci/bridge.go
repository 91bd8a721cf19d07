package pci

import (
	"errors"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
)

// bridge is what a function with a header of type 1 has besides.
type bridge struct {
	f   *Function
	bus *Bus
	// windows are the parts of the bus's regions that the parent bus shows
	// now, nil for none.
	windows [numWindows]*memory.Region
	spans   [numWindows]span
	inReset bool // the guest holds the bus in reset
}

const (
	windowIO = iota
	windowMem
	windowPref
	numWindows
)

// span is a range of addresses, both ends included; empty if last < first.
type span struct{ first, last uint64 }

func (s span) empty() bool { return s.last < s.first }

func (f *Function) initBridgeHeader() {
	f.set8(regHeaderType, f.u8(regHeaderType)|headerBridge)
	for at := regBAR0; at < headerLen; at++ {
		f.writable[at] = 0
	}
	f.allow32(regPrimary, 0x00ffffff)
	f.allow16(regIOBase, 0xf0f0)
	f.clear16(regSecStatus, statusErrors)
	f.allow32(regMemBase, 0xfff0fff0)
	f.allow32(regPrefBase, 0xfff0fff0)
	f.allow32(regPrefBaseHigh, 0xffffffff)
	f.allow32(regPrefLimitHigh, 0xffffffff)
	f.allow8(regIntLine, 0xff)
	f.allow16(regBridgeControl, 0x5f)
}

// InitBridge makes the bus behind a bridge, named after the device's id.
// onlySlot0 tells that it is a link.
func (f *Function) InitBridge(h *qdev.Host, busType string, onlySlot0 bool) error {
	q, err := h.NewBus(busType, f.ID(), f.Self(), 0)
	if err != nil {
		return err
	}
	f.Defer(q.Remove)
	b := &bridge{f: f}
	b.bus = &Bus{Qdev: q, express: busType == "PCIE", bridge: f, onlySlot0: onlySlot0,
		mem:   memory.NewContainer("pci_bridge_pci", memory.MaxSize),
		ports: memory.NewContainer("pci_bridge_io", 1<<32)}
	f.bridge = b
	for i := range b.spans {
		b.spans[i] = span{1, 0}
	}
	f.Defer(func() {
		if err := b.unmap(); err != nil {
			h.Log.Error().Err(err).Str("device", f.TypeName()).Msg("unmapping a bridge's windows")
		}
		f.bridge = nil
	})
	b.clearRegisters()
	return errors.Join(h.ExposeRegion(f.Self(), b.bus.ports), h.ExposeRegion(f.Self(), b.bus.mem))
}

// SecondaryBus is the bus behind a bridge, nil for other functions.
func (f *Function) SecondaryBus() *Bus {
	if f.bridge == nil {
		return nil
	}
	return f.bridge.bus
}

// window is what the registers say of a window, whether decoded or not.
func (f *Function) window(n int) span {
	switch n {
	case windowIO:
		return span{uint64(f.u8(regIOBase)&0xf0) << 8, uint64(f.u8(regIOLimit)&0xf0)<<8 | 0xfff}
	case windowMem:
		return span{uint64(f.u16(regMemBase)&0xfff0) << 16, uint64(f.u16(regMemLimit)&0xfff0)<<16 | 0xfffff}
	default:
		return span{
			uint64(f.u32(regPrefBaseHigh))<<32 | uint64(f.u16(regPrefBase)&0xfff0)<<16,
			uint64(f.u32(regPrefLimitHigh))<<32 | uint64(f.u16(regPrefLimit)&0xfff0)<<16 | 0xfffff,
		}
	}
}

// wrote follows the guest's writes to the registers.
func (b *bridge) wrote(at, size int) error {
	if overlaps(at, size, regBridgeControl, 2) {
		on := b.f.u16(regBridgeControl)&ctlSecondaryReset != 0
		if on && !b.inReset {
			b.bus.Qdev.Reset()
		}
		b.inReset = on
	}
	if overlaps(at, size, regCommand, 2) || overlaps(at, size, regIOBase, 2) || overlaps(at, size, regMemBase, 16) {
		return b.update()
	}
	return nil
}

// update shows the parent bus what the registers say.
func (b *bridge) update() error {
	h := b.f.Host()
	return h.Map.Update(func() error {
		var errs []error
		cmd := b.f.u16(regCommand)
		for n := range numWindows {
			w := b.f.window(n)
			bit := uint16(cmdMemory)
			if n == windowIO {
				bit = cmdIO
			}
			if cmd&bit == 0 || w.empty() {
				w = span{1, 0}
			}
			if w != b.spans[n] {
				errs = append(errs, b.show(n, w))
			}
		}
		return errors.Join(errs...)
	})
}

func (b *bridge) show(n int, w span) error {
	m := b.f.Host().Map
	if old := b.windows[n]; old != nil {
		b.windows[n] = nil
		if err := m.Remove(old); err != nil {
			return err
		}
	}
	b.spans[n] = w
	if w.empty() {
		return nil
	}
	up, upPorts := b.f.containers()
	from, to := b.bus.mem, up
	if n == windowIO {
		from, to = b.bus.ports, upPorts
	}
	name := [numWindows]string{"pci_bridge_io", "pci_bridge_mem", "pci_bridge_pref_mem"}[n]
	b.windows[n] = memory.NewAlias(name, from, w.first, w.last-w.first+1)
	return m.Add(to, b.windows[n], w.first, 1)
}

func (b *bridge) unmap() error {
	return b.f.Host().Map.Update(func() error {
		var errs []error
		for n := range numWindows {
			errs = append(errs, b.show(n, span{1, 0}))
		}
		return errors.Join(errs...)
	})
}

func (b *bridge) clearRegisters() {
	f := b.f
	f.set32(regPrimary, 0)
	f.set8(regIOBase, 0xf0)
	f.set8(regIOLimit, 0)
	f.set16(regSecStatus, 0)
	f.set16(regMemBase, 0xfff0)
	f.set16(regMemLimit, 0)
	f.set16(regPrefBase, 0xfff1) // 64-bit addresses
	f.set16(regPrefLimit, 1)
	f.set32(regPrefBaseHigh, 0)
	f.set32(regPrefLimitHigh, 0)
	f.set16(regBridgeControl, 0)
}

func (b *bridge) reset() {
	b.clearRegisters()
	b.inReset = false
	if err := b.update(); err != nil {
		b.f.Host().Log.Error().Err(err).Str("device", b.f.TypeName()).Msg("unmapping a bridge's windows")
	}
}
