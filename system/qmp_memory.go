package system

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/hostmem"
	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qom"
)

// MemoryInfo is the result of query-memory-size-summary, in bytes.
type MemoryInfo struct {
	Base    qapi.Size  `qapi:"base-memory"`
	Plugged *qapi.Size `qapi:"plugged-memory,optional"`
}

// Memdev is one entry of query-memdev.
type Memdev struct {
	ID        *string       `qapi:"id,optional"`
	Size      qapi.Size     `qapi:"size"`
	Merge     bool          `qapi:"merge"`
	Dump      bool          `qapi:"dump"`
	Prealloc  bool          `qapi:"prealloc"`
	Share     bool          `qapi:"share"`
	Reserve   *bool         `qapi:"reserve,optional"`
	HostNodes []uint16      `qapi:"host-nodes"`
	Policy    hostMemPolicy `qapi:"policy"`
}

type hostMemPolicy string

func (hostMemPolicy) QAPIName() string { return "HostMemPolicy" }
func (hostMemPolicy) QAPIEnum() []string {
	return []string{"default", "preferred", "bind", "interleave"}
}

// MemoryDeviceInfo is one entry of query-memory-devices: memory in a slot of
// its own. There are no such devices yet, and so no members beyond the kind.
type MemoryDeviceInfo struct {
	Type memoryDeviceKind `qapi:"type"`
}

type memoryDeviceKind string

func (memoryDeviceKind) QAPIName() string { return "MemoryDeviceInfoKind" }
func (memoryDeviceKind) QAPIEnum() []string {
	return []string{"dimm", "nvdimm", "virtio-pmem", "virtio-mem", "sgx-epc", "hv-balloon"}
}

// BalloonInfo is the result of query-balloon.
type BalloonInfo struct {
	Actual int64 `qapi:"actual"`
}

type balloonArgs struct {
	Value int64 `qapi:"value"`
}

type memsaveArgs struct {
	Val      int64  `qapi:"val"`
	Size     int64  `qapi:"size"`
	Filename string `qapi:"filename"`
	CPU      *int64 `qapi:"cpu-index,optional"`
}

type pmemsaveArgs struct {
	Val      int64  `qapi:"val"`
	Size     int64  `qapi:"size"`
	Filename string `qapi:"filename"`
}

// registerMemory adds the commands about memory of QAPI module machine.
func (v *VM) registerMemory() {
	register(v, "query-memory-size-summary", func(none) (MemoryInfo, error) {
		var plugged qapi.Size // nothing here can be plugged
		return MemoryInfo{Base: qapi.Size(v.machine.Common().MemorySize), Plugged: &plugged}, nil
	})
	register(v, "query-memory-devices", func(none) ([]MemoryDeviceInfo, error) { return []MemoryDeviceInfo{}, nil })
	register(v, "query-memdev", func(none) ([]Memdev, error) { return v.memdevs() }, qapi.AllowPreconfig())
	noBalloon := func() error {
		return qapi.ClassErrorf(qapi.DeviceNotActive, "No balloon device has been activated")
	}
	register(v, "query-balloon", func(none) (BalloonInfo, error) { return BalloonInfo{}, noBalloon() })
	register(v, "balloon", func(balloonArgs) (none, error) { return none{}, noBalloon() })
	qapi.Register(v.commands, "memsave", v.memsave)
	qapi.Register(v.commands, "pmemsave", v.pmemsave)
}

// memdevs lists the memory backends, in QEMU's order.
func (v *VM) memdevs() ([]Memdev, error) {
	list := []Memdev{}
	for _, o := range qom.HashedChildren(v.objects) {
		b, ok := o.(*hostmem.Backend)
		if !ok {
			continue
		}
		m := Memdev{ID: ptr(b.Name()), Size: qapi.Size(b.Size()), HostNodes: []uint16{}, Reserve: new(bool)}
		for name, field := range map[string]*bool{
			"merge": &m.Merge, "dump": &m.Dump, "prealloc": &m.Prealloc, "share": &m.Share, "reserve": m.Reserve,
		} {
			val, err := qom.Get(b, name)
			if err != nil {
				return nil, err
			}
			*field = val.(bool) // as declared
		}
		policy, err := qom.Get(b, "policy")
		if err != nil {
			return nil, err
		}
		m.Policy = hostMemPolicy(policy.(string))
		list = append([]Memdev{m}, list...)
	}
	return list, nil
}

// translator is a vCPU that can follow its page tables.
type translator interface {
	// Translate is the guest physical address behind a virtual one.
	Translate(addr uint64) (phys uint64, ok bool)
}

// memsave writes guest virtual memory to a file, as one CPU sees it.
func (v *VM) memsave(ctx context.Context, _ *qapi.Call, a memsaveArgs) (none, error) {
	index := int64(0)
	if a.CPU != nil {
		index = *a.CPU
	}
	cpus := v.machine.CPUs()
	if index < 0 || index >= int64(len(cpus)) {
		return none{}, qapi.Errorf("Parameter 'cpu-index' expects a CPU number")
	}
	translate := func(addr uint64) (uint64, bool) { return addr, true } // paging is off where no code runs
	if t, ok := cpus[index].VCPU.(translator); ok {
		translate = t.Translate
	}
	return none{}, v.saveMemory(ctx, a.Filename, a.Size, func(p []byte, offset int64) (n int, err error) {
		err = v.paused(func() error {
			for n < len(p) {
				addr := uint64(a.Val) + uint64(offset) + uint64(n)
				page := p[n:min(len(p), n+int(guestPage-addr%guestPage))]
				phys, ok := translate(addr)
				if !ok || !v.host.Memory.Access(phys, page, false) {
					return qapi.Errorf("Invalid addr 0x%016x/size %d specified", uint64(a.Val), a.Size)
				}
				n += len(page)
			}
			return nil
		})
		return n, err
	})
}

// pmemsave writes guest physical memory to a file. What is not memory reads as
// devices answer.
func (v *VM) pmemsave(ctx context.Context, _ *qapi.Call, a pmemsaveArgs) (none, error) {
	return none{}, v.saveMemory(ctx, a.Filename, a.Size, func(p []byte, offset int64) (n int, err error) {
		for n < len(p) {
			addr := uint64(a.Val) + uint64(offset) + uint64(n)
			page := p[n:min(len(p), n+int(guestPage-addr%guestPage))]
			v.host.Memory.Access(addr, page, false)
			n += len(page)
		}
		return n, nil
	})
}

// saveMemory is [VM.saveTo] for a file by its name.
func (v *VM) saveMemory(ctx context.Context, filename string, size int64, read func(p []byte, offset int64) (int, error)) error {
	if size < 0 {
		return qapi.Errorf("Parameter 'size' expects a non-negative value")
	}
	f, err := v.createFile(ctx, filename, 0o666, unix.Open)
	if err != nil {
		return qapi.Errorf("Could not open '%s': %s", filename, errno.Text(err))
	}
	return v.saveTo(ctx, f, size, read)
}
