package system

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/hostmem"
	"github.com/gqemu/gqemu/qom"
)

const (
	maxNodes     = 128
	localDist    = 10 // distance of a node to itself, the least there is
	noHMAT       = "ACPI Heterogeneous Memory Attribute Table (HMAT) is disabled, enable it with -machine hmat=on before using any of hmat specific options"
	noNodeMemory = "Parameter -numa node,mem is not supported by this machine type"
)

// numa is the guest's memory nodes, as -numa describes them.
type numa struct {
	nodes    map[int]*numaNode
	cpus     map[int]int // node by CPU index
	distance map[[2]int]uint8
}

type numaNode struct {
	memory  uint64 // bytes
	backend *hostmem.Backend
}

// parseNUMA understands the -numa options.
func (v *VM) parseNUMA() error {
	v.numa = numa{nodes: map[int]*numaNode{}, cpus: map[int]int{}, distance: map[[2]int]uint8{}}
	for i := range v.cfg.NUMA {
		o := &v.cfg.NUMA[i]
		opt, err := o.Parse()
		if err == nil {
			err = v.setNUMA(opt)
		}
		if err != nil {
			return at(o.Loc, err)
		}
	}
	return nil
}

func (v *VM) setNUMA(opt any) error {
	if !v.class.NUMA {
		return errors.New("NUMA is not supported by this machine-type")
	}
	switch o := opt.(type) {
	case cli.NUMANode:
		return v.addNode(o)
	case cli.NUMADistance:
		return v.numa.setDistance(o)
	case cli.NUMACPU:
		return v.placeCPU(o)
	}
	return errors.New(noHMAT)
}

func (v *VM) addNode(o cli.NUMANode) error {
	n := len(v.numa.nodes)
	if o.ID != nil {
		n = int(*o.ID)
	}
	switch {
	case n >= maxNodes:
		return fmt.Errorf("Max number of NUMA nodes reached: %d", n)
	case v.numa.nodes[n] != nil:
		return fmt.Errorf("Duplicate NUMA nodeid: %d", n)
	case o.Initiator != nil:
		return errors.New(noHMAT)
	}
	maxCPUs := v.machine.Common().SMP.MaxCPUs
	for _, c := range o.CPUs {
		if int(c) >= maxCPUs {
			return fmt.Errorf("CPU index (%d) should be smaller than maxcpus (%d)", c, maxCPUs)
		}
		if err := v.numa.place(int(c), n); err != nil {
			return err
		}
	}
	node := &numaNode{}
	switch {
	case o.Memory && (o.Memdev != "" || v.numa.backends() > 0):
		return errors.New("numa configuration should use either mem= or memdev=,mixing both is not allowed")
	case o.Memory:
		return &cli.DescError{Desc: noNodeMemory, Hint: "Use -numa node,memdev instead\n"}
	case o.Memdev != "":
		b, ok := qom.Child(v.objects, o.Memdev).(*hostmem.Backend)
		if !ok {
			return fmt.Errorf("memdev=%s is ambiguous", o.Memdev)
		}
		node.backend, node.memory = b, b.Size()
	}
	v.numa.nodes[n] = node
	return nil
}

// backends counts the nodes that have a memory backend.
func (n *numa) backends() int {
	count := 0
	for _, node := range n.nodes {
		if node.backend != nil {
			count++
		}
	}
	return count
}

// place puts a CPU into a node.
func (n *numa) place(cpu, node int) error {
	if have, ok := n.cpus[cpu]; ok && have != node {
		return fmt.Errorf("CPU is already assigned to node-id: %d", have)
	}
	n.cpus[cpu] = node
	return nil
}

func (n *numa) setDistance(o cli.NUMADistance) error {
	src, dst := int(o.Src), int(o.Dst)
	between := "Parameter '%s' expects an integer between 0 and %d"
	switch {
	case src >= maxNodes:
		return fmt.Errorf(between, "src", maxNodes-1)
	case dst >= maxNodes:
		return fmt.Errorf(between, "dst", maxNodes-1)
	case n.nodes[src] == nil || n.nodes[dst] == nil:
		return errors.New("Source/Destination NUMA node is missing. Please use '-numa node' option to declare it first.")
	case o.Val < localDist:
		return fmt.Errorf("NUMA distance (%d) is invalid, it shouldn't be less than %d.", o.Val, localDist)
	case src == dst && o.Val != localDist:
		return fmt.Errorf("Local distance of node %d should be %d.", src, localDist)
	}
	n.distance[[2]int{src, dst}] = uint8(o.Val)
	return nil
}

// placeCPU is -numa cpu: all CPUs that match go to a node.
func (v *VM) placeCPU(o cli.NUMACPU) error {
	if o.Node == nil {
		return errors.New("Missing mandatory node-id property")
	}
	if *o.Node < 0 || *o.Node >= maxNodes || v.numa.nodes[int(*o.Node)] == nil {
		return fmt.Errorf("Invalid node-id=%d, NUMA node must be defined with -numa node,nodeid=ID "+
			"before it's used with -numa cpu,node-id=ID", *o.Node)
	}
	smp := v.machine.Common().SMP
	switch {
	case o.Cluster != nil:
		return errors.New("cluster-id is not supported")
	case o.Die != nil && smp.Dies < 2:
		return errors.New("die-id is not supported")
	}
	match := false
	for i := range smp.MaxCPUs {
		socket, die, core, thread := smp.Place(i)
		is := func(want *int64, have int) bool { return want == nil || *want == int64(have) }
		if !is(o.Socket, socket) || !is(o.Die, die) || !is(o.Core, core) || !is(o.Thread, thread) {
			continue
		}
		if err := v.numa.place(i, int(*o.Node)); err != nil {
			return err
		}
		match = true
	}
	if !match {
		return errors.New("no match found")
	}
	return nil
}

// completeNUMA checks the nodes as a whole, once the default memory is made.
func (v *VM) completeNUMA() error {
	if len(v.numa.nodes) == 0 {
		return nil
	}
	last := 0
	for n := range v.numa.nodes {
		last = max(last, n)
	}
	var total uint64
	for n := last; n >= 0; n-- {
		node := v.numa.nodes[n]
		if node == nil {
			return fmt.Errorf("numa: Node ID missing: %d", n)
		}
		total += node.memory
	}
	if size := v.machine.Common().MemorySize; total != size {
		return fmt.Errorf("total memory for NUMA nodes (0x%x) should equal RAM size (0x%x)", total, size)
	}
	if v.numa.backends() > 0 && v.legacy.HasMemoryBackend {
		return errors.New("'-machine memory-backend' and '-numa memdev' properties are mutually exclusive")
	}
	if v.numa.backends() > 1 {
		return fmt.Errorf("machine %s: more than one NUMA node with memory is not supported", v.class.Name)
	}
	for _, node := range v.numa.nodes {
		if node.backend != nil {
			if err := v.useRAM(node.backend); err != nil {
				return err
			}
		}
	}
	if err := v.numa.checkDistances(last + 1); err != nil {
		return err
	}
	v.defaultNodes()
	return nil
}

// checkDistances: where one distance is given, all must be, at least in one
// direction; and in both, where the two differ anywhere.
func (n *numa) checkDistances(nodes int) error {
	if len(n.distance) == 0 {
		return nil
	}
	asymmetric := false
	for src := range nodes {
		for dst := src + 1; dst < nodes; dst++ {
			a, b := n.distance[[2]int{src, dst}], n.distance[[2]int{dst, src}]
			if a == 0 && b == 0 {
				return fmt.Errorf("The distance between node %d and %d is missing, at least one distance value "+
					"between each nodes should be provided.", src, dst)
			}
			asymmetric = asymmetric || a != 0 && b != 0 && a != b
		}
	}
	if !asymmetric {
		return nil
	}
	for src := range nodes {
		for dst := range nodes {
			if src != dst && n.distance[[2]int{src, dst}] == 0 {
				return errors.New("At least one asymmetrical pair of distances is given, please provide distances " +
					"for both directions of all node pairs.")
			}
		}
	}
	return nil
}

// defaultNodes gives CPUs that no option placed a node, with QEMU's warning if
// others were placed.
func (v *VM) defaultNodes() {
	smp := v.machine.Common().SMP
	explicit := len(v.numa.cpus) > 0
	var lost []string
	for i := range smp.MaxCPUs {
		if _, ok := v.numa.cpus[i]; ok {
			continue
		}
		socket, die, core, thread := smp.Place(i)
		if !explicit {
			// The board's own choice: socket by socket.
			v.numa.cpus[i] = socket % len(v.numa.nodes)
			continue
		}
		v.numa.cpus[i] = 0
		at := fmt.Sprintf("socket-id: %d", socket)
		if smp.Dies > 1 {
			at += fmt.Sprintf(", die-id: %d", die)
		}
		lost = append(lost, fmt.Sprintf("CPU %d [%s, core-id: %d, thread-id: %d]", i, at, core, thread))
	}
	if len(lost) > 0 && v.acc.Name() != "qtest" {
		v.rep.Warn(cli.Loc{}, "CPU(s) not present in any NUMA nodes: "+strings.Join(lost, ", "))
		v.rep.Warn(cli.Loc{}, "All CPU(s) up to maxcpus should be described in NUMA config, ability to start up "+
			"with partial NUMA mappings is obsoleted and will be removed in future")
	}
}
