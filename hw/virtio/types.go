package virtio

import (
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// RegisterTypes adds "virtio-device", the buses and the virtio-mmio
// transport.
func RegisterTypes(r *qom.Registry) {
	word := func(d Device) *uint64 { return &d.Virtio().properties }
	r.Register(qom.Type{
		Name: "virtio-device", Parent: "device", Abstract: true,
		Class: &qdev.Class{BusType: "virtio-bus"},
		Properties: []*qom.Property{
			qdev.Bit("indirect_desc", word, FeatureIndirectDesc, true),
			qdev.Bit("event_idx", word, FeatureEventIdx, true),
			qdev.Bit("notify_on_empty", word, FeatureNotifyOnEmpty, true),
			qdev.Bit("any_layout", word, FeatureAnyLayout, true),
			qdev.Bit("iommu_platform", word, FeatureAccessPlatform, false),
			qdev.Bit("packed", word, FeatureRingPacked, false),
			qdev.Bit("queue_reset", word, FeatureRingReset, true),
			qdev.Field("use-started", func(d Device) *bool { return &d.Virtio().useStarted }, true),
			qdev.Field("use-disabled-flag", func(d Device) *bool { return &d.Virtio().useDisabledFlag }, true),
			qdev.Field("x-disable-legacy-check", func(d Device) *bool { return &d.Virtio().disableLegacyCheck }, false),
		},
	})
	r.Register(qom.Type{Name: "virtio-bus", Parent: "bus", Abstract: true})
	r.Register(qom.Type{Name: "virtio-mmio-bus", Parent: "virtio-bus"})
	r.Register(mmioType())
}
