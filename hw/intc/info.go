package intc

import (
	"fmt"
	"strings"
)

// deliveryModes are the names of the delivery modes of redirection entries.
var deliveryModes = [8]string{"fixed", "lowest", "SMI", "...", "NMI", "INIT", "...", "extINT"}

// InterruptInfo is the controller's state in the layout of QEMU's `info pic`.
func (a *IOAPIC) InterruptInfo() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ioapic0: ver=0x%x id=0x%02x sel=0x%02x", a.version, a.id, a.sel)
	if n, _, ok := a.tableIndex(); ok {
		fmt.Fprintf(&b, " (redir[%d])", n)
	}
	b.WriteString("\n")
	remote := uint32(0)
	for n, e := range a.entries {
		dest, mode := uint64(e)>>56&0xf, "physical"
		if e>>11&1 != 0 {
			dest, mode = uint64(e)>>56, "logical"
		}
		pick := func(bit redirection, set, clear string) string {
			if e&bit != 0 {
				return set
			}
			return clear
		}
		fmt.Fprintf(&b, "  pin %-2d 0x%016x dest=%x vec=%-3d %s %-5s %-6s %-6s %s\n", n, uint64(e), dest, e.vector(),
			pick(1<<13, "active-lo", "active-hi"), pick(entryLevel, "level", "edge"), pick(entryMasked, "masked", ""),
			deliveryModes[e.delivery()], mode)
		if e&entryRemoteIRR != 0 {
			remote |= 1 << n
		}
	}
	pending := a.edges
	for n, e := range a.entries {
		if e&entryLevel != 0 {
			pending |= a.lines & (1 << n)
		}
	}
	fmt.Fprintf(&b, "  IRR     %s\n  Remote IRR%s\n", pinList(pending), pinList(remote))
	return b.String()
}

// pinList writes the pins of a set.
func pinList(set uint32) string {
	if set == 0 {
		return " (none)"
	}
	var b strings.Builder
	for n := range 32 {
		if set>>n&1 != 0 {
			fmt.Fprintf(&b, " %d", n)
		}
	}
	return b.String()
}

// InterruptCounts is how often each input rose.
func (a *IOAPIC) InterruptCounts() []uint64 { return a.counts[:] }

// InterruptInfo is the controller's state in the layout of QEMU's `info pic`.
func (p *PIC) InterruptInfo() string {
	n := 1
	if p.master {
		n = 0
	}
	number := func(on bool) int {
		if on {
			return 1
		}
		return 0
	}
	return fmt.Sprintf("pic%d: irr=%02x imr=%02x isr=%02x hprio=%d irq_base=%02x rr_sel=%d elcr=%02x fnm=%d\n",
		n, p.irr, p.imr, p.isr, (p.lowest+1)&7, p.base, number(p.readISR), p.elcr, number(p.nested))
}

// InterruptCounts is how often each of the 16 inputs of the pair rose; nil for
// the slave, whose inputs the master lists.
func (p *PIC) InterruptCounts() []uint64 {
	if !p.master {
		return nil
	}
	counts := make([]uint64, 16)
	copy(counts, p.counts[:])
	if p.slave != nil {
		copy(counts[8:], p.slave.counts[:])
	}
	return counts
}
