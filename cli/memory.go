package cli

// Memory is the size of the guest's memory, resolved.
type Memory struct {
	Size    uint64 // bytes
	MaxSize uint64 // bytes, at least Size
	Slots   uint64
}

// ramAlign is the granularity to which QEMU rounds the size of memory up.
const ramAlign = 8192

var memoryMembers = []Member{
	{Name: "size", Kind: KindSize, Optional: true},
	{Name: "max-size", Kind: KindSize, Optional: true},
	{Name: "slots", Kind: KindUint64, Optional: true},
}

// ParseMemory reads the machine property "memory", v being its value in
// Machine.Props, and checks it as QEMU does when the property is set.
// defaultSize is the machine's own, in bytes.
func ParseMemory(v any, defaultSize uint64) (Memory, error) {
	tree, ok := v.(map[string]any)
	if !ok {
		return Memory{}, errType("memory", "object")
	}
	p, err := visit(treeDialect{m: tree, prefix: "memory.", keyval: true}, memoryMembers)
	if err != nil {
		return Memory{}, err
	}
	size, given := p["size"].(uint64)
	if !given {
		size = defaultSize
	}
	// Rounding up past 2^64 leaves nothing, as it does in QEMU.
	m := Memory{Size: (size + ramAlign - 1) &^ (ramAlign - 1)}
	m.MaxSize = m.Size
	m.Slots, _ = p["slots"].(uint64)
	limit, limited := p["max-size"].(uint64)
	switch {
	case limited && limit < m.Size:
		return Memory{}, errf("invalid value of maxmem: maximum memory size (0x%x) must be at least "+
			"the initial memory size (0x%x)", limit, m.Size)
	case limited && m.Slots != 0 && limit == m.Size:
		return Memory{}, errf("invalid value of maxmem: memory slots were specified but maximum memory size "+
			"(0x%x) is equal to the initial memory size (0x%x)", limit, m.Size)
	case limited:
		m.MaxSize = limit
	case m.Slots != 0:
		return Memory{}, errf("slots specified but no max-size")
	}
	return m, nil
}

// memoryTree turns -m into the value of the machine property "memory". A size
// without a suffix is in MiB.
func memoryTree(o *Opts) map[string]any {
	tree := map[string]any{}
	if s, ok := o.Get("size"); ok {
		if n, err := ParseSize(s); err == nil && n != 0 {
			if isDigit(s[len(s)-1]) {
				s += "M"
			}
			tree["size"] = s
		}
	}
	if s, ok := o.Get("maxmem"); ok {
		tree["max-size"] = s
	}
	if s, ok := o.Get("slots"); ok {
		tree["slots"] = s
	}
	return tree
}
