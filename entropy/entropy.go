// Package entropy is the sources of random bytes for guests: objects of the
// types rng-builtin (the host kernel's generator) and rng-random (a file or
// device).
//
// A source is read by a goroutine of its own, since a read may wait for ever;
// the VM does not.
package entropy

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// MaxRequest is the most bytes of one request.
const MaxRequest = 64 << 10

// retryDelay is how long a source that has run dry is left alone.
const retryDelay = 100 * time.Millisecond

// Source is a source of random bytes. Its methods are called with the VM lock
// held, but for those of its goroutine.
type Source struct {
	qom.State
	filename string
	opened   bool

	lock  sync.Locker // the VM lock
	users int         // that hold it, the object's own existence being one
	read  func(p []byte) (int, error)
	close func()

	work    chan *Request // of the goroutine, with room for all requests
	stop    chan struct{}
	done    sync.WaitGroup
	waiting []*Request // that found no room
}

// Request is bytes that somebody has asked for.
type Request struct {
	n       int
	receive func(data []byte)
}

// Cancel forgets the request: its function is not called any more.
func (r *Request) Cancel() { r.receive = nil }

// Complete opens the source. Its user holds it from here until Release.
func (s *Source) Complete(h *qdev.Host) error {
	s.lock = h.Lock
	switch s.TypeName() {
	case "rng-random":
		if err := s.openFile(); err != nil {
			return err
		}
	default:
		s.read, s.close = rand.Read, func() {}
	}
	s.opened, s.users = true, 1
	s.work, s.stop = make(chan *Request, 16), make(chan struct{})
	s.done.Go(s.serve)
	return nil
}

func (s *Source) openFile() error {
	if s.filename == "" {
		return errors.New("Parameter 'filename' expects a valid filename")
	}
	f, err := os.OpenFile(s.filename, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("Could not open '%s': %s", s.filename, errno.Text(err))
	}
	s.read, s.close = f.Read, func() { _ = f.Close() } // nothing was written
	return nil
}

// InUse is part of qdev.UserCreatable. As in QEMU a source may be deleted
// while a device has it; it then goes with the device.
func (s *Source) InUse() bool { return false }

// Hold keeps the source open until the matching Release.
func (s *Source) Hold() { s.users++ }

// Release ends what Complete or Hold began. The last one closes the source, for
// which it gives up the VM lock for a moment: another client that deletes the
// same object meanwhile has nothing left to do.
func (s *Source) Release() {
	if s.users == 0 {
		return
	}
	if s.users--; s.users > 0 {
		return
	}
	close(s.stop)
	s.close()
	s.waiting = nil
	s.lock.Unlock()
	s.done.Wait()
	s.lock.Lock()
}

// Opened tells whether the source can be asked.
func (s *Source) Opened() bool { return s.opened && s.users > 0 }

// Ask asks for 1 to MaxRequest bytes. receive is called once with some of
// them, at least one, with the VM lock held, from the source's goroutine and
// never before Ask returns.
func (s *Source) Ask(n int, receive func(data []byte)) *Request {
	r := &Request{n: min(max(n, 1), MaxRequest), receive: receive}
	// A source that gives nothing must not gather what nobody waits for.
	s.waiting = append(slices.DeleteFunc(s.waiting, func(r *Request) bool { return r.receive == nil }), r)
	s.refill() // behind those that wait already
	return r
}

// serve is the source's goroutine.
func (s *Source) serve() {
	buf := make([]byte, MaxRequest)
	for {
		select {
		case <-s.stop:
			return
		case r := <-s.work:
			n := s.fill(buf[:r.n])
			if n == 0 {
				return
			}
			s.lock.Lock()
			if r.receive != nil && s.users > 0 {
				r.receive(buf[:n])
			}
			s.refill()
			s.lock.Unlock()
		}
	}
}

// refill hands the goroutine what found no room.
func (s *Source) refill() {
	for len(s.waiting) > 0 {
		select {
		case s.work <- s.waiting[0]:
			s.waiting = s.waiting[1:]
		default:
			return
		}
	}
}

// fill reads at least one byte, however long it takes; 0 when the source is
// closed.
func (s *Source) fill(p []byte) int {
	for {
		n, err := s.read(p)
		switch {
		case n > 0:
			return n
		case errors.Is(err, os.ErrClosed):
			return 0
		case err == nil, errors.Is(err, io.EOF), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		default:
			// It may be of another mind later, as a device that comes back.
		}
		select {
		case <-s.stop:
			return 0
		case <-time.After(retryDelay):
		}
	}
}

// RegisterTypes adds the sources. The interface "user-creatable" is registered
// already.
func RegisterTypes(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "rng-backend", Parent: "object", Abstract: true, Interfaces: []string{"user-creatable"},
		Properties: []*qom.Property{
			{Name: "opened", Type: "bool", Get: func(o qom.Object) (any, error) { return o.(*Source).opened, nil }},
		},
	})
	r.Register(qom.Type{Name: "rng-builtin", Parent: "rng-backend", New: func() qom.Object { return new(Source) }})
	filename := qom.Field("filename", func(s *Source) *string { return &s.filename }, "/dev/urandom",
		qom.TypeName("string"), qom.HideDefault())
	set := filename.Set
	filename.Set = func(o qom.Object, v qom.Value) error {
		if o.(*Source).opened {
			return errors.New("Insufficient permission to perform this operation")
		}
		return set(o, v)
	}
	r.Register(qom.Type{
		Name: "rng-random", Parent: "rng-backend", New: func() qom.Object { return new(Source) },
		Properties: []*qom.Property{filename},
	})
}
