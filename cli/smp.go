package cli

import "fmt"

// SMP is -smp as given: 0 and false where absent. Values have 32 bits, as in
// QEMU; larger ones are cut.
type SMP struct {
	CPUs, Drawers, Books, Sockets, Dies, Clusters, Cores, Threads, MaxCPUs uint32

	CPUsSet, DrawersSet, BooksSet, SocketsSet, DiesSet, ClustersSet, CoresSet, ThreadsSet, MaxCPUsSet bool

	zero bool // one of them was given as 0
}

// SMPLimits is what a machine makes of -smp.
type SMPLimits struct {
	Machine string // canonical name, for errors
	Min     int    // least number of initial CPUs
	Max     int    // greatest number of CPUs, hotplug included
	// Default is the number of CPUs without -smp.
	Default int
	// Dies and Clusters say whether these levels exist.
	Dies, Clusters bool
}

// Topology is a complete CPU topology; Sockets * Dies * Clusters * Cores *
// Threads == MaxCPUs, and levels that the machine lacks are 1.
type Topology struct {
	CPUs, MaxCPUs                           uint32
	Sockets, Dies, Clusters, Cores, Threads uint32
	// ClustersGiven says that clusters= was on the command line.
	ClustersGiven bool
}

// ZeroTopologyWarning is what QEMU says of a topology parameter given as 0.
const ZeroTopologyWarning = "Deprecated CPU topology (considered invalid): " +
	"CPU topology parameters must be greater than zero"

var smpMembers = optional(KindInt, "cpus", "drawers", "books", "sockets", "dies", "clusters", "cores", "threads", "maxcpus")

// ParseSMP reads the machine property "smp", v being its value in
// Machine.Props.
func ParseSMP(v any) (SMP, error) {
	tree, ok := v.(map[string]any)
	if !ok {
		return SMP{}, errType("smp", "object")
	}
	p, err := visit(treeDialect{m: tree, prefix: "smp.", keyval: true}, smpMembers)
	if err != nil {
		return SMP{}, err
	}
	var s SMP
	for _, f := range []struct {
		name  string
		value *uint32
		set   *bool
	}{
		{"cpus", &s.CPUs, &s.CPUsSet}, {"drawers", &s.Drawers, &s.DrawersSet},
		{"books", &s.Books, &s.BooksSet}, {"sockets", &s.Sockets, &s.SocketsSet},
		{"dies", &s.Dies, &s.DiesSet}, {"clusters", &s.Clusters, &s.ClustersSet},
		{"cores", &s.Cores, &s.CoresSet}, {"threads", &s.Threads, &s.ThreadsSet},
		{"maxcpus", &s.MaxCPUs, &s.MaxCPUsSet},
	} {
		if n, ok := p[f.name].(int64); ok {
			*f.value, *f.set = uint32(n), true
			// What is lost above 32 bits is not looked at, as in QEMU.
			s.zero = s.zero || n == 0
		}
	}
	return s, nil
}

// DefaultTopology is the topology without -smp.
func (l SMPLimits) DefaultTopology() Topology {
	n := uint32(max(l.Default, 1))
	return Topology{CPUs: n, MaxCPUs: n, Sockets: 1, Dies: 1, Clusters: 1, Cores: n, Threads: 1}
}

// Resolve computes what was left out, cores before sockets before threads, and
// checks the result. warning is "" or text to be reported, also with an error.
func (l SMPLimits) Resolve(s SMP) (t Topology, warning string, err error) {
	if s.zero {
		warning = ZeroTopologyWarning
	}
	for _, p := range []struct {
		name string
		n    uint32
		have bool
	}{
		{"dies", s.Dies, l.Dies}, {"clusters", s.Clusters, l.Clusters},
		{"books", s.Books, false}, {"drawers", s.Drawers, false},
	} {
		if !p.have && p.n > 1 {
			return Topology{}, warning, errf("%s not supported by this machine's CPU topology", p.name)
		}
	}

	t = Topology{
		CPUs: s.CPUs, MaxCPUs: s.MaxCPUs,
		Sockets: s.Sockets, Dies: max(s.Dies, 1), Clusters: max(s.Clusters, 1),
		Cores: s.Cores, Threads: s.Threads,
		ClustersGiven: s.ClustersSet,
	}
	fixed := t.Dies * t.Clusters
	if t.CPUs == 0 && t.MaxCPUs == 0 {
		t.Sockets, t.Cores, t.Threads = max(t.Sockets, 1), max(t.Cores, 1), max(t.Threads, 1)
	} else {
		if t.MaxCPUs == 0 {
			t.MaxCPUs = t.CPUs
		}
		if t.Cores == 0 {
			t.Sockets, t.Threads = max(t.Sockets, 1), max(t.Threads, 1)
			t.Cores = div(t.MaxCPUs, t.Sockets*fixed*t.Threads)
		} else if t.Sockets == 0 {
			t.Threads = max(t.Threads, 1)
			t.Sockets = div(t.MaxCPUs, fixed*t.Cores*t.Threads)
		}
		if t.Threads == 0 {
			t.Threads = div(t.MaxCPUs, t.Sockets*fixed*t.Cores)
		}
	}
	total := t.Sockets * fixed * t.Cores * t.Threads
	if t.MaxCPUs == 0 {
		t.MaxCPUs = total
	}
	if t.CPUs == 0 {
		t.CPUs = t.MaxCPUs
	}
	return t, warning, l.check(t, total)
}

func (l SMPLimits) check(t Topology, total uint32) error {
	switch {
	case total != t.MaxCPUs || total == 0:
		return errf("Invalid CPU topology: product of the hierarchy must match maxcpus: %s != maxcpus (%d)",
			l.hierarchy(t), t.MaxCPUs)
	case t.MaxCPUs < t.CPUs:
		return errf("Invalid CPU topology: maxcpus must be equal to or greater than smp: "+
			"%s == maxcpus (%d) < smp_cpus (%d)", l.hierarchy(t), t.MaxCPUs, t.CPUs)
	case int64(t.CPUs) < int64(l.Min):
		return errf("Invalid SMP CPUs %d. The min CPUs supported by machine '%s' is %d",
			int32(t.CPUs), l.Machine, l.Min)
	case int64(t.MaxCPUs) > int64(l.Max):
		return errf("Invalid SMP CPUs %d. The max CPUs supported by machine '%s' is %d",
			int32(t.MaxCPUs), l.Machine, l.Max)
	}
	return nil
}

func (l SMPLimits) hierarchy(t Topology) string {
	s := fmt.Sprintf("sockets (%d)", t.Sockets)
	if l.Dies {
		s += fmt.Sprintf(" * dies (%d)", t.Dies)
	}
	if l.Clusters {
		s += fmt.Sprintf(" * clusters (%d)", t.Clusters)
	}
	return s + fmt.Sprintf(" * cores (%d) * threads (%d)", t.Cores, t.Threads)
}

// div is a / b, and 0 where the 32-bit product b has wrapped to 0.
func div(a, b uint32) uint32 {
	if b == 0 {
		return 0
	}
	return a / b
}
