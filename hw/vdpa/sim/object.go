package sim

import (
	"fmt"
	"sync/atomic"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// defaultQueue is the queues' size unless queue-size= says otherwise, the
// kernel simulators' own.
const defaultQueue = 256

// object is what the types have in common. Guarded by the VM lock.
type object struct {
	qom.State
	queueSize uint32
	complete  bool
	log       zerolog.Logger
	dev       *device      // while somebody has opened it
	faults    faults       // has a lock of its own
	counts    []queueStats // by queue; none before it is opened
}

// InUse is part of qdev.UserCreatable.
func (o *object) InUse() bool { return o.dev != nil }

// fixed refuses a change of what shapes the device once it exists.
func (o *object) fixed(name string) error {
	if o.complete {
		return fmt.Errorf("cannot change property '%s' of %s", name, o.TypeName())
	}
	return nil
}

// finish ends Complete.
func (o *object) finish(h *qdev.Host) error {
	n := o.queueSize
	if n == 0 || n > 32768 || n&(n-1) != 0 {
		return fmt.Errorf("%s: queue-size must be a power of two, at most 32768", o.TypeName())
	}
	o.log, o.complete = h.Log, true
	return nil
}

// open makes the device, for one user at a time. Whoever closes it holds the
// VM lock.
func (o *object) open(m model, errors *atomic.Uint64) (vdpa.Backend, error) {
	if o.dev != nil {
		return nil, syscall.EBUSY
	}
	d := newDevice(qom.Path(o), m, o.log, errors, func() { o.dev = nil })
	d.faults = &o.faults
	if len(o.counts) != len(d.counts) { // the first user
		o.counts = d.counts
	}
	d.counts = o.counts
	if err := d.start(); err != nil {
		return nil, err
	}
	o.dev = d
	return d, nil
}

// RegisterTypes adds "vdpa-sim-blk" and "vdpa-sim-net". The type
// "user-creatable" is registered.
func RegisterTypes(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "vdpa-sim", Parent: "object", Abstract: true, Interfaces: []string{"user-creatable"},
		Properties: []*qom.Property{
			field("queue-size", "Entries of each queue, a power of two", defaultQueue,
				func(s simulator) *uint32 { return &s.common().queueSize }),
			{Name: "in-use", Type: "bool", Description: "Whether a device uses it",
				Get: func(o qom.Object) (any, error) { return o.(simulator).InUse(), nil }},
			queuesProperty(),
			failProperty(),
			needsResetProperty(),
		},
	})
	r.Register(blkType())
	r.Register(netType())
}

// simulator is an object of either type.
type simulator interface {
	qdev.UserCreatable
	common() *object
}

func (o *object) common() *object { return o }

// field is a property that cannot be changed once the device exists.
func field[T simulator, V qom.Scalar](name, desc string, def V, f func(T) *V) *qom.Property {
	p := qom.Field(name, f, def, qom.Description(desc), qom.HideDefault())
	return guarded(p)
}

// guarded refuses to set p once the object is complete.
func guarded(p *qom.Property) *qom.Property {
	set := p.Set
	p.Set = func(o qom.Object, v qom.Value) error {
		if err := o.(simulator).common().fixed(p.Name); err != nil {
			return err
		}
		return set(o, v)
	}
	return p
}
