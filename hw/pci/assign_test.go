package pci

import (
	"strings"
	"testing"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
)

var testResources = Resources{
	IO: []Window{{0xc000, 0xffff}}, Mem32: []Window{{0xc0000000, 0xfebfffff}}, Mem64: []Window{{0x100000000, 0x8ffffffff}},
	IRQ: func(devfn, pin int) uint8 { return 10 + uint8(swizzle(devfn, pin))/2 },
}

// Everything gets a place of its own, inside the windows of the bridges above
// it, and answers there.
func TestAssign(t *testing.T) {
	b := newBench(t)
	outer := b.port("rp0", "1")
	inner, err := b.add("pcie-root-port", "rp1", "rp0", "chassis", "2", "bus-reserve", "3", "io-reserve", "4096")
	b.must(err)
	b.port("rp2", "3", "hotplug", "off")
	gadgets := []*gadget{b.gadget(b.root.bus, allBARs), b.gadget(inner.(*Port).PCIBus(), allBARs)}
	b.Do(func() { b.must(Assign(b.root.bus, testResources)) })
	numbers := map[*Port][2]uint8{outer: {1, 5}, inner.(*Port): {2, 5}}
	for p, want := range numbers {
		if i, _ := p.Bridge(); i.Secondary != want[0] || i.Subordinate != want[1] {
			t.Errorf("%s: buses %d to %d, want %d to %d", p.ID(), i.Secondary, i.Subordinate, want[0], want[1])
		}
	}
	taken := map[uint64]string{}
	for _, g := range gadgets {
		for i, r := range g.Regions() {
			if r.Addr == unmapped || r.Addr%r.Size != 0 || taken[r.Addr] != "" {
				t.Fatalf("%s: region %d of %#x bytes at %#x", DevicePath(g), i, r.Size, r.Addr)
			}
			taken[r.Addr] = DevicePath(g)
			var v uint32
			if r.IO {
				v = b.Inl(uint16(r.Addr))
			} else {
				v = b.Readl(r.Addr)
			}
			if want := []uint32{0x11, 0x22, 0x33}[i]; v != want {
				t.Errorf("%s: region %d at %#x reads %#x", DevicePath(g), i, r.Addr, v)
			}
			for up := g.bus; !up.Root(); up = up.bridge.bus {
				w := up.bridge.window([]int{windowMem, windowIO, windowPref}[i])
				if r.Addr < w.first || r.Addr+r.Size-1 > w.last {
					t.Errorf("%s: region %d at %#x is outside of %#x", DevicePath(g), i, r.Addr, w)
				}
			}
		}
		if irq := g.u8(regIntLine); irq != 10 && irq != 11 {
			t.Errorf("interrupt line %d", irq)
		}
	}
	if i, _ := outer.Bridge(); i.Memory.Limit-i.Memory.Base+1 < hotplugMem {
		t.Errorf("a port that devices can be plugged into has a window of %#x", i.Memory)
	}
}

// What does not fit below 4 GiB goes above, if it can; what cannot is named,
// and the rest works.
func TestAssignOverflow(t *testing.T) {
	b := newBench(t)
	big := func(kind BARKind) func(g *gadget, h *qdev.Host) error {
		return func(g *gadget, _ *qdev.Host) error {
			return g.AddBAR(0, kind, memory.NewIO("big", 2<<30, memory.OpsFuncs{}, memory.Access{}))
		}
	}
	high := b.gadget(b.root.bus, big(BARMem64|BARPrefetch))
	b.gadget(b.root.bus, big(BARMem32))
	small := b.gadget(b.root.bus, allBARs)
	var err error
	b.Do(func() { err = Assign(b.root.bus, testResources) })
	if err == nil || !strings.Contains(err.Error(), "0000:00:01.0 BAR 0") {
		t.Errorf("%v", err)
	}
	if at := high.Regions()[0].Addr; at < 1<<32 || at == unmapped {
		t.Errorf("the big one is at %#x", at)
	}
	for i, r := range small.Regions() {
		if r.Addr == unmapped {
			t.Errorf("region %d is nowhere", i)
		}
	}
}

// The bridge asks firmware for room in QEMU's words and layout.
func TestReserve(t *testing.T) {
	b := newBench(t)
	p := b.port("rp0", "1", "mem-reserve", "4M", "bus-reserve", "2")
	at := int(p.nextCap)
	want := []uint32{uint32(p.u8(at+1))<<8 | CapVendor | reserveLen<<16 | reserveType<<24, 2, ^uint32(0), ^uint32(0), 4 << 20, ^uint32(0), ^uint32(0), ^uint32(0)}
	for i, w := range want {
		if v := p.u32(at + 4*i); v != w {
			t.Errorf("%#x: %#x, want %#x", 4*i, v, w)
		}
	}
	for props, text := range map[string]string{
		"pref32-reserve=1M,pref64-reserve=1M": "PCI resource reserve cap: PREF32 and PREF64 conflict",
		"mem-reserve=4G":                      "PCI resource reserve cap: mem-reserve must be less than 4G",
	} {
		args := []string{"chassis", "9"}
		for kv := range strings.SplitSeq(props, ",") {
			k, v, _ := strings.Cut(kv, "=")
			args = append(args, k, v)
		}
		if _, err := b.add("pcie-root-port", "", "", args...); err == nil || err.Error() != text {
			t.Errorf("%s: %v", props, err)
		}
	}
}
