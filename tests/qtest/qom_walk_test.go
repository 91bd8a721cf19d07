package qtest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// walkAll reads every property below a path and reports those that cannot be
// read.
func walkAll(t *testing.T, q *QMP, path string) int {
	t.Helper()
	n := 0
	for _, p := range q.QOMList(path) {
		var v json.RawMessage
		if err := q.Execute("qom-get", map[string]any{"path": path, "property": p.Name}, &v); err != nil {
			t.Errorf("%s/%s: %v", path, p.Name, err)
		}
		n++
		if _, ok := p.Child(); ok {
			n += walkAll(t, q, strings.TrimSuffix(path, "/")+"/"+p.Name)
		}
	}
	return n
}

// TestWholeTree: every property of every object of every machine can be read.
func TestWholeTree(t *testing.T) {
	t.Parallel()
	for _, machine := range []string{"none", "microvm", "q35"} {
		t.Run(machine, func(t *testing.T) {
			t.Parallel()
			args := []string{"-M", machine, "-object", "iothread,id=t0", "-object", "rng-builtin,id=g0"}
			if machine == "microvm" {
				args = append(args, "-object", "vdpa-sim-net,id=n0", "-device", "vhost-vdpa-device,id=v0,vhostdev=/objects/n0",
					"-device", "virtio-rng-device,rng=g0,id=r0")
			}
			q := Start(t, args...).QMP
			if n := walkAll(t, q, "/"); machine != "none" && n < 300 {
				t.Errorf("only %d properties", n)
			}
		})
	}
}

// TestTypeQuestions: every type has its properties, refused as by QEMU where
// it has no instances, and asking changes nothing.
func TestTypeQuestions(t *testing.T) {
	t.Parallel()
	q := Start(t, "-M", "q35").QMP
	tree := q.HMP("info qom-tree")
	var types []struct {
		Name     string
		Abstract bool
	}
	q.Must("qom-list-types", map[string]any{"abstract": true}, &types)
	var devices []struct{ Name string }
	q.Must("qom-list-types", map[string]any{"implements": "device", "abstract": true}, &devices)
	isDevice := map[string]bool{}
	for _, d := range devices {
		isDevice[d.Name] = true
	}
	for _, ty := range types {
		arg := map[string]any{"typename": ty.Name}
		q.Must("qom-list-properties", arg, nil)
		err := q.Execute("device-list-properties", arg, nil)
		switch {
		case isDevice[ty.Name] && !ty.Abstract && err != nil:
			t.Errorf("%s: %v", ty.Name, err)
		case (!isDevice[ty.Name] || ty.Abstract) &&
			(err == nil || err.Error() != "GenericError: Parameter 'typename' expects a non-abstract device type"):
			t.Errorf("%s: %v", ty.Name, err)
		}
		help := q.HMP("device_add " + ty.Name + ",help")
		if !isDevice[ty.Name] && !strings.Contains(help, "expects a non-abstract device type") {
			t.Errorf("device_add %s,help: %q", ty.Name, help)
		}
	}
	if now := q.HMP("info qom-tree"); now != tree {
		t.Error("asking has changed the tree")
	}
}

// TestPropertyLists: device-list-properties is QEMU 8.2.7's, its order
// included, and x-irqfd is gqemu's own.
func TestPropertyLists(t *testing.T) {
	t.Parallel()
	q := Start(t, "-M", "none").QMP
	for typ, want := range map[string][]string{
		"mc146818rtc": {"lost_tick_policy", "irq", "iobase", "base_year"},
		"fw_cfg_io":   {"acpi-mr-restore", "x-file-slots", "dma_enabled"},
		"virtio-mmio": {"x-irqfd", "force-legacy", "ioeventfd", "format_transport_address"},
		"isa-serial":  {"irq", "index", "iobase", "wakeup", "chardev", "baudbase"},
		"virtio-rng-device": {"queue_reset", "use-disabled-flag", "packed", "iommu_platform", "event_idx",
			"x-disable-legacy-check", "notify_on_empty", "any_layout", "use-started", "indirect_desc", "rng", "period", "max-bytes"},
	} {
		var l []Property
		q.Must("device-list-properties", map[string]any{"typename": typ}, &l)
		var have []string
		for _, p := range l {
			have = append(have, p.Name)
		}
		if !reflect.DeepEqual(have, want) {
			t.Errorf("%s:\n have %v\n want %v", typ, have, want)
		}
	}
	var l []Property
	q.Must("qom-list-properties", map[string]any{"typename": "machine"}, &l)
	var have []string
	for _, p := range l {
		have = append(have, p.Name)
	}
	want := strings.Fields("type kernel dt-compatible boot memory initrd confidential-guest-support graphics usb firmware " +
		"memory-encryption smp dump-guest-core phandle-start dumpdtb memory-backend dtb mem-merge append suppress-vmdesc")
	if !reflect.DeepEqual(have, want) {
		t.Errorf("machine:\n have %v\n want %v", have, want)
	}
}
