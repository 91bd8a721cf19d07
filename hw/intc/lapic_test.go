package intc_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/qdev"
)

// lapics is a machine with some local APICs.
type lapics struct {
	*hwtest.Machine
	bus   *intc.APICBus
	apics []*intc.LAPIC
	woken []int
	eois  []uint8
}

func newLAPICs(t testing.TB, n int) *lapics {
	t.Helper()
	l := &lapics{Machine: hwtest.New(t, intc.RegisterAPICs), bus: intc.NewAPICBus(), woken: make([]int, n)}
	l.bus.EOI = func(vector uint8) { l.eois = append(l.eois, vector) }
	l.Do(func() {
		for i := range n {
			d, err := l.Host.New("apic")
			if err != nil {
				t.Fatal(err)
			}
			a := d.(*intc.LAPIC)
			a.Bus = l.bus
			a.SetInitialID(uint32(i))
			if err := qdev.Realize(a); err != nil {
				t.Fatal(err)
			}
			a.Attach(func() { l.woken[i]++ })
			a.Reset(i == 0)
			l.apics = append(l.apics, a)
		}
	})
	return l
}

func (l *lapics) get(cpu, reg int) (v uint32) {
	l.Do(func() {
		var b [4]byte
		l.apics[cpu].Access(uint64(reg), b[:], false)
		v = binary.LittleEndian.Uint32(b[:])
	})
	return v
}

func (l *lapics) set(cpu, reg int, v uint32) {
	l.Do(func() {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], v)
		l.apics[cpu].Access(uint64(reg), b[:], true)
	})
}

// enable switches all APICs on by software.
func (l *lapics) enable() {
	for i := range l.apics {
		l.set(i, svr, 0x1ff)
	}
}

// take lists the vectors that a processor takes now, without ending any.
func (l *lapics) take(cpu int) (got []uint8) {
	l.Do(func() {
		for l.apics[cpu].Interrupt() {
			v, ok := l.apics[cpu].Acknowledge()
			if !ok {
				l.T.Fatal("there is an interrupt, and there is none")
			}
			got = append(got, v)
		}
	})
	return got
}

func (l *lapics) want(t *testing.T, what string, cpu int, want ...uint8) {
	t.Helper()
	if got := l.take(cpu); !slices.Equal(got, want) {
		t.Errorf("%s: processor %d takes %x, want %x", what, cpu, got, want)
	}
}

// wantAll checks who takes a vector, by bit, and ends it.
func (l *lapics) wantAll(t *testing.T, what string, want uint) {
	t.Helper()
	var got uint
	for i := range l.apics {
		if n := len(l.take(i)); n > 0 {
			got |= 1 << i
			for range n {
				l.set(i, eoi, 0)
			}
		}
	}
	if got != want {
		t.Errorf("%s: taken by %04b, want %04b", what, got, want)
	}
}

func (l *lapics) msi(dest uint8, logical bool, data uint32) {
	addr := uint64(0xfee00000) | uint64(dest)<<12
	if logical {
		addr |= 4
	}
	l.bus.SendMSI(accel.MSI{Addr: addr, Data: data})
}

const (
	id, version, tpr, ppr, eoi   = 0x20, 0x30, 0x80, 0xa0, 0xb0
	ldr, dfr, svr, esr           = 0xd0, 0xe0, 0xf0, 0x280
	isr, tmr, irr                = 0x100, 0x180, 0x200
	icrLow, icrHigh              = 0x300, 0x310
	lvtTimer, lvtThermal         = 0x320, 0x330
	lvtPerf, lvtLINT0, lvtLINT1  = 0x340, 0x350, 0x360
	lvtError                     = 0x370
	initialCount, current, divid = 0x380, 0x390, 0x3e0
)

func TestLAPICReset(t *testing.T) {
	l := newLAPICs(t, 2)
	check := func(what string, lint0 uint32) {
		t.Helper()
		for reg, want := range map[int]uint32{
			id: 1 << 24, version: 0x50014, tpr: 0, ppr: 0, ldr: 0, dfr: 0xffffffff, svr: 0xff, esr: 0, isr: 0,
			isr + 0x70: 0, tmr: 0, irr + 0x70: 0, icrLow: 0, icrHigh: 0, lvtTimer: masked, lvtThermal: masked,
			lvtPerf: masked, lvtLINT0: lint0, lvtLINT1: masked, lvtError: masked, initialCount: 0, current: 0, divid: 0,
		} {
			if v := l.get(1, reg); v != want {
				t.Errorf("%s: register %#x is %#x, want %#x", what, reg, v, want)
			}
		}
	}
	check("power-on", masked)
	if v := l.get(0, lvtLINT0); v != 0x700 {
		t.Errorf("LINT0 of the boot processor %#x", v)
	}
	for i := range 2 {
		for reg := 0; reg < 0x400; reg += 0x10 {
			if reg != icrLow && reg != id {
				l.set(1, reg, 0x100|uint32(reg)<<20|0x35)
			}
		}
		l.msi(1, false, 0x91|1<<15)
		if i == 0 {
			l.Do(func() { l.apics[1].Init() })
			check("INIT", masked)
		} else {
			l.Do(func() { l.apics[1].Reset(true) })
			check("reset of the boot processor", 0x700)
		}
	}
	// Only an INIT keeps the id.
	l.set(1, id, 5<<24)
	l.Do(func() { l.apics[1].Init() })
	if v := l.get(1, id); v != 5<<24 {
		t.Errorf("id after an INIT %#x", v)
	}
	l.Do(func() { l.apics[1].Reset(false) })
	if v := l.get(1, id); v != 1<<24 {
		t.Errorf("id after a reset %#x", v)
	}
}

// Registers are read in parts of up to 32 bits, and written as a whole.
func TestLAPICAccessSizes(t *testing.T) {
	l := newLAPICs(t, 1)
	l.Do(func() {
		var b [8]byte
		for _, c := range []struct {
			offset uint64
			size   int
			want   uint64
		}{{version, 1, 0x14}, {version + 2, 1, 5}, {version, 2, 0x14}, {version, 4, 0x50014}, {version + 1, 4, 0}, {version, 8, 0}, {version + 4, 4, 0}} {
			b = [8]byte{}
			l.apics[0].Access(c.offset, b[:c.size], false)
			if got := binary.LittleEndian.Uint64(b[:]); got != c.want {
				t.Errorf("read of %d bytes at %#x: %#x, want %#x", c.size, c.offset, got, c.want)
			}
		}
		for _, size := range []int{1, 2, 8} {
			l.apics[0].Access(tpr, []byte{0x55, 0, 0, 0, 0, 0, 0, 0}[:size], true)
		}
		l.apics[0].Access(tpr+4, []byte{0x55, 0, 0, 0}, true)
	})
	if v := l.get(0, tpr); v != 0 {
		t.Errorf("TPR %#x after writes that are none", v)
	}
}

// The local vector table takes the bits that exist, and is masked while the
// APIC is off.
func TestLAPICLocalVectorTable(t *testing.T) {
	l := newLAPICs(t, 1)
	l.set(0, lvtTimer, 0x30)
	if v := l.get(0, lvtTimer); v != 0x30|masked {
		t.Errorf("timer's entry of a disabled APIC %#x", v)
	}
	l.enable()
	for reg, want := range map[int]uint32{
		lvtTimer: 0x300ff, lvtThermal: 0x107ff, lvtPerf: 0x107ff, lvtLINT0: 0x1a7ff, lvtLINT1: 0x1a7ff, lvtError: 0x100ff,
	} {
		l.set(0, reg, 0xffffffff)
		if v := l.get(0, reg); v != want {
			t.Errorf("register %#x: %#x, want %#x", reg, v, want)
		}
		l.set(0, reg, 0x30)
	}
	l.set(0, svr, 0xff)
	for reg := lvtTimer; reg <= lvtError; reg += 0x10 {
		if v := l.get(0, reg); v&masked == 0 {
			t.Errorf("register %#x of an APIC switched off: %#x", reg, v)
		}
	}
}

// Interrupts come by priority: the class of the task and of what is in service
// holds back those that are not above.
func TestLAPICPriorities(t *testing.T) {
	l := newLAPICs(t, 1)
	l.msi(0, false, 0x91)
	l.want(t, "software disabled", 0)
	l.enable()
	l.want(t, "what came meanwhile", 0)
	for _, v := range []uint32{0x31, 0x55, 0x52, 0x91} {
		l.msi(0, false, v)
	}
	if l.woken[0] != 1 {
		t.Errorf("woken %d times by the first of four", l.woken[0])
	}
	l.want(t, "the highest one", 0, 0x91)
	if v := l.get(0, ppr); v != 0x90 {
		t.Errorf("PPR %#x", v)
	}
	if i, r := l.get(0, isr+0x40), l.get(0, irr+0x20); i != 1<<17 || r != 1<<0x15|1<<0x12 {
		t.Errorf("ISR %#x, IRR %#x", i, r)
	}
	l.set(0, tpr, 0x55)
	l.set(0, eoi, 0)
	l.want(t, "class 5 under task priority 5", 0)
	if v := l.get(0, ppr); v != 0x55 {
		t.Errorf("PPR %#x", v)
	}
	l.set(0, tpr, 0x4f)
	l.want(t, "class 5 over task priority 4", 0, 0x55)
	l.msi(0, false, 0x61)
	l.want(t, "nested", 0, 0x61)
	l.set(0, eoi, 0)
	l.want(t, "the same class", 0)
	l.set(0, eoi, 0)
	l.want(t, "after the EOI", 0, 0x52)
	l.set(0, tpr, 0)
	l.set(0, eoi, 0)
	l.want(t, "the last one", 0, 0x31)
	l.set(0, eoi, 0)
	l.set(0, eoi, 0) // ends nothing
	if len(l.eois) != 0 {
		t.Errorf("EOIs %x of edge interrupts", l.eois)
	}
	l.Do(func() { l.apics[0].SetTPR(0xf0) })
	l.msi(0, false, 0xef)
	l.want(t, "CR8 at 15", 0)
}

// The IOAPICs hear of the end of level-triggered interrupts, once each.
func TestLAPICEOIBroadcast(t *testing.T) {
	l := newLAPICs(t, 2)
	l.enable()
	l.msi(1, false, 0x41|1<<15|1<<14)
	if v := l.get(1, tmr+0x20); v != 2 {
		t.Errorf("TMR %#x", v)
	}
	l.want(t, "level-triggered", 1, 0x41)
	l.set(0, eoi, 0)
	if len(l.eois) != 0 {
		t.Error("EOI by another processor")
	}
	l.set(1, eoi, 0)
	l.set(1, eoi, 0)
	l.msi(1, false, 0x41)
	l.want(t, "edge-triggered", 1, 0x41)
	l.set(1, eoi, 0)
	if !slices.Equal(l.eois, []uint8{0x41}) {
		t.Errorf("EOIs %x", l.eois)
	}
}

// Destinations: by id, everybody, flat and cluster model.
func TestLAPICDestinations(t *testing.T) {
	l := newLAPICs(t, 4)
	l.enable()
	for _, c := range []struct {
		what    string
		dest    uint8
		logical bool
		want    uint
	}{
		{"by id", 2, false, 4}, {"nobody's id", 9, false, 0}, {"everybody", 0xff, false, 15},
		{"no logical ids yet", 0xff, true, 0},
	} {
		l.msi(c.dest, c.logical, 0x50)
		l.wantAll(t, c.what, c.want)
	}
	for i := range 4 {
		l.set(i, ldr, 1<<(24+i))
	}
	l.msi(0x0a, true, 0x50)
	l.wantAll(t, "flat", 10)
	l.msi(0xff, true, 0x50)
	l.wantAll(t, "flat, everybody", 15)
	for i := range 4 { // two clusters of two
		l.set(i, dfr, 0x0fffffff)
		l.set(i, ldr, uint32(i/2)<<28|1<<(24+i%2))
	}
	if v := l.get(0, dfr); v != 0x0fffffff {
		t.Errorf("DFR %#x", v)
	}
	l.msi(0x12, true, 0x50)
	l.wantAll(t, "cluster", 8)
	l.msi(0x03, true, 0x50)
	l.wantAll(t, "all of a cluster", 3)
	l.msi(0xf1, true, 0x50)
	l.wantAll(t, "the first of all clusters", 5)
	l.set(3, dfr, 0x50000000)
	l.msi(0xff, true, 0x50)
	l.wantAll(t, "a model that does not exist", 7)
}

// A lowest-priority interrupt goes to one processor: that with the lowest
// priority, in turn among equals.
func TestLAPICLowestPriority(t *testing.T) {
	l := newLAPICs(t, 4)
	l.enable()
	var got []int
	for range 6 {
		l.msi(0xff, false, 0x150)
		for i := range 4 {
			if len(l.take(i)) > 0 {
				got = append(got, i)
				l.set(i, eoi, 0)
			}
		}
	}
	if !slices.Equal(got, []int{1, 2, 3, 0, 1, 2}) {
		t.Errorf("taken by %v", got)
	}
	for i, p := range []uint32{0x30, 0x20, 0x10, 0x00} {
		l.set(i, tpr, p)
	}
	l.set(3, svr, 0xff)
	l.msi(0xff, false, 0x150)
	l.wantAll(t, "lowest that is enabled", 4)
}

// Commands: all shorthands, and the delivery modes.
func TestLAPICInterProcessorInterrupts(t *testing.T) {
	l := newLAPICs(t, 4)
	l.enable()
	for _, c := range []struct {
		what      string
		high, low uint32
		want      uint
	}{
		{"addressed", 3 << 24, 0x50, 8},
		{"self", 3 << 24, 0x40050, 2},
		{"all", 0, 0x80050, 15},
		{"all but self", 0, 0xc0050, 13},
		{"level-triggered", 0, 0x8c050 | 1<<15, 15},
		{"a de-assertion", 0, 0x80050 | 1<<15, 0},
	} {
		l.set(1, icrHigh, c.high)
		l.set(1, icrLow, c.low)
		if v := l.get(1, icrLow); v != c.low {
			t.Errorf("ICR %#x reads %#x", c.low, v)
		}
		l.wantAll(t, c.what, c.want)
	}
	for i := range 4 {
		l.set(i, ldr, 1<<(24+i))
	}
	l.set(1, icrHigh, 6<<24)
	l.set(1, icrLow, 0x850)
	l.wantAll(t, "logical", 6)

	signals := func(what string, cpu int, want accel.APICSignals) {
		t.Helper()
		if got := l.apics[cpu].Signals(); got != want {
			t.Errorf("%s: processor %d gets %+v, want %+v", what, cpu, got, want)
		}
	}
	l.set(0, icrLow, 0xc4500)
	woken := slices.Clone(l.woken)
	l.set(0, icrLow, 0xc0500|1<<15) // INIT level de-assert
	l.set(0, icrLow, 0xc4200)       // SMI
	if !slices.Equal(woken, l.woken) {
		t.Error("a message that says nothing wakes a processor")
	}
	signals("INIT", 0, accel.APICSignals{})
	signals("INIT", 1, accel.APICSignals{INIT: true})
	signals("INIT", 1, accel.APICSignals{})
	l.set(0, icrLow, 0xc4699)
	signals("SIPI after INIT", 2, accel.APICSignals{INIT: true, SIPI: true, Page: 0x99})
	l.set(0, icrLow, 0xc4500)
	signals("INIT after SIPI", 3, accel.APICSignals{INIT: true})
	l.set(0, icrLow, 0xc0400)
	signals("NMI", 3, accel.APICSignals{NMI: true})
	l.set(0, icrHigh, 3<<24)
	for _, low := range []uint32{0x4400, 0x4500, 0x4400} {
		l.set(0, icrLow, low)
	}
	signals("NMIs before and after INIT", 3, accel.APICSignals{INIT: true})
	for _, low := range []uint32{0x4500, 0x4607, 0x4400} {
		l.set(0, icrLow, low)
	}
	signals("NMI after SIPI", 3, accel.APICSignals{INIT: true, SIPI: true, NMI: true, Page: 7})
	l.wantAll(t, "all these", 0)
}

// LINT0 lets the PIC through, or is an interrupt of the APIC's own.
func TestLAPICLINT0(t *testing.T) {
	l := newLAPICs(t, 2)
	acks := 0
	pic := func(level bool) {
		l.Do(func() { l.bus.SetExtINT(level, func() uint8 { acks++; l.bus.SetExtINT(false, nil); return 0x08 }) })
	}
	pic(true)
	if l.apics[1].Interrupt() {
		t.Error("an interrupt past a masked LINT0")
	}
	l.set(0, tpr, 0xff)
	l.want(t, "the PIC's interrupt has no priority", 0, 0x08)
	if acks != 1 {
		t.Errorf("%d acknowledgements", acks)
	}
	pic(true)
	pic(false)
	l.want(t, "an interrupt taken back", 0)
	l.set(0, tpr, 0)
	l.enable()
	l.set(0, lvtLINT0, 0x10700)
	pic(true)
	l.want(t, "masked", 0)
	pic(false)

	l.set(0, lvtLINT0, 0x61)
	pic(true)
	pic(false)
	pic(true)
	l.want(t, "edge-triggered", 0, 0x61)
	l.set(0, eoi, 0)
	pic(false)
	l.set(0, lvtLINT0, 0x8062)
	pic(true)
	if v := l.get(0, lvtLINT0); v != 0xc062 {
		t.Errorf("LINT0 %#x, want the remote IRR", v)
	}
	pic(false)
	l.want(t, "level-triggered and gone", 0)
	pic(true)
	l.want(t, "level-triggered", 0, 0x62)
	l.set(0, eoi, 0)
	l.want(t, "still high after the EOI", 0, 0x62)
	pic(false)
	l.set(0, eoi, 0)
	l.want(t, "low after the EOI", 0)
	if v := l.get(0, lvtLINT0); v != 0x8062 {
		t.Errorf("LINT0 %#x", v)
	}
	l.set(0, lvtLINT0, 0x400)
	pic(true)
	if s := l.apics[0].Signals(); s != (accel.APICSignals{NMI: true}) {
		t.Errorf("LINT0 as NMI: %+v", s)
	}
}

func TestLAPICNMIButton(t *testing.T) {
	l := newLAPICs(t, 2)
	l.enable()
	l.set(1, lvtLINT1, 0x400)
	for _, a := range l.apics {
		a.PulseLINT1()
	}
	if a, b := l.apics[0].Signals(), l.apics[1].Signals(); a.Any() || b != (accel.APICSignals{NMI: true}) {
		t.Errorf("signals %+v and %+v", a, b)
	}
}

// Errors gather until ESR is written, which shows them, and interrupt.
func TestLAPICErrors(t *testing.T) {
	l := newLAPICs(t, 2)
	l.enable()
	l.set(0, lvtError, 0x33)
	l.set(0, icrLow, 0x4000f)
	l.want(t, "sending an illegal vector", 0, 0x33)
	l.set(0, icrLow, 0x4000f)
	l.set(0, eoi, 0)
	l.want(t, "once until ESR is written", 0)
	l.msi(0, false, 5)
	l.get(0, 0x40)
	l.set(0, eoi, 0)
	if v := l.get(0, esr); v != 0 {
		t.Errorf("ESR %#x before it is written", v)
	}
	l.set(0, esr, 0)
	if v := l.get(0, esr); v != 0xe0 {
		t.Errorf("ESR %#x", v)
	}
	l.set(0, esr, 0)
	if v := l.get(0, esr); v != 0 {
		t.Errorf("ESR %#x after a second write", v)
	}
	l.set(0, lvtError, 0x03) // an error about an error
	l.get(0, 0x40)
	l.set(0, esr, 0)
	if v := l.get(0, esr); v != 0xc0 {
		t.Errorf("ESR %#x", v)
	}
}

// A disabled APIC takes nothing and lets the PIC through; enabled again it is
// as new.
func TestLAPICGlobalDisable(t *testing.T) {
	l := newLAPICs(t, 1)
	l.enable()
	l.set(0, lvtLINT0, masked)
	l.msi(0, false, 0x50)
	l.Do(func() { l.apics[0].SetBase(0xfee00100) })
	l.msi(0, false, 0x51)
	l.msi(0, false, 0x400)
	l.want(t, "disabled", 0)
	if l.apics[0].Signals().Any() {
		t.Error("a disabled APIC takes an NMI")
	}
	l.Do(func() { l.bus.SetExtINT(true, func() uint8 { l.bus.SetExtINT(false, nil); return 0x20 }) })
	l.want(t, "the PIC past a disabled APIC", 0, 0x20)
	l.Do(func() { l.apics[0].SetBase(0xfee00900) })
	if v := l.get(0, svr); v != 0xff {
		t.Errorf("SVR %#x", v)
	}
}

// The objects are there where no code runs, as in QEMU.
func TestLAPICObjectWithoutABus(t *testing.T) {
	m := hwtest.New(t, intc.RegisterAPICs)
	m.Do(func() {
		for _, typ := range []string{"apic", "kvm-apic"} {
			d, err := m.Host.New(typ)
			if err != nil {
				t.Fatal(err)
			}
			d.(intc.APICObject).SetInitialID(7)
			if err := qdev.Realize(d); err != nil {
				t.Fatal(err)
			}
			if n := d.(intc.APICObject).InitialID(); n != 7 {
				t.Errorf("%s has id %d", typ, n)
			}
			qdev.Delete(d)
		}
	})
}
