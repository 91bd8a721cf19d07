package kvm

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/accel"
)

var spin = []byte{0xeb, 0xfe} // jmp $

func TestAllOfAThousandKicksArrive(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	v := m.boot(spin...)
	var worst, sum time.Duration
	const kicks = 1000
	for i := range kicks {
		m.vm.Resume()
		for !v.inRun.Load() {
			runtime.Gosched()
		}
		// From the way into the kernel to well inside the guest.
		for start := time.Now(); time.Since(start) < time.Duration(i%10)*20*time.Microsecond; {
		}
		start := time.Now()
		m.pause()
		d := time.Since(start)
		sum += d
		worst = max(worst, d)
	}
	t.Logf("mean %v, worst %v", sum/kicks, worst)
	if worst > 5*time.Second {
		t.Errorf("a kick took %v", worst)
	}
}

func TestPauseStormFromManyGoroutinesLosesNoWakeUp(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	var writes atomic.Int64
	m.h.pio = func(uint16, []byte, bool) {
		m.lock.Lock()
		writes.Add(1)
		m.lock.Unlock()
	}
	m.boot(0xe6, 0x80, 0xeb, 0xfc) // out 0x80, al; jmp back
	second := m.cpu(1)
	m.real(second)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 200 {
				m.lock.Lock()
				if (i+g)%2 == 0 {
					m.vm.Resume()
				} else {
					m.vm.RequestPause()
				}
				m.lock.Unlock()
				m.vm.WaitPausedOrRunning(t)
			}
		}()
	}
	wg.Wait()
	m.vm.Resume()
	n := writes.Load()
	deadline := time.Now().Add(patience)
	for writes.Load() < n+10 {
		if time.Now().After(deadline) {
			t.Fatal("the guest does not run any more")
		}
		time.Sleep(time.Millisecond)
	}
	m.pause()
	n = writes.Load()
	time.Sleep(5 * time.Millisecond)
	if writes.Load() != n {
		t.Error("the guest runs while paused")
	}
}

// WaitPausedOrRunning waits as a stop command does when others resume.
func (vm *VM) WaitPausedOrRunning(t *testing.T) {
	done := make(chan struct{})
	go func() { vm.WaitPaused(); close(done) }()
	vm.mu.Lock()
	running := vm.running
	vm.mu.Unlock()
	if !running {
		receive(t, done, "pause")
	} else {
		<-done
	}
}

func TestVCPUsThatPauseFromTheirOwnHandlersDoNotWaitForEachOther(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	var wg sync.WaitGroup
	wg.Add(2)
	var once [2]sync.Once
	var in atomic.Int32
	m.h.pio = func(port uint16, _ []byte, _ bool) {
		once[port&1].Do(func() {
			in.Add(1)
			for in.Load() < 2 {
				runtime.Gosched()
			}
			m.vm.RequestPause()
			m.vm.WaitPaused()
			wg.Done()
		})
	}
	m.boot(0xe6, 0x80, 0xeb, 0xfc)
	copy(m.ram.Bytes()[0x9000:], []byte{0xe6, 0x81, 0xeb, 0xfc})
	v := m.cpu(1)
	m.real(v)
	r := regs{rip: 0x9000, rflags: rflagsFixed}
	m.check(set(v, "KVM_SET_REGS", kvmSetRegs, &r))
	m.vm.Resume()
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	receive(t, done, "end of both handlers")
	m.vm.WaitPaused()
	if _, err := v.Registers(); err != nil {
		t.Error(err)
	}
}

func TestResetFromTheVCPUsOwnHandlerDoesNotFinishTheOldInstruction(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	var v *VCPU
	var log []byte
	done := make(chan struct{})
	m.h.pio = func(port uint16, data []byte, write bool) {
		if !write { // a reset register
			m.vm.RequestPause()
			m.vm.WaitPaused()
			m.check(v.Reset())
			m.real(v)
			m.code(0x88, 0xc4, 0xe6, 0x90, 0xeb, 0xfe) // mov ah, al; out 0x90, al; jmp $
			m.vm.Resume()
			data[0] = 0xee
			return
		}
		log = append(log, byte(port), data[0])
		close(done)
	}
	v = m.boot(0xe4, 0x64, 0xe6, 0x91, 0xeb, 0xfe) // in al, 0x64; out 0x91, al; jmp $
	m.vm.Resume()
	receive(t, done, "write after the reset")
	m.pause()
	if string(log) != "\x90\x00" {
		t.Errorf("after reset the guest wrote %x, want port 90, value 00", log)
	}
}

func TestResetIsThePowerOnState(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	v := m.long64(append([]byte{0xbb, 1, 2, 3, 4, 0x0f, 0x22, 0xdb}, spin...)...) // mov ebx; mov cr3, rbx would lose the code
	first, err := func() (string, error) {
		w := m.cpu(1)
		m.check(w.Reset())
		return w.Registers()
	}()
	m.check(err)
	if !strings.Contains(first, "EIP=0000fff0") || !strings.Contains(first, "CS =f000 ffff0000 0000ffff 00009b00\n") ||
		!strings.Contains(first, "CR0=60000010") {
		t.Errorf("power-on state is\n%s", first)
	}
	m.check(v.Reset())
	again, err := v.Registers()
	m.check(err)
	if again != first {
		t.Errorf("after 64-bit mode\n%s\nat power-on\n%s", again, first)
	}
	var lapic lapicState
	m.check(set(v, "KVM_GET_LAPIC", kvmGetLAPIC, &lapic))
	if lvt0 := uint32(lapic.regs[apicLVT0]) | uint32(lapic.regs[apicLVT0+1])<<8; lvt0 != lvtExtINT {
		t.Errorf("boot CPU's LVT0 is %#x", lvt0)
	}
	pat := []msrEntry{{index: msrPAT}, {index: msrMTRRDefType}}
	if n, err := v.msrs(kvmGetMSRs, pat); n != 2 || err != nil || pat[0].data != patReset || pat[1].data != mtrrEnable|mtrrWriteBack {
		t.Errorf("PAT %#x, MTRR %#x (%d, %v)", pat[0].data, pat[1].data, n, err)
	}
	if err := m.vm.vcpus[1].SetBoot(accel.BootState{Mode: accel.ModeLong64}); err == nil {
		t.Error("SetBoot of another CPU than the boot CPU")
	}
}

// A guest's memory types, performance counters and VMX operation end with
// a reset, the last before the control registers are set.
func TestResetEndsWhatRegistersSwitchedOn(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	v := m.cpu(0)
	m.check(v.setMSRs([]msrEntry{{index: msrMTRRPhysBase0, data: 0xe0000001}, {index: msrMTRRPhysBase0 + 1, data: 0xfe000800}}))
	m.check(v.Reset())
	got := []msrEntry{{index: msrMTRRPhysBase0}, {index: msrMTRRPhysBase0 + 1}}
	if n, err := v.msrs(kvmGetMSRs, got); n != 2 || err != nil || got[0].data != 0 || got[1].data != 0 {
		t.Errorf("MTRR %#x, %#x (%d, %v)", got[0].data, got[1].data, n, err)
	}

	w := &VCPU{vm: &VM{msrs: map[uint32]bool{}}, cfg: accel.CPUConfig{CPUID: []accel.CPUID{
		{Function: leafPMU, EAX: 2 | 4<<8, EDX: 3},
	}}}
	list := []uint32{
		msrFeatureControl, msrPerfGlobalCtrl, msrFixedCtrCtrl, msrFixedCtr0, msrFixedCtr0 + 2,
		msrPerfEvtSel0, msrPMC0 + 3, msrPerfStatus,
	}
	for _, i := range list {
		w.vm.msrs[i] = true
	}
	var order []uint32
	for _, e := range w.powerOnMSRs() {
		if e.data != 0 && w.vm.msrs[e.index] {
			t.Errorf("%#x is set to %#x", e.index, e.data)
		}
		if w.vm.msrs[e.index] {
			order = append(order, e.index)
		}
	}
	if !slices.Equal(order, list) {
		t.Errorf("reset sets %x, want %x", order, list)
	}
	w.cfg.CPUID = nil
	if l := w.counterMSRs(); l != nil {
		t.Errorf("counters of a CPU without: %x", l)
	}
}

func TestTripleFaultIsAShutdownAndTheVCPUWaits(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	shutdown := make(chan int, 10)
	m.h.shutdown = func(cpu int) { shutdown <- cpu }
	v := m.long64(0x0f, 0x0b) // ud2, and there is no IDT
	m.vm.Resume()
	if cpu := receive(t, shutdown, "shutdown"); cpu != 0 {
		t.Errorf("CPU %d", cpu)
	}
	time.Sleep(10 * time.Millisecond)
	if len(shutdown) > 0 {
		t.Error("a second shutdown without a reset")
	}
	// A reset makes it good.
	m.pause()
	done := make(chan struct{})
	m.h.pio = func(uint16, []byte, bool) { close(done) }
	m.check(v.Reset())
	m.real(v)
	m.code(0xe6, 0x80, 0xeb, 0xfe)
	m.vm.Resume()
	receive(t, done, "port write after the reset")
	m.pause()
}

func TestGuestWithoutCodeFailsWithItsRegisters(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	failed := make(chan string, 10)
	m.h.failed = func(_ int, report string) { failed <- report }
	v := m.boot()
	r := regs{rip: 0x7ffffff0, rflags: rflagsFixed}
	var s sregs
	m.check(set(v, "KVM_GET_SREGS", kvmGetSregs, &s))
	s.cr0 = cr0PE | cr0ET
	s.cs = segment{selector: 8, limit: limitFlat, typ: typeCode, present: 1, s: 1, db: 1, g: 1}
	m.check(set(v, "KVM_SET_SREGS", kvmSetSregs, &s))
	m.check(set(v, "KVM_SET_REGS", kvmSetRegs, &r))
	m.vm.Resume()
	report := receive(t, failed, "failure")
	if !strings.HasPrefix(report, "KVM internal error. Suberror: 1\n") ||
		!strings.Contains(report, "emulation failure\nEAX=00000000 EBX=") ||
		!strings.Contains(report, "EIP=7ffffff0 EFL=00000002 [-------] CPL=") ||
		!strings.Contains(report, "\nCode=?? ") || !strings.Contains(report, " <??> ") || !strings.HasSuffix(report, "\n") {
		t.Errorf("report is\n%s", report)
	}
	time.Sleep(10 * time.Millisecond)
	if len(failed) > 0 {
		t.Error("a second failure without a resume")
	}
	m.vm.RequestPause()
	m.vm.WaitPaused()
}

// A paused VM may stand for days: its vCPUs sleep, however many they are. Both
// before the first resume and after a pause.
func TestPausedVCPUsUseNoTime(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	m.boot(spin...)
	for i := range 3 {
		m.real(m.cpu(1 + i))
	}
	idle := func(when string) {
		t.Helper()
		// What the vCPUs' own threads have used, so that nothing else counts.
		used := func() (ticks int) {
			for _, v := range m.vm.vcpus {
				b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", v.threadID))
				m.check(err)
				f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
				for _, n := range f[11:13] { // utime and stime in 1/100 s
					k, err := strconv.Atoi(n)
					m.check(err)
					ticks += k
				}
			}
			return ticks
		}
		before := used()
		time.Sleep(300 * time.Millisecond)
		if ticks := used() - before; ticks > 5 {
			t.Errorf("%s: vCPUs used %d ms of 300 ms", when, 10*ticks)
		}
	}
	idle("before the first resume")
	m.vm.Resume()
	time.Sleep(10 * time.Millisecond)
	m.pause()
	idle("paused")
}

func TestGuestTimeStandsWhilePaused(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	m.boot(spin...)
	read := func() uint64 {
		var d clockData
		_, err := ioctl(m.vm, "KVM_GET_CLOCK", kvmGetClock, &d)
		m.check(err)
		return d.clock
	}
	time.Sleep(30 * time.Millisecond) // guest time starts with the first resume
	m.vm.Resume()
	if at := read(); at > uint64(25*time.Millisecond) {
		t.Errorf("guest time begins at %v", time.Duration(at))
	}
	m.pause()
	before := read()
	time.Sleep(100 * time.Millisecond)
	m.vm.Resume()
	if jump := time.Duration(read() - before); jump > 80*time.Millisecond {
		t.Errorf("guest time went on by %v", jump)
	}
	m.pause()
}

func entries(t *testing.T, path string) int {
	d, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

func TestCloseWhileRunningLeavesNoThreadDescriptorOrMapping(t *testing.T) {
	openable(t)
	maps := func() int {
		b, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(b), "anon_inode:kvm") + strings.Count(string(b), "memfd:ram")
	}
	task := func(tid int) bool { return unix.Access("/proc/self/task/"+strconv.Itoa(tid), unix.F_OK) == nil }
	fds := entries(t, "/proc/self/fd")
	var tids []int
	for range 5 {
		t.Run("round", func(t *testing.T) {
			m := newMachine(t, accel.IRQChipSplit)
			m.boot(spin...)
			v := m.cpu(1)
			m.real(v)
			m.cpu(2) // waits for INIT
			m.vm.Resume()
			time.Sleep(2 * time.Millisecond)
			for _, c := range m.vm.vcpus {
				tids = append(tids, c.ThreadID())
				if !task(c.ThreadID()) {
					t.Error("ThreadID names no thread")
				}
			}
			m.check(m.vm.Close())
			m.check(m.vm.Close())
			if err := m.vm.SendMSI(accel.MSI{}); err != ErrClosed {
				t.Errorf("SendMSI after Close: %v", err)
			}
			if err := v.Reset(); err != ErrClosed {
				t.Errorf("Reset after Close: %v", err)
			}
			m.vm.Resume()
			m.pause()
		})
	}
	if n := entries(t, "/proc/self/fd"); n > fds {
		t.Errorf("%d descriptors, %d before", n, fds)
	}
	if n := maps(); n != 0 {
		t.Errorf("%d mappings are left", n)
	}
	deadline := time.Now().Add(5 * time.Second)
	for _, tid := range tids {
		for task(tid) { // the thread ends soon after its goroutine
			if time.Now().After(deadline) {
				t.Fatalf("thread %d is left", tid)
			}
			time.Sleep(time.Millisecond)
		}
	}
}
