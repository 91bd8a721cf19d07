package intc

import "math/bits"

// vectors is a set of interrupt vectors, laid out as the eight registers that
// show it.
type vectors [8]uint32

func (v *vectors) has(n int) bool { return v[n>>5&7]>>(n&31)&1 != 0 }

func (v *vectors) set(n int, on bool) {
	if on {
		v[n>>5&7] |= 1 << (n & 31)
	} else {
		v[n>>5&7] &^= 1 << (n & 31)
	}
}

// highest is the highest vector of the set, -1 for an empty one.
func (v *vectors) highest() int {
	for i := len(v) - 1; i >= 0; i-- {
		if v[i] != 0 {
			return i<<5 + bits.Len32(v[i]) - 1
		}
	}
	return -1
}
