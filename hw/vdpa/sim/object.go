package sim

import (
	"errors"
	"fmt"
	"net"
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
	dev       *device // while somebody has opened it
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
	if err := d.start(); err != nil {
		return nil, err
	}
	o.dev = d
	return d, nil
}

// Blk is the type "vdpa-sim-blk".
type Blk struct {
	object
	size     uint64 // bytes; with path, once complete, the file's
	path     string
	readOnly bool
	serial   string
	store    *store
	disk     *blk // what was opened last
	stats    blkStats
}

// Complete is part of qdev.UserCreatable.
func (b *Blk) Complete(h *qdev.Host) error {
	var err error
	switch {
	case b.path == "" && b.size == 0:
		return errors.New("vdpa-sim-blk: one of size and path is needed")
	case b.path != "" && b.size != 0:
		return errors.New("vdpa-sim-blk: size and path exclude each other")
	case checkSize(b.size) != nil:
		return checkSize(b.size)
	case len(b.serial) > blkIDLength:
		return fmt.Errorf("vdpa-sim-blk: serial must be at most %d bytes", blkIDLength)
	case b.path != "":
		b.store, err = openStore(b.path, b.readOnly, h.OpenFD)
	default:
		b.store, err = newMemory(b.Name(), b.size)
	}
	if err == nil {
		if err = b.finish(h); err == nil {
			b.size = b.store.size
			return nil
		}
		b.Release()
	}
	return err
}

// Release is part of qdev.UserCreatable.
func (b *Blk) Release() {
	if b.store != nil {
		b.store.close()
		b.store = nil
	}
}

// OpenVDPA is part of vdpa.Provider.
func (b *Blk) OpenVDPA() (vdpa.Backend, error) {
	disk := &blk{
		store: b.store, sectors: b.size / sectorSize, readOnly: b.readOnly, max: uint16(b.queueSize),
		serial: b.serial, stats: &b.stats,
	}
	disk.layOut()
	d, err := b.open(disk, &b.stats.ringErrors)
	if err == nil {
		b.disk = disk // and not before: it may be in use, by another
	}
	return d, err
}

// resize changes the size of a disk in memory, also while it is in use.
func (b *Blk) resize(size uint64) error {
	if b.path != "" {
		return b.fixed("size")
	}
	if err := checkSize(size); err != nil {
		return err
	}
	err := error(nil)
	apply := func() {
		if err = b.store.resize(size); err == nil {
			b.size = size
		}
	}
	if b.dev == nil {
		apply()
		return err
	}
	b.dev.reconfigure(func() {
		if apply(); err == nil {
			b.disk.sectors = size / sectorSize
			b.disk.layOut()
		}
	})
	return err
}

// checkSize tells whether a disk may have size bytes.
func checkSize(size uint64) error {
	if size%sectorSize != 0 || size > 1<<62 {
		return errors.New("vdpa-sim-blk: size must be a multiple of 512, at most 4 EiB")
	}
	return nil
}

// Net is the type "vdpa-sim-net".
type Net struct {
	object
	mac   [6]byte
	mtu   uint32
	link  bool
	loop  *loop // what was opened last
	stats netStats
}

// Complete is part of qdev.UserCreatable.
func (n *Net) Complete(h *qdev.Host) error {
	if n.mtu < 68 || n.mtu > 65535 {
		return errors.New("vdpa-sim-net: mtu must be 68 to 65535")
	}
	return n.finish(h)
}

// Release is part of qdev.UserCreatable.
func (n *Net) Release() {}

// OpenVDPA is part of vdpa.Provider.
func (n *Net) OpenVDPA() (vdpa.Backend, error) {
	loop := newLoop(n.mac, uint16(n.mtu), uint16(n.queueSize), &n.stats)
	loop.setLink(n.link)
	d, err := n.open(loop, &n.stats.ringErrors)
	if err == nil {
		n.loop = loop // and not before: it may be in use, by another
	}
	return d, err
}

// setLink plugs the cable in or out.
func (n *Net) setLink(up bool) {
	n.link = up
	if n.dev != nil {
		n.dev.reconfigure(func() { n.loop.setLink(up) })
	}
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
		},
	})
	r.Register(qom.Type{
		Name: "vdpa-sim-blk", Parent: "vdpa-sim", New: func() qom.Object { return new(Blk) },
		Properties: []*qom.Property{
			sizeProperty(),
			field("path", "Raw image or block device that holds the data; without it memory does", "",
				func(b *Blk) *string { return &b.path }),
			field("readonly", "Whether the guest may only read", false, func(b *Blk) *bool { return &b.readOnly }),
			field("serial", "What the guest reads as the device's ID, at most 20 bytes", "vdpa-sim-blk",
				func(b *Blk) *string { return &b.serial }),
			qom.NewProperty("capacity", "int", nil, func(b *Blk) any { return b.size / sectorSize }, nil, nil),
			counter("read-requests", "", func(b *Blk) *atomic.Uint64 { return &b.stats.reads }),
			counter("read-bytes", "", func(b *Blk) *atomic.Uint64 { return &b.stats.readBytes }),
			counter("write-requests", "", func(b *Blk) *atomic.Uint64 { return &b.stats.writes }),
			counter("written-bytes", "", func(b *Blk) *atomic.Uint64 { return &b.stats.writtenBytes }),
			counter("flush-requests", "", func(b *Blk) *atomic.Uint64 { return &b.stats.flushes }),
			counter("discard-requests", "", func(b *Blk) *atomic.Uint64 { return &b.stats.discards }),
			counter("write-zeroes-requests", "", func(b *Blk) *atomic.Uint64 { return &b.stats.writeZeroes }),
			counter("failed-requests", "Requests that ended with another status than OK",
				func(b *Blk) *atomic.Uint64 { return &b.stats.errors }),
			counter("broken-rings", "Rings that drivers broke", func(b *Blk) *atomic.Uint64 { return &b.stats.ringErrors }),
		},
	})
	r.Register(qom.Type{
		Name: "vdpa-sim-net", Parent: "vdpa-sim", New: func() qom.Object { return new(Net) },
		Properties: []*qom.Property{
			macProperty(),
			linkProperty(),
			field("mtu", "Largest packet without its Ethernet header", 1500, func(n *Net) *uint32 { return &n.mtu }),
			counter("tx-packets", "Packets that the guest sent", func(n *Net) *atomic.Uint64 { return &n.stats.txPackets }),
			counter("tx-bytes", "", func(n *Net) *atomic.Uint64 { return &n.stats.txBytes }),
			counter("rx-packets", "Packets that came back", func(n *Net) *atomic.Uint64 { return &n.stats.rxPackets }),
			counter("rx-bytes", "", func(n *Net) *atomic.Uint64 { return &n.stats.rxBytes }),
			counter("rx-filtered", "Packets for others", func(n *Net) *atomic.Uint64 { return &n.stats.rxFiltered }),
			counter("rx-dropped", "Packets without a buffer to receive them", func(n *Net) *atomic.Uint64 { return &n.stats.rxDropped }),
			counter("ctrl-commands", "", func(n *Net) *atomic.Uint64 { return &n.stats.ctrl }),
			counter("failed-ctrl-commands", "", func(n *Net) *atomic.Uint64 { return &n.stats.ctrlErrors }),
			counter("broken-rings", "Rings that drivers broke", func(n *Net) *atomic.Uint64 { return &n.stats.ringErrors }),
		},
	})
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

// sizeProperty may be set at any time: a guest is told of its disk's new size.
func sizeProperty() *qom.Property {
	p := qom.NewProperty("size", "int", nil, func(b *Blk) any { return b.size }, func(b *Blk, v qom.Value) error {
		n, err := v.Size("size")
		switch {
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("property 'size' of %s doesn't take value '0'", b.TypeName())
		case b.complete:
			return b.resize(n)
		}
		b.size = n
		return nil
	}, nil)
	p.Description = "Size of a device in memory (ex: 500M)"
	return p
}

// linkProperty may be set at any time: a guest is told.
func linkProperty() *qom.Property {
	p := qom.Field("link", func(n *Net) *bool { return &n.link }, true, qom.HideDefault(),
		qom.Description("Whether the cable is plugged in; what is sent is lost otherwise"))
	p.Set = func(o qom.Object, v qom.Value) error {
		up, err := v.Bool("link")
		if err == nil {
			o.(*Net).setLink(up)
		}
		return err
	}
	return p
}

func macProperty() *qom.Property {
	p := qom.NewProperty("mac", "str", nil,
		func(n *Net) any { return net.HardwareAddr(n.mac[:]).String() },
		func(n *Net, v qom.Value) error {
			s, err := v.Str("mac")
			if err != nil {
				return err
			}
			mac, err := net.ParseMAC(s)
			if err != nil || len(mac) != len(n.mac) || mac[0]&1 != 0 {
				return fmt.Errorf("Property '%s.mac' doesn't take value '%s'", n.TypeName(), s)
			}
			n.mac = [6]byte(mac)
			return nil
		},
		func(n *Net) { n.mac = [6]byte{0x52, 0x54, 0x00, 0x12, 0x34, 0x56} })
	p.Description = "Ethernet address (ex: 52:54:00:12:34:56)"
	return guarded(p)
}
