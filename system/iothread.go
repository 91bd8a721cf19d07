package system

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// iothread is the type "iothread": a thread of the process, which clients give
// a place among the host's processors. Devices of this program leave their
// work to the kernel, so the thread only waits.
type iothread struct {
	qom.State
	pollMaxNS, pollGrow, pollShrink, aioMaxBatch int64
	poolMin, poolMax                             int64

	tid  int
	quit chan struct{} // closed by Release
	done chan struct{} // closed when the thread has ended
}

// Complete is part of qdev.UserCreatable. It starts the thread.
func (t *iothread) Complete(*qdev.Host) error {
	t.quit, t.done = make(chan struct{}), make(chan struct{})
	tid := make(chan int)
	go func() {
		defer close(t.done)
		// Never unlocked: the thread ends with the goroutine, and with it
		// the affinity that a client gave it.
		runtime.LockOSThread()
		tid <- unix.Gettid()
		<-t.quit
	}()
	t.tid = <-tid
	return nil
}

// InUse is part of qdev.UserCreatable. Nothing hands work to the thread.
func (t *iothread) InUse() bool { return false }

// Release ends the thread.
func (t *iothread) Release() {
	close(t.quit)
	<-t.done
}

// registerIOThread adds the type.
func registerIOThread(r *qom.Registry) {
	number := func(name string, def int64, field func(*iothread) *int64) *qom.Property {
		p := qom.Field(name, field, def, qom.TypeName("int"), qom.HideDefault())
		p.Set = func(o qom.Object, v qom.Value) error {
			n, err := v.Int(name, 64)
			if err != nil {
				return err
			}
			if n < 0 {
				return fmt.Errorf("%s value must be in range [0, %d]", name, int64(1<<63-1))
			}
			*field(o.(*iothread)) = n
			return nil
		}
		return p
	}
	r.Register(qom.Type{
		Name: "event-loop-base", Parent: "object", Abstract: true, Interfaces: []string{"user-creatable"},
		New: func() qom.Object { return new(iothread) },
		Properties: []*qom.Property{
			number("aio-max-batch", 0, func(t *iothread) *int64 { return &t.aioMaxBatch }),
			number("thread-pool-max", 64, func(t *iothread) *int64 { return &t.poolMax }),
			number("thread-pool-min", 0, func(t *iothread) *int64 { return &t.poolMin }),
		},
	})
	r.Register(qom.Type{
		Name: "iothread", Parent: "event-loop-base",
		Properties: []*qom.Property{
			number("poll-grow", 0, func(t *iothread) *int64 { return &t.pollGrow }),
			number("poll-shrink", 0, func(t *iothread) *int64 { return &t.pollShrink }),
			number("poll-max-ns", 32768, func(t *iothread) *int64 { return &t.pollMaxNS }),
		},
	})
}
