package cli

import "slices"

// NUMAOpt is one -numa.
type NUMAOpt struct {
	Loc  Loc
	Opts *Opts
}

// NUMANode is -numa node.
type NUMANode struct {
	ID, Initiator *uint64 // nil where absent
	CPUs          []uint64
	Memory        bool   // mem= was given
	Memdev        string // "" where absent
}

// NUMADistance is -numa dist.
type NUMADistance struct{ Src, Dst, Val uint64 }

// NUMACPU is -numa cpu. Members are nil where absent.
type NUMACPU struct{ Node, Socket, Die, Cluster, Core, Thread *int64 }

var numaTypes = map[string][]Member{
	"node": slices.Concat(optional(KindUint16, "nodeid"), optional(KindUint16s, "cpus"), optional(KindSize, "mem"),
		optional(KindString, "memdev"), optional(KindUint16, "initiator")),
	"dist": {{Name: "src", Kind: KindUint16}, {Name: "dst", Kind: KindUint16}, {Name: "val", Kind: KindUint8}},
	"cpu": optional(KindInt, "node-id", "drawer-id", "book-id", "socket-id", "die-id", "cluster-id", "core-id",
		"thread-id"),
	"hmat-lb": slices.Concat(needed(KindUint16, "initiator", "target"),
		[]Member{{Name: "hierarchy", Kind: KindEnum, Enum: []string{"memory", "first-level", "second-level", "third-level"}},
			{Name: "data-type", Kind: KindEnum, Enum: []string{"access-latency", "read-latency", "write-latency",
				"access-bandwidth", "read-bandwidth", "write-bandwidth"}}},
		optional(KindUint64, "latency"), optional(KindSize, "bandwidth")),
	"hmat-cache": slices.Concat([]Member{{Name: "node-id", Kind: KindUint32}, {Name: "size", Kind: KindSize},
		{Name: "level", Kind: KindUint8}},
		[]Member{{Name: "associativity", Kind: KindEnum, Enum: []string{"none", "direct", "complex"}},
			{Name: "policy", Kind: KindEnum, Enum: []string{"none", "write-back", "write-through"}},
			{Name: "line", Kind: KindUint16}}),
}

// Parse checks the option's form: v is a NUMANode, a NUMADistance, a NUMACPU,
// or nil for the two forms that begin with hmat. To be called once the machine's
// memory is made.
func (n *NUMAOpt) Parse() (v any, err error) {
	typ, _ := n.Opts.Get("type")
	base := []Member{{Name: "type", Kind: KindEnum, Enum: []string{"node", "dist", "cpu", "hmat-lb", "hmat-cache"}}}
	m, err := visit(optsDialect{n.Opts}, slices.Concat(base, numaTypes[typ]))
	if err != nil {
		return nil, err
	}
	num := func(name string) *uint64 {
		if x, ok := m[name].(uint64); ok {
			return &x
		}
		return nil
	}
	integer := func(name string) *int64 {
		if x, ok := m[name].(int64); ok {
			return &x
		}
		return nil
	}
	switch typ {
	case "node":
		node := NUMANode{ID: num("nodeid"), Initiator: num("initiator")}
		node.CPUs, _ = m["cpus"].([]uint64)
		_, node.Memory = m["mem"]
		node.Memdev, _ = m["memdev"].(string)
		return node, nil
	case "dist":
		return NUMADistance{*num("src"), *num("dst"), *num("val")}, nil
	case "cpu":
		return NUMACPU{integer("node-id"), integer("socket-id"), integer("die-id"), integer("cluster-id"),
			integer("core-id"), integer("thread-id")}, nil
	}
	return nil, nil
}
