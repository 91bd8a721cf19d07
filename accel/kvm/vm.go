package kvm

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/memory"
)

// Options says what kind of VM to make.
type Options struct {
	// Device is the KVM device; empty means /dev/kvm.
	Device string
	// IRQChip is where the interrupt controllers are. With IRQChipOff
	// ConnectAPICs comes before the first vCPU, and each has its own APIC.
	IRQChip accel.IRQChip
	// Pins is the number of IOAPIC pins emulated here, with IRQChipSplit. GSI n
	// is pin n for n below Pins. 1 to MaxPins.
	Pins int
}

// MaxPins bounds Options.Pins.
const MaxPins = 240

const apiVersion = 12

// Where Intel hosts keep three pages of task state and one of identity page
// tables for a guest in real mode: below the firmware, as QEMU has it.
const (
	identityMapAddr = 0xfeffc000
	tssAddr         = identityMapAddr + 0x1000
)

// VM is a virtual machine of KVM's. It implements accel.VM.
type VM struct {
	h    accel.Handler
	lock sync.Locker // the VM lock
	log  zerolog.Logger
	opts Options

	caps    caps
	runSize int             // of a vCPU's shared mapping, in bytes
	msrs    map[uint32]bool // that the kernel saves and restores
	cpuid   []accel.CPUID

	slots  *slots
	ports  *ports
	routes *routes
	extint extint
	apics  accel.APICBus // with IRQChipOff; set before the first vCPU

	// life is held for reading by those who use fd, for writing by Close.
	life sync.RWMutex
	dev  int // /dev/kvm
	fd   int // the VM, -1 after Close

	// attn tells vCPU goroutines to look at what mu guards.
	attn atomic.Bool

	mu      sync.Mutex
	cond    *sync.Cond // any of the below has changed
	running bool
	closing bool
	inhibit int // callers that want all vCPUs out of KVM_RUN
	vcpus   []*VCPU
	clock   guestClock

	joined sync.WaitGroup // vCPU goroutines
}

var _ accel.VM = (*VM)(nil)

// New makes a VM without memory or vCPUs, paused. h is called from the
// vCPUs' goroutines; lock is the VM lock, taken only around the ack function
// of SetExtINT and, with IRQChipOff, around what a vCPU does to its APIC. The error is an *accel.InitError with QEMU's texts.
func New(opts Options, h accel.Handler, lock sync.Locker, log zerolog.Logger) (*VM, error) {
	if opts.Device == "" {
		opts.Device = "/dev/kvm"
	}
	if opts.IRQChip == accel.IRQChipSplit && (opts.Pins < 1 || opts.Pins > MaxPins) {
		return nil, initFailed(unix.EINVAL, "KVM: %d IOAPIC pins, must be 1 to %d", opts.Pins, MaxPins)
	}
	dev, err := unix.Open(opts.Device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, noModule(err)
	}
	vm := &VM{h: h, lock: lock, log: log, opts: opts, dev: dev, fd: -1}
	vm.cond = sync.NewCond(&vm.mu)
	vm.attn.Store(true)
	vm.slots, vm.ports, vm.routes = newSlots(vm), newPorts(vm), newRoutes(vm)
	if err := vm.init(); err != nil {
		vm.Close()
		return nil, err
	}
	return vm, nil
}

func (vm *VM) init() error {
	version, err := sys.Ioctl(vm.dev, kvmGetAPIVersion, 0)
	if err != nil {
		return initFailed(err, "ioctl(KVM_GET_API_VERSION) failed: %s", errno.Text(err))
	}
	if version < apiVersion {
		return initFailed(unix.EINVAL, "kvm version too old")
	}
	if version > apiVersion {
		return initFailed(unix.EINVAL, "kvm version not supported")
	}
	if err := vm.caps.read(vm.dev, vm.opts.IRQChip); err != nil {
		return err
	}
	if vm.runSize, err = sys.Ioctl(vm.dev, kvmGetVCPUMmapSize, 0); err != nil {
		return initFailed(err, "ioctl(KVM_GET_VCPU_MMAP_SIZE) failed: %s", errno.Text(err))
	}
	if (vm.caps.coalescedPage+1)*os.Getpagesize() > vm.runSize {
		vm.caps.coalescedPIO = false
	}
	for { // a signal, of the runtime's own for instance, may interrupt it
		vm.fd, err = sys.Ioctl(vm.dev, kvmCreateVM, 0)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		vm.fd = -1
		return initFailed(err, "ioctl(KVM_CREATE_VM) failed: %d %s", errnoOf(err), errno.Text(err))
	}
	if vm.msrs, err = msrIndexList(vm.dev); err != nil {
		return initFailed(err, "ioctl(KVM_GET_MSR_INDEX_LIST) failed: %s", errno.Text(err))
	}
	if vm.cpuid, err = supportedCPUID(vm.dev, vm.opts.IRQChip, vm.caps.tscDeadline); err != nil {
		return initFailed(err, "ioctl(KVM_GET_SUPPORTED_CPUID) failed: %s", errno.Text(err))
	}
	identity := uint64(identityMapAddr)
	if _, err := sys.IoctlPtr(vm.fd, kvmSetIdentityMapAddr, &identity); err != nil {
		return initFailed(err, "ioctl(KVM_SET_IDENTITY_MAP_ADDR) failed: %s", errno.Text(err))
	}
	if _, err := sys.Ioctl(vm.fd, kvmSetTSSAddr, tssAddr); err != nil {
		return initFailed(err, "ioctl(KVM_SET_TSS_ADDR) failed: %s", errno.Text(err))
	}
	vm.clock.begin()
	return vm.initIRQChip()
}

func errnoOf(err error) int {
	var e unix.Errno
	if errors.As(err, &e) {
		return int(e)
	}
	return 0
}

// Name is "kvm".
func (vm *VM) Name() string { return "kvm" }

// Memory turns RAM into KVM memory slots and ioeventfds on memory into
// KVM's.
func (vm *VM) Memory() memory.Listener { return vm.slots }

// IO turns ioeventfds on ports into KVM's.
func (vm *VM) IO() memory.Listener { return vm.ports }

// MaxVCPUs is how many vCPUs the kernel allows in a VM.
func (vm *VM) MaxVCPUs() int { return vm.caps.maxVCPUs }

// ioctl makes a VM ioctl on a structure, unless the VM is closed. The error
// names the call.
func ioctl[T any](vm *VM, name string, req uintptr, arg *T) (int, error) {
	vm.life.RLock()
	defer vm.life.RUnlock()
	if vm.fd < 0 {
		return 0, ErrClosed
	}
	n, err := sys.IoctlPtr(vm.fd, req, arg)
	if err != nil {
		return 0, fmt.Errorf("kvm: %s: %w", name, err)
	}
	return n, nil
}

// Close ends and joins the vCPUs and gives the VM back to the kernel. The
// guest's RAM may be unmapped afterwards. It must not be called from a
// vCPU's own goroutine. A second call does nothing.
func (vm *VM) Close() error {
	if vm.current() != nil {
		return errors.New("kvm: Close called by a vCPU of the VM")
	}
	vm.mu.Lock()
	vm.closing = true
	vm.changed()
	for _, v := range vm.vcpus {
		v.kick()
	}
	vm.mu.Unlock()
	vm.joined.Wait()

	var errs []error
	for _, v := range vm.vcpus {
		errs = append(errs, v.release())
	}
	vm.life.Lock()
	defer vm.life.Unlock()
	for _, fd := range []*int{&vm.fd, &vm.dev} {
		if *fd >= 0 {
			errs = append(errs, unix.Close(*fd))
			*fd = -1
		}
	}
	return errors.Join(errs...)
}
