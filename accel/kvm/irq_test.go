package kvm

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/sys"
)

const (
	lapicMSI   = 0xfee00000 // to APIC 0, physical
	levelMSI   = 1<<15 | 1<<14
	vectorBase = 0x40
)

// interrupts makes a guest in 64-bit mode that enables its APIC and counts
// on port 0x80+n what arrives on vector vectorBase+n, for n below 4. Each
// handler ends with an EOI and then waits with interrupts on: there is no
// IRET, which not every KVM can do.
func (m *machine) interrupts() *VCPU {
	v := m.long64(
		0x0f, 0x01, 0x1c, 0x25, 0x00, 0x7f, 0x00, 0x00, // lidt [0x7f00]
		0xbb, 0x00, 0x00, 0xe0, 0xfe, // mov ebx, 0xfee00000
		0xc7, 0x83, 0xf0, 0, 0, 0, 0xff, 0x01, 0, 0, // mov dword [rbx+0xf0], 0x1ff
		0xe6, 0x70, // out 0x70, al
		0xfb,       // sti
		0xeb, 0xfe, // jmp $
	)
	ram := m.ram.Bytes()
	binary.LittleEndian.PutUint16(ram[0x7f00:], 0xfff)
	binary.LittleEndian.PutUint64(ram[0x7f02:], 0x10000)
	for n := range 4 {
		at := 0x11000 + 0x100*n
		copy(ram[at:], []byte{
			0xbc, 0x00, 0x70, 0x00, 0x00, // mov esp, 0x7000
			0xe6, byte(0x80 + n), // out 0x80+n, al
			0xbb, 0x00, 0x00, 0xe0, 0xfe, // mov ebx, 0xfee00000
			0xc7, 0x83, 0xb0, 0, 0, 0, 0, 0, 0, 0, // mov dword [rbx+0xb0], 0
			0xfb,       // sti
			0xeb, 0xfe, // jmp $
		})
		gate := ram[0x10000+16*(vectorBase+n):]
		binary.LittleEndian.PutUint16(gate, uint16(at))
		binary.LittleEndian.PutUint16(gate[2:], 0x10)
		gate[5] = 0x8e
		binary.LittleEndian.PutUint16(gate[6:], uint16(at>>16))
	}
	return v
}

// arrivals runs the guest of interrupts and returns the vectors it takes.
func (m *machine) arrivals() <-chan int {
	got := make(chan int, 100)
	m.h.pio = func(port uint16, _ []byte, _ bool) { got <- int(port) - 0x80 }
	m.interrupts()
	m.vm.Resume()
	if n := receive(m.t, got, "start of the guest"); n != 0x70-0x80 {
		m.t.Fatalf("guest says %d", n)
	}
	return got
}

func expect(t *testing.T, got <-chan int, want int, what string) {
	t.Helper()
	if n := receive(t, got, what); n != want {
		t.Fatalf("%s: interrupt %d, want %d", what, n, want)
	}
}

func nothing(t *testing.T, got <-chan int, what string) {
	t.Helper()
	select {
	case n := <-got:
		t.Fatalf("%s: interrupt %d", what, n)
	case <-time.After(30 * time.Millisecond):
	}
}

func TestMSIReachesTheGuest(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	got := m.arrivals()
	for i := range 4 {
		m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI, Data: uint32(vectorBase + i)}))
		expect(t, got, i, "MSI")
	}
	// To an APIC that is not there: no error, no interrupt.
	m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI | 9<<12, Data: vectorBase}))
	nothing(t, got, "MSI to nobody")
	m.pause()
}

func TestIRQFDFollowsItsPinsRouteAndMask(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	got := m.arrivals()
	e, err := sys.NewEventfd()
	m.check(err)
	defer e.Close()
	const pin = 47
	route := accel.PinRoute{GSI: pin, MSI: accel.MSI{Addr: lapicMSI, Data: vectorBase}}
	m.check(m.vm.AddIRQFD(pin, e.FD()))
	m.check(e.Signal())
	nothing(t, got, "pin never set up")
	m.check(m.vm.SetPinRoutes([]accel.PinRoute{route}))
	expect(t, got, 0, "signal kept over the set-up")
	m.check(e.Signal())
	expect(t, got, 0, "signal")

	route.MSI.Data++
	m.check(m.vm.SetPinRoutes([]accel.PinRoute{route}))
	m.check(e.Signal())
	expect(t, got, 1, "signal after a change of route")

	route.Masked = true
	m.check(m.vm.SetPinRoutes([]accel.PinRoute{route}))
	m.check(e.Signal())
	nothing(t, got, "signal of a masked pin")
	route.Masked = false
	m.check(m.vm.SetPinRoutes([]accel.PinRoute{route}))
	expect(t, got, 1, "signal kept over the mask")

	m.check(m.vm.RemoveIRQFD(pin, e.FD()))
	m.check(e.Signal())
	nothing(t, got, "signal of a removed irqfd")
	if err := m.vm.RemoveIRQFD(pin, e.FD()); err == nil {
		t.Error("removed twice")
	}
	if err := m.vm.SetPinRoutes([]accel.PinRoute{{GSI: 48}}); err == nil {
		t.Error("pin 48 of 48")
	}
	m.pause()
}

func TestMSIRoutesAreApartFromPins(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	got := m.arrivals()
	e, err := sys.NewEventfd()
	m.check(err)
	defer e.Close()
	a, err := m.vm.AddMSIRoute(accel.MSI{Addr: lapicMSI, Data: vectorBase + 2})
	m.check(err)
	b, err := m.vm.AddMSIRoute(accel.MSI{Addr: lapicMSI, Data: vectorBase + 3})
	m.check(err)
	if a < 48 || b < 48 || a == b {
		t.Errorf("numbers %d and %d", a, b)
	}
	m.check(m.vm.AddIRQFD(a, e.FD()))
	m.check(e.Signal())
	expect(t, got, 2, "signal")
	m.check(m.vm.SetMSIRoute(a, accel.MSI{Addr: lapicMSI, Data: vectorBase + 1}))
	m.check(e.Signal())
	expect(t, got, 1, "signal after a change")
	if err := m.vm.RemoveMSIRoute(a); err == nil {
		t.Error("a route in use was removed")
	}
	m.check(m.vm.RemoveIRQFD(a, e.FD()))
	m.check(m.vm.RemoveMSIRoute(a))
	m.check(m.vm.RemoveMSIRoute(b))
	m.pause()
}

func TestLevelTriggeredPinsEndWithAnEOIEvenWhenMaskedMeanwhile(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	eois := make(chan int, 10)
	m.h.eoi = func(vector uint8) { eois <- int(vector) - vectorBase }
	got := make(chan int, 100)
	route := accel.PinRoute{GSI: 30, MSI: accel.MSI{Addr: lapicMSI, Data: vectorBase | levelMSI}}
	var mask atomic.Bool
	m.h.pio = func(port uint16, _ []byte, _ bool) {
		if mask.Load() && port == 0x80 {
			r := route
			r.Masked = true
			if err := m.vm.SetPinRoutes([]accel.PinRoute{r}); err != nil {
				t.Error(err)
			}
		}
		got <- int(port) - 0x80
	}
	m.interrupts()
	m.check(m.vm.SetPinRoutes([]accel.PinRoute{
		route, {GSI: 31, MSI: accel.MSI{Addr: lapicMSI, Data: vectorBase + 1}},
	}))
	m.vm.Resume()
	receive(t, got, "start of the guest")
	m.check(m.vm.SendMSI(route.MSI))
	expect(t, got, 0, "level interrupt")
	expect(t, eois, 0, "EOI")
	m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI, Data: vectorBase + 1}))
	expect(t, got, 1, "edge interrupt")
	nothing(t, eois, "EOI of an edge interrupt")
	mask.Store(true)
	m.check(m.vm.SendMSI(route.MSI))
	expect(t, got, 0, "level interrupt that masks its pin")
	expect(t, eois, 0, "EOI of a masked pin")
	m.pause()
}

func TestPICInterruptIsAcknowledgedOnceTheGuestTakesIt(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	got := make(chan int, 100)
	m.h.pio = func(port uint16, _ []byte, _ bool) { got <- int(port) - 0x80 }
	var acks atomic.Int32
	var ack func() uint8
	ack = func() uint8 {
		if m.lock.TryLock() {
			t.Error("ack without the VM lock")
			m.lock.Unlock()
		}
		acks.Add(1)
		m.vm.SetExtINT(false, ack)
		return 0x21
	}
	m.boot(
		0xe6, 0x81, // out 0x81, al
		0xb9, 0x00, 0x08, // mov cx, 0x800
		0xe2, 0xfe, // loop $
		0xe6, 0x82, // out 0x82, al
		0xfb,       // sti
		0xeb, 0xfe, // jmp $
	)
	ram := m.ram.Bytes()
	binary.LittleEndian.PutUint16(ram[4*0x21:], 0x9000)
	copy(ram[0x9000:], []byte{0xe6, 0x83, 0xfb, 0xeb, 0xfe}) // out 0x83, al; sti; jmp $
	m.lock.Lock()
	m.vm.SetExtINT(true, ack)
	m.lock.Unlock()
	m.vm.Resume()
	expect(t, got, 1, "start of the guest")
	expect(t, got, 2, "end of the part without interrupts")
	expect(t, got, 3, "PIC interrupt")
	if n := acks.Load(); n != 1 {
		t.Errorf("%d acknowledgements", n)
	}
	// Now with the guest busy in its loop: the boot CPU must be woken.
	for range 20 {
		m.lock.Lock()
		m.vm.SetExtINT(true, ack)
		m.lock.Unlock()
		expect(t, got, 3, "PIC interrupt")
	}
	m.pause()
}

func TestKernelIRQChipTakesLines(t *testing.T) {
	m := newMachine(t, accel.IRQChipOn)
	got := make(chan int, 100)
	m.h.pio = func(port uint16, _ []byte, _ bool) { got <- int(port) }
	m.boot(
		0xb0, 0x11, 0xe6, 0x20, // ICW1
		0xb0, 0x20, 0xe6, 0x21, // ICW2: vectors from 0x20
		0xb0, 0x04, 0xe6, 0x21, // ICW3
		0xb0, 0x01, 0xe6, 0x21, // ICW4
		0xb0, 0xef, 0xe6, 0x21, // OCW1: line 4 only
		0xe6, 0x80, // out 0x80, al
		0xfb,       // sti
		0xeb, 0xfe, // jmp $
	)
	ram := m.ram.Bytes()
	binary.LittleEndian.PutUint16(ram[4*0x24:], 0x9000)
	copy(ram[0x9000:], []byte{0xe6, 0x81, 0xeb, 0xfe}) // out 0x81, al; jmp $
	m.vm.Resume()
	expect(t, got, 0x80, "start of the guest")
	m.check(m.vm.SetLine(4, true))
	expect(t, got, 0x81, "line 4")
	m.check(m.vm.SetLine(4, false))
	if err := m.vm.SetLine(24, true); err == nil {
		t.Error("line 24 of 24")
	}
	m.check(m.vm.SetPinRoutes([]accel.PinRoute{{GSI: 100}})) // does nothing here
	m.pause()
}

// A kernel that never touches the PICs, as on a hardware-reduced platform,
// hears nothing of them, neither at power-on nor after a reset of a guest
// that used them; and what was set up in the IOAPIC is gone.
func TestResetChipsMasksThem(t *testing.T) {
	m := newMachine(t, accel.IRQChipOn)
	got := make(chan int, 100)
	m.h.pio = func(port uint16, _ []byte, _ bool) { got <- int(port) }
	v := m.boot(
		0xe6, 0x80, // out 0x80, al
		0xfb,       // sti
		0xeb, 0xfe, // jmp $
	)
	ram := m.ram.Bytes()
	copy(ram[0x9000:], []byte{0xe6, 0x81, 0xeb, 0xfe}) // out 0x81, al; jmp $
	for _, vector := range []int{4, 8, 12} {
		binary.LittleEndian.PutUint32(ram[4*vector:], 0x9000)
	}
	for range 2 {
		m.check(m.vm.ResetChips())
		m.check(v.Reset())
		m.real(v)
		m.vm.Resume()
		expect(t, got, 0x80, "start of the guest")
		m.check(m.vm.SetLine(4, true))
		nothing(t, got, "a PIC that nobody has set up interrupts")
		m.check(m.vm.SetLine(4, false))
		m.pause()
		m.check(updateChip(m.vm, chipPICMaster, func(s *picState) { *s = picState{elcrMask: s.elcrMask} }))
		m.check(updateChip(m.vm, chipIOAPIC, func(s *ioapicState) { s.table[4] = 0x34 }))
	}
	m.check(m.vm.ResetChips())
	m.check(updateChip(m.vm, chipIOAPIC, func(s *ioapicState) {
		if s.table[4] != ioapicMasked || s.base != ioapicBase {
			t.Errorf("IOAPIC at %#x, pin 4 %#x", s.base, s.table[4])
		}
	}))
}

func TestSecondCPUStartsByINITAndSIPI(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	got := make(chan int, 100)
	m.h.pio = func(port uint16, _ []byte, _ bool) { got <- int(port) }
	m.long64(
		0xbb, 0x00, 0x00, 0xe0, 0xfe, // mov ebx, 0xfee00000
		0xc7, 0x83, 0x00, 0x03, 0, 0, 0x00, 0x45, 0x0c, 0x00, // mov dword [rbx+0x300], 0xc4500
		0xc7, 0x83, 0x00, 0x03, 0, 0, 0x09, 0x46, 0x0c, 0x00, // mov dword [rbx+0x300], 0xc4609
		0xeb, 0xfe, // jmp $
	)
	copy(m.ram.Bytes()[0x9000:], []byte{0xe6, 0x99, 0xeb, 0xfe}) // out 0x99, al; jmp $
	ap := m.cpu(1)
	for range 2 { // after a reset it waits for INIT again
		m.vm.Resume()
		expect(t, got, 0x99, "start of the second CPU")
		m.pause()
		st, err := ap.state()
		m.check(err)
		if st.sregs.cs.selector != 0x900 || st.regs.rip != 2 {
			t.Errorf("second CPU at %x:%x", st.sregs.cs.selector, st.regs.rip)
		}
		boot := m.vm.vcpus[0]
		m.check(ap.Reset())
		m.check(boot.Reset())
		m.check(boot.SetBoot(accel.BootState{
			Mode: accel.ModeLong64, RIP: codeAt, RSP: 0x7000, CR3: 0x1000,
			GDTBase: 0x7000, GDTLimit: 0x1f, CodeSel: 0x10, DataSel: 0x18,
		}))
	}
}

func TestProtectedModeBoot(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	got := make(chan uint32, 10)
	m.h.pio = func(_ uint16, data []byte, _ bool) { got <- binary.LittleEndian.Uint32(data) }
	m.code(
		0x89, 0xd8, // mov eax, ebx
		0xe7, 0x80, // out 0x80, eax
		0xeb, 0xfe, // jmp $
	)
	v := m.cpu(0)
	m.check(v.SetBoot(accel.BootState{
		Mode: accel.ModeProtected32, RIP: codeAt, RBX: 0x12345678, GDTBase: 0x7000, GDTLimit: 0x1f, CodeSel: 0x10, DataSel: 0x18,
	}))
	m.vm.Resume()
	if n := receive(t, got, "port write"); n != 0x12345678 {
		t.Errorf("EBX is %#x", n)
	}
	m.pause()
}

func TestSupportedCPUIDHasWhatTheKernelsAPICAdds(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	var features accel.CPUID
	signature := ""
	for _, c := range m.vm.SupportedCPUID() {
		switch c.Function {
		case leafFeatures:
			features = c
		case 0x40000000:
			for _, r := range []uint32{c.EBX, c.ECX, c.EDX} {
				signature += string(binary.LittleEndian.AppendUint32(nil, r))
			}
		}
	}
	if features.ECX&ecxX2APIC == 0 || features.ECX&ecxTSCDeadline == 0 || features.ECX&ecxHypervisor == 0 {
		t.Errorf("leaf 1 ECX is %#x", features.ECX)
	}
	if signature != "KVMKVMKVM\x00\x00\x00" {
		t.Errorf("leaf 0x40000000 says %q", signature)
	}
}
