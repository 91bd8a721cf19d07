package vdpa

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Recorder is a Backend for tests: a device that processes nothing, keeps the
// rules the kernel keeps, and writes down each call. Its fields are set before
// use; its methods may be called from any goroutine.
type Recorder struct {
	Name            string
	DeviceID        uint32
	VringNum        uint16
	VqsCount        uint32
	Range           IOVARange
	Features        uint64
	BackendFeatures uint64
	Config          []byte
	// MaxMapped is how many bytes may be mapped, as RLIMIT_MEMLOCK has it; 0
	// for any number.
	MaxMapped uint64
	// Fail is asked before each call: n counts from 1, call is what Calls
	// will list. An error makes the call fail. Nil never does.
	Fail func(n int, call string) error
	// Block is called, without locks, before each message to the IOTLB.
	Block func(call string)

	mu       sync.Mutex // guards all below
	calls    []string
	count    int
	closed   bool
	owner    bool
	status   uint8
	accepted uint64
	backend  uint64
	queues   []recordedQueue
	configFD int
	mapped   map[uint64]mappedRange
	batch    bool
}

type recordedQueue struct {
	base    uint32
	enabled bool
	callFD  int
}

type mappedRange struct {
	size uint64
	perm Perm
}

// NewRecorder makes a device like the kernel's block simulator with one queue
// for each element of bases.
func NewRecorder(name string, queues int) *Recorder {
	config := make([]byte, 72)
	config[2] = 4 // 128 MiB in sectors
	return &Recorder{
		Name: name, DeviceID: 2, VringNum: 256, VqsCount: uint32(queues),
		Range: IOVARange{0, ^uint64(0)}, Features: 0x308007646, BackendFeatures: 0x1e, Config: config,
		queues: make([]recordedQueue, queues), configFD: -1, mapped: map[uint64]mappedRange{},
	}
}

// do records a call and runs it unless it is to fail.
func (r *Recorder) do(verb Verb, queue int, args string, run func() (result string, err error)) error {
	call := string(verb)
	if queue >= 0 {
		call += fmt.Sprintf(" queue %d", queue)
	}
	if args != "" {
		call += " " + args
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	var result string
	err := error(nil)
	if r.closed {
		err = syscall.EBADF
	} else if r.Fail != nil {
		err = r.Fail(r.count, call)
	}
	if err == nil {
		result, err = run()
	}
	switch {
	case err != nil:
		r.calls = append(r.calls, call+": "+err.Error())
		return &OpError{Verb: verb, Device: r.Name, Queue: queue, Err: err}
	case result != "":
		call += " = " + result
	}
	r.calls = append(r.calls, call)
	return nil
}

// TakeCalls gives the calls made since it was called last.
func (r *Recorder) TakeCalls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.calls
	r.calls = nil
	return out
}

// Count is the number of calls made.
func (r *Recorder) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Mapped gives the sizes of what the IOTLB holds, by address.
func (r *Recorder) Mapped() map[uint64]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[uint64]uint64{}
	for iova, m := range r.mapped {
		out[iova] = m.size
	}
	return out
}

// Closed tells whether the device was closed.
func (r *Recorder) Closed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// SetBase sets where a queue stands, as if the device had processed it.
func (r *Recorder) SetBase(queue int, base uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queues[queue].base = base
}

// Interrupt signals the eventfd of a queue.
func (r *Recorder) Interrupt(queue int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return signal(r.queues[queue].callFD)
}

// ChangeConfig changes the configuration space and signals that, where
// something listens.
func (r *Recorder) ChangeConfig(offset int, data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	copy(r.Config[offset:], data)
	return signal(r.configFD)
}

// SetFail changes Fail while the device is in use.
func (r *Recorder) SetFail(fail func(n int, call string) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Fail = fail
}

// NeedReset makes the device ask for a reset, and signals that where something
// listens.
func (r *Recorder) NeedReset() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status |= needsReset
	return signal(r.configFD)
}

// ForgetDriver makes the device one that nobody has started, and signals that
// where something listens: what it does when its hardware begins anew.
func (r *Recorder) ForgetDriver() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = 0
	return signal(r.configFD)
}

// ResizeConfig gives the configuration space another size, and signals that
// where something listens and asked.
func (r *Recorder) ResizeConfig(size int, tell bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	config := make([]byte, size)
	copy(config, r.Config)
	r.Config = config
	if !tell {
		return nil
	}
	return signal(r.configFD)
}

// needsReset is the bit of the status that is the device's own.
const needsReset = 0x40

// signal adds one to an eventfd, -1 for none.
func signal(fd int) error {
	if fd < 0 {
		return nil
	}
	_, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return err
}

func fdText(fd int) string {
	if fd < 0 {
		return "-1"
	}
	return "eventfd"
}

// query is a call that gives a number.
func query[T uint8 | uint16 | uint32 | uint64](r *Recorder, verb Verb, format string, value func() T) (T, error) {
	var v T
	err := r.do(verb, -1, "", func() (string, error) {
		v = value()
		return fmt.Sprintf(format, v), nil
	})
	return v, err
}

func (r *Recorder) GetDeviceID() (uint32, error) {
	return query(r, VerbGetDeviceID, "%d", func() uint32 { return r.DeviceID })
}

func (r *Recorder) GetVringNum() (uint16, error) {
	return query(r, VerbGetVringNum, "%d", func() uint16 { return r.VringNum })
}

func (r *Recorder) GetVqsCount() (uint32, error) {
	return query(r, VerbGetVqsCount, "%d", func() uint32 { return r.VqsCount })
}

func (r *Recorder) GetFeatures() (uint64, error) {
	return query(r, VerbGetFeatures, "%#x", func() uint64 { return r.Features })
}

func (r *Recorder) GetBackendFeatures() (uint64, error) {
	return query(r, VerbGetBackendFeatures, "%#x", func() uint64 { return r.BackendFeatures })
}

func (r *Recorder) GetStatus() (uint8, error) {
	return query(r, VerbGetStatus, "%#02x", func() uint8 { return r.status })
}

func (r *Recorder) GetConfigSize() (uint32, error) {
	return query(r, VerbGetConfigSize, "%d", func() uint32 { return uint32(len(r.Config)) })
}

func (r *Recorder) GetIOVARange() (IOVARange, error) {
	err := r.do(VerbGetIOVARange, -1, "", func() (string, error) {
		return fmt.Sprintf("%#x..%#x", r.Range.First, r.Range.Last), nil
	})
	return r.Range, err
}

func (r *Recorder) SetFeatures(f uint64) error {
	return r.do(VerbSetFeatures, -1, fmt.Sprintf("%#x", f), func() (string, error) {
		if r.status&8 != 0 {
			return "", syscall.EBUSY
		}
		if f&(1<<33) == 0 && r.Features&(1<<33) != 0 {
			return "", syscall.EINVAL
		}
		r.accepted = f
		return "", nil
	})
}

func (r *Recorder) SetBackendFeatures(f uint64) error {
	return r.do(VerbSetBackendFeatures, -1, fmt.Sprintf("%#x", f), func() (string, error) {
		if f&^r.BackendFeatures != 0 {
			return "", syscall.EOPNOTSUPP
		}
		r.backend = f
		return "", nil
	})
}

func (r *Recorder) SetOwner() error {
	return r.do(VerbSetOwner, -1, "", func() (string, error) {
		if r.owner {
			return "", syscall.EBUSY
		}
		r.owner = true
		return "", nil
	})
}

func (r *Recorder) SetStatus(s uint8) error {
	return r.do(VerbSetStatus, -1, fmt.Sprintf("%#02x", s), func() (string, error) {
		if s != 0 && r.status&^s != 0 {
			return "", syscall.EINVAL
		}
		if s == 0 {
			for i := range r.queues {
				r.queues[i].enabled, r.queues[i].base = false, 0
			}
		}
		r.status = s
		return "", nil
	})
}

func (r *Recorder) inConfig(offset, n int) error {
	if n == 0 || offset < 0 || offset > len(r.Config) || n > len(r.Config)-offset {
		return syscall.EINVAL
	}
	return nil
}

func (r *Recorder) GetConfig(offset int, buf []byte) error {
	return r.do(VerbGetConfig, -1, fmt.Sprintf("offset %d length %d", offset, len(buf)), func() (string, error) {
		if err := r.inConfig(offset, len(buf)); err != nil {
			return "", err
		}
		copy(buf, r.Config[offset:])
		return "", nil
	})
}

func (r *Recorder) SetConfig(offset int, data []byte) error {
	return r.do(VerbSetConfig, -1, fmt.Sprintf("offset %d %s", offset, hex.EncodeToString(data)), func() (string, error) {
		if err := r.inConfig(offset, len(data)); err != nil {
			return "", err
		}
		copy(r.Config[offset:], data)
		return "", nil
	})
}

func (r *Recorder) SetConfigCall(fd int) error {
	return r.do(VerbSetConfigCall, -1, fdText(fd), func() (string, error) {
		r.configFD = fd
		return "", nil
	})
}

// vring is a call about a queue.
func (r *Recorder) vring(verb Verb, queue int, args string, run func(q *recordedQueue) (string, error)) error {
	return r.do(verb, queue, args, func() (string, error) {
		switch {
		case !r.owner:
			return "", syscall.EPERM
		case queue < 0 || queue >= len(r.queues):
			return "", syscall.ENOBUFS
		}
		return run(&r.queues[queue])
	})
}

func (r *Recorder) SetVringNum(queue int, num uint32) error {
	return r.vring(VerbSetVringNum, queue, fmt.Sprintf("num %d", num), func(*recordedQueue) (string, error) {
		if num == 0 || num&(num-1) != 0 || num > 32768 {
			return "", syscall.EINVAL
		}
		return "", nil
	})
}

func (r *Recorder) SetVringBase(queue int, base uint32) error {
	return r.vring(VerbSetVringBase, queue, fmt.Sprintf("base %#x", base), func(q *recordedQueue) (string, error) {
		if base > 0xffff && r.accepted&(1<<34) == 0 {
			return "", syscall.EINVAL
		}
		q.base = base
		return "", nil
	})
}

func (r *Recorder) GetVringBase(queue int) (base uint32, err error) {
	err = r.vring(VerbGetVringBase, queue, "", func(q *recordedQueue) (string, error) {
		base = q.base
		return fmt.Sprintf("%#x", base), nil
	})
	return base, err
}

func (r *Recorder) SetVringAddr(queue int, a VringAddr) error {
	args := fmt.Sprintf("desc %#x avail %#x used %#x", a.Desc, a.Avail, a.Used)
	return r.vring(VerbSetVringAddr, queue, args, func(*recordedQueue) (string, error) {
		if a.Avail%2 != 0 || a.Used%4 != 0 {
			return "", syscall.EINVAL
		}
		return "", nil
	})
}

func (r *Recorder) SetVringKick(queue, fd int) error {
	return r.vring(VerbSetVringKick, queue, fdText(fd), func(*recordedQueue) (string, error) { return "", nil })
}

func (r *Recorder) SetVringCall(queue, fd int) error {
	return r.vring(VerbSetVringCall, queue, fdText(fd), func(q *recordedQueue) (string, error) {
		q.callFD = fd
		return "", nil
	})
}

func (r *Recorder) SetVringEnable(queue int, on bool) error {
	return r.vring(VerbSetVringEnable, queue, fmt.Sprint(on), func(q *recordedQueue) (string, error) {
		q.enabled = on
		return "", nil
	})
}

func (r *Recorder) Suspend() error {
	return r.do(VerbSuspend, -1, "", func() (string, error) {
		if r.BackendFeatures&FeatureSuspend == 0 {
			return "", syscall.EOPNOTSUPP
		}
		return "", nil
	})
}

func (r *Recorder) Resume() error {
	return r.do(VerbResume, -1, "", func() (string, error) {
		if r.BackendFeatures&FeatureResume == 0 {
			return "", syscall.EOPNOTSUPP
		}
		return "", nil
	})
}

// message is a message to the IOTLB. All it fails with is EFAULT.
func (r *Recorder) message(verb Verb, args string, run func() error) error {
	if r.Block != nil {
		r.Block(string(verb) + " " + args)
	}
	return r.do(verb, -1, args, func() (string, error) {
		if !r.owner {
			return "", syscall.EFAULT
		}
		return "", run()
	})
}

func (r *Recorder) UpdateIOTLB(iova uint64, mem []byte, perm Perm) error {
	size := uint64(len(mem))
	return r.message(VerbUpdate, fmt.Sprintf("%s perm %d", rangeText(iova, size), perm), func() error {
		if size == 0 {
			return syscall.EINVAL
		}
		last := iova + size - 1
		if last < iova || iova < r.Range.First || last > r.Range.Last {
			return syscall.EFAULT
		}
		total := size
		for have, m := range r.mapped {
			total += m.size
			if iova <= have+m.size-1 && have <= last {
				return syscall.EFAULT
			}
		}
		if r.MaxMapped != 0 && total > r.MaxMapped {
			return syscall.EFAULT
		}
		r.mapped[iova] = mappedRange{size, perm}
		return nil
	})
}

func (r *Recorder) InvalidateIOTLB(iova, size uint64) error {
	return r.message(VerbInvalidate, rangeText(iova, size), func() error {
		maps.DeleteFunc(r.mapped, func(have uint64, m mappedRange) bool {
			return size != 0 && iova <= have+m.size-1 && have <= iova+size-1
		})
		return nil
	})
}

func (r *Recorder) BatchBegin() error {
	return r.message(VerbBatchBegin, "", func() error { r.batch = true; return nil })
}

func (r *Recorder) BatchEnd() error {
	return r.message(VerbBatchEnd, "", func() error { r.batch = false; return nil })
}

// Close drops all mappings, as closing the character device does.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("vdpa: recorder closed twice")
	}
	r.closed, r.batch = true, false
	r.calls = append(r.calls, "close")
	clear(r.mapped)
	return nil
}

// Check tells what a device that has been unplugged or broken left behind.
func (r *Recorder) Check() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var left []string
	for _, iova := range slices.Sorted(maps.Keys(r.mapped)) {
		left = append(left, rangeText(iova, r.mapped[iova].size))
	}
	if len(left) > 0 || r.batch {
		return fmt.Errorf("vdpa: left in the IOTLB: %v, batch open: %v", left, r.batch)
	}
	return nil
}
