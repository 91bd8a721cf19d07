package system

import (
	"github.com/gqemu/gqemu/monitor/hmp"
	"github.com/gqemu/gqemu/qom"
)

// interruptInfo is an interrupt controller that tells its state.
type interruptInfo interface{ InterruptInfo() string }

// interruptCounts is an interrupt controller that counts its inputs.
type interruptCounts interface {
	// InterruptCounts is how often each input rose; nil for a controller
	// that another one counts for.
	InterruptCounts() []uint64
}

// eachBelow calls f for all objects below o, in QEMU's order.
func eachBelow(o qom.Object, f func(qom.Object)) {
	for _, child := range qom.HashedChildren(o) {
		f(child)
		eachBelow(child, f)
	}
}

func (h *human) infoPIC(c *hmp.Call) error {
	eachBelow(h.v.root, func(o qom.Object) {
		if d, ok := o.(interruptInfo); ok {
			c.Print(d.InterruptInfo())
		}
	})
	return nil
}

func (h *human) infoIRQ(c *hmp.Call) error {
	eachBelow(h.v.root, func(o qom.Object) {
		d, ok := o.(interruptCounts)
		if !ok {
			return
		}
		counts := d.InterruptCounts()
		if counts == nil {
			return
		}
		c.Printf("IRQ statistics for %s:\n", o.QOM().TypeName())
		for n, count := range counts {
			if count > 0 {
				c.Printf("%2d: %d\n", n, count)
			}
		}
	})
	return nil
}
