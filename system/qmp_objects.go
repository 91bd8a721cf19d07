package system

import (
	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/qapi"
)

// ObjectOptions is the argument of object-add: a type, an id and the type's
// properties. Of QEMU's types these are the ones that exist here.
type ObjectOptions struct {
	Type     objectType                   `qapi:"qom-type,discriminator"`
	ID       string                       `qapi:"id"`
	IOThread *IOThreadProperties          `qapi:",case=iothread"`
	RAM      *MemoryBackendProperties     `qapi:",case=memory-backend-ram"`
	Memfd    *MemoryBackendMemfd          `qapi:",case=memory-backend-memfd"`
	File     *MemoryBackendFileProperties `qapi:",case=memory-backend-file"`
	Builtin  *RngProperties               `qapi:",case=rng-builtin"`
	Random   *RngRandomProperties         `qapi:",case=rng-random"`
	SimBlk   *VdpaSimBlkProperties        `qapi:",case=vdpa-sim-blk"`
	SimNet   *VdpaSimNetProperties        `qapi:",case=vdpa-sim-net"`
}

type objectType string

func (objectType) QAPIName() string { return "ObjectType" }
func (objectType) QAPIEnum() []string {
	return []string{"iothread", "memory-backend-file", "memory-backend-memfd", "memory-backend-ram",
		"rng-builtin", "rng-random", "vdpa-sim-blk", "vdpa-sim-net"}
}

// MemoryBackendProperties are those of every memory backend.
type MemoryBackendProperties struct {
	Dump            *bool          `qapi:"dump,optional"`
	HostNodes       []uint16       `qapi:"host-nodes,optional"`
	Merge           *bool          `qapi:"merge,optional"`
	Policy          *hostMemPolicy `qapi:"policy,optional"`
	Prealloc        *bool          `qapi:"prealloc,optional"`
	PreallocThreads *uint32        `qapi:"prealloc-threads,optional"`
	PreallocContext *string        `qapi:"prealloc-context,optional"`
	Share           *bool          `qapi:"share,optional"`
	Reserve         *bool          `qapi:"reserve,optional"`
	Size            qapi.Size      `qapi:"size"`
	CanonicalPath   *bool          `qapi:"x-use-canonical-path-for-ramblock-id,optional"`
}

// MemoryBackendMemfd is memory on a memfd.
type MemoryBackendMemfd struct {
	MemoryBackendProperties
	Hugetlb     *bool      `qapi:"hugetlb,optional"`
	HugetlbSize *qapi.Size `qapi:"hugetlbsize,optional"`
	Seal        *bool      `qapi:"seal,optional"`
}

// MemoryBackendFileProperties is memory on a file.
type MemoryBackendFileProperties struct {
	MemoryBackendProperties
	Align       *qapi.Size `qapi:"align,optional"`
	Offset      *qapi.Size `qapi:"offset,optional"`
	DiscardData *bool      `qapi:"discard-data,optional"`
	MemPath     string     `qapi:"mem-path"`
	Readonly    *bool      `qapi:"readonly,optional"`
	ROM         *onOffAuto `qapi:"rom,optional"`
}

// IOThreadProperties are the settings of a thread's event loop.
type IOThreadProperties struct {
	AIOMaxBatch   *int64 `qapi:"aio-max-batch,optional"`
	ThreadPoolMin *int64 `qapi:"thread-pool-min,optional"`
	ThreadPoolMax *int64 `qapi:"thread-pool-max,optional"`
	PollMaxNS     *int64 `qapi:"poll-max-ns,optional"`
	PollGrow      *int64 `qapi:"poll-grow,optional"`
	PollShrink    *int64 `qapi:"poll-shrink,optional"`
}

// RngProperties are those of every source of random numbers.
type RngProperties struct {
	Opened *bool `qapi:"opened,optional,deprecated"`
}

// RngRandomProperties is a file with random numbers.
type RngRandomProperties struct {
	RngProperties
	Filename *string `qapi:"filename,optional"`
}

// VdpaSimBlkProperties is a simulated vDPA disk.
type VdpaSimBlkProperties struct {
	NumQueues *uint32    `qapi:"num-queues,optional"`
	Path      *string    `qapi:"path,optional"`
	QueueSize *uint32    `qapi:"queue-size,optional"`
	Readonly  *bool      `qapi:"readonly,optional"`
	Serial    *string    `qapi:"serial,optional"`
	Size      *qapi.Size `qapi:"size,optional"`
}

// VdpaSimNetProperties is a simulated vDPA network card.
type VdpaSimNetProperties struct {
	IfName     *string     `qapi:"ifname,optional"`
	Link       *bool       `qapi:"link,optional"`
	MAC        *string     `qapi:"mac,optional"`
	Mode       *simNetMode `qapi:"mode,optional"`
	MTU        *uint32     `qapi:"mtu,optional"`
	Path       *string     `qapi:"path,optional"`
	Peer       *string     `qapi:"peer,optional"`
	QueuePairs *uint32     `qapi:"queue-pairs,optional"`
	QueueSize  *uint32     `qapi:"queue-size,optional"`
	Server     *bool       `qapi:"server,optional"`
}

type simNetMode string

func (simNetMode) QAPIName() string   { return "VdpaSimNetMode" }
func (simNetMode) QAPIEnum() []string { return []string{"loopback", "pair", "socket", "tap"} }

type onOffAuto string

func (onOffAuto) QAPIName() string   { return "OnOffAuto" }
func (onOffAuto) QAPIEnum() []string { return []string{"auto", "on", "off"} }

type objectDelArgs struct {
	ID string `qapi:"id"`
}

// registerObjects adds object-add and object-del.
func (v *VM) registerObjects() {
	register(v, "object-add", func(args map[string]any) (none, error) {
		props := map[string]any{}
		for name, val := range args {
			if name != "qom-type" && name != "id" {
				props[name] = val
			}
		}
		id := args["id"].(string) // as checked
		if !cli.WellFormedID(id) {
			return none{}, cli.ErrBadID()
		}
		return none{}, v.addObject(args["qom-type"].(string), id, props)
	}, qapi.CheckedArgs[ObjectOptions](), qapi.AllowPreconfig())
	register(v, "object-del", func(a objectDelArgs) (none, error) { return none{}, v.deleteObject(a.ID) },
		qapi.AllowPreconfig())
}
