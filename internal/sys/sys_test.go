package sys

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestIoctlNumbersMatchTheKernels(t *testing.T) {
	if got := IOR[[4]byte]('T', 0x30); got != unix.TIOCGPTN {
		t.Errorf("IOR = %#x, want TIOCGPTN %#x", got, unix.TIOCGPTN)
	}
	if got := IOW[int32]('T', 0x31); got != unix.TIOCSPTLCK {
		t.Errorf("IOW = %#x, want TIOCSPTLCK %#x", got, unix.TIOCSPTLCK)
	}
	if got := IO('T', 0x41); got != unix.TIOCGPTPEER {
		t.Errorf("IO = %#x, want TIOCGPTPEER %#x", got, unix.TIOCGPTPEER)
	}
	// KVM_GET_SUPPORTED_CPUID: a structure of 8 bytes before its array.
	if got := IOWRSize(0xae, 5, 8); got != 0xc008ae05 {
		t.Errorf("IOWRSize = %#x", got)
	}
}

func TestIoctlTypedPointer(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	conn, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int32
	var ierr error
	if err := conn.Control(func(fd uintptr) { _, ierr = IoctlPtr(int(fd), unix.TIOCINQ, &n) }); err != nil || ierr != nil {
		t.Fatal(err, ierr)
	}
	if n != 3 {
		t.Errorf("FIONREAD = %d, want 3", n)
	}
	if _, err := Ioctl(-1, unix.TIOCINQ, 0); err != unix.EBADF {
		t.Errorf("ioctl on no descriptor: %v, want EBADF", err)
	}
}

func TestEventfdCountsAndDrains(t *testing.T) {
	e, err := NewEventfd()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if n, err := e.Drain(); n != 0 || err != nil {
		t.Fatalf("fresh: %d, %v", n, err)
	}
	for range 3 {
		if err := e.Signal(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := e.Drain(); n != 3 || err != nil {
		t.Fatalf("after three signals: %d, %v", n, err)
	}
	flags, err := unix.FcntlInt(uintptr(e.FD()), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("flags %#x, %v: it blocks", flags, err)
	}
	flags, err = unix.FcntlInt(uintptr(e.FD()), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v: it is inherited", flags, err)
	}
}

func TestEventfdSignalNeverWaits(t *testing.T) {
	e, err := NewEventfd()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	full := [8]byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if _, err := unix.Write(e.FD(), full[:]); err != nil {
		t.Fatal(err)
	}
	if err := e.Signal(); err != nil {
		t.Errorf("signal at the maximum: %v", err)
	}
}

func threads(t *testing.T) int {
	d, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

func TestEventfdWaitersCostNoThreadAndCloseWakesThem(t *testing.T) {
	const n = 64
	before := threads(t)
	var wg sync.WaitGroup
	var fds []*Eventfd
	errs := make(chan error, n)
	for range n {
		e, err := NewEventfd()
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, e)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				if _, err := e.Wait(); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	time.Sleep(20 * time.Millisecond)
	runtime.GC()
	if grew := threads(t) - before; grew > n/4 {
		t.Errorf("%d waiters cost %d threads", n, grew)
	}
	for _, e := range fds {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if err := e.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
		if err := e.Signal(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Signal after Close: %v", err)
		}
	}
	wg.Wait()
	for range n {
		if err := <-errs; !errors.Is(err, os.ErrClosed) {
			t.Errorf("Wait: %v, want os.ErrClosed", err)
		}
	}
}

func TestEventfdWaitSeesSignals(t *testing.T) {
	e, err := NewEventfd()
	if err != nil {
		t.Fatal(err)
	}
	const total = 1000
	done := make(chan uint64)
	go func() {
		var sum uint64
		for sum < total {
			n, err := e.Wait()
			if err != nil {
				break
			}
			sum += n
		}
		done <- sum
	}()
	for range total {
		if err := e.Signal(); err != nil {
			t.Fatal(err)
		}
	}
	if sum := <-done; sum != total {
		t.Errorf("waited for %d signals of %d", sum, total)
	}
	e.Close()
}

func TestTgkillReachesOneThread(t *testing.T) {
	tid := make(chan int)
	stop := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		tid <- Gettid()
		<-stop
	}()
	id := <-tid
	if err := Tgkill(id, unix.SIGURG); err != nil {
		t.Error(err)
	}
	close(stop)
	if err := Tgkill(1<<22+1, unix.SIGURG); !errors.Is(err, unix.ESRCH) {
		t.Errorf("no such thread: %v, want ESRCH", err)
	}
}
