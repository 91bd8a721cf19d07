package cli

import (
	"strings"

	"github.com/gqemu/gqemu/internal/qjson"
)

// LegacyMachine holds the -machine options that are no properties of the
// machine.
type LegacyMachine struct {
	// Accel is the list of accelerators, separated by colons.
	Accel    string
	HasAccel bool
	// AccelProps become properties of the accelerator that is chosen, if it is
	// Driver: kernel-irqchip=, kvm-shadow-mem=, igd-passthru=.
	AccelProps []Global
	// MemoryBackend is the id of the object to use as main memory.
	MemoryBackend    string
	HasMemoryBackend bool
	// CustomRAMSize is true if the size of memory was given, and the backend's
	// size must not replace it.
	CustomRAMSize bool
}

// LegacyOptions takes the options that are no properties out of m.Props, after
// replacing '_' by '-' in the names of properties. To be called once, after the
// early chardevs are made and before properties are set.
func (m *Machine) LegacyOptions() (LegacyMachine, error) {
	var l LegacyMachine
	if err := dashify(m.Props); err != nil {
		return l, err
	}
	take := func(name string) (string, bool) {
		s, ok := m.Props[name].(string)
		if ok {
			delete(m.Props, name)
		}
		return s, ok
	}
	l.Accel, l.HasAccel = take("accel")
	for _, s := range []struct {
		name    string
		drivers []string
	}{
		{"igd-passthru", []string{"xen-accel"}},
		{"kvm-shadow-mem", []string{"kvm-accel"}},
		{"kernel-irqchip", []string{"kvm-accel", "whpx-accel"}},
	} {
		if v, ok := take(s.name); ok {
			for _, d := range s.drivers {
				l.AccelProps = append(l.AccelProps, Global{Driver: d, Property: s.name, Value: v})
			}
		}
	}
	l.MemoryBackend, l.HasMemoryBackend = take("memory-backend")
	if mem, ok := m.Props["memory"].(map[string]any); ok {
		_, l.CustomRAMSize = mem["size"]
	}
	return l, nil
}

// dashify replaces underscores by dashes in the keys of m, not below.
func dashify(m map[string]any) error {
	for _, k := range qjson.Keys(m) {
		n := strings.ReplaceAll(k, "_", "-")
		if n == k {
			continue
		}
		if _, taken := m[n]; taken {
			return errf("Conflict between '%s' and '%s'", k, n)
		}
		m[n] = m[k]
		delete(m, k)
	}
	return nil
}

// stringProp returns a machine property that is a string, or "".
func (m *Machine) stringProp(name string) string {
	s, _ := m.Props[name].(string)
	return s
}
