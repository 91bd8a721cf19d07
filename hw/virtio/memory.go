package virtio

import (
	"github.com/gqemu/gqemu/hw/virtio/vring"
	"github.com/gqemu/gqemu/memory"
)

// spaceMemory is guest RAM for queues that this process serves.
type spaceMemory struct{ space *memory.Space }

var _ vring.Memory = spaceMemory{}

// Pieces is part of vring.Memory.
func (m spaceMemory) Pieces(list [][]byte, addr, n uint64, write bool) ([][]byte, error) {
	first, left, had := addr, n, len(list)
	if n == 0 || addr+(n-1) < addr {
		return list, &memory.DMAError{Addr: first, Size: n}
	}
	for {
		sec, ok := m.space.Find(addr)
		if !ok || !sec.IsRAM() || write && sec.ReadOnly {
			return list[:had], &memory.DMAError{Addr: first, Size: n}
		}
		mem := sec.Bytes()[addr-sec.Addr:]
		if uint64(len(mem)) >= left {
			return append(list, mem[:left:left]), nil
		}
		list = append(list, mem)
		addr += uint64(len(mem))
		left -= uint64(len(mem))
	}
}
