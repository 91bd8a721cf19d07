package cli

import (
	"maps"
	"slices"
	"strings"
)

// NetOpt is one -netdev, -nic or -net.
type NetOpt struct {
	Loc  Loc
	Kind string // the option's name
	// Opts is the QemuOpts form, JSON the other.
	Opts *Opts
	JSON map[string]any
}

// netTypes are QEMU's network backends with their members. There is none here:
// the names serve to tell a mistake from what is missing.
var netTypes = map[string][]Member{
	"none":   nil,
	"af-xdp": slices.Concat(needed(KindString, "ifname"), optional(KindString, "mode"), optional(KindBool, "force-copy"), optional(KindInt, "queues", "start-queue"), optional(KindBool, "inhibit"), optional(KindString, "sock-fds")),
	"bridge": optional(KindString, "br", "helper"),
	"dgram":  optional(KindString, "local", "remote"),
	"hubport": slices.Concat(needed(KindInt, "hubid"),
		optional(KindString, "netdev")),
	"l2tpv3": slices.Concat(needed(KindString, "src", "dst"), optional(KindString, "srcport", "dstport"),
		optional(KindBool, "ipv6", "udp", "cookie64", "counter", "pincounter"), optional(KindUint64, "txcookie", "rxcookie"),
		needed(KindUint32, "txsession"), optional(KindUint32, "rxsession", "offset")),
	"netmap": slices.Concat(needed(KindString, "ifname"), optional(KindString, "devname")),
	"nic":    slices.Concat(optional(KindString, "netdev", "macaddr", "model", "addr"), optional(KindUint32, "vectors")),
	"socket": optional(KindString, "fd", "listen", "connect", "mcast", "localaddr", "udp"),
	"stream": slices.Concat(needed(KindString, "addr"), optional(KindBool, "server"), optional(KindUint32, "reconnect")),
	"tap": slices.Concat(optional(KindString, "ifname", "fd", "fds", "script", "downscript", "br", "helper"),
		optional(KindSize, "sndbuf"), optional(KindBool, "vnet_hdr", "vhost"), optional(KindString, "vhostfd", "vhostfds"),
		optional(KindBool, "vhostforce"), optional(KindUint32, "queues", "poll-us")),
	"user": slices.Concat(optional(KindString, "hostname"), optional(KindBool, "restrict", "ipv4", "ipv6"),
		optional(KindString, "ip", "net", "host", "tftp", "bootfile", "dhcpstart", "dns", "dnssearch", "domainname",
			"ipv6-prefix"), optional(KindInt, "ipv6-prefixlen"), optional(KindString, "ipv6-host", "ipv6-dns", "smb",
			"smbserver", "hostfwd", "guestfwd", "tftp-server-name", "ipv6-net")),
	"vde": slices.Concat(optional(KindString, "sock"), optional(KindUint32, "port"), optional(KindString, "group"),
		optional(KindUint32, "mode")),
	"vhost-user": slices.Concat(needed(KindString, "chardev"), optional(KindBool, "vhostforce"), optional(KindInt, "queues")),
	"vhost-vdpa": slices.Concat(optional(KindString, "vhostdev", "vhostfd"), optional(KindInt, "queues"),
		optional(KindBool, "x-svq")),
}

func needed(kind Kind, names ...string) []Member {
	ms := optional(kind, names...)
	for i := range ms {
		ms[i].Optional = false
	}
	return ms
}

// network is -netdev, -nic and -net.
func network(s *OptsSpec) func(*parser, Option) error {
	return func(p *parser, o Option) error {
		n := NetOpt{Loc: o.Loc, Kind: s.Name}
		var err error
		if s == &netdevSpec && strings.HasPrefix(o.Arg, "{") {
			if n.JSON, err = parseJSONObject(o.Arg); err == nil {
				// QEMU checks this form at once.
				_, err = visit(treeDialect{m: n.JSON}, slices.Concat(netBase, netTypes[netType(n.JSON)]))
			}
		} else {
			n.Opts, err = p.parseOpts(p.group(s), o.Arg, true)
		}
		if err == nil {
			p.cfg.Networks = append(p.cfg.Networks, n)
		}
		return err
	}
}

func netType(m map[string]any) string {
	t, _ := m["type"].(string)
	return t
}

var netBase = []Member{{Name: "id", Kind: KindString}, {Name: "type", Kind: KindEnum, Enum: slices.Sorted(maps.Keys(netTypes))}}

// Check tells what is wrong with a network option. To be called when the
// backends are made, those of -netdev first, then -nic, then -net. What is
// right needs a backend that does not exist here, unless it is `none`. help is
// the answer to a question, which ends the program.
func (n *NetOpt) Check() (help string, err error) {
	typ := netType(n.JSON)
	if n.JSON == nil {
		var given bool
		typ, given = n.Opts.Get("type")
		model, _ := n.Opts.Get("model")
		switch {
		case IsHelp(typ) && n.Kind != "net":
			return "Available netdev backend types:\n", nil
		case n.Kind == "nic" && IsHelp(model):
			return "Available NIC models for this configuration:\n", nil
		}
		o := n.Opts.clone()
		if n.Kind != "netdev" {
			o.ID, o.HasID = "net", true
			if n.Kind == "nic" && !given {
				typ = "user"
				o.Set("type", typ)
			}
		}
		members := netTypes[typ]
		if n.Kind == "nic" {
			members = slices.Concat(members, netTypes["nic"])
		}
		if _, err := visit(optsDialect{o}, slices.Concat(netBase, members)); err != nil {
			return "", err
		}
		if n.Kind == "netdev" && !WellFormedID(o.ID) {
			return "", ErrBadID()
		}
	}
	if typ == "none" && n.Kind != "netdev" {
		return "", nil
	}
	return "", errf("network backend '%s' is not compiled into this binary", typ)
}

// clone is a copy of o.
func (o *Opts) clone() *Opts {
	return &Opts{Loc: o.Loc, ID: o.ID, HasID: o.HasID, list: slices.Clone(o.list)}
}
