package cpu

import "slices"

// FlagNames lists the names of the CPUID features that -cpu turns on and off,
// sorted. A name that stands for bits in two places is there twice, as in
// QEMU's list.
func FlagNames() []string {
	var out []string
	for i := range words {
		for _, n := range words[i].names {
			if n != "" {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out
}
