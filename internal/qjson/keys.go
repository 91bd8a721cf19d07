package qjson

import (
	"slices"
	"strings"
)

// buckets is the size of the hash table of a QEMU dictionary.
const buckets = 512

// bucket is where QEMU files key in a dictionary.
func bucket(key string) uint32 {
	v := uint32(0x238F13AF) * uint32(len(key))
	for i := 0; i < len(key); i++ {
		v += uint32(key[i]) << (i * 5 % 24)
	}
	return (1103515243*v + 12345) % buckets
}

// Keys lists the keys of m in the order in which QEMU walks a dictionary: by
// the bucket of its hash table. Within a bucket QEMU has the key inserted last
// first; a Go map does not know that, so there they are sorted.
func Keys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	if len(keys) < 2 {
		return keys
	}
	slices.SortFunc(keys, func(a, b string) int {
		if d := int(bucket(a)) - int(bucket(b)); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return keys
}

// Member is one member of an [Object].
type Member struct {
	Key   string
	Value any
}

// Object is an object whose members are written in the order given. [Marshal]
// takes it; reading never produces it.
type Object []Member

// Sort brings the members of o, which stand in the order in which QEMU inserts
// them, into the order in which QEMU walks them. Unlike with a map, that is
// exact within a bucket too: last in, first out.
func (o Object) Sort() {
	slices.Reverse(o)
	slices.SortStableFunc(o, func(a, b Member) int {
		return int(bucket(a.Key)) - int(bucket(b.Key))
	})
}
