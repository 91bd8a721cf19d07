package cli

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// CPUModel is the argument of -cpu, taken apart.
type CPUModel struct {
	Name string
	// Props are the NAME and NAME=VALUE features in order, '_' replaced by '-'
	// in names; a bare name is "on".
	Props []Opt
	// Plus and Minus are the +NAME and -NAME features. They are applied after
	// Props, Minus last.
	Plus, Minus []string
}

// SplitCPU takes `MODEL[,FEATURE]...` apart. warnings are to be reported in
// order, without a location.
func SplitCPU(s string) (m CPUModel, warnings []string, err error) {
	if s == "" {
		return m, nil, errf("-cpu option cannot be empty")
	}
	name, features, _ := strings.Cut(s, ",")
	m.Name = name
	for f := range strings.SplitSeq(features, ",") {
		switch {
		case f == "": // QEMU's strtok skips empty ones
			continue
		case f[0] == '+':
			m.Plus = append(m.Plus, f[1:])
			continue
		case f[0] == '-':
			m.Minus = append(m.Minus, f[1:])
			continue
		}
		prop, value, found := strings.Cut(f, "=")
		if !found {
			value = "on"
		}
		prop = strings.ReplaceAll(prop, "_", "-")
		for _, x := range []struct {
			sign  string
			names []string
		}{{"+", m.Plus}, {"-", m.Minus}} {
			if slices.Contains(x.names, prop) {
				warnings = append(warnings, fmt.Sprintf("Ambiguous CPU model string. "+
					"Don't mix both \"%s%s\" and \"%s=%s\"", x.sign, prop, prop, value))
			}
		}
		if prop == "tsc-freq" {
			hz, err := parseScaled(value, 1000)
			if err != nil || hz > math.MaxInt64 {
				return m, warnings, errf("bad numerical value %s", value)
			}
			prop, value = "tsc-frequency", fmt.Sprint(hz)
		}
		m.Props = append(m.Props, Opt{prop, value})
	}
	if len(warnings) > 0 {
		warnings = append(warnings, "Compatibility of ambiguous CPU model strings won't be kept on future QEMU versions")
	}
	return m, warnings, nil
}
