package intc

import (
	"slices"
	"sync"

	"github.com/gqemu/gqemu/accel"
)

// APICBus carries messages to the local APICs of a machine. It implements
// accel.APICBus.
type APICBus struct {
	// EOI is told of level-triggered vectors that have ended, with the VM
	// lock held. Set before the machine runs.
	EOI func(vector uint8)

	// mu guards the bus and its APICs: messages come with and without the VM
	// lock. Those who hold both take the VM lock first.
	mu    sync.Mutex
	apics []*LAPIC
	last  int // who took the last lowest-priority interrupt
	level bool
	ack   func() uint8
}

// NewAPICBus makes a bus without APICs.
func NewAPICBus() *APICBus { return new(APICBus) }

var _ accel.APICBus = (*APICBus)(nil)

func (b *APICBus) add(a *LAPIC) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.apics = append(b.apics, a)
	a.lint[0] = b.level
	a.update()
}

func (b *APICBus) remove(a *LAPIC) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.apics, a); i >= 0 {
		b.apics = slices.Delete(b.apics, i, i+1)
	}
}

// SetExtINT drives LINT0 of all APICs, which is what a PIC's output is wired
// to. Called with the VM lock held.
func (b *APICBus) SetExtINT(level bool, ack func() uint8) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.level, b.ack = level, ack
	for _, a := range b.apics {
		a.setLINT(0, level)
	}
}

// message is what an APIC hears of another or of a device.
type message struct {
	dest    uint8
	logical bool
	mode    int
	vector  uint8
	level   bool // level-triggered
}

// SendMSI takes a message signalled interrupt apart and delivers it (SDM
// section 11.11). The redirection hint asks for what the delivery mode says
// anyway.
func (b *APICBus) SendMSI(m accel.MSI) {
	b.mu.Lock()
	defer b.mu.Unlock()
	msg := message{
		dest: uint8(m.Addr >> 12), logical: m.Addr>>2&1 != 0,
		mode: int(m.Data >> 8 & 7), vector: uint8(m.Data), level: m.Data>>15&1 != 0,
	}
	b.deliver(msg, b.addressed(msg))
}

// Bits of the interrupt command register (SDM section 11.6.1). The delivery
// status always reads as idle.
const (
	icrLogical   = 1 << 11
	icrAssert    = 1 << 14
	icrLevel     = 1 << 15
	icrShorthand = 18 // shift
	icrDefined   = 0xccfff &^ (1 << 12)

	toAddressed  = 0
	toSelf       = 1
	toAll        = 2
	toAllButSelf = 3
)

// sendIPI sends what an APIC's command register says; mu is held.
func (b *APICBus) sendIPI(from *LAPIC) {
	icr := from.icr[0]
	m := message{
		dest: uint8(from.icr[1] >> 24), logical: icr&icrLogical != 0,
		mode: int(icr >> 8 & 7), vector: uint8(icr), level: icr&icrLevel != 0,
	}
	if m.level && icr&icrAssert == 0 {
		// For INIT that only settles who wins arbitration, and nothing
		// else has a de-assertion.
		return
	}
	if (m.mode == modeFixed || m.mode == modeLowest) && m.vector < firstVector {
		from.fault(errSendIllegal)
		return
	}
	var to []*LAPIC
	switch icr >> icrShorthand & 3 {
	case toAddressed:
		to = b.addressed(m)
	case toSelf:
		to = []*LAPIC{from}
	case toAll:
		to = b.apics
	case toAllButSelf:
		for _, a := range b.apics {
			if a != from {
				to = append(to, a)
			}
		}
	}
	b.deliver(m, to)
}

// addressed lists the APICs that a message is for.
func (b *APICBus) addressed(m message) (to []*LAPIC) {
	for _, a := range b.apics {
		if a.matches(m) {
			to = append(to, a)
		}
	}
	return to
}

// matches compares a destination (SDM section 11.6.2).
func (a *LAPIC) matches(m message) bool {
	switch {
	case !m.logical:
		return m.dest == 0xff || m.dest == a.id
	case a.model == modelFlat:
		return m.dest&a.logical != 0
	case a.model == 0:
		cluster := m.dest >> 4
		return (cluster == 0xf || cluster == a.logical>>4) && m.dest&a.logical&0xf != 0
	default:
		return false
	}
}

func (b *APICBus) deliver(m message, to []*LAPIC) {
	if m.mode == modeLowest {
		to = b.lowest(to)
	}
	for _, a := range to {
		a.accept(m.mode, m.vector, m.level)
	}
}

// lowest picks the APIC of the lowest processor priority, and among equals
// the one next to the last that was picked.
func (b *APICBus) lowest(to []*LAPIC) []*LAPIC {
	var best *LAPIC
	bestAt, n := 0, len(b.apics)
	for i := range n {
		at := (b.last + 1 + i) % n
		a := b.apics[at]
		if a.disabled || a.svr&svrEnable == 0 || !slices.Contains(to, a) {
			continue
		}
		if best == nil || a.ppr() < best.ppr() {
			best, bestAt = a, at
		}
	}
	if best == nil {
		return nil
	}
	b.last = bestAt
	return []*LAPIC{best}
}
