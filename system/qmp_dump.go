package system

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/elfcore"
	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/qapi"
)

type dumpFormat string

func (dumpFormat) QAPIName() string { return "DumpGuestMemoryFormat" }
func (dumpFormat) QAPIEnum() []string {
	return []string{"elf", "kdump-zlib", "kdump-lzo", "kdump-snappy", "kdump-raw-zlib", "kdump-raw-lzo",
		"kdump-raw-snappy", "win-dmp"}
}

type dumpStatus string

func (dumpStatus) QAPIName() string   { return "DumpStatus" }
func (dumpStatus) QAPIEnum() []string { return []string{"none", "active", "completed", "failed"} }

type dumpArgs struct {
	Paging   bool        `qapi:"paging"`
	Protocol string      `qapi:"protocol"`
	Detach   *bool       `qapi:"detach,optional"`
	Begin    *int64      `qapi:"begin,optional"`
	Length   *int64      `qapi:"length,optional"`
	Format   *dumpFormat `qapi:"format,optional"`
}

// DumpQueryResult is the result of query-dump, in bytes.
type DumpQueryResult struct {
	Status    dumpStatus `qapi:"status"`
	Completed int64      `qapi:"completed"`
	Total     int64      `qapi:"total"`
}

// DumpCompletedEvent is the data of DUMP_COMPLETED.
type DumpCompletedEvent struct {
	Result DumpQueryResult `qapi:"result"`
	Error  *string         `qapi:"error,optional"`
}

// DumpCapability is the result of query-dump-guest-memory-capability.
type DumpCapability struct {
	Formats []dumpFormat `qapi:"formats"`
}

// dumpState is the last dump. Guarded by the VM lock, but for written.
type dumpState struct {
	status  dumpStatus // "" for none
	total   int64
	written atomic.Int64
	cancel  context.CancelFunc
	task    sync.WaitGroup // the goroutine that writes
}

func (d *dumpState) active() bool { return d.status == "active" }

func (d *dumpState) result() DumpQueryResult {
	r := DumpQueryResult{Status: d.status, Completed: d.written.Load(), Total: d.total}
	if r.Status == "" {
		r.Status = "none"
	}
	return r
}

// registerDump adds commands of QAPI module dump.
func (v *VM) registerDump() {
	qapi.RegisterEvent[DumpCompletedEvent](v.commands, "DUMP_COMPLETED")
	qapi.Register(v.commands, "dump-guest-memory", v.dumpGuestMemory)
	register(v, "query-dump", func(none) (DumpQueryResult, error) { return v.dump.result(), nil })
	register(v, "query-dump-guest-memory-capability", func(none) (DumpCapability, error) {
		return DumpCapability{Formats: []dumpFormat{"elf"}}, nil
	})
}

func (v *VM) dumpGuestMemory(ctx context.Context, c *qapi.Call, a dumpArgs) (none, error) {
	if v.dump.active() {
		return none{}, errDumping
	}
	if err := a.check(); err != nil {
		return none{}, err
	}
	f, err := v.openDump(ctx, c.Session, a.Protocol)
	if err != nil {
		return none{}, err
	}
	detach := a.Detach != nil && *a.Detach
	done, err := v.startDump(f, a)
	if err != nil {
		f.Close()
		return none{}, err
	}
	if detach {
		return none{}, nil
	}
	v.mu.Unlock()
	select {
	case err = <-done:
	case <-ctx.Done():
	}
	v.mu.Lock()
	return none{}, err
}

var errDumping = qapi.Errorf("There is a dump in process, please wait.")

// check looks at the arguments in QEMU's order.
func (a *dumpArgs) check() error {
	other := a.Format != nil && *a.Format != "elf"
	switch {
	case other && (a.Paging || a.Begin != nil || a.Length != nil):
		return qapi.Errorf("kdump-compressed format doesn't support paging or filter")
	case a.Begin != nil && a.Length == nil:
		return qapi.Errorf("Parameter 'length' is missing")
	case a.Begin == nil && a.Length != nil:
		return qapi.Errorf("Parameter 'begin' is missing")
	case other:
		return qapi.Errorf("%s is not available now", *a.Format)
	}
	return nil
}

// openDump opens what the protocol names. The VM lock may be let go meanwhile.
func (v *VM) openDump(ctx context.Context, s qapi.Session, protocol string) (*os.File, error) {
	if name, ok := strings.CutPrefix(protocol, "fd:"); ok {
		fd, err := namedFD(s, name)
		if err != nil {
			return nil, err
		}
		return outputFile(fd, name), nil
	}
	path, ok := strings.CutPrefix(protocol, "file:")
	if !ok {
		return nil, qapi.Errorf("Invalid parameter 'protocol'")
	}
	f, err := v.createFile(ctx, path, 0o400, v.openFile)
	if err != nil {
		return nil, qapi.Errorf("Could not open '%s': %s", path, errno.Text(err))
	}
	return f, nil
}

// startDump stops the VM and begins to write. done gets the outcome, after the
// VM runs again if it did before. f is closed in the end.
func (v *VM) startDump(f *os.File, a dumpArgs) (done <-chan error, err error) {
	if a.Length != nil && *a.Length <= 0 {
		return nil, qapi.Errorf("Invalid parameter 'length'")
	}
	d := &v.dump
	if d.active() { // another client's, since the lock was let go for the file
		return nil, errDumping
	}
	before := d.status
	d.status = "active" // stop lets other clients in
	running := v.run.Running()
	if err := v.stop(StateSaveVM); err != nil {
		d.status = before
		return nil, err
	}
	if v.ending { // nobody would join the goroutine
		d.status = before
		return nil, qapi.Errorf("dump: the VM comes to its end")
	}
	segments, cpus, err := v.dumpParts(a)
	if err != nil {
		d.status = before
		return nil, errors.Join(err, v.resumeAfterDump(running))
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.total, d.cancel = elfcore.Total(segments), cancel
	d.written.Store(0)
	out := make(chan error, 1)
	d.task.Go(func() {
		defer writeUntil(ctx, f)()
		err := elfcore.Write(ctx, f, cpus, segments, func(n int64) { d.written.Add(n) })
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		cancel()
		out <- v.endDump(err, running)
	})
	return out, nil
}

// endDump tells clients and lets the VM go on.
func (v *VM) endDump(err error, running bool) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	d := &v.dump
	d.status = "completed"
	e := DumpCompletedEvent{}
	if err != nil {
		err = qapi.Errorf("dump: failed to save memory: %s", errno.Text(err))
		d.status = "failed"
		e.Error = ptr(err.Error())
	}
	e.Result = d.result()
	if !v.ending {
		v.post("DUMP_COMPLETED", e)
	}
	return errors.Join(err, v.resumeAfterDump(running))
}

func (v *VM) resumeAfterDump(running bool) error {
	if !running || v.run.state != StateSaveVM {
		return nil
	}
	return v.start()
}

// stopDump ends a dump that is under way. It is called WITHOUT the VM lock,
// before guest memory goes.
func (v *VM) stopDump() {
	v.mu.Lock()
	cancel := v.dump.cancel
	v.mu.Unlock()
	if cancel != nil {
		cancel()
		v.dump.task.Wait()
	}
}

// dumpParts finds guest memory and the CPUs' registers. The VM stands still.
func (v *VM) dumpParts(a dumpArgs) ([]elfcore.Segment, []accel.CoreState, error) {
	var segments []elfcore.Segment
	for _, s := range v.host.Memory.Sections() {
		if !s.IsRAM() {
			continue
		}
		first, data := s.Addr, s.Bytes()
		if a.Begin != nil {
			begin, end := uint64(*a.Begin), uint64(*a.Begin)+uint64(*a.Length)
			if end <= begin || begin > s.Last || end <= first {
				continue
			}
			if begin > first {
				data = data[begin-first:]
				first = begin
			}
			if end < first+uint64(len(data)) {
				data = data[:end-first]
			}
		}
		seg := elfcore.Segment{Phys: first, Data: data}
		if a.Paging {
			seg.Virt = first
		}
		segments = append(segments, seg)
	}
	if len(segments) == 0 {
		return nil, nil, qapi.Errorf("dump: no guest memory to dump")
	}
	var cpus []accel.CoreState
	for _, c := range v.machine.CPUs() {
		state := accel.ResetCoreState()
		if d, ok := c.VCPU.(accel.CoreDumper); ok {
			var err error
			if state, err = d.CoreState(); err != nil {
				return nil, nil, err
			}
		}
		if a.Paging && state.CR[0]>>31 != 0 {
			return nil, nil, qapi.Errorf("this feature or command is not currently supported")
		}
		cpus = append(cpus, state)
	}
	return segments, cpus, nil
}
