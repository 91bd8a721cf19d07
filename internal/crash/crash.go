// Package crash puts right, when the process dies of a mistake in it, what
// would outlive it: above all the settings of the user's terminal.
//
// Goroutines defer [Handle]; whoever has changed something that would outlive
// the process registers the way back with [OnCrash]. A crash that Go's runtime
// ends at once, such as running out of memory, passes this by.
package crash

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

var (
	mu    sync.Mutex
	next  int
	undos = map[int]func(){} // guarded by mu
)

// OnCrash has undo called when the process crashes, until cancel is called. It
// may run on any goroutine, with any lock held, so it must not take one.
func OnCrash(undo func()) (cancel func()) {
	mu.Lock()
	defer mu.Unlock()
	n := next
	next++
	undos[n] = undo
	return func() {
		mu.Lock()
		defer mu.Unlock()
		delete(undos, n)
	}
}

// undo calls all that is registered.
func undo() {
	mu.Lock()
	defer mu.Unlock()
	for _, f := range undos {
		f()
	}
}

// Handle is to be deferred by a goroutine: when it panics, what is registered
// is undone before the process dies of the panic.
func Handle() {
	if r := recover(); r != nil {
		undo()
		panic(r)
	}
}

// Go runs f on a goroutine whose panics are handled.
func Go(f func()) {
	go func() {
		defer Handle()
		f()
	}()
}

// Signals undoes what is registered before a signal takes effect that makes the
// process die with a dump: SIGQUIT and SIGABRT, as others send them. stop ends
// that.
func Signals() (stop func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGQUIT, syscall.SIGABRT)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range ch {
			undo()
			signal.Reset(s)
			// It comes again, with its own effect.
			_ = syscall.Kill(os.Getpid(), s.(syscall.Signal))
		}
	}()
	return func() {
		signal.Stop(ch)
		close(ch)
		<-done
	}
}
