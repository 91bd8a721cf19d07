package qdev

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gqemu/gqemu/qom"
)

// BootOrder holds the bootindex of the devices of a machine.
type BootOrder struct{ entries []bootEntry }

type bootEntry struct {
	dev    Device
	index  int32
	suffix string
}

// Set gives a device a boot index; a negative one takes it away. No two
// devices have the same.
func (b *BootOrder) Set(d Device, index int32, suffix string) error {
	if err := b.Check(d, index); err != nil {
		return err
	}
	b.Remove(d)
	if index < 0 {
		return nil
	}
	at, _ := slices.BinarySearchFunc(b.entries, index, func(e bootEntry, i int32) int { return int(e.index) - int(i) })
	b.entries = slices.Insert(b.entries, at, bootEntry{d, index, suffix})
	return nil
}

// Check tells whether a device could take a boot index.
func (b *BootOrder) Check(d Device, index int32) error {
	for _, e := range b.entries {
		if index >= 0 && e.index == index && e.dev != d {
			return fmt.Errorf("The bootindex %d has already been used", index)
		}
	}
	return nil
}

// Remove forgets a device.
func (b *BootOrder) Remove(d Device) {
	b.entries = slices.DeleteFunc(b.entries, func(e bootEntry) bool { return e.dev == d })
}

// Paths lists the firmware paths of the devices in boot order.
func (b *BootOrder) Paths() []string {
	var out []string
	for _, e := range b.entries {
		out = append(out, FirmwarePath(e.dev)+e.suffix)
	}
	return out
}

// BootIndex declares the "bootindex" property. It can be changed at any
// time: before realize it is only checked, Realize registers it by calling
// BootOrder.Set.
func BootIndex[T Device](field func(T) *int32, suffix string) *qom.Property {
	p := qom.NewProperty("bootindex", "int32", nil,
		func(d T) any { return int64(*field(d)) },
		func(d T, v qom.Value) error {
			n, err := v.Int("bootindex", 32)
			if err != nil {
				return err
			}
			s := d.Qdev()
			if s.realized {
				err = s.host.Boot.Set(d, int32(n), suffix)
			} else {
				err = s.host.Boot.Check(d, int32(n))
			}
			if err == nil {
				*field(d) = int32(n)
			}
			return err
		},
		func(d T) { *field(d) = -1 })
	p.Instance = true
	return p
}

// FirmwarePath is the Open Firmware style path that fw_cfg's bootorder uses,
// as in "/virtio-mmio@00000000feb02e00".
func FirmwarePath(d Device) string {
	var parts []string
	for d != nil {
		s := d.Qdev()
		name := ClassOf(s.Type()).FWName
		if name == "" {
			name = s.TypeName()
		}
		switch sys, ok := d.(SysBusDevice); {
		case s.bus != nil && s.bus.FWPath != nil:
			name = s.bus.FWPath(d)
		case ok && len(sys.Sys().mmio) > 0:
			name = fmt.Sprintf("%s@%016x", name, sys.Sys().mmio[0].Addr())
		}
		if name != "" {
			parts = append(parts, name)
		}
		if s.bus == nil {
			break
		}
		d = s.bus.owner
	}
	slices.Reverse(parts)
	return "/" + strings.Join(parts, "/")
}
