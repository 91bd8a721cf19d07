package kvm

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/memory"
)

// handler is an accel.Handler of functions; those left nil do nothing, and
// a failure ends the test.
type handler struct {
	pio      func(port uint16, data []byte, write bool)
	mmio     func(addr uint64, data []byte, write bool)
	eoi      func(vector uint8)
	shutdown func(cpu int)
	failed   func(cpu int, report string)
}

func (h *handler) PIO(port uint16, data []byte, write bool) {
	if h.pio != nil {
		h.pio(port, data, write)
	}
}

func (h *handler) MMIO(addr uint64, data []byte, write bool) {
	if h.mmio != nil {
		h.mmio(addr, data, write)
	}
}

func (h *handler) EOI(vector uint8) {
	if h.eoi != nil {
		h.eoi(vector)
	}
}

func (h *handler) Shutdown(cpu int) {
	if h.shutdown != nil {
		h.shutdown(cpu)
	}
}

func (h *handler) Failed(cpu int, report string) {
	if h.failed != nil {
		h.failed(cpu, report)
	}
}

// machine is a VM with a megabyte of RAM at 0 and its lock.
type machine struct {
	t     testing.TB
	lock  sync.Mutex
	vm    *VM
	h     *handler
	mem   *memory.Map
	root  *memory.Region
	ports *memory.Region
	ram   *memory.RAM

	apics *apics // with IRQChipOff
}

const ramSize = 1 << 20

func openable(t testing.TB) {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs KVM: %v", err)
	}
	f.Close()
}

func newMachine(t testing.TB, chip accel.IRQChip) *machine {
	openable(t)
	m := &machine{t: t, h: &handler{}, mem: &memory.Map{}}
	m.h.failed = func(cpu int, report string) { t.Errorf("cpu %d failed: %s", cpu, report) }
	vm, err := New(Options{IRQChip: chip, Pins: 48}, m.h, &m.lock, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	m.vm = vm
	if chip == accel.IRQChipOff {
		m.apics = newAPICs(m)
	}
	m.root = memory.NewContainer("memory", memory.MaxSize)
	m.ports = memory.NewContainer("io", 0x10000)
	space := m.mem.NewSpace("memory", m.root, 0)
	ports := m.mem.NewSpace("I/O", m.ports, 0xff)
	m.ram, err = memory.NewAnonRAM("ram", ramSize)
	if err != nil {
		t.Fatal(err)
	}
	m.check(space.Listen(vm.Memory()))
	m.check(ports.Listen(vm.IO()))
	m.check(m.mem.Add(m.root, memory.NewRAM(m.ram), 0, 0))
	t.Cleanup(func() {
		m.check(m.vm.Close())
		m.check(m.ram.Close())
	})
	return m
}

func (m *machine) check(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) cpu(index int) *VCPU {
	m.t.Helper()
	c := accel.CPUConfig{Index: index, APICID: uint32(index), CPUID: m.vm.SupportedCPUID()}
	if m.apics != nil {
		c.APIC = m.apics.add(index)
	}
	v, err := m.vm.NewVCPU(c)
	m.check(err)
	return v.(*VCPU)
}

const codeAt = 0x8000

// code puts machine code at codeAt.
func (m *machine) code(code ...byte) { copy(m.ram.Bytes()[codeAt:], code) }

// real makes a paused vCPU start at codeAt in real mode, with all segments
// at 0.
func (m *machine) real(v *VCPU) {
	m.t.Helper()
	var s sregs
	m.check(set(v, "KVM_GET_SREGS", kvmGetSregs, &s))
	for _, g := range []*segment{&s.cs, &s.ds, &s.es, &s.ss} {
		g.base, g.selector = 0, 0
	}
	m.check(set(v, "KVM_SET_SREGS", kvmSetSregs, &s))
	r := regs{rip: codeAt, rsp: 0x7000, rflags: rflagsFixed}
	m.check(set(v, "KVM_SET_REGS", kvmSetRegs, &r))
	state := uint32(mpRunnable)
	m.check(set(v, "KVM_SET_MP_STATE", kvmSetMPState, &state))
}

// boot is a new boot CPU at machine code in real mode.
func (m *machine) boot(code ...byte) *VCPU {
	m.t.Helper()
	m.code(code...)
	v := m.cpu(0)
	m.real(v)
	return v
}

// long64 is a new boot CPU at machine code in 64-bit mode, with the first
// GiB mapped to itself and the last MiB before 4 GiB too.
func (m *machine) long64(code ...byte) *VCPU {
	m.t.Helper()
	m.code(code...)
	ram := m.ram.Bytes()
	put := func(at int, v uint64) {
		for i := range 8 {
			ram[at+i] = byte(v >> (8 * i))
		}
	}
	put(0x1000, 0x2003)
	for i := range 4 {
		put(0x2000+8*i, uint64(0x3000+0x1000*i)|3)
		for j := range 512 {
			put(0x3000+0x1000*i+8*j, uint64(i)<<30|uint64(j)<<21|0x83)
		}
	}
	put(0x7010, 0x00af9b000000ffff) // selector 0x10
	put(0x7018, 0x00cf93000000ffff) // selector 0x18
	v := m.cpu(0)
	m.check(v.SetBoot(accel.BootState{
		Mode: accel.ModeLong64, RIP: codeAt, RSI: 0x1234, RSP: 0x7000, CR3: 0x1000,
		GDTBase: 0x7000, GDTLimit: 0x1f, CodeSel: 0x10, DataSel: 0x18,
	}))
	return v
}

// pause pauses and waits.
func (m *machine) pause() {
	m.vm.RequestPause()
	m.vm.WaitPaused()
}

func newMachineLog() zerolog.Logger { return zerolog.Nop() }

const patience = 20 * time.Second

func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}
