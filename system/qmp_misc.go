package system

import (
	"context"
	"syscall"

	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qom"
)

// FdsetInfo is one entry of query-fdsets.
type FdsetInfo struct {
	ID  int64         `qapi:"fdset-id"`
	FDs []FdsetFdInfo `qapi:"fds"`
}

// FdsetFdInfo is one descriptor of a set.
type FdsetFdInfo struct {
	FD     int64   `qapi:"fd"`
	Opaque *string `qapi:"opaque,optional"`
}

// AddfdInfo is the result of add-fd.
type AddfdInfo struct {
	ID int64 `qapi:"fdset-id"`
	FD int64 `qapi:"fd"`
}

type addFDArgs struct {
	ID     *int64  `qapi:"fdset-id,optional"`
	Opaque *string `qapi:"opaque,optional"`
}

type removeFDArgs struct {
	ID int64  `qapi:"fdset-id"`
	FD *int64 `qapi:"fd,optional"`
}

type addClientArgs struct {
	Protocol string `qapi:"protocol"`
	FDName   string `qapi:"fdname"`
	SkipAuth *bool  `qapi:"skipauth,optional"`
	TLS      *bool  `qapi:"tls,optional"`
}

// IOThreadInfo is one entry of query-iothreads.
type IOThreadInfo struct {
	ID          string `qapi:"id"`
	ThreadID    int64  `qapi:"thread-id"`
	PollMaxNS   int64  `qapi:"poll-max-ns"`
	PollGrow    int64  `qapi:"poll-grow"`
	PollShrink  int64  `qapi:"poll-shrink"`
	AIOMaxBatch int64  `qapi:"aio-max-batch"`
}

// registerMisc adds commands of QAPI module misc.
func (v *VM) registerMisc() {
	qapi.Register(v.commands, "add-fd", v.addFDCommand)
	register(v, "remove-fd", func(a removeFDArgs) (none, error) { return none{}, v.fdsets.Remove(a.ID, a.FD) })
	register(v, "query-fdsets", func(none) ([]FdsetInfo, error) {
		list := []FdsetInfo{}
		for _, s := range v.fdsets.Query() {
			info := FdsetInfo{ID: s.ID, FDs: []FdsetFdInfo{}}
			for _, f := range s.FDs {
				info.FDs = append(info.FDs, FdsetFdInfo{int64(f.FD), f.Opaque})
			}
			list = append(list, info)
		}
		return list, nil
	})
	qapi.Register(v.commands, "add_client", v.addClient)
	// No clock here makes up for interrupts that a guest missed, so there is
	// no count to forget.
	register(v, "rtc-reset-reinjection", func(none) (none, error) { return none{}, nil })
	register(v, "query-iothreads", func(none) ([]IOThreadInfo, error) {
		list := []IOThreadInfo{}
		for _, o := range qom.HashedChildren(v.objects) {
			if t, ok := o.(*iothread); ok {
				list = append(list, IOThreadInfo{
					ID: t.Name(), ThreadID: int64(t.tid), PollMaxNS: t.pollMaxNS, PollGrow: t.pollGrow,
					PollShrink: t.pollShrink, AIOMaxBatch: t.aioMaxBatch,
				})
			}
		}
		return list, nil
	}, qapi.AllowPreconfig())
}

// addFDCommand puts the descriptor that came with the command into a set.
func (v *VM) addFDCommand(_ context.Context, c *qapi.Call, a addFDArgs) (AddfdInfo, error) {
	fd, ok := -1, false
	if c.Session != nil {
		fd, ok = c.Session.TakeFD()
	}
	if !ok {
		return AddfdInfo{}, qapi.Errorf("No file descriptor supplied via SCM_RIGHTS")
	}
	id, err := v.fdsets.Add(a.ID, fd, a.Opaque)
	if err != nil {
		_ = syscall.Close(fd) // not ours to keep
		return AddfdInfo{}, err
	}
	return AddfdInfo{ID: id, FD: int64(fd)}, nil
}

// addClient gives a connected socket to a display server, of which there are
// none, or to a chardev.
func (v *VM) addClient(_ context.Context, c *qapi.Call, a addClientArgs) (none, error) {
	fd, err := namedFD(c.Session, a.FDName)
	if err != nil {
		return none{}, err
	}
	_ = syscall.Close(fd) // nobody takes it
	if _, ok := v.findChardev(a.Protocol); ok {
		return none{}, qapi.Errorf("failed to add client")
	}
	return none{}, qapi.Errorf("protocol '%s' is invalid", a.Protocol)
}
