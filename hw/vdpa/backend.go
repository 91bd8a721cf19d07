package vdpa

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/gqemu/gqemu/internal/errno"
)

// Backend is a vhost-vdpa device. Its methods are the kernel's calls, named
// after them (linux/vhost.h). Queues count from 0. Errors are *OpError.
//
// A Backend is used by one goroutine at a time, except that GetConfig and
// SetConfig may come while another call is under way.
type Backend interface {
	// GetDeviceID is VHOST_VDPA_GET_DEVICE_ID: the virtio device id.
	GetDeviceID() (uint32, error)
	// GetVringNum is VHOST_VDPA_GET_VRING_NUM: the largest queue size. The
	// kernel writes 16 bits.
	GetVringNum() (uint16, error)
	// GetVqsCount is VHOST_VDPA_GET_VQS_COUNT: the number of queues.
	GetVqsCount() (uint32, error)
	// GetIOVARange is VHOST_VDPA_GET_IOVA_RANGE: where mappings may be.
	GetIOVARange() (IOVARange, error)
	// GetFeatures is VHOST_GET_FEATURES: the virtio features.
	GetFeatures() (uint64, error)
	// SetFeatures is VHOST_SET_FEATURES, before FEATURES_OK.
	SetFeatures(features uint64) error
	// GetBackendFeatures is VHOST_GET_BACKEND_FEATURES: what the interface
	// itself can do.
	GetBackendFeatures() (uint64, error)
	// SetBackendFeatures is VHOST_SET_BACKEND_FEATURES.
	SetBackendFeatures(features uint64) error
	// SetOwner is VHOST_SET_OWNER: guest memory is this process's.
	SetOwner() error
	// GetStatus is VHOST_VDPA_GET_STATUS: the device status field.
	GetStatus() (uint8, error)
	// SetStatus is VHOST_VDPA_SET_STATUS. 0 resets the device; any other
	// value only adds bits.
	SetStatus(status uint8) error
	// GetConfigSize is VHOST_VDPA_GET_CONFIG_SIZE, in bytes.
	GetConfigSize() (uint32, error)
	// GetConfig is VHOST_VDPA_GET_CONFIG: buf is not empty.
	GetConfig(offset int, buf []byte) error
	// SetConfig is VHOST_VDPA_SET_CONFIG: data is not empty.
	SetConfig(offset int, data []byte) error
	// SetConfigCall is VHOST_VDPA_SET_CONFIG_CALL: the eventfd that tells of
	// changes of the configuration, -1 for none.
	SetConfigCall(fd int) error
	// SetVringNum is VHOST_SET_VRING_NUM: a queue's size.
	SetVringNum(queue int, num uint32) error
	// SetVringBase is VHOST_SET_VRING_BASE: where the queue goes on. A split
	// ring's is its available index; a packed ring's is, in each half, an
	// index of 15 bits below its wrap counter, the available one low.
	SetVringBase(queue int, base uint32) error
	// GetVringBase is VHOST_GET_VRING_BASE.
	GetVringBase(queue int) (uint32, error)
	// SetVringAddr is VHOST_SET_VRING_ADDR: the queue's areas, as IOVA.
	SetVringAddr(queue int, a VringAddr) error
	// SetVringKick is VHOST_SET_VRING_KICK: the eventfd that notifies the
	// device, -1 for none.
	SetVringKick(queue, fd int) error
	// SetVringCall is VHOST_SET_VRING_CALL: the eventfd that the device
	// interrupts with, -1 for none.
	SetVringCall(queue, fd int) error
	// SetVringEnable is VHOST_VDPA_SET_VRING_ENABLE.
	SetVringEnable(queue int, on bool) error
	// Suspend is VHOST_VDPA_SUSPEND, with FeatureSuspend: the device stops
	// processing and keeps its state.
	Suspend() error
	// Resume is VHOST_VDPA_RESUME, with FeatureResume (Linux 6.6): a suspended
	// device goes on.
	Resume() error
	// UpdateIOTLB is a VHOST_IOTLB_UPDATE message: mem stands at iova. The
	// memory stays pinned until it is invalidated. mem is not Go memory.
	UpdateIOTLB(iova uint64, mem []byte, perm Perm) error
	// InvalidateIOTLB is VHOST_IOTLB_INVALIDATE. It takes the very ranges
	// that were mapped: a part of one drops all of it.
	InvalidateIOTLB(iova, size uint64) error
	// BatchBegin and BatchEnd are VHOST_IOTLB_BATCH_BEGIN and _END, with
	// FeatureIOTLBBatch: the device sees what is between them as one change.
	BatchBegin() error
	BatchEnd() error
	// Close releases the device, and with it all mappings. It can be opened
	// again once Close has returned.
	Close() error
}

// Bits of Get- and SetBackendFeatures (linux/vhost_types.h).
const (
	FeatureIOTLBMsgV2 uint64 = 1 << 1
	FeatureIOTLBBatch uint64 = 1 << 2
	FeatureIOTLBASID  uint64 = 1 << 3
	FeatureSuspend    uint64 = 1 << 4
	FeatureResume     uint64 = 1 << 5
	// FeatureEnableAfterDriverOK: queues may be enabled when the device runs.
	FeatureEnableAfterDriverOK uint64 = 1 << 6
	// FeatureIOTLBPersist: what is mapped stays mapped over a reset.
	FeatureIOTLBPersist uint64 = 1 << 8
)

// IOVARange is where a device takes mappings, both ends included.
type IOVARange struct{ First, Last uint64 }

// VringAddr is where a queue's areas are, as IOVA.
type VringAddr struct{ Desc, Avail, Used uint64 }

// Perm is what a device may do with a mapping.
type Perm uint8

// The permissions (VHOST_ACCESS_*).
const (
	PermRead      Perm = 1
	PermWrite     Perm = 2
	PermReadWrite Perm = 3
)

// Verb is a call, by the kernel's name for it.
type Verb string

// OpError is a call that failed.
type OpError struct {
	Verb   Verb
	Device string // path of the device
	Queue  int    // -1 for a call that is about no queue
	Detail string // what else the call was about, "" for nothing
	Err    error  // a syscall.Errno, from a real device
}

func (e *OpError) Error() string {
	s := fmt.Sprintf("vdpa: %s on %s", e.Verb, e.Device)
	if e.Queue >= 0 {
		s += fmt.Sprintf(" queue %d", e.Queue)
	}
	if e.Detail != "" {
		s += " " + e.Detail
	}
	return s + ": " + e.Err.Error()
}

func (e *OpError) Unwrap() error { return e.Err }

// realizeError words a failed query as QEMU does.
func realizeError(err error) error {
	var op *OpError
	if !errors.As(err, &op) {
		return err
	}
	return &wordedError{fmt.Sprintf("vhost-vdpa-device: cmd 0x%x failed: %s", ioctls[op.Verb], errno.Text(op.Err)), err}
}

// wordedError is an error that clients see in QEMU's words.
type wordedError struct {
	text string
	err  error
}

func (e *wordedError) Error() string { return e.text }
func (e *wordedError) Unwrap() error { return e.err }

// isErrno tells whether err comes from one of the errnos.
func isErrno(err error, list ...syscall.Errno) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
