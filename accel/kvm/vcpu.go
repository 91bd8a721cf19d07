package kvm

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/crash"
	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/internal/sys"
)

// maxAPICID is the highest id that an interrupt message of 8 bits reaches;
// 255 is the broadcast.
const maxAPICID = 254

// VCPU is one virtual processor. It implements accel.VCPU.
type VCPU struct {
	vm  *VM
	cfg accel.CPUConfig

	// stopped keeps this vCPU out of the guest until the next Resume: it met a
	// triple fault or an error.
	stopped atomic.Bool
	// pending is set while the kernel waits for the next KVM_RUN to finish
	// the instruction that caused the last exit.
	pending atomic.Bool
	// inRun is set while the thread is in KVM_RUN, or about to be.
	inRun atomic.Bool

	apicState // with IRQChipOff

	// Guarded by vm.mu.
	parked  bool // waits for Resume
	waiting bool // is in WaitPaused, in a handler

	// runMu guards fd, run and the vCPU's state in the kernel.
	runMu sync.Mutex
	fd    int // -1 after Close
	run   runPage

	tidMu sync.Mutex
	tid   int // 0 when the thread has ended

	threadID int // tid, for good; set under vm.mu before NewVCPU returns
}

var _ accel.VCPU = (*VCPU)(nil)

// NewVCPU makes a vCPU in its power-on state, paused. The first one is the
// boot CPU and has index 0.
func (vm *VM) NewVCPU(cfg accel.CPUConfig) (accel.VCPU, error) {
	vm.mu.Lock()
	n, closing := len(vm.vcpus), vm.closing
	vm.mu.Unlock()
	switch {
	case closing:
		return nil, ErrClosed
	case cfg.Index != n:
		return nil, fmt.Errorf("kvm: vCPU %d made as number %d", cfg.Index, n)
	case n >= vm.caps.maxVCPUs:
		return nil, fmt.Errorf("kvm: the kernel allows no more than %d vCPUs", vm.caps.maxVCPUs)
	case vm.opts.IRQChip == accel.IRQChipOff && cfg.APIC == nil:
		return nil, fmt.Errorf("kvm: vCPU %d has no local APIC", cfg.Index)
	case cfg.APICID > maxAPICID:
		return nil, fmt.Errorf("kvm: vCPU %d: APIC id %d is above %d", cfg.Index, cfg.APICID, maxAPICID)
	}
	v := &VCPU{vm: vm, cfg: cfg, fd: -1, parked: true}
	if cfg.APIC != nil {
		v.wake = make(chan struct{}, 1)
	}
	if err := v.create(); err != nil {
		_ = v.release() // the error that matters is at hand
		return nil, err
	}
	vm.mu.Lock()
	if vm.closing {
		vm.mu.Unlock()
		_ = v.release()
		return nil, ErrClosed
	}
	v.stopped.Store(vm.running)
	vm.vcpus = append(vm.vcpus, v)
	vm.joined.Add(1)
	vm.mu.Unlock()
	started := make(chan struct{})
	go v.loop(started)
	<-started
	if cfg.APIC != nil {
		cfg.APIC.Attach(v.kick)
	}
	return v, nil
}

func (v *VCPU) create() error {
	vm := v.vm
	vm.life.RLock()
	defer vm.life.RUnlock()
	if vm.fd < 0 {
		return ErrClosed
	}
	fd, err := sys.Ioctl(vm.fd, kvmCreateVCPU, uintptr(v.cfg.APICID))
	if err != nil {
		return v.failed("KVM_CREATE_VCPU", err)
	}
	v.fd = fd
	page, err := unix.Mmap(fd, 0, vm.runSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return v.failed("mmap of kvm_run", err)
	}
	v.run = page
	if err := v.setCPUID(); err != nil {
		return err
	}
	if err := v.setupMCE(); err != nil {
		return err
	}
	return v.reset()
}

// failed is err with the call and the vCPU it was about.
func (v *VCPU) failed(call string, err error) error {
	return fmt.Errorf("kvm: %s for vCPU %d: %w", call, v.cfg.Index, err)
}

// release unmaps and closes; the goroutine has ended or never begun.
func (v *VCPU) release() error {
	v.runMu.Lock()
	defer v.runMu.Unlock()
	if v.fd < 0 {
		return nil
	}
	var err error
	if v.run != nil {
		err = unix.Munmap(v.run)
		v.run = nil
	}
	err = firstError(err, unix.Close(v.fd))
	v.fd = -1
	return err
}

// Config is what the vCPU was made with.
func (v *VCPU) Config() accel.CPUConfig { return v.cfg }

// ThreadID is the thread that runs the vCPU.
func (v *VCPU) ThreadID() int { return v.threadID }

// kick makes the thread leave KVM_RUN, or not enter it. The wish that the
// goroutine is to find was stated before.
func (v *VCPU) kick() {
	v.tidMu.Lock()
	defer v.tidMu.Unlock()
	if v.tid == 0 {
		return
	}
	v.run.set(immediateExit)
	v.wakeUp()
	if !v.inRun.Load() {
		return // it will meet immediate_exit
	}
	if err := sys.Tgkill(v.tid, unix.SIGURG); err != nil {
		v.vm.log.Error().Err(err).Int("cpu", v.cfg.Index).Msg("cannot kick vCPU")
	}
}

// loop is the vCPU's goroutine. It keeps its thread to the end, which ends
// the thread too.
func (v *VCPU) loop(started chan<- struct{}) {
	defer v.vm.joined.Done()
	defer crash.Handle()
	runtime.LockOSThread()
	tid := sys.Gettid()
	v.vm.mu.Lock()
	v.threadID = tid
	v.vm.mu.Unlock()
	v.tidMu.Lock()
	v.tid = tid
	v.tidMu.Unlock()
	close(started)
	var exits pace
	for fresh := true; ; fresh = false {
		// From here on a kick counts; so first clear, then look.
		v.run.clear(immediateExit)
		todo := enterGuest
		// The vCPU counts as parked until it has been there once.
		if fresh || v.vm.attn.Load() || v.stopped.Load() {
			if todo = v.service(); todo == end {
				break
			}
		}
		if todo == enterGuest {
			enter, err := v.offerInterrupts()
			if err != nil {
				v.fail("error: kvm interrupt failed " + errno.Text(err) + "\n")
				continue
			}
			if !enter {
				<-v.wake
				continue
			}
		}
		err := v.enter()
		if v.vm.caps.coalescedPIO {
			v.run.dropCoalesced(v.vm.caps.coalescedPage)
		}
		switch err {
		case nil:
			v.handle()
			exits.exit()
		case unix.EINTR, unix.EAGAIN:
			// A kick, a signal of the runtime's, or an INIT or SIPI.
		default:
			v.fail("error: kvm run failed " + errno.Text(err) + "\n")
		}
	}
	v.tidMu.Lock()
	v.tid = 0
	v.tidMu.Unlock()
}

// offerInterrupts hands the guest the interrupts that it can take now, and
// tells whether the vCPU is to enter the guest or to wait for a kick.
func (v *VCPU) offerInterrupts() (enter bool, err error) {
	switch {
	case v.cfg.APIC != nil:
		return v.attendAPIC()
	case v.cfg.Index == 0:
		return true, v.offerExtINT()
	default:
		return true, nil
	}
}

// enter makes one KVM_RUN.
func (v *VCPU) enter() error {
	v.runMu.Lock()
	v.beforeRun()
	v.inRun.Store(true)
	_, err := sys.Ioctl(v.fd, kvmRun, 0)
	v.inRun.Store(false)
	v.pending.Store(err == nil)
	v.runMu.Unlock()
	if err == nil || err == unix.EINTR || err == unix.EAGAIN {
		v.afterRun()
	}
	return err
}
