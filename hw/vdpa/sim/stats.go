package sim

import (
	"sync/atomic"

	"github.com/gqemu/gqemu/qom"
)

// counter declares a read-only property that counts.
func counter[T qom.Object](name, desc string, of func(T) *atomic.Uint64) *qom.Property {
	p := qom.NewProperty(name, "int", nil, func(o T) any { return of(o).Load() }, nil, nil)
	p.Description = desc
	return p
}

// queueStats is what clients see of a queue's work, over all users of an object.
type queueStats struct {
	chains     atomic.Uint64 // handed back
	kicks      atomic.Uint64 // that its goroutine heard of; several may be one
	interrupts atomic.Uint64
	broken     atomic.Uint64 // rings that drivers broke
}

// queuesProperty is the read-only property queues.
func queuesProperty() *qom.Property {
	p := qom.NewProperty("queues", "VDPASimQueueStatsList", nil, func(s simulator) any {
		counts := s.common().counts
		list := make([]any, len(counts))
		for i := range counts {
			q := &counts[i]
			list[i] = map[string]any{
				"queue": int64(i), "chains": int64(q.chains.Load()), "kicks": int64(q.kicks.Load()),
				"interrupts": int64(q.interrupts.Load()), "broken-rings": int64(q.broken.Load()),
			}
		}
		return list
	}, nil, nil)
	p.Description = "What each queue has done since the object was made"
	return p
}
