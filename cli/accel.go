package cli

import "strings"

// AccelList returns the accelerators to try, in order: those of -accel, else
// those of -machine accel= (legacy, from [Machine.LegacyOptions]), else those of
// byDefault, a list with colons. unknown are the names in a list that known
// refuses; QEMU reports each as `invalid accelerator NAME` and goes on with the
// rest. Names from -accel are not filtered: an unknown one is an error at its
// Loc when its turn comes.
func (c *Config) AccelList(legacy LegacyMachine, byDefault string, known func(string) bool) (list []AccelOpt, unknown []string, err error) {
	if len(c.Accels) > 0 {
		if legacy.HasAccel {
			return nil, nil, errf("The -accel and \"-machine accel=\" options are incompatible")
		}
		return c.Accels, nil, nil
	}
	names := byDefault
	if legacy.HasAccel {
		names = legacy.Accel
	}
	for _, n := range strings.Split(names, ":") {
		if names == "" {
			break
		}
		if known(n) {
			list = append(list, AccelOpt{Name: n})
		} else {
			unknown = append(unknown, n)
		}
	}
	return list, unknown, nil
}
