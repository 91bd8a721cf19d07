package cpu

import (
	"fmt"
	"strings"
)

// Vendor strings of leaf 0.
const (
	vendorAMD   = "AuthenticAMD"
	vendorIntel = "GenuineIntel"
)

// model is what -cpu names: the state of a CPU object before any property
// is set.
type model struct {
	name, desc              string
	level, xlevel           uint32 // least values
	vendor                  string
	family, model, stepping uint32
	id                      string // brand string
	features                features
	// max takes all features that the accelerator has; host needs one that
	// runs on the processor itself.
	max, host bool
	// builtin is a model with features of its own, to which an accelerator
	// adds its defaults.
	builtin bool
}

// bit makes features of names; an unknown one is a bug.
func bit(names string) (f features) {
	for _, n := range strings.Fields(names) {
		s, ok := featureBits[n]
		if !ok {
			panic(fmt.Sprintf("cpu: model has unknown feature %q", n))
		}
		f[s.word] |= s.mask
	}
	return f
}

// What all 64-bit models have: the oldest processor with long mode, less
// what virtual machines have little use for.
const baseline = "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 " +
	"pni cx16 syscall nx lm hypervisor"

const versionedAlias = "(alias configured by machine type)"

// models lists QEMU 8.2's definitions.
func models() []*model {
	qemu64 := model{
		level: 0xd, xlevel: 0x8000000a, vendor: vendorAMD, family: 15, model: 107, stepping: 1,
		id: "QEMU Virtual CPU version 2.5+", features: bit(baseline + " lahf-lm svm"), builtin: true,
	}
	kvm64 := model{
		level: 0xd, xlevel: 0x80000008, vendor: vendorIntel, family: 15, model: 6, stepping: 1,
		id: "Common KVM processor", features: bit(baseline + " vme"), builtin: true,
	}
	as := func(m model, name, desc string) *model {
		m.name, m.desc = name, desc
		return &m
	}
	return []*model{
		as(qemu64, "qemu64", versionedAlias),
		as(qemu64, "qemu64-v1", qemu64.id),
		as(kvm64, "kvm64", versionedAlias),
		as(kvm64, "kvm64-v1", kvm64.id),
		{name: "base", desc: "base CPU model type with no features enabled"},
		{
			name: "max", desc: "Enables all features supported by the accelerator in the current host",
			vendor: vendorAMD, family: 15, model: 107, stepping: 1, id: "QEMU TCG CPU version 2.5+",
			features: bit("hypervisor"), max: true,
		},
		{
			name: "host", desc: "processor with all supported host features ",
			vendor: vendorAMD, family: 15, model: 107, stepping: 1, id: "QEMU TCG CPU version 2.5+",
			features: bit("hypervisor"), max: true, host: true,
		},
	}
}

// kvmDefaults are the features that KVM adds to a builtin model or takes
// away from it, unless the user has a say (as QEMU 8.2 does). Those marked apic
// come with a local APIC in the kernel only.
var kvmDefaults = []struct {
	name     string
	on, apic bool
}{
	{name: "kvmclock", on: true}, {name: "kvm-nopiodelay", on: true}, {name: "kvm-asyncpf", on: true, apic: true},
	{name: "kvm-steal-time", on: true}, {name: "kvm-pv-eoi", on: true, apic: true},
	{name: "kvmclock-stable-bit", on: true}, {name: "x2apic", on: true, apic: true}, {name: "kvm-msi-ext-dest-id"},
	{name: "acpi"}, {name: "monitor"}, {name: "svm"},
}

// featureBits finds the bits of a property.
var featureBits = func() map[string]featureBit {
	m := map[string]featureBit{}
	for w := range words {
		for i, n := range words[w].names {
			if n != "" {
				b := m[n]
				b.word, b.mask = word(w), b.mask|1<<i
				m[n] = b
			}
		}
	}
	return m
}()

// featureBit is where a feature is; a few have more than one bit.
type featureBit struct {
	word word
	mask uint32
}
