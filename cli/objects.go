package cli

import (
	"maps"
	"slices"
)

// ObjectTypes says which types -object knows, with the members of each in the
// order in which they are checked. `qom-type` and `id` are understood.
type ObjectTypes map[string][]Member

func optional(kind Kind, names ...string) []Member {
	var ms []Member
	for _, n := range names {
		ms = append(ms, Member{Name: n, Kind: kind, Optional: true})
	}
	return ms
}

// hostMemory are the members that every memory backend has.
var hostMemory = slices.Concat(
	optional(KindBool, "dump"),
	optional(KindUint16s, "host-nodes"),
	optional(KindBool, "merge"),
	[]Member{{Name: "policy", Kind: KindEnum, Optional: true,
		Enum: []string{"default", "preferred", "bind", "interleave"}}},
	optional(KindBool, "prealloc"),
	optional(KindUint32, "prealloc-threads"),
	optional(KindString, "prealloc-context"),
	optional(KindBool, "share", "reserve"),
	[]Member{{Name: "size", Kind: KindSize}},
	optional(KindBool, "x-use-canonical-path-for-ramblock-id"),
)

// DefaultObjectTypes is the set that [Parse] uses. It is a new map each time.
func DefaultObjectTypes() ObjectTypes {
	return ObjectTypes{
		"iothread":           optional(KindInt, "aio-max-batch", "thread-pool-min", "thread-pool-max", "poll-max-ns", "poll-grow", "poll-shrink"),
		"memory-backend-ram": hostMemory,
		"memory-backend-memfd": slices.Concat(hostMemory,
			optional(KindBool, "hugetlb"), optional(KindSize, "hugetlbsize"), optional(KindBool, "seal")),
		"memory-backend-file": slices.Concat(hostMemory,
			optional(KindSize, "align", "offset"), optional(KindBool, "discard-data"),
			[]Member{{Name: "mem-path", Kind: KindString}},
			optional(KindBool, "readonly"),
			[]Member{{Name: "rom", Kind: KindEnum, Optional: true, Enum: []string{"auto", "on", "off"}}}),
		"rng-builtin": optional(KindBool, "opened"),
		"rng-random":  slices.Concat(optional(KindString, "filename"), optional(KindBool, "opened")),
		"vdpa-sim-blk": slices.Concat(
			optional(KindUint32, "num-queues"), optional(KindString, "path"), optional(KindUint32, "queue-size"), optional(KindBool, "readonly"),
			optional(KindString, "serial"), optional(KindSize, "size")),
		"vdpa-sim-net": slices.Concat(
			optional(KindString, "ifname"), optional(KindBool, "link"), optional(KindString, "mac"),
			[]Member{{Name: "mode", Kind: KindEnum, Optional: true, Enum: []string{"loopback", "pair", "socket", "tap"}}},
			optional(KindUint32, "mtu"), optional(KindString, "path", "peer"),
			optional(KindUint32, "queue-pairs", "queue-size"), optional(KindBool, "server")),
	}
}

// check converts the arguments of an object in either form to typed values:
// bool, int64, uint64, string and []uint64. It returns the type and the id
// apart from them.
func (t ObjectTypes) check(d dialect) (qomType, id string, props map[string]any, err error) {
	names := slices.Sorted(maps.Keys(t))
	base := []Member{{Name: "qom-type", Kind: KindEnum, Enum: names}, {Name: "id", Kind: KindString}}
	// The base is checked before the rest, and unknown members last of all.
	for i := range base {
		if !d.has(base[i].Name) {
			return "", "", nil, errMissing(base[i].Name)
		}
		v, err := visitMember(d, &base[i])
		if err != nil {
			return "", "", nil, err
		}
		if i == 0 {
			qomType = v.(string)
		}
	}
	props, err = visit(d, slices.Concat(base, t[qomType]))
	if err != nil {
		return "", "", nil, err
	}
	id = props["id"].(string)
	delete(props, "qom-type")
	delete(props, "id")
	return qomType, id, props, nil
}
