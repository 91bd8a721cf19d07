package qtest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// walk reads every property below a path: its type and, but for children, its
// value or the error of reading it.
func walk(q *QMP, path string, out map[string][2]string) {
	q.t.Helper()
	for _, p := range q.QOMList(path) {
		at := path + "/" + p.Name
		if _, ok := p.Child(); ok {
			out[at] = [2]string{p.Type, ""}
			walk(q, at, out)
			continue
		}
		var v json.RawMessage
		err := q.Execute("qom-get", map[string]any{"path": path, "property": p.Name}, &v)
		if err != nil {
			v, _ = json.Marshal(map[string]any{"error": err}) // plain strings
		}
		out[at] = [2]string{p.Type, string(v)}
	}
}

// recordedWalk loads the walk of QEMU 8.2.7. One device of QEMU's, kvmvapic,
// does not exist here, and those on the system bus after it move up by one.
func recordedWalk(t testing.TB) map[string][2]string {
	t.Helper()
	number := regexp.MustCompile(`(/unattached/sysbus/child)\[(\d+)\]`)
	out := map[string][2]string{}
	for l := range strings.Lines(readFile(t, "testdata/microvm.qom-walk.txt")) {
		l = strings.TrimSuffix(l, "\n")
		if strings.HasPrefix(l, "/machine/unattached/device[1]") || strings.HasPrefix(l, "/machine/unattached/sysbus/child[1]") {
			continue
		}
		l = number.ReplaceAllStringFunc(l, func(s string) string {
			m := number.FindStringSubmatch(s)
			n, _ := strconv.Atoi(m[2]) // digits
			if n > 1 {
				n--
			}
			return fmt.Sprintf("%s[%d]", m[1], n)
		})
		f := strings.SplitN(l, "  ", 3)
		out[f[0]] = [2]string{f[1], f[2]}
	}
	return out
}

// walkDifferences lists what rightly differs from the recording, by path.
var walkDifferences = []struct {
	path *regexp.Regexp
	why  string
}{
	{regexp.MustCompile(`^/machine/fw_cfg/\\x2from@`), "tables are put into memory directly, not by firmware through fw_cfg"},
	{regexp.MustCompile(`^/machine/unattached/(isa-bios|pc\.bios)\[0\]`), "there is no firmware"},
	{regexp.MustCompile(`^/machine/(boot|bus-lock-ratelimit|confidential-guest-support|hmat|phandle-start|sgx-epc)$`),
		"options that do not exist here"},
	{regexp.MustCompile(`^/machine/unattached/device\[\d+\]/x-irqfd$`), "virtio-mmio has a property of gqemu's own"},
	{regexp.MustCompile(`^/machine/rtc-time$|/date$`), "the time of the recording"},
	{regexp.MustCompile(`^/machine/unattached/device\[0\]/(hv-|x-hv-|vmx-|xen-|kvm-|lbr)`),
		"Hyper-V and Xen enlightenments and nested VMX are not offered"},
	{regexp.MustCompile(`^/machine/unattached/device\[0\]/(fb-clear|fbsdp-no|gds-no|ibrs-all|mds-no|pbrsb-no|pschange-mc-no|psdp-no|` +
		`rdctl-no|rsba|sbdr-ssdp-no|skip-l1dfl-vmentry|split-lock-detect|ssb-no|taa-no|tsx-ctrl)$`),
		"feature bits in MSRs come with the host's CPU model only"},
	{regexp.MustCompile(`^/machine/unattached/device\[0\]/(crash-information|fill-mtrr-mask|full-width-write|legacy-memory|lmce|memory|` +
		`node-id|start-powered-off|tcg-cpuid|tsc-frequency|ucode-rev|vmware-cpuid-freq|x-intel-pt-auto-level|x-migrate-smi-count)$`),
		"properties of emulation, NUMA and migration"},
	{regexp.MustCompile(`^/machine/unattached/device\[0\]/lapic/(legacy-instance-id|vapic)$`), "properties of migration and of kvmvapic"},
	{regexp.MustCompile(`^/machine/unattached/device\[0\]/(feature-words|filtered-features)$`),
		"the order of the words, and the accelerator's limits"},
}

// TestMachineWalk: /machine of microvm has QEMU's objects, properties, types
// and values.
func TestMachineWalk(t *testing.T) {
	t.Parallel()
	m := Start(t, "-nodefaults", "-M", "microvm")
	have, want := map[string][2]string{}, recordedWalk(t)
	walk(m.QMP, "/machine", have)
	excused := func(path string) bool {
		return slices.ContainsFunc(walkDifferences, func(d struct {
			path *regexp.Regexp
			why  string
		}) bool {
			return d.path.MatchString(path)
		})
	}
	for path, w := range want {
		h, ok := have[path]
		switch {
		case excused(path):
		case !ok:
			t.Errorf("%s is missing: %s", path, w)
		case h[0] != w[0]:
			t.Errorf("%s has type %s, want %s", path, h[0], w[0])
		case !sameJSON(h[1], w[1]):
			t.Errorf("%s is %s, want %s", path, h[1], w[1])
		}
	}
	for path := range have {
		if _, ok := want[path]; !ok && !excused(path) {
			t.Errorf("%s is not in QEMU", path)
		}
	}
}

func sameJSON(a, b string) bool {
	if a == b {
		return true
	}
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}

// TestQtree: info qtree is QEMU's, but for kvmvapic. The order of properties
// within a device is not compared.
func TestQtree(t *testing.T) {
	t.Parallel()
	for _, machine := range []string{"none", "microvm"} {
		t.Run(machine, func(t *testing.T) {
			t.Parallel()
			m := Start(t, "-nodefaults", "-M", machine)
			want := strings.ReplaceAll(readFile(t, "testdata/"+machine+".qtree.txt"), "  dev: kvmvapic, id \"\"\n", "")
			equal(t, "info qtree", sortProps(m.QMP.HMP("info qtree")), sortProps(want))
		})
	}
}

// sortProps splits a tree into lines and sorts runs of properties.
func sortProps(s string) []string {
	l := strings.Split(s, "\n")
	for i := 0; i < len(l); {
		j := i
		for j < len(l) && strings.Contains(l[j], " = ") {
			j++
		}
		slices.Sort(l[i:j])
		i = max(j, i+1)
	}
	return l
}

// TestIntrospection: every type listed can be asked for its properties, and
// the tree is the same afterwards.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	q := Start(t, "-nodefaults", "-M", "microvm").QMP
	before := map[string][2]string{}
	walk(q, "/machine", before)
	tree := q.HMP("info qtree")
	var types []struct {
		Name     string
		Abstract bool
		Parent   string
	}
	q.Must("qom-list-types", map[string]any{"abstract": true}, &types)
	var devices []struct{ Name string }
	q.Must("qom-list-types", map[string]any{"implements": "device", "abstract": false}, &devices)
	if len(types) < 20 || len(devices) < 8 {
		t.Fatalf("%d types, %d devices", len(types), len(devices))
	}
	for _, ty := range types {
		var l []Property
		q.Must("qom-list-properties", map[string]any{"typename": ty.Name}, &l)
	}
	for _, ty := range devices {
		var l []Property
		q.Must("device-list-properties", map[string]any{"typename": ty.Name}, &l)
		for _, p := range l {
			if p.Type == "" || p.Name == "" {
				t.Errorf("%s: %+v", ty.Name, p)
			}
		}
	}
	after := map[string][2]string{}
	walk(q, "/machine", after)
	for _, path := range []string{"/machine/rtc-time"} {
		delete(before, path)
		delete(after, path)
	}
	for path := range before {
		if strings.HasSuffix(path, "/date") {
			delete(before, path)
			delete(after, path)
		}
	}
	if !reflect.DeepEqual(before, after) || tree != q.HMP("info qtree") {
		t.Error("asking has changed the tree")
	}
}

// TestQOMErrors: the class and text of what a client may match.
func TestQOMErrors(t *testing.T) {
	t.Parallel()
	q := Start(t, "-nodefaults", "-M", "microvm").QMP
	for _, c := range []struct {
		command string
		args    map[string]any
		want    string
	}{
		{"qom-list", map[string]any{"path": "/nosuch"}, "DeviceNotFound: Device '/nosuch' not found"},
		{"qom-get", map[string]any{"path": "/machine", "property": "nosuch"},
			"GenericError: Property 'microvm-machine.nosuch' not found"},
		{"qom-set", map[string]any{"path": "/machine", "property": "type", "value": "x"},
			"GenericError: Property 'microvm-machine.type' is not writable"},
		{"qom-set", map[string]any{"path": "/machine", "property": "usb", "value": 5},
			"GenericError: Invalid parameter type for 'usb', expected: boolean"},
		{"qom-get", map[string]any{"path": "/machine"}, "GenericError: Parameter 'property' is missing"},
		{"qom-list-properties", map[string]any{"typename": "nosuch"}, "DeviceNotFound: Class 'nosuch' not found"},
		{"device-list-properties", map[string]any{"typename": "nosuch"}, "DeviceNotFound: Device 'nosuch' not found"},
		{"device-list-properties", map[string]any{"typename": "device"},
			"GenericError: Parameter 'typename' expects a non-abstract device type"},
		{"device-list-properties", map[string]any{"typename": "container"},
			"GenericError: Parameter 'typename' expects a non-abstract device type"},
		{"device_add", map[string]any{"driver": "nosuch"}, "GenericError: 'nosuch' is not a valid device model name"},
		{"device_add", map[string]any{"driver": "virtio-mmio"}, "GenericError: Parameter 'driver' expects a pluggable device type"},
		{"device_add", map[string]any{"driver": "vhost-vdpa-device", "id": "v0"},
			"GenericError: Bus 'virtio-mmio-bus.23' does not support hotplugging"},
		{"device_add", map[string]any{"driver": "vhost-vdpa-device", "id": "v0", "bus": "virtio-mmio-bus.3"},
			"GenericError: Bus 'virtio-mmio-bus.3' does not support hotplugging"},
		{"device_add", map[string]any{"driver": "vhost-vdpa-device", "id": "1bad"},
			"GenericError: Parameter 'id' expects an identifier"},
		{"device_del", map[string]any{"id": "nosuch"}, "DeviceNotFound: Device 'nosuch' not found"},
		{"device_del", map[string]any{"id": "/machine"}, "GenericError: /machine is not a hotpluggable device"},
	} {
		err := q.Execute(c.command, c.args, nil)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s %v:\n have %v\n want %s", c.command, c.args, err, c.want)
		}
	}
}
