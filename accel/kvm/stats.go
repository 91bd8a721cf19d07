package kvm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/sys"
)

// The file that KVM_GET_STATS_FD makes begins with a header of six words, has
// descriptors of 16 bytes with a name behind each, and values of 8 bytes
// (Linux Documentation/virt/kvm/api.rst, section 4.133).
const (
	statsHeader = 24
	statsDesc   = 16
	// maxStats bounds the file, in bytes, and each of its parts.
	maxStats = 1 << 20
)

var _ accel.StatSource = (*VM)(nil)
var _ accel.StatSource = (*VCPU)(nil)

// Stats is part of accel.StatSource. A kernel before 5.14 has none.
func (vm *VM) Stats() ([]accel.Stat, error) {
	vm.life.RLock()
	defer vm.life.RUnlock()
	return readStats(vm.fd)
}

// Stats is part of accel.StatSource. The kernel has it wait for a vCPU in guest
// code, so it is called while paused.
func (v *VCPU) Stats() ([]accel.Stat, error) {
	v.runMu.Lock()
	defer v.runMu.Unlock()
	return readStats(v.fd)
}

func readStats(of int) ([]accel.Stat, error) {
	if of < 0 {
		return nil, ErrClosed
	}
	fd, err := sys.Ioctl(of, kvmGetStatsFD, 0)
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("kvm: KVM_GET_STATS_FD: %w", err)
	}
	defer unix.Close(fd)
	return parseStats(func(p []byte, at int64) error {
		n, err := unix.Pread(fd, p, at)
		if err == nil && n != len(p) {
			err = fmt.Errorf("kvm: statistics end after %d of %d bytes", n, len(p))
		}
		return err
	})
}

// parseStats takes the file apart that read reads.
func parseStats(read func(p []byte, at int64) error) ([]accel.Stat, error) {
	le := binary.LittleEndian
	var h [statsHeader]byte
	if err := read(h[:], 0); err != nil {
		return nil, err
	}
	nameSize, count := le.Uint32(h[4:]), le.Uint32(h[8:])
	descs, data := le.Uint32(h[16:]), le.Uint32(h[20:])
	if nameSize > maxStats || count > maxStats || uint64(count)*uint64(statsDesc+nameSize) > maxStats {
		return nil, fmt.Errorf("kvm: %d statistics with names of %d bytes", count, nameSize)
	}
	table := make([]byte, count*(statsDesc+nameSize))
	if err := read(table, int64(descs)); err != nil {
		return nil, err
	}
	var list []accel.Stat
	for ; len(table) > 0; table = table[statsDesc+nameSize:] {
		flags, size := le.Uint32(table), le.Uint16(table[6:])
		name, _, _ := strings.Cut(string(table[statsDesc:statsDesc+nameSize]), "\x00")
		s := accel.Stat{
			Name: name, Kind: accel.StatKind(flags & 0xf), Unit: accel.StatUnit(flags >> 4 & 0xf), Base: 10,
			Exponent: int16(le.Uint16(table[4:])), BucketSize: le.Uint32(table[12:]),
		}
		if flags>>8&0xf == 1 {
			s.Base = 2
		}
		if s.Kind > accel.StatLog2Histogram || s.Unit > accel.UnitBoolean || flags>>8&0xf > 1 {
			continue // of a kernel newer than this
		}
		values := make([]byte, 8*int(size))
		if err := read(values, int64(data)+int64(le.Uint32(table[8:]))); err != nil {
			return nil, err
		}
		for i := 0; i < len(values); i += 8 {
			s.Values = append(s.Values, le.Uint64(values[i:]))
		}
		list = append(list, s)
	}
	return list, nil
}
