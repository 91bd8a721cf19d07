package sim

import (
	"slices"
	"syscall"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/memory"
)

// mapping is one entry of an IOTLB.
type mapping struct {
	iova uint64
	last uint64 // inclusive: the end of the address space can be mapped
	mem  []byte
	perm vdpa.Perm
}

// iotlb is one address space. What is mapped takes effect with commit, so
// that a batch is one change to the device. Guarded by device.io.
type iotlb struct {
	table []mapping // by address, what the calls have made of it
	live  []mapping // what the device translates by; not changed in place
}

// find is the index of the first mapping that ends at or after iova.
func find(list []mapping, iova uint64) int {
	i, _ := slices.BinarySearchFunc(list, iova, func(m mapping, a uint64) int {
		if m.last < a {
			return -1
		}
		return 1
	})
	return i
}

// update adds a mapping. The kernel has one errno for all that can be wrong.
func (t *iotlb) update(iova uint64, mem []byte, perm vdpa.Perm) error {
	last := iova + uint64(len(mem)) - 1
	if last < iova {
		return syscall.EFAULT
	}
	i := find(t.table, iova)
	if i < len(t.table) && t.table[i].iova <= last {
		return syscall.EFAULT
	}
	t.table = slices.Insert(t.table, i, mapping{iova, last, mem, perm})
	return nil
}

// invalidate drops every mapping that the range touches.
func (t *iotlb) invalidate(iova, size uint64) {
	if size == 0 {
		return
	}
	last := iova + size - 1
	if last < iova {
		last = ^uint64(0)
	}
	t.table = slices.DeleteFunc(t.table, func(m mapping) bool { return m.iova <= last && iova <= m.last })
}

func (t *iotlb) commit() { t.live = slices.Clone(t.table) }

// Pieces is part of vring.Memory.
func (t *iotlb) Pieces(list [][]byte, addr, n uint64, write bool) ([][]byte, error) {
	first, last := addr, addr+n-1
	if n == 0 || last < first {
		return list, &memory.DMAError{Addr: first, Size: n}
	}
	need := vdpa.PermRead
	if write {
		need = vdpa.PermWrite
	}
	had := len(list)
	for i := find(t.live, addr); ; i++ {
		if i == len(t.live) || t.live[i].iova > addr || t.live[i].perm&need == 0 {
			return list[:had], &memory.DMAError{Addr: first, Size: n}
		}
		m := &t.live[i]
		mem := m.mem[addr-m.iova:]
		if last <= m.last {
			return append(list, mem[:last-addr+1:last-addr+1]), nil
		}
		list = append(list, mem)
		addr = m.last + 1
	}
}
