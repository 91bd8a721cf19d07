package kvm

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/clock"
	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
)

// apics is the local APICs of a machine without interrupt controllers in the
// kernel.
type apics struct {
	m    *machine
	host *qdev.Host
	bus  *intc.APICBus
	list []*intc.LAPIC
	eois chan uint8
}

func newAPICs(m *machine) *apics {
	a := &apics{m: m, host: hwtest.New(m.t, intc.RegisterAPICs).Host, bus: intc.NewAPICBus(), eois: make(chan uint8, 100)}
	a.host.Lock = &m.lock
	a.host.Clock = clock.New(&m.lock)
	a.bus.EOI = func(vector uint8) { a.eois <- vector }
	m.t.Cleanup(a.host.Clock.Close)
	m.vm.ConnectAPICs(a.bus)
	m.lock.Lock()
	defer m.lock.Unlock()
	a.host.Clock.Resume()
	return a
}

func (a *apics) add(index int) accel.LocalAPIC {
	a.m.lock.Lock()
	defer a.m.lock.Unlock()
	d, err := a.host.New("apic")
	a.m.check(err)
	l := d.(*intc.LAPIC)
	l.Bus = a.bus
	l.SetInitialID(uint32(index))
	a.m.check(qdev.Realize(l))
	a.list = append(a.list, l)
	return l
}

// offArrivals is arrivals on a machine whose local APICs are in this process.
func offArrivals(t *testing.T) (*machine, <-chan int) {
	m := newMachine(t, accel.IRQChipOff)
	return m, m.arrivals()
}

func TestOffMSIReachesTheGuest(t *testing.T) {
	m, got := offArrivals(t)
	for range 5 {
		for i := range 4 {
			m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI, Data: uint32(vectorBase + i)}))
			expect(t, got, i, "MSI")
		}
	}
	m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI | 9<<12, Data: vectorBase}))
	nothing(t, got, "MSI to nobody")
	m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI, Data: vectorBase + 1 | levelMSI}))
	expect(t, got, 1, "level-triggered MSI")
	if v := receive(t, m.apics.eois, "EOI"); v != vectorBase+1 {
		t.Errorf("EOI of %#x", v)
	}
	m.pause()
	if len(m.apics.eois) != 0 {
		t.Error("EOI of an edge interrupt")
	}
}

// A guest that does not let interrupts in gets them, by priority, when it
// does.
func TestOffInterruptWaitsForTheWindow(t *testing.T) {
	m := newMachine(t, accel.IRQChipOff)
	got := make(chan int, 100)
	var ready atomic.Bool
	m.h.pio = func(port uint16, data []byte, write bool) {
		if write {
			got <- int(port) - 0x80
		} else if ready.Load() {
			data[0] = 1
		}
	}
	v := m.interrupts()
	m.code(
		0x0f, 0x01, 0x1c, 0x25, 0x00, 0x7f, 0x00, 0x00, // lidt [0x7f00]
		0xbb, 0x00, 0x00, 0xe0, 0xfe, // mov ebx, 0xfee00000
		0xc7, 0x83, 0xf0, 0, 0, 0, 0xff, 0x01, 0, 0, // mov dword [rbx+0xf0], 0x1ff
		0xe6, 0x90, // out 0x90, al
		0xe4, 0x90, // in al, 0x90
		0x84, 0xc0, // test al, al
		0x74, 0xfa, // jz to in
		0xe6, 0x91, // out 0x91, al
		0xfb,       // sti
		0xeb, 0xfe, // jmp $
	)
	m.vm.Resume()
	expect(t, got, 0x10, "start of the guest")
	for i := range 2 {
		m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI, Data: uint32(vectorBase + i)}))
	}
	m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI, Data: vectorBase + 3}))
	nothing(t, got, "interrupts are off")
	ready.Store(true)
	expect(t, got, 0x11, "end of the part without interrupts")
	for _, n := range []int{3, 1, 0} {
		expect(t, got, n, "interrupt in the order of priority")
	}
	m.pause()
	if v.halted {
		t.Error("the guest is not halted")
	}
}

// halting is a guest that halts after each interrupt, with interrupts on.
func (m *machine) halting(before ...byte) *VCPU {
	v := m.interrupts()
	code := []byte{
		0x0f, 0x01, 0x1c, 0x25, 0x00, 0x7f, 0x00, 0x00, // lidt [0x7f00]
		0xbb, 0x00, 0x00, 0xe0, 0xfe, // mov ebx, 0xfee00000
		0xc7, 0x83, 0xf0, 0, 0, 0, 0xff, 0x01, 0, 0, // mov dword [rbx+0xf0], 0x1ff
	}
	code = append(code, before...)
	m.code(append(code, 0xe6, 0x90, 0xfb, 0xf4, 0xe6, 0x91, 0xeb, 0xfe)...) // out 0x90, al; sti; hlt; out 0x91, al; jmp $
	for n := range 4 {
		copy(m.ram.Bytes()[0x11000+0x100*n+22:], []byte{0xfb, 0xf4, 0xeb, 0xfd}) // sti; hlt; jmp to hlt
	}
	return v
}

func TestOffHaltedCPUIsWokenByItsInterrupt(t *testing.T) {
	m := newMachine(t, accel.IRQChipOff)
	got := make(chan int, 100)
	m.h.pio = func(port uint16, _ []byte, _ bool) { got <- int(port) - 0x80 }
	v := m.halting()
	m.vm.Resume()
	expect(t, got, 0x10, "start of the guest")
	for i := range 50 {
		m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI, Data: uint32(vectorBase + i%4)}))
		expect(t, got, i%4, "interrupt of a halted CPU")
		if i%10 == 0 { // a halted CPU can be paused, and stays halted
			nothing(t, got, "nothing more")
			m.pause()
			if !v.halted {
				t.Error("the CPU does not count as halted")
			}
			if s, err := v.Registers(); err != nil || !containsHLT(s) {
				t.Errorf("registers of a halted CPU: %v %s", err, s)
			}
			m.vm.Resume()
		}
	}
	nothing(t, got, "the guest went on without an interrupt")
	m.pause()
}

func containsHLT(s string) bool {
	for i := range len(s) - 5 {
		if s[i:i+5] == "HLT=1" {
			return true
		}
	}
	return false
}

// The one-shot timer of the APIC wakes a halted CPU.
func TestOffTimerWakesAHaltedCPU(t *testing.T) {
	m := newMachine(t, accel.IRQChipOff)
	got := make(chan int, 100)
	m.h.pio = func(port uint16, _ []byte, _ bool) { got <- int(port) - 0x80 }
	m.halting(
		0xc7, 0x83, 0xe0, 0x03, 0, 0, 0x0b, 0, 0, 0, // mov dword [rbx+0x3e0], 0xb: by 1
		0xc7, 0x83, 0x20, 0x03, 0, 0, vectorBase+2, 0, 0, 0, // mov dword [rbx+0x320], vector
		0xc7, 0x83, 0x80, 0x03, 0, 0, 0x80, 0x96, 0x98, 0, // mov dword [rbx+0x380], 10000000
	)
	begin := time.Now()
	m.vm.Resume()
	expect(t, got, 0x10, "start of the guest")
	expect(t, got, 2, "timer interrupt")
	if d := time.Since(begin); d < 10*time.Millisecond {
		t.Errorf("10 ms were over after %v", d)
	}
	m.pause()
}

// An NMI needs no interrupt flag; it wakes a CPU that halted without.
func TestOffNMIWakesACPUHaltedWithoutInterrupts(t *testing.T) {
	m := newMachine(t, accel.IRQChipOff)
	got := make(chan int, 100)
	m.h.pio = func(port uint16, _ []byte, _ bool) { got <- int(port) }
	m.boot(
		0xe6, 0x80, // out 0x80, al
		0xf4,       // hlt
		0xe6, 0x81, // out 0x81, al
		0xeb, 0xfe, // jmp $
	)
	ram := m.ram.Bytes()
	binary.LittleEndian.PutUint16(ram[4*2:], 0x9000)
	copy(ram[0x9000:], []byte{0xe6, 0x82, 0xeb, 0xfe}) // out 0x82, al; jmp $
	m.vm.Resume()
	expect(t, got, 0x80, "start of the guest")
	m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI, Data: vectorBase}))
	nothing(t, got, "an interrupt ends a halt without interrupts")
	m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI, Data: 0x400}))
	expect(t, got, 0x82, "NMI")
	m.pause()
}

// inject-nmi goes through LINT1.
func TestOffInjectedNMIWakesACPU(t *testing.T) {
	m := newMachine(t, accel.IRQChipOff)
	got := make(chan int, 100)
	m.h.pio = func(port uint16, _ []byte, _ bool) { got <- int(port) }
	v := m.boot(
		0xe6, 0x80, // out 0x80, al
		0xf4,       // hlt
		0xeb, 0xfe, // jmp $
	)
	ram := m.ram.Bytes()
	binary.LittleEndian.PutUint16(ram[4*2:], 0x9000)
	copy(ram[0x9000:], []byte{0xe6, 0x82, 0xeb, 0xfe}) // out 0x82, al; jmp $
	m.vm.Resume()
	expect(t, got, 0x80, "start of the guest")
	m.pause()
	m.check(v.InjectNMI())
	m.vm.Resume()
	nothing(t, got, "an NMI past a masked LINT1")
	m.pause()
	m.lock.Lock()
	m.apics.list[0].Access(0xf0, []byte{0xff, 1, 0, 0}, true)
	m.apics.list[0].Access(0x360, []byte{0, 4, 0, 0}, true)
	m.lock.Unlock()
	m.check(v.InjectNMI())
	m.vm.Resume()
	expect(t, got, 0x82, "NMI")
	m.pause()
}

func TestOffPICInterruptGoesThroughLINT0(t *testing.T) {
	m := newMachine(t, accel.IRQChipOff)
	got := make(chan int, 100)
	m.h.pio = func(port uint16, _ []byte, _ bool) { got <- int(port) - 0x80 }
	var ack func() uint8
	ack = func() uint8 {
		if m.lock.TryLock() {
			t.Error("ack without the VM lock")
			m.lock.Unlock()
		}
		m.vm.SetExtINT(false, ack)
		return 0x21
	}
	pic := func() {
		m.lock.Lock()
		m.vm.SetExtINT(true, ack)
		m.lock.Unlock()
	}
	m.boot(
		0xe6, 0x81, // out 0x81, al
		0xfb,       // sti
		0xf4,       // hlt
		0xeb, 0xfe, // jmp $
	)
	ram := m.ram.Bytes()
	binary.LittleEndian.PutUint16(ram[4*0x21:], 0x9000)
	copy(ram[0x9000:], []byte{0xe6, 0x83, 0xfb, 0xeb, 0xfe}) // out 0x83, al; sti; jmp $
	m.vm.Resume()
	expect(t, got, 1, "start of the guest")
	for range 10 {
		pic()
		expect(t, got, 3, "PIC interrupt")
	}
	m.pause()
	m.lock.Lock()
	var masked [4]byte
	binary.LittleEndian.PutUint32(masked[:], 0x10700)
	m.apics.list[0].Access(0x350, masked[:], true)
	m.lock.Unlock()
	m.vm.Resume()
	pic()
	nothing(t, got, "PIC interrupt past a masked LINT0")
	m.pause()
}

// CR8 is the upper half of the task priority, both ways, and holds interrupts
// back.
func TestOffCR8IsTheTaskPriority(t *testing.T) {
	m := newMachine(t, accel.IRQChipOff)
	got := make(chan int, 100)
	var ready atomic.Bool
	m.h.pio = func(port uint16, data []byte, write bool) {
		switch {
		case write && port == 0xa0:
			got <- 0x1000 + int(data[0])
		case write:
			got <- int(port) - 0x80
		case ready.Load():
			data[0] = 1
		}
	}
	m.interrupts()
	m.code(
		0x0f, 0x01, 0x1c, 0x25, 0x00, 0x7f, 0x00, 0x00, // lidt [0x7f00]
		0xbb, 0x00, 0x00, 0xe0, 0xfe, // mov ebx, 0xfee00000
		0xc7, 0x83, 0xf0, 0, 0, 0, 0xff, 0x01, 0, 0, // mov dword [rbx+0xf0], 0x1ff
		0xc7, 0x83, 0x80, 0, 0, 0, 0x35, 0, 0, 0, // mov dword [rbx+0x80], 0x35
		0x44, 0x0f, 0x20, 0xc0, // mov rax, cr8
		0xe6, 0xa0, // out 0xa0, al
		0xb8, 5, 0, 0, 0, // mov eax, 5
		0x44, 0x0f, 0x22, 0xc0, // mov cr8, rax
		0x8b, 0x83, 0x80, 0, 0, 0, // mov eax, [rbx+0x80]
		0xe6, 0xa0, // out 0xa0, al
		0xfb,       // sti
		0xe4, 0x90, // in al, 0x90
		0x84, 0xc0, // test al, al
		0x74, 0xfa, // jz to in
		0x31, 0xc0, // xor eax, eax
		0x44, 0x0f, 0x22, 0xc0, // mov cr8, rax
		// KVM exits when CR8 goes down, except where it interprets the guest's
		// code. There the next exit has to do.
		0xe6, 0x91, // out 0x91, al
		0xeb, 0xfe, // jmp $
	)
	m.vm.Resume()
	expect(t, got, 0x1003, "CR8 after a write of TPR")
	expect(t, got, 0x1050, "TPR after a write of CR8")
	m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI, Data: vectorBase}))
	nothing(t, got, "an interrupt below the task priority")
	ready.Store(true)
	if n := receive(t, got, "lower CR8"); n == 0x11 {
		expect(t, got, 0, "interrupt after CR8 was lowered")
	} else if n != 0 {
		t.Errorf("interrupt %d", n)
	}
	m.pause()
}

func TestOffSecondCPUStartsByINITAndSIPI(t *testing.T) {
	m := newMachine(t, accel.IRQChipOff)
	got := make(chan int, 100)
	m.h.pio = func(port uint16, _ []byte, _ bool) { got <- int(port) }
	m.long64(
		0xbb, 0x00, 0x00, 0xe0, 0xfe, // mov ebx, 0xfee00000
		0xc7, 0x83, 0x10, 0x03, 0, 0, 0, 0, 0, 1, // mov dword [rbx+0x310], 1<<24
		0xc7, 0x83, 0x00, 0x03, 0, 0, 0x00, 0x45, 0, 0, // mov dword [rbx+0x300], 0x4500: INIT
		0xc7, 0x83, 0x00, 0x03, 0, 0, 0x09, 0x46, 0, 0, // mov dword [rbx+0x300], 0x4609: SIPI
		0xc7, 0x83, 0x00, 0x03, 0, 0, 0x0a, 0x46, 0, 0, // another, for a CPU that runs by now
		0xf4, // hlt
	)
	copy(m.ram.Bytes()[0x9000:], []byte{0xe6, 0x99, 0xeb, 0xfe}) // out 0x99, al; jmp $
	copy(m.ram.Bytes()[0xa000:], []byte{0xe6, 0xaa, 0xeb, 0xfe})
	ap := m.cpu(1)
	restart := func() {
		m.lock.Lock()
		defer m.lock.Unlock()
		m.check(ap.Reset())
		m.check(m.vm.vcpus[0].Reset())
		m.check(m.vm.vcpus[0].SetBoot(accel.BootState{
			Mode: accel.ModeLong64, RIP: codeAt, RSP: 0x7000, CR3: 0x1000,
			GDTBase: 0x7000, GDTLimit: 0x1f, CodeSel: 0x10, DataSel: 0x18,
		}))
	}
	for range 3 { // after a reset it waits for INIT again
		if !ap.waitSIPI {
			t.Error("the second CPU does not wait")
		}
		m.vm.Resume()
		first := receive(t, got, "start of the second CPU")
		nothing(t, got, "the second CPU starts twice")
		m.pause()
		st, err := ap.state()
		m.check(err)
		// Both SIPIs may have come before it looked.
		if want := uint16(first&0xf0) << 4; st.sregs.cs.selector != want || st.regs.rip != 2 {
			t.Errorf("second CPU at %x:%x, port %x", st.sregs.cs.selector, st.regs.rip, first)
		}
		restart()
	}
	// An INIT stops it again, in the middle of its loop.
	m.vm.Resume()
	receive(t, got, "start of the second CPU")
	nothing(t, got, "the second CPU starts twice")
	m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI | 1<<12, Data: 0x500}))
	m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI | 1<<12, Data: 0x400})) // an NMI waits with it
	begin := time.Now()
	for m.pause(); !ap.waitSIPI; m.pause() {
		if time.Since(begin) > patience {
			t.Fatal("the second CPU runs on after an INIT")
		}
		m.vm.Resume()
		nothing(t, got, "INIT")
	}
	m.vm.Resume()
	m.check(m.vm.SendMSI(accel.MSI{Addr: lapicMSI | 1<<12, Data: 0x60a}))
	expect(t, got, 0xaa, "SIPI")
	m.pause()
}

// What the kernel would do for a guest by means of its local APIC is not
// offered.
func TestOffCPUIDLacksWhatTheKernelsAPICAdds(t *testing.T) {
	m := newMachine(t, accel.IRQChipOff)
	for _, c := range m.vm.SupportedCPUID() {
		switch c.Function {
		case leafFeatures:
			if c.ECX&(ecxX2APIC|ecxTSCDeadline) != 0 || c.ECX&ecxHypervisor == 0 {
				t.Errorf("leaf 1 ECX is %#x", c.ECX)
			}
		case leafKVM:
			if c.EAX&kernelAPICFeatures != 0 || c.EAX&1 == 0 {
				t.Errorf("leaf 0x40000001 EAX is %#x", c.EAX)
			}
		}
	}
	if _, err := m.vm.AddMSIRoute(accel.MSI{}); err == nil {
		t.Error("there is an interrupt route")
	}
	if err := m.vm.AddIRQFD(3, 0); err == nil {
		t.Error("there is an irqfd")
	}
	if _, err := m.vm.NewVCPU(accel.CPUConfig{CPUID: m.vm.SupportedCPUID()}); err == nil {
		t.Error("a vCPU without a local APIC")
	}
}

// IA32_APIC_BASE moves the page, and disables the APIC.
func TestOffAPICBaseIsFollowed(t *testing.T) {
	m := newMachine(t, accel.IRQChipOff)
	got := make(chan uint32, 10)
	m.h.pio = func(_ uint16, data []byte, _ bool) { got <- binary.LittleEndian.Uint32(data) }
	m.h.mmio = func(addr uint64, data []byte, write bool) {
		if !write {
			binary.LittleEndian.PutUint32(data, 0xbad)
		}
	}
	m.long64(
		0xb9, 0x1b, 0, 0, 0, // mov ecx, 0x1b
		0x31, 0xd2, // xor edx, edx
		0xb8, 0x00, 0x09, 0xe1, 0xfe, // mov eax, 0xfee10900
		0x0f, 0x30, // wrmsr
		0xbb, 0x00, 0x00, 0xe1, 0xfe, // mov ebx, 0xfee10000
		0x8b, 0x43, 0x30, // mov eax, [rbx+0x30]
		0xe7, 0x80, // out 0x80, eax
		0xb8, 0x00, 0x01, 0xe1, 0xfe, // mov eax, 0xfee10100
		0x0f, 0x30, // wrmsr
		0x8b, 0x43, 0x30, // mov eax, [rbx+0x30]
		0xe7, 0x80, // out 0x80, eax
		0xf4, // hlt
	)
	m.vm.Resume()
	if v := receive(t, got, "version"); v != 0x50014 {
		t.Errorf("version of a moved APIC %#x", v)
	}
	if v := receive(t, got, "version"); v != 0xbad {
		t.Errorf("version of a disabled APIC %#x", v)
	}
	m.pause()
}

// Guest writes to an ioeventfd need no interrupt controller in the kernel.
func TestOffIOEventFD(t *testing.T) {
	m := newMachine(t, accel.IRQChipOff)
	e, err := sys.NewEventfd()
	m.check(err)
	defer e.Close()
	region := memory.NewIO("doorbell", 0x1000, memory.OpsFuncs{}, memory.Access{})
	m.check(m.mem.Add(m.root, region, 0xd0000000, 0))
	m.check(m.mem.AddIOEventFD(region, memory.IOEventFD{Size: 4, FD: e.FD()}))
	got := make(chan int, 10)
	m.h.mmio = func(addr uint64, _ []byte, _ bool) { t.Errorf("access to %#x", addr) }
	m.h.pio = func(port uint16, _ []byte, _ bool) { got <- int(port) }
	m.long64(
		0xbb, 0x00, 0x00, 0x00, 0xd0, // mov ebx, 0xd0000000
		0x89, 0x03, // mov [rbx], eax
		0xe6, 0x80, // out 0x80, al
		0xf4, // hlt
	)
	m.vm.Resume()
	expect(t, got, 0x80, "port write")
	m.pause()
	if n, err := e.Drain(); err != nil || n != 1 {
		t.Errorf("%d signals, %v", n, err)
	}
}
