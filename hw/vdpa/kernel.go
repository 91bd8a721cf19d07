package vdpa

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/sys"
)

// kernel is the Backend of a character device /dev/vhost-vdpa-N.
type kernel struct {
	fd      int
	name    string
	closed  atomic.Bool
	release func(fd int) // called before fd is closed; nil for nothing
}

// NewKernel makes a Backend of an open vhost-vdpa character device, which it
// owns from then on. name is for error texts.
func NewKernel(fd int, name string) Backend { return &kernel{fd: fd, name: name} }

func (k *kernel) fail(verb Verb, queue int, detail string, err error) error {
	if err == nil {
		return nil
	}
	return &OpError{Verb: verb, Device: k.name, Queue: queue, Detail: detail, Err: err}
}

// retry repeats a call that a signal interrupted. The Go runtime sends its
// threads signals of its own.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func ioctl[T any](k *kernel, verb Verb, queue int, arg *T) error {
	return k.fail(verb, queue, "", retry(func() error {
		_, err := sys.IoctlPtr(k.fd, ioctls[verb], arg)
		return err
	}))
}

// get makes a call by which the kernel fills a T.
func get[T any](k *kernel, verb Verb) (T, error) {
	var v T
	err := ioctl(k, verb, -1, &v)
	return v, err
}

func (k *kernel) GetDeviceID() (uint32, error)        { return get[uint32](k, VerbGetDeviceID) }
func (k *kernel) GetVringNum() (uint16, error)        { return get[uint16](k, VerbGetVringNum) }
func (k *kernel) GetVqsCount() (uint32, error)        { return get[uint32](k, VerbGetVqsCount) }
func (k *kernel) GetFeatures() (uint64, error)        { return get[uint64](k, VerbGetFeatures) }
func (k *kernel) GetBackendFeatures() (uint64, error) { return get[uint64](k, VerbGetBackendFeatures) }
func (k *kernel) GetStatus() (uint8, error)           { return get[uint8](k, VerbGetStatus) }
func (k *kernel) GetConfigSize() (uint32, error)      { return get[uint32](k, VerbGetConfigSize) }

func (k *kernel) GetIOVARange() (IOVARange, error) {
	r, err := get[iovaRange](k, VerbGetIOVARange)
	return IOVARange{r.first, r.last}, err
}

func (k *kernel) SetFeatures(f uint64) error        { return ioctl(k, VerbSetFeatures, -1, &f) }
func (k *kernel) SetBackendFeatures(f uint64) error { return ioctl(k, VerbSetBackendFeatures, -1, &f) }
func (k *kernel) SetStatus(s uint8) error           { return ioctl(k, VerbSetStatus, -1, &s) }

func (k *kernel) plain(verb Verb) error {
	return k.fail(verb, -1, "", retry(func() error {
		_, err := sys.Ioctl(k.fd, ioctls[verb], 0)
		return err
	}))
}

func (k *kernel) SetOwner() error { return k.plain(VerbSetOwner) }
func (k *kernel) Suspend() error  { return k.plain(VerbSuspend) }
func (k *kernel) Resume() error   { return k.plain(VerbResume) }

// config makes one of the calls on struct vhost_vdpa_config.
func (k *kernel) config(verb Verb, offset int, data []byte) ([]byte, error) {
	buf := make([]byte, configHeader+len(data))
	binary.NativeEndian.PutUint32(buf, uint32(offset))
	binary.NativeEndian.PutUint32(buf[4:], uint32(len(data)))
	copy(buf[configHeader:], data)
	err := retry(func() error {
		_, err := sys.IoctlBytes(k.fd, ioctls[verb], buf)
		return err
	})
	return buf[configHeader:], k.fail(verb, -1, fmt.Sprintf("offset %d length %d", offset, len(data)), err)
}

func (k *kernel) GetConfig(offset int, buf []byte) error {
	got, err := k.config(VerbGetConfig, offset, make([]byte, len(buf)))
	if err == nil {
		copy(buf, got)
	}
	return err
}

func (k *kernel) SetConfig(offset int, data []byte) error {
	_, err := k.config(VerbSetConfig, offset, data)
	return err
}

func (k *kernel) SetConfigCall(fd int) error {
	v := int32(fd)
	return ioctl(k, VerbSetConfigCall, -1, &v)
}

func (k *kernel) vring(verb Verb, queue int, num uint32) (uint32, error) {
	s := vringState{uint32(queue), num}
	err := ioctl(k, verb, queue, &s)
	return s.num, err
}

func (k *kernel) SetVringNum(queue int, num uint32) error {
	_, err := k.vring(VerbSetVringNum, queue, num)
	return err
}

func (k *kernel) SetVringBase(queue int, base uint32) error {
	_, err := k.vring(VerbSetVringBase, queue, base)
	return err
}

func (k *kernel) GetVringBase(queue int) (uint32, error) { return k.vring(VerbGetVringBase, queue, 0) }

func (k *kernel) SetVringEnable(queue int, on bool) error {
	num := uint32(0)
	if on {
		num = 1
	}
	_, err := k.vring(VerbSetVringEnable, queue, num)
	return err
}

func (k *kernel) SetVringAddr(queue int, a VringAddr) error {
	// No writes are logged; QEMU gives the used ring's address all the same.
	v := vringAddr{index: uint32(queue), desc: a.Desc, used: a.Used, avail: a.Avail, logGuest: a.Used}
	return ioctl(k, VerbSetVringAddr, queue, &v)
}

func (k *kernel) SetVringKick(queue, fd int) error {
	return ioctl(k, VerbSetVringKick, queue, &vringFile{uint32(queue), int32(fd)})
}

func (k *kernel) SetVringCall(queue, fd int) error {
	return ioctl(k, VerbSetVringCall, queue, &vringFile{uint32(queue), int32(fd)})
}

// send writes one IOTLB message. The kernel takes all of it or fails.
func (k *kernel) send(verb Verb, detail string, m iotlbMsg) error {
	m.typ = iotlbMsgV2
	return k.fail(verb, -1, detail, retry(func() error {
		n, err := unix.Write(k.fd, sys.Bytes(&m))
		if err == nil && n != int(sys.Sizeof[iotlbMsg]()) {
			err = io.ErrShortWrite
		}
		return err
	}))
}

func rangeText(iova, size uint64) string { return fmt.Sprintf("iova 0x%x size 0x%x", iova, size) }

func (k *kernel) UpdateIOTLB(iova uint64, mem []byte, perm Perm) error {
	return k.send(VerbUpdate, rangeText(iova, uint64(len(mem))), iotlbMsg{
		iova: iova, size: uint64(len(mem)), uaddr: uint64(sys.Addr(mem)), perm: uint8(perm), op: iotlbUpdate,
	})
}

func (k *kernel) InvalidateIOTLB(iova, size uint64) error {
	return k.send(VerbInvalidate, rangeText(iova, size), iotlbMsg{iova: iova, size: size, op: iotlbInvalidate})
}

func (k *kernel) BatchBegin() error { return k.send(VerbBatchBegin, "", iotlbMsg{op: iotlbBatchBegin}) }
func (k *kernel) BatchEnd() error   { return k.send(VerbBatchEnd, "", iotlbMsg{op: iotlbBatchEnd}) }

func (k *kernel) Close() error {
	if k.closed.Swap(true) {
		return nil
	}
	if k.release != nil {
		k.release(k.fd)
	}
	return k.fail("close", -1, "", unix.Close(k.fd))
}
