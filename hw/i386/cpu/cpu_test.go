package cpu

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/accel/kvm"
	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/hw/machine"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// fakeVM is an accelerator of which only what CPUs use is there.
type fakeVM struct {
	accel.VM
	name string
	host table
	made []accel.CPUConfig
	fail error
}

func (v *fakeVM) Name() string                  { return v.name }
func (v *fakeVM) SupportedCPUID() []accel.CPUID { return v.host }
func (v *fakeVM) NewVCPU(c accel.CPUConfig) (accel.VCPU, error) {
	if v.fail != nil {
		return nil, v.fail
	}
	v.made = append(v.made, c)
	return nil, nil
}

func qtest() *fakeVM { return &fakeVM{name: "qtest"} }
func onKVM(t *testing.T, host string) *fakeVM {
	return &fakeVM{name: "kvm", host: readTable(t, host)}
}

// setup makes a machine that records what the user is told.
func setup(t *testing.T) (*hwtest.Machine, *[]string) {
	m := hwtest.New(t, RegisterTypes)
	told := new([]string)
	m.Report = func(s string) { *told = append(*told, s) }
	return m, told
}

// make makes n CPUs of a model as -cpu has it.
func makeCPUs(m *hwtest.Machine, vm accel.VM, cpu string, smp machine.SMP) (list []machine.CPU, err error) {
	model := machine.CPUModel{}
	for i, f := range strings.Split(cpu, ",") {
		if i == 0 {
			model.Name = f
			continue
		}
		name, value, _ := strings.Cut(f, "=")
		model.Features = append(model.Features, machine.CPUFeature{Name: name, Value: value})
	}
	m.Do(func() {
		for i := range smp.CPUs {
			var c machine.CPU
			if c, err = New(m.Host, vm, nil, model, smp, i); err != nil {
				return
			}
			list = append(list, c)
		}
	})
	return list, err
}

func smp(n int) machine.SMP {
	return machine.SMP{CPUs: n, MaxCPUs: n, Sockets: 1, Dies: 1, Clusters: 1, Cores: n, Threads: 1}
}

// notHere are properties of QEMU's for what this program does not have: MSRs
// that a CPU is given, and migration.
var notHere = strings.Fields(`
	start-powered-off x-intel-pt-auto-level vmware-cpuid-freq pbrsb-no taa-no full-width-write ucode-rev gds-no
	xen-vapic skip-l1dfl-vmentry fill-mtrr-mask x-migrate-smi-count node-id kvm-no-smi-migration tcg-cpuid
	split-lock-detect fb-clear psdp-no pschange-mc-no rsba tsc-frequency mds-no kvm-pv-enforce-cpuid ssb-no
	tsx-ctrl sbdr-ssdp-no lmce fbsdp-no rdctl-no lbr-fmt ibrs-all lbr_fmt`)

// TestPropertiesAreQEMUs compares with a recording of QEMU 8.2.7's object.
func TestPropertiesAreQEMUs(t *testing.T) {
	m, told := setup(t)
	list, err := makeCPUs(m, qtest(), "qemu64,host-phys-bits=on", smp(1))
	if err != nil {
		t.Fatal(err)
	}
	if p := qom.Path(list[0].Object); p != "/machine/unattached/device[0]" {
		t.Errorf("path %s", p)
	}
	if len(*told) != 0 {
		t.Errorf("told %q", *told)
	}
	absent := map[string]bool{}
	for _, n := range notHere {
		absent[n] = true
	}
	file, err := os.Open("testdata/qemu64.qom.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	s.Buffer(nil, 1<<20)
	lines := 0
	for s.Scan() {
		f := strings.SplitN(s.Text(), "  ", 3)
		if len(f) != 3 {
			t.Fatalf("line %q", s.Text())
		}
		lines++
		p := qom.FindProperty(list[0].Object, f[0])
		if absent[f[0]] != (p == nil) {
			t.Errorf("%s: there: %v", f[0], p != nil)
		}
		if p == nil {
			continue
		}
		if p.Type != f[1] {
			t.Errorf("%s: type %s, want %s", f[0], p.Type, f[1])
		}
		got, err := qom.Get(list[0].Object, f[0])
		if err != nil {
			t.Errorf("%s: %v", f[0], err)
			continue
		}
		if !reflect.DeepEqual(jsonValue(t, got), parse(t, f[2])) {
			t.Errorf("%s is %v, want %s", f[0], got, f[2])
		}
	}
	if lines < 250 {
		t.Errorf("recording has %d lines", lines)
	}
}

func jsonValue(t *testing.T, v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(b))
}

func parse(t *testing.T, s string) (v any) {
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return v
}

func TestErrorsAreQEMUs(t *testing.T) {
	for _, c := range []struct {
		cpu, want string
		vm        *fakeVM
	}{
		{"nosuch", "unable to find CPU model 'nosuch'", qtest()},
		{"host", "CPU model 'host' requires KVM or HVF", qtest()},
		{"qemu64,foo=on", "Property 'qemu64-x86_64-cpu.foo' not found", qtest()},
		{"qemu64,sse3=maybe", "Parameter 'sse3' expects 'on' or 'off'", qtest()},
		{"qemu64,vendor=short", "Property '.vendor' doesn't take value 'short'", qtest()},
		{"qemu64,family=271", "Property .family doesn't take value 271 (minimum: 0, maximum: 270)", qtest()},
		{"qemu64,phys-bits=53", "phys-bits should be between 32 and 52  (but is 53)", qtest()},
		{"qemu64,legacy-cache=off", "CPU model 'qemu64' doesn't support legacy-cache=off", qtest()},
		{"qemu64,3dnow=on,enforce=on", "Host doesn't support requested features", onKVM(t, "intel")},
		{"qemu64,unavailable-features=x", "Property 'qemu64-x86_64-cpu.unavailable-features' is not writable", qtest()},
	} {
		m, _ := setup(t)
		_, err := makeCPUs(m, c.vm, c.cpu, smp(1))
		if err == nil || err.Error() != c.want {
			t.Errorf("-cpu %s: %v, want %s", c.cpu, err, c.want)
		}
		if left := qom.Child(m.Unattached, "device[0]"); left != nil {
			t.Errorf("-cpu %s: %s is left behind", c.cpu, qom.Path(left))
		}
	}
}

// TestMissingFeatureIsToldOnce: by the boot CPU, in QEMU's words.
func TestMissingFeatureIsToldOnce(t *testing.T) {
	for _, c := range []struct {
		cpu, host string
		want      []string
	}{
		{"qemu64,3dnow=on,sha-ni=on", "intel", []string{
			"warning: host doesn't support requested feature: CPUID.07H:EBX.sha-ni [bit 29]",
			"warning: host doesn't support requested feature: CPUID.80000001H:EDX.3dnow [bit 31]",
		}},
		{"qemu64,3dnow=on,check=off", "intel", nil},
		{"qemu64", "intel", nil}, // KVM takes svm out of it
		{"host", "intel", nil},
		{"host", "amd", nil},
		{"qemu64,svm=on,npt=on", "intel", []string{
			"warning: host doesn't support requested feature: CPUID.80000001H:ECX.svm [bit 2]",
			"warning: host doesn't support requested feature: CPUID.8000000AH:EDX.npt [bit 0]",
		}},
		{"qemu64,npt=on", "amd", []string{
			"warning: This feature depends on other features that were not requested: CPUID.8000000AH:EDX.npt [bit 0]",
		}},
	} {
		m, told := setup(t)
		list, err := makeCPUs(m, onKVM(t, c.host), c.cpu, smp(3))
		if err != nil || len(list) != 3 {
			t.Fatalf("-cpu %s: %v", c.cpu, err)
		}
		if !reflect.DeepEqual(*told, c.want) && len(*told)+len(c.want) > 0 {
			t.Errorf("-cpu %s on %s: told %q, want %q", c.cpu, c.host, *told, c.want)
		}
	}
}

// TestMaxWithoutHost: where no guest runs, max has what can be named.
func TestMaxWithoutHost(t *testing.T) {
	m, told := setup(t)
	list, err := makeCPUs(m, qtest(), "max", smp(1))
	if err != nil || len(*told) != 0 {
		t.Fatalf("error %v, told %q", err, *told)
	}
	for name, want := range map[string]any{
		"avx512f": true, "svm": true, "x2apic": true, "kvmclock": false, "intel-pt": false, "topoext": false,
		"invtsc": false, "model-id": "QEMU TCG CPU version 2.5+", "migratable": true,
	} {
		if got, _ := qom.Get(list[0].Object, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestFilteredFeatureIsOffAndListed(t *testing.T) {
	m, _ := setup(t)
	list, err := makeCPUs(m, onKVM(t, "intel"), "qemu64,3dnow=on", smp(1))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"3dnow": false, "unavailable-features": []any{"3dnow"}, "svm": false, "kvmclock": true, "x2apic": true,
		"vendor": vendorIntel,
	} {
		if got, err := qom.Get(list[0].Object, name); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v (%v), want %v", name, got, err, want)
		}
	}
}

// TestUserOverridesAccelerator: what the user says wins over KVM's defaults
// and over what host takes.
func TestUserOverridesAccelerator(t *testing.T) {
	m, _ := setup(t)
	list, err := makeCPUs(m, onKVM(t, "amd"), "qemu64,kvmclock=off,x2apic=off,svm=on,vendor=GenuineIntel", smp(1))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"kvmclock": false, "x2apic": false, "svm": true, "vendor": vendorIntel,
	} {
		if got, _ := qom.Get(list[0].Object, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestGlobalsReachTheCPU(t *testing.T) {
	m, _ := setup(t)
	m.Globals = []*qdev.Global{{Driver: "x86_64-cpu", Property: "kvm", Value: "off"}}
	vm := onKVM(t, "amd")
	if _, err := makeCPUs(m, vm, "host", smp(1)); err != nil {
		t.Fatal(err)
	}
	if table(vm.made[0].CPUID).leaf(leafKVMSignature, 0) != (accel.CPUID{}) {
		t.Error("kvm=off shows KVM's leaves")
	}
}

func TestCPUHasItsPlaceAndAPIC(t *testing.T) {
	m, _ := setup(t)
	vm := onKVM(t, "amd")
	s := machine.SMP{CPUs: 12, MaxCPUs: 12, Sockets: 2, Dies: 1, Clusters: 1, Cores: 3, Threads: 2}
	list, err := makeCPUs(m, vm, "host,topoext=on", s)
	if err != nil {
		t.Fatal(err)
	}
	last := list[11]
	if last.Socket != 1 || last.Die != 0 || last.Core != 2 || last.Thread != 1 {
		t.Errorf("CPU 11 is at %+v", last)
	}
	if c := vm.made[11]; c.APICID != 13 || c.Index != 11 || !c.X2APIC {
		t.Errorf("CPU 11 is made as %+v", c)
	}
	o, _ := qom.Resolve(m.Root, "/machine/unattached/device[11]/lapic", "kvm-apic")
	if o == nil {
		t.Fatal("CPU 11 has no lapic")
	}
	if id, _ := qom.Get(o, "id"); id != uint64(13) {
		t.Errorf("lapic has id %v", id)
	}
	err = qom.Set(last.Object, "svm", qom.JSON(false))
	want := "Attempt to set property 'svm' on anonymous device (type 'host-x86_64-cpu') after it was realized"
	if err == nil || err.Error() != want {
		t.Errorf("set after realize: %v", err)
	}
}

func TestHyperthreadsOfAMDAreWarnedOf(t *testing.T) {
	m, told := setup(t)
	s := machine.SMP{CPUs: 2, Sockets: 1, Dies: 1, Clusters: 1, Cores: 1, Threads: 2}
	if _, err := makeCPUs(m, onKVM(t, "amd"), "host", s); err != nil {
		t.Fatal(err)
	}
	want := []string{"warning: This family of AMD CPU doesn't support hyperthreading(2)\n" +
		"Please configure -smp options properly or try enabling topoext feature."}
	if !reflect.DeepEqual(*told, want) {
		t.Errorf("told %q", *told)
	}
}

func TestFailedVCPULeavesNothing(t *testing.T) {
	m, _ := setup(t)
	vm := qtest()
	vm.fail = fmt.Errorf("no more")
	if _, err := makeCPUs(m, vm, "max", smp(1)); err != vm.fail {
		t.Errorf("error %v", err)
	}
	if qom.Child(m.Unattached, "device[0]") != nil {
		t.Error("the object is left behind")
	}
}

// TestCPUOfAUserNeedsAPlace: -device qemu64-x86_64-cpu.
func TestCPUOfAUserNeedsAPlace(t *testing.T) {
	m, _ := setup(t)
	m.Do(func() {
		_, err := m.Host.Add(qdev.Request{Driver: "qemu64-x86_64-cpu"})
		if err == nil || err.Error() != "CPU socket-id is not set" {
			t.Errorf("error %v", err)
		}
	})
}

// TestKVMTakesOurCPUID gives every model to the kernel, where there is one.
func TestKVMTakesOurCPUID(t *testing.T) {
	for _, name := range []string{"host", "max", "qemu64", "kvm64", "base"} {
		vm, err := kvm.New(kvm.Options{IRQChip: accel.IRQChipSplit, Pins: 24}, nil, &sync.Mutex{}, zerolog.Nop())
		if err != nil {
			t.Skip(err)
		}
		m, _ := setup(t)
		s := machine.SMP{CPUs: 6, Sockets: 1, Dies: 1, Clusters: 1, Cores: 3, Threads: 2}
		if _, err := makeCPUs(m, vm, name+",topoext=on", s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestLocalAPICOfThisProcess: the CPU hands its vCPU the APIC, and lacks what
// takes one in the kernel without a word.
func TestLocalAPICOfThisProcess(t *testing.T) {
	for _, model := range []string{"qemu64", "host"} {
		m, told := setup(t)
		vm := onKVM(t, "intel")
		for i := range vm.host {
			switch c := &vm.host[i]; c.Function {
			case 1:
				c.ECX &^= f1X2APIC
			case leafKVMSignature + 1:
				c.EAX &^= 1<<4 | 1<<6
			}
		}
		bus := intc.NewAPICBus()
		m.Do(func() {
			for i := range 2 {
				if _, err := New(m.Host, vm, bus, machine.CPUModel{Name: model}, smp(2), i); err != nil {
					t.Fatal(err)
				}
			}
		})
		if len(*told) != 0 {
			t.Errorf("-cpu %s: told %q", model, *told)
		}
		for i, c := range vm.made {
			o, _ := qom.Resolve(m.Root, fmt.Sprintf("/machine/unattached/device[%d]/lapic", i), "apic")
			a, ok := o.(*intc.LAPIC)
			if !ok || c.APIC != a || a.InitialID() != uint32(i) || a.Bus != bus {
				t.Errorf("-cpu %s: CPU %d has the APIC %v", model, i, c.APIC)
			}
			if c.X2APIC {
				t.Errorf("-cpu %s: CPU %d has x2APIC", model, i)
			}
		}
	}
}
