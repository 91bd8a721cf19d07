package cli

import (
	"reflect"
	"testing"
)

var microvm = SMPLimits{Machine: "microvm", Min: 1, Max: 288, Default: 1}

// TestSMP holds -smp to QEMU's texts and to its preference of cores over
// sockets over threads.
func TestSMP(t *testing.T) {
	dies := microvm
	dies.Dies = true
	two := microvm
	two.Min = 2
	for _, c := range []struct {
		l             SMPLimits
		arg           string
		want          Topology
		warning, text string
	}{
		{l: microvm, arg: "4", want: Topology{CPUs: 4, MaxCPUs: 4, Sockets: 1, Dies: 1, Clusters: 1, Cores: 4, Threads: 1}},
		{l: microvm, arg: "2,maxcpus=4,sockets=4,cores=1,threads=1", want: Topology{CPUs: 2, MaxCPUs: 4, Sockets: 4, Dies: 1, Clusters: 1, Cores: 1, Threads: 1}},
		{l: microvm, arg: "8,cores=2", want: Topology{CPUs: 8, MaxCPUs: 8, Sockets: 4, Dies: 1, Clusters: 1, Cores: 2, Threads: 1}},
		{l: microvm, arg: "8,sockets=2,cores=2", want: Topology{CPUs: 8, MaxCPUs: 8, Sockets: 2, Dies: 1, Clusters: 1, Cores: 2, Threads: 2}},
		{l: microvm, arg: "sockets=2,threads=2", want: Topology{CPUs: 4, MaxCPUs: 4, Sockets: 2, Dies: 1, Clusters: 1, Cores: 1, Threads: 2}},
		{l: microvm, arg: "cpus=0x4", want: Topology{CPUs: 4, MaxCPUs: 4, Sockets: 1, Dies: 1, Clusters: 1, Cores: 4, Threads: 1}},
		{l: dies, arg: "8,dies=2", want: Topology{CPUs: 8, MaxCPUs: 8, Sockets: 1, Dies: 2, Clusters: 1, Cores: 4, Threads: 1}},
		{l: microvm, arg: "4,dies=1,clusters=1,books=1", want: Topology{CPUs: 4, MaxCPUs: 4, Sockets: 1, Dies: 1, Clusters: 1, Cores: 4, Threads: 1, ClustersGiven: true}},
		// Recorded from QEMU 8.2.7.
		{l: microvm, arg: "0", want: Topology{CPUs: 1, MaxCPUs: 1, Sockets: 1, Dies: 1, Clusters: 1, Cores: 1, Threads: 1}, warning: ZeroTopologyWarning},
		{l: microvm, arg: "1,maxcpus=0", want: Topology{CPUs: 1, MaxCPUs: 1, Sockets: 1, Dies: 1, Clusters: 1, Cores: 1, Threads: 1}, warning: ZeroTopologyWarning},
		{l: microvm, arg: "4,maxcpus=2", text: "Invalid CPU topology: maxcpus must be equal to or greater than smp: sockets (1) * cores (2) * threads (1) == maxcpus (2) < smp_cpus (4)"},
		{l: microvm, arg: "cpus=3,cores=2", text: "Invalid CPU topology: product of the hierarchy must match maxcpus: sockets (1) * cores (2) * threads (1) != maxcpus (3)"},
		{l: microvm, arg: "foo=1", text: "Parameter 'smp.foo' is unexpected"},
		{l: microvm, arg: "289", text: "Invalid SMP CPUs 289. The max CPUs supported by machine 'microvm' is 288"},

		{l: microvm, arg: "-1", text: "Invalid SMP CPUs -1. The max CPUs supported by machine 'microvm' is 288"},
		{l: microvm, arg: "abc", text: "Parameter 'smp.cpus' expects integer"},
		{l: microvm, arg: "cpus.x=1", text: "Parameters 'smp.cpus.*' are unexpected"},
		{l: microvm, arg: "4,dies=2", text: "dies not supported by this machine's CPU topology"},
		{l: dies, arg: "4,clusters=2", text: "clusters not supported by this machine's CPU topology"},
		{l: dies, arg: "4,drawers=2", text: "drawers not supported by this machine's CPU topology"},
		{l: dies, arg: "3,dies=2", text: "Invalid CPU topology: product of the hierarchy must match maxcpus: sockets (1) * dies (2) * cores (1) * threads (1) != maxcpus (3)"},
		{l: two, arg: "1", text: "Invalid SMP CPUs 1. The min CPUs supported by machine 'microvm' is 2"},
		// Products that wrap to 0 in 32 bits must not divide.
		{l: microvm, arg: "4,sockets=65536,threads=65536", text: "Invalid CPU topology: product of the hierarchy must match maxcpus: sockets (65536) * cores (0) * threads (65536) != maxcpus (4)"},
	} {
		cfg, err := Parse([]string{"q", "-smp", c.arg})
		if err != nil {
			t.Errorf("%s: %v", c.arg, err)
			continue
		}
		var have Topology
		warning := ""
		s, err := ParseSMP(cfg.Machine.Props["smp"])
		if err == nil {
			have, warning, err = c.l.Resolve(s)
		}
		if errText(err) != c.text || warning != c.warning || c.text == "" && have != c.want {
			t.Errorf("-smp %s = %+v %q %q", c.arg, have, warning, errText(err))
		}
	}
	if _, err := ParseSMP("4"); errText(err) != "Invalid parameter type for 'smp', expected: object" {
		t.Error(err)
	}
}

// TestMemory holds -m, after the grammar, to what the machine property does.
func TestMemory(t *testing.T) {
	const def = 128 << 20
	for _, c := range []struct {
		args []string
		want Memory
		text string
	}{
		{nil, Memory{def, def, 0}, ""},
		{[]string{"-m", "512"}, Memory{512 << 20, 512 << 20, 0}, ""},
		{[]string{"-m", "512m"}, Memory{512 << 20, 512 << 20, 0}, ""},
		{[]string{"-m", "1.5G"}, Memory{3 << 29, 3 << 29, 0}, ""},
		{[]string{"-m", "0"}, Memory{def, def, 0}, ""},
		{[]string{"-m", "1k"}, Memory{8192, 8192, 0}, ""},
		{[]string{"-m", "0xfffff"}, Memory{1 << 20, 1 << 20, 0}, ""},
		{[]string{"-m", "0x100"}, Memory{}, "Parameter 'memory.size' expects size"},
		{[]string{"-m", "64", "-m", "size=1G,slots=2,maxmem=4G"}, Memory{1 << 30, 4 << 30, 2}, ""},
		{[]string{"-m", "slots=2", "-m", "maxmem=4G"}, Memory{def, 4 << 30, 2}, ""},
		{[]string{"-M", "memory.size=1G"}, Memory{1 << 30, 1 << 30, 0}, ""},
		{[]string{"-m", "128,slots=0"}, Memory{def, def, 0}, ""},
		{[]string{"-m", "128,slots=1"}, Memory{}, "slots specified but no max-size"},
		{[]string{"-m", "128,maxmem=64"}, Memory{}, "invalid value of maxmem: maximum memory size (0x40) must be at least the initial memory size (0x8000000)"},
		{[]string{"-m", "128,maxmem=128M,slots=1"}, Memory{}, "invalid value of maxmem: memory slots were specified but maximum memory size (0x8000000) is equal to the initial memory size (0x8000000)"},
		{[]string{"-M", "memory.foo=1"}, Memory{}, "Parameter 'memory.foo' is unexpected"},
	} {
		cfg, err := Parse(append([]string{"q"}, c.args...))
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
			continue
		}
		have, err := ParseMemory(cfg.Machine.Props["memory"], def)
		if errText(err) != c.text || have != c.want {
			t.Errorf("%q = %+v, %v", c.args, have, err)
		}
	}
	_, err := Parse([]string{"q", "-M", "memory=5", "-m", "64"})
	if e, ok := err.(*Error); !ok || e.Messages[0].Text != "Parameter 'memory' used inconsistently" || e.Messages[0].Loc.CmdLine != "-m 64" {
		t.Errorf("memory= and -m: %v", err)
	}
}

// TestLegacyOptions: what is no machine property leaves the tree.
func TestLegacyOptions(t *testing.T) {
	cfg, err := Parse([]string{"q", "-M", "microvm,accel=kvm:qtest,kernel_irqchip=split,memory-backend=m0,x_option_roms=off", "-m", "1G"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := cfg.Machine.LegacyOptions()
	if err != nil {
		t.Fatal(err)
	}
	want := LegacyMachine{Accel: "kvm:qtest", HasAccel: true, MemoryBackend: "m0", HasMemoryBackend: true, CustomRAMSize: true,
		AccelProps: []Global{{Driver: "kvm-accel", Property: "kernel-irqchip", Value: "split"},
			{Driver: "whpx-accel", Property: "kernel-irqchip", Value: "split"}}}
	if !reflect.DeepEqual(l, want) {
		t.Errorf("%+v", l)
	}
	if want := (map[string]any{"x-option-roms": "off", "memory": map[string]any{"size": "1G"}}); !reflect.DeepEqual(cfg.Machine.Props, want) {
		t.Errorf("%v", cfg.Machine.Props)
	}

	cfg, _ = Parse([]string{"q", "-M", "a_b=1,a-b=2"})
	if _, err := cfg.Machine.LegacyOptions(); errText(err) != "Conflict between 'a_b' and 'a-b'" {
		t.Error(err)
	}
}

// TestAccelList: -accel and accel= exclude each other, and unknown names of a
// list are passed over.
func TestAccelList(t *testing.T) {
	known := func(n string) bool { return n == "kvm" || n == "qtest" }
	for _, c := range []struct {
		args    []string
		names   []string
		unknown []string
		err     string
	}{
		{nil, []string{"kvm"}, nil, ""},
		{[]string{"-M", "none,accel=kvm:tcg"}, []string{"kvm"}, []string{"tcg"}, ""},
		{[]string{"-accel", "nosuch", "-accel", "qtest,a=1"}, []string{"nosuch", "qtest"}, nil, ""},
		{[]string{"-accel", "kvm", "-M", "accel=kvm"}, nil, nil, "The -accel and \"-machine accel=\" options are incompatible"},
		{[]string{"-M", "accel="}, nil, nil, ""},
	} {
		cfg, err := Parse(append([]string{"q"}, c.args...))
		if err != nil {
			t.Fatal(err)
		}
		l, err := cfg.Machine.LegacyOptions()
		if err != nil {
			t.Fatal(err)
		}
		list, unknown, err := cfg.AccelList(l, "kvm", known)
		var names []string
		for _, a := range list {
			names = append(names, a.Name)
		}
		if !reflect.DeepEqual(names, c.names) || !reflect.DeepEqual(unknown, c.unknown) || errText(err) != c.err {
			t.Errorf("%q: %q %q %v", c.args, names, unknown, err)
		}
	}
}

// TestSplitCPU covers the feature syntax, with its warnings.
func TestSplitCPU(t *testing.T) {
	have, warn, err := SplitCPU("qemu64,+avx2,-x2apic,sse4_1=off,kvm,,tsc-freq=1.5G")
	want := CPUModel{Name: "qemu64", Plus: []string{"avx2"}, Minus: []string{"x2apic"},
		Props: []Opt{{"sse4-1", "off"}, {"kvm", "on"}, {"tsc-frequency", "1500000000"}}}
	if err != nil || len(warn) != 0 || !reflect.DeepEqual(have, want) {
		t.Errorf("%+v %q %v", have, warn, err)
	}
	_, warn, _ = SplitCPU("max,+a,a=off")
	if !reflect.DeepEqual(warn, []string{`Ambiguous CPU model string. Don't mix both "+a" and "a=off"`,
		"Compatibility of ambiguous CPU model strings won't be kept on future QEMU versions"}) {
		t.Errorf("%q", warn)
	}
	for in, text := range map[string]string{"": "-cpu option cannot be empty", "max,tsc-freq=x": "bad numerical value x"} {
		if _, _, err := SplitCPU(in); errText(err) != text {
			t.Errorf("%q: %v", in, err)
		}
	}
}
