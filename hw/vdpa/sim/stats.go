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
