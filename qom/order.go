package qom

// QEMU keeps an object's properties in a hash table of GLib's, and clients see
// them in the order of its slots. nameTable yields that order: it places names
// where GLib 2.66 and later do, so that lists agree with QEMU's as far as the
// same properties were added and removed in the same order.
//
// It is no index: properties are found by State.byName.
type nameTable struct {
	slots []slot
	mod   uint32 // a prime below len(slots)
	names int
	used  int // slots that hold a name or held one since the last resize
}

// slot is free, vacated, or holds a name.
type slot struct {
	name    string
	hash    uint32
	held    bool
	vacated bool
}

// minSlots is the size of a table that is made; sizes are powers of two.
const minSlots = 8

// slotPrimes has the modulus for each size, by its logarithm.
var slotPrimes = [...]uint32{1, 2, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521,
	131071, 262139, 524287, 1048573}

// hashName is Bernstein's hash over signed characters.
func hashName(s string) uint32 {
	h := uint32(5381)
	for i := range len(s) {
		h = h*33 + uint32(int32(int8(s[i])))
	}
	return max(h, 2) // 0 and 1 mark slots without a name
}

func (t *nameTable) home(hash uint32) uint32 { return hash * 11 % t.mod }

// setSize makes place for n names at least.
func (t *nameTable) setSize(n int) (size int) {
	log := 0
	for ; n > 0; n >>= 1 {
		log++
	}
	log = min(max(log, 3), len(slotPrimes)-1)
	t.mod = slotPrimes[log]
	return 1 << log
}

func (t *nameTable) add(name string) {
	if t.slots == nil {
		t.slots = make([]slot, t.setSize(minSlots-1))
	}
	hash := hashName(name)
	mask := uint32(len(t.slots) - 1)
	at, vacated := t.home(hash), -1
	for step := uint32(1); t.slots[at].held || t.slots[at].vacated; step++ {
		if t.slots[at].vacated && vacated < 0 {
			vacated = int(at)
		}
		at = (at + step) & mask
	}
	if vacated >= 0 {
		at = uint32(vacated)
	} else {
		t.used++
	}
	t.slots[at] = slot{name: name, hash: hash, held: true}
	t.names++
	t.adjust()
}

func (t *nameTable) remove(name string) {
	if t.slots == nil {
		return
	}
	hash := hashName(name)
	mask := uint32(len(t.slots) - 1)
	at := t.home(hash)
	for step := uint32(1); t.slots[at].held || t.slots[at].vacated; step++ {
		if t.slots[at].held && t.slots[at].name == name {
			t.slots[at] = slot{vacated: true}
			t.names--
			t.adjust()
			return
		}
		at = (at + step) & mask
	}
}

// adjust grows a table that is nearly full, counting what was vacated, and
// shrinks one that is less than a quarter full. Either way vacated slots
// become free.
func (t *nameTable) adjust() {
	size := len(t.slots)
	if (size <= t.names*4 || size <= minSlots) && size > t.used+t.used/16 {
		return
	}
	newSize := t.setSize(int(float64(t.names) * 1.333))
	t.rehash(newSize)
	t.used = t.names
}

// rehash moves names in place: each, in the order of the old slots, to its new
// home, and on with whichever name it meets there that has not moved yet.
func (t *nameTable) rehash(newSize int) {
	old := len(t.slots)
	work := make([]slot, max(old, newSize))
	copy(work, t.slots)
	placed := make([]bool, len(work))
	mask := uint32(newSize - 1)
	for i := range old {
		if placed[i] {
			continue
		}
		moving := work[i]
		work[i] = slot{}
		for moving.held {
			at := t.home(moving.hash)
			for step := uint32(1); placed[at]; step++ {
				at = (at + step) & mask
			}
			placed[at] = true
			work[at], moving = moving, work[at]
		}
	}
	t.slots = work[:newSize]
}

// order lists the names as a walk over the slots finds them.
func (t *nameTable) order() []string {
	names := make([]string, 0, t.names)
	for _, s := range t.slots {
		if s.held {
			names = append(names, s.name)
		}
	}
	return names
}
