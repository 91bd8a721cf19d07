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
	fail := &memory.DMAError{Addr: addr, Size: n}
	if n == 0 || addr+(n-1) < addr {
		return list, fail
	}
	had := len(list)
	for {
		sec, ok := m.space.Find(addr)
		if !ok || !sec.IsRAM() || write && sec.ReadOnly {
			return list[:had], fail
		}
		mem := sec.Bytes()[addr-sec.Addr:]
		if uint64(len(mem)) >= n {
			return append(list, mem[:n:n]), nil
		}
		list = append(list, mem)
		addr += uint64(len(mem))
		n -= uint64(len(mem))
	}
}
