package kvm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/memory"
)

func TestMemoryAccessesOfAllSizesReachTheHandlerIn64BitMode(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	done := make(chan struct{})
	var log []string
	m.h.mmio = func(addr uint64, data []byte, write bool) {
		if !write {
			copy(data, "\x11\x22\x33\x44\x55\x66\x77\x88")
		}
		log = append(log, fmt.Sprintf("%x %x %v", addr, data, write))
	}
	m.h.pio = func(uint16, []byte, bool) { close(done) }
	v := m.long64(
		0xbb, 0x00, 0x00, 0x00, 0xd0, // mov ebx, 0xd0000000
		0x8a, 0x03, // mov al, [rbx]
		0x66, 0x8b, 0x4b, 0x02, // mov cx, [rbx+2]
		0x8b, 0x53, 0x04, // mov edx, [rbx+4]
		0x48, 0x8b, 0x73, 0x08, // mov rsi, [rbx+8]
		0x88, 0x43, 0x10, // mov [rbx+0x10], al
		0x66, 0x89, 0x4b, 0x12, // mov [rbx+0x12], cx
		0x89, 0x53, 0x14, // mov [rbx+0x14], edx
		0x48, 0x89, 0x73, 0x18, // mov [rbx+0x18], rsi
		0xe6, 0xf4, // out 0xf4, al
		0xeb, 0xfe, // jmp $
	)
	m.vm.Resume()
	receive(t, done, "end of the code")
	m.pause()
	want := []string{
		"d0000000 11 false", "d0000002 1122 false", "d0000004 11223344 false", "d0000008 1122334455667788 false",
		"d0000010 11 true", "d0000012 1122 true", "d0000014 11223344 true", "d0000018 1122334455667788 true",
	}
	if fmt.Sprint(log) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", log, want)
	}
	text, err := v.Registers()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		"RBX=00000000d0000000", "RSI=8877665544332211", "CPL=0 II=0 A20=1 SMM=0 HLT=0\n",
		"CS =0010 0000000000000000 ffffffff 00a09b00 DPL=0 CS64 [-RA]\n",
		"DS =0018 0000000000000000 ffffffff 00c09300 DPL=0 DS   [-WA]\n",
		"TR =0000 0000000000000000 0000ffff 00008b00 DPL=0 TSS64-busy\n",
		"GDT=     0000000000007000 0000001f\n", "CR3=0000000000001000 CR4=00000020\n",
		"EFER=0000000000000500\n", "FCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80\n",
	} {
		if !strings.Contains(text, s) {
			t.Errorf("no %q in\n%s", s, text)
		}
	}
}

func TestCPUStartsAtTheResetVectorAndCannotWriteROM(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	rom := make([]byte, 4096)
	copy(rom[0xff0:], []byte{
		0x2e, 0x80, 0x3e, 0x00, 0xf0, 0xaa, // cmp byte cs:[0xf000], 0xaa
		0x2e, 0xc6, 0x06, 0x00, 0xf0, 0x55, // mov byte cs:[0xf000], 0x55
		0xe6, 0xf4, // out 0xf4, al
		0xeb, 0xfe, // jmp $
	})
	rom[0] = 0xaa
	block, err := memory.NewROM("rom", rom)
	m.check(err)
	defer block.Close()
	region := memory.NewRAM(block)
	m.check(m.mem.Add(m.root, region, 0xfffff000, 0))
	done := make(chan struct{})
	var write []byte
	m.h.mmio = func(addr uint64, data []byte, w bool) {
		if w && addr == 0xfffff000 {
			write = append(write, data...)
		}
	}
	m.h.pio = func(uint16, []byte, bool) { close(done) }
	m.cpu(0)
	m.vm.Resume()
	receive(t, done, "end of the code")
	m.pause()
	if string(write) != "\x55" || block.Bytes()[0] != 0xaa {
		t.Errorf("write to ROM: handler got %x, ROM holds %x", write, block.Bytes()[0])
	}
	m.check(m.mem.Remove(region))
}

func TestRAMMovesWhileTheGuestRunsFromItsNeighbour(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	block, err := memory.NewAnonRAM("extra", 1<<16)
	m.check(err)
	defer block.Close()
	region := memory.NewRAM(block)
	m.check(m.mem.Add(m.root, region, 0x200000, 0))
	n := 0
	reached := make(chan struct{})
	m.h.pio = func(uint16, []byte, bool) {
		if n++; n == 50 {
			close(reached)
		}
	}
	m.boot(0xe6, 0x80, 0xeb, 0xfc) // out 0x80, al; jmp back
	m.vm.Resume()
	// A hole over the code's own RAM splits its slot in two and joins it
	// again; the guest must never find itself without its code.
	hole := memory.NewIO("hole", 0x1000, memory.OpsFuncs{}, memory.Access{})
	for i := range 20 {
		m.lock.Lock()
		m.check(m.mem.Move(region, 0x200000+uint64(i)<<16))
		m.check(m.mem.Add(m.root, hole, 0x40000, 1))
		m.check(m.mem.Remove(hole))
		m.lock.Unlock()
	}
	receive(t, reached, "50 port writes")
	m.pause()
	m.vm.slots.mu.Lock()
	if len(m.vm.slots.set) != 2 || m.vm.slots.set[0].id > 3 || m.vm.slots.set[1].id > 3 {
		t.Errorf("slots: %+v", m.vm.slots.set)
	}
	m.vm.slots.mu.Unlock()
	m.check(m.mem.Remove(region))
}

func TestSlotsTakeWholePagesOnlyAndErrorsReachTheCaller(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	block, err := memory.NewAnonRAM("odd", 0x3000)
	m.check(err)
	defer block.Close()
	region := memory.NewRAM(block)
	if err := m.mem.Add(m.root, region, 0x200800, 0); err == nil || !strings.Contains(err.Error(), "does not start on a page") {
		t.Errorf("RAM off the page grid: %v", err)
	}
	m.check(m.mem.Remove(region))
	alias := memory.NewAlias("part", region, 0x400, 0x2000)
	m.check(m.mem.Add(m.root, alias, 0x200400, 0)) // one whole page, two parts
	sl := m.vm.slots.set
	if got := sl[len(sl)-1]; len(sl) != 2 || got.addr != 0x201000 || len(got.bytes) != 0x1000 || got.host != block.HostAddr()+0x1000 {
		t.Errorf("slot %+v", got)
	}
	m.check(m.mem.Remove(alias))
	if len(m.vm.slots.set) != 1 {
		t.Error("slot is still there")
	}
}

func TestIOEventFDsTakeWhatMatchesAndLeaveTheRest(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	efd := func() *sys.Eventfd {
		e, err := sys.NewEventfd()
		m.check(err)
		t.Cleanup(func() { e.Close() })
		return e
	}
	any, match, length, port := efd(), efd(), efd(), efd()
	dev := memory.NewIO("dev", 0x1000, memory.OpsFuncs{}, memory.Access{})
	pdev := memory.NewIO("pdev", 8, memory.OpsFuncs{}, memory.Access{})
	m.check(m.mem.Add(m.root, dev, 0xd0000000, 0))
	m.check(m.mem.Add(m.ports, pdev, 0x500, 0))
	m.check(m.mem.Add(m.ports, memory.NewIO("end", 1, memory.OpsFuncs{}, memory.Access{}), 0xf4, 0))
	m.check(m.mem.Update(func() error {
		return firstError(firstError(
			m.mem.AddIOEventFD(dev, memory.IOEventFD{Offset: 0x50, Size: 4, FD: any.FD()}),
			m.mem.AddIOEventFD(dev, memory.IOEventFD{Offset: 0x60, Size: 4, Match: true, Data: 7, FD: match.FD()})),
			firstError(
				m.mem.AddIOEventFD(dev, memory.IOEventFD{Offset: 0x70, FD: length.FD()}),
				m.mem.AddIOEventFD(pdev, memory.IOEventFD{Size: 1, Match: true, Data: 9, FD: port.FD()})))
	}))
	done := make(chan struct{}, 1)
	var log []string
	m.h.mmio = func(addr uint64, data []byte, write bool) { log = append(log, fmt.Sprintf("%x=%x", addr, data)) }
	m.h.pio = func(p uint16, data []byte, _ bool) {
		log = append(log, fmt.Sprintf("%x=%x", p, data))
		if p == 0xf4 {
			done <- struct{}{}
		}
	}
	v := m.long64(
		0xbb, 0x00, 0x00, 0x00, 0xd0, // mov ebx, 0xd0000000
		0x31, 0xc0, // xor eax, eax
		0x89, 0x43, 0x50, // mov [rbx+0x50], eax
		0x88, 0x43, 0x50, // mov [rbx+0x50], al
		0x89, 0x43, 0x60, // mov [rbx+0x60], eax
		0xb0, 0x07, // mov al, 7
		0x89, 0x43, 0x60, // mov [rbx+0x60], eax
		0x89, 0x43, 0x70, // mov [rbx+0x70], eax
		0x88, 0x43, 0x70, // mov [rbx+0x70], al
		0xba, 0x00, 0x05, 0x00, 0x00, // mov edx, 0x500
		0xee,       // out dx, al
		0xb0, 0x09, // mov al, 9
		0xee,       // out dx, al
		0xe6, 0xf4, // out 0xf4, al
		0xeb, 0xfe, // jmp $
	)
	m.vm.Resume()
	receive(t, done, "end of the code")
	m.pause()
	if got, want := fmt.Sprint(log), "[d0000050=00 d0000060=00000000 500=07 f4=09]"; got != want {
		t.Errorf("handler got %s, want %s", got, want)
	}
	for name, c := range map[string]struct {
		e *sys.Eventfd
		n uint64
	}{"size 4": {any, 1}, "data match": {match, 1}, "any length": {length, 2}, "port": {port, 1}} {
		if n, err := c.e.Drain(); n != c.n || err != nil {
			t.Errorf("%s: %d signals, %v, want %d", name, n, err, c.n)
		}
	}

	// The same eventfd twice is refused, and the error comes back.
	dup := memory.IOEventFD{Offset: 0x50, Size: 4, FD: match.FD()}
	if err := m.mem.AddIOEventFD(dev, dup); err == nil || !strings.Contains(err.Error(), "KVM_IOEVENTFD: file exists") {
		t.Errorf("a second eventfd in one place: %v", err)
	}

	// With another device in its place nothing matches any more.
	log = nil
	m.check(m.mem.Remove(pdev))
	m.check(m.mem.Add(m.ports, memory.NewIO("other", 8, memory.OpsFuncs{}, memory.Access{}), 0x500, 0))
	m.real(v) // only to leave 64-bit mode behind
	m.code(0xba, 0x00, 0x05, 0xb0, 0x09, 0xee, 0xe6, 0xf4, 0xeb, 0xfe)
	m.check(v.Reset())
	m.real(v)
	m.vm.Resume()
	receive(t, done, "end of the second code")
	m.pause()
	if got, want := fmt.Sprint(log), "[500=09 f4=09]"; got != want {
		t.Errorf("after removal the handler got %s, want %s", got, want)
	}
}

// An instruction that the guest has half done when a pause is asked for is
// finished first, so that registers tell the truth.
func TestPauseFinishesTheInstructionUnderWay(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	in := make(chan struct{})
	goOn := make(chan struct{})
	m.h.pio = func(_ uint16, data []byte, write bool) {
		if !write {
			close(in)
			<-goOn
			data[0] = 0x77
		}
	}
	v := m.boot(0xe4, 0x71, 0xeb, 0xfe) // in al, 0x71; jmp $
	m.vm.Resume()
	receive(t, in, "port read")
	m.vm.RequestPause()
	paused := make(chan struct{})
	go func() { m.vm.WaitPaused(); close(paused) }()
	select {
	case <-paused:
		t.Fatal("paused with a handler at work")
	case <-time.After(20 * time.Millisecond):
	}
	if _, err := v.Registers(); err == nil {
		t.Error("registers of a vCPU in a handler")
	}
	close(goOn)
	receive(t, paused, "pause")
	st, err := v.state()
	m.check(err)
	if st.regs.rax&0xff != 0x77 || st.regs.rip != codeAt+2 {
		t.Errorf("rax %#x rip %#x", st.regs.rax, st.regs.rip)
	}
}

func TestABIStructuresHaveTheKernelsSizes(t *testing.T) {
	for name, c := range map[string]struct{ got, want uintptr }{
		"KVM_SET_USER_MEMORY_REGION": {kvmSetUserMemRegion, 0x4020ae46},
		"KVM_SET_IDENTITY_MAP_ADDR":  {kvmSetIdentityMapAddr, 0x4008ae48},
		"KVM_IRQ_LINE":               {kvmIRQLine, 0x4008ae61},
		"KVM_GET_IRQCHIP":            {kvmGetIRQChip, 0xc208ae62},
		"KVM_SET_IRQCHIP":            {kvmSetIRQChip, 0x8208ae63},
		"KVM_SET_PIT2":               {kvmSetPIT2, 0x4070aea0},
		"KVM_SET_GSI_ROUTING":        {kvmSetGSIRouting, 0x4008ae6a},
		"KVM_IRQFD":                  {kvmIRQFD, 0x4020ae76},
		"KVM_CREATE_PIT2":            {kvmCreatePIT2, 0x4040ae77},
		"KVM_IOEVENTFD":              {kvmIOEventFD, 0x4040ae79},
		"KVM_SET_CLOCK":              {kvmSetClock, 0x4030ae7b},
		"KVM_GET_CLOCK":              {kvmGetClock, 0x8030ae7c},
		"KVM_GET_REGS":               {kvmGetRegs, 0x8090ae81},
		"KVM_GET_SREGS":              {kvmGetSregs, 0x8138ae83},
		"KVM_TRANSLATE":              {kvmTranslate, 0xc018ae85},
		"KVM_INTERRUPT":              {kvmInterrupt, 0x4004ae86},
		"KVM_GET_FPU":                {kvmGetFPU, 0x81a0ae8c},
		"KVM_GET_LAPIC":              {kvmGetLAPIC, 0x8400ae8e},
		"KVM_SET_CPUID2":             {kvmSetCPUID2, 0x4008ae90},
		"KVM_GET_VCPU_EVENTS":        {kvmGetVCPUEvents, 0x8040ae9f},
		"KVM_GET_DEBUGREGS":          {kvmGetDebugRegs, 0x8080aea1},
		"KVM_ENABLE_CAP":             {kvmEnableCap, 0x4068aea3},
		"KVM_SET_XSAVE":              {kvmSetXsave, 0x5000aea5},
		"KVM_SIGNAL_MSI":             {kvmSignalMSI, 0x4020aea5},
		"KVM_SET_XCRS":               {kvmSetXCRs, 0x4188aea7},
	} {
		if c.got != c.want {
			t.Errorf("%s is %#x, the kernel's is %#x", name, c.got, c.want)
		}
	}
	if got := sys.Sizeof[routingEntry](); got != 48 {
		t.Errorf("kvm_irq_routing_entry has %d bytes", got)
	}
	if got := sys.Sizeof[cpuidEntry](); got != 40 {
		t.Errorf("kvm_cpuid_entry2 has %d bytes", got)
	}
}

func TestNoKVMIsQEMUsMessage(t *testing.T) {
	_, err := New(Options{Device: "/nonexistent/kvm", IRQChip: accel.IRQChipSplit, Pins: 48}, nil, nil, newMachineLog())
	ie, ok := err.(*accel.InitError)
	if !ok || ie.Err != unix.ENOENT || ie.Detail != "Could not access KVM kernel module: No such file or directory" {
		t.Fatalf("%T %v", err, err)
	}
	if _, err := New(Options{Device: "/dev/null", IRQChip: accel.IRQChipSplit, Pins: 48}, nil, nil, newMachineLog()); err == nil || !strings.Contains(err.Error(), "KVM_GET_API_VERSION") {
		t.Errorf("/dev/null: %v", err)
	}
}
