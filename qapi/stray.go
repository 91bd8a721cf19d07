package qapi

import "github.com/gqemu/gqemu/internal/qjson"

// firstStray names the member of m that QEMU complains of where several do not
// belong: the first that is left in the hash table in which it ticks members
// off. known tells which members belong.
func firstStray(m map[string]any, known func(name string) bool) string {
	keys := qjson.Keys(m)
	var t hashTable
	for _, k := range keys[:min(len(keys), maxPlaced)] {
		t.insert(k)
	}
	for _, k := range t.slots {
		if k != "" && !known(k) {
			return k
		}
	}
	if _, ok := m[""]; ok {
		return "" // is not in the table
	}
	for _, k := range keys {
		if !known(k) {
			return k
		}
	}
	return ""
}

// maxPlaced bounds how many keys are placed: a client can choose ones that all
// want the same slot.
const maxPlaced = 256

// hashTable places strings as GLib's GHashTable does.
type hashTable struct {
	slots []string // a power of two of them; "" for none
	used  int
}

// primes are the greatest primes below the powers of two, from 8 on. With a
// hash taken modulo those and not the powers, all its bits count.
var primes = []uint32{7, 13, 31, 61, 127, 251, 509}

func (t *hashTable) insert(key string) {
	if key == "" {
		return
	}
	if t.slots == nil {
		t.slots = make([]string, 8)
	}
	i := t.slot(key, func(i uint32) bool { return t.slots[i] != "" })
	t.slots[i] = key
	t.used++
	if len(t.slots) <= t.used+t.used/16 {
		t.grow()
	}
}

// grow makes the table larger and gives all keys the slots they then have. It
// happens in place: a key that comes to a slot whose own key has not moved yet
// drives that one out.
func (t *hashTable) grow() {
	old := len(t.slots)
	size := 8
	for n := t.used * 1333 / 1000; size <= n; {
		size *= 2
	}
	t.slots = append(t.slots, make([]string, size-old)...)
	moved := make([]bool, size)
	for i := range old {
		key := t.slots[i]
		if key == "" || moved[i] {
			continue
		}
		t.slots[i] = ""
		for key != "" {
			to := t.slot(key, func(i uint32) bool { return moved[i] })
			moved[to] = true
			key, t.slots[to] = t.slots[to], key
		}
	}
}

// slot is the first slot for key that is not taken.
func (t *hashTable) slot(key string, taken func(i uint32) bool) uint32 {
	h := uint32(5381)
	for _, c := range []byte(key) {
		h = h*33 + uint32(int8(c))
	}
	prime := 0
	for 8<<prime < len(t.slots) {
		prime++
	}
	i := h * 11 % primes[prime]
	for step := uint32(1); taken(i); step++ {
		i = (i + step) & uint32(len(t.slots)-1)
	}
	return i
}
