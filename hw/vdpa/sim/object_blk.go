package sim

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// maxBlkQueues bounds num-queues=. Each costs a goroutine and three descriptors.
const maxBlkQueues = 256

// Blk is the type "vdpa-sim-blk".
type Blk struct {
	object
	size     uint64 // bytes; with path, once complete, the file's
	path     string
	readOnly bool
	serial   string
	queues   uint32
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
	case b.queues == 0 || b.queues > maxBlkQueues:
		return fmt.Errorf("vdpa-sim-blk: num-queues must be 1 to %d", maxBlkQueues)
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
		serial: b.serial, queues: uint16(b.queues), stats: &b.stats,
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

// blkType is the type "vdpa-sim-blk".
func blkType() qom.Type {
	return qom.Type{
		Name: "vdpa-sim-blk", Parent: "vdpa-sim", New: func() qom.Object { return new(Blk) },
		Properties: []*qom.Property{
			sizeProperty(),
			field("path", "Raw image or block device that holds the data; without it memory does", "",
				func(b *Blk) *string { return &b.path }),
			field("readonly", "Whether the guest may only read", false, func(b *Blk) *bool { return &b.readOnly }),
			field("serial", "What the guest reads as the device's ID, at most 20 bytes", "vdpa-sim-blk",
				func(b *Blk) *string { return &b.serial }),
			field("num-queues", "Number of queues, each with a goroutine of its own", 1,
				func(b *Blk) *uint32 { return &b.queues }),
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
	}
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
