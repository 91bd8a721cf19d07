package chardev

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A server's life: no peer, a peer, data both ways, end of file, the next peer. Filename and the
// events follow, and Close takes the socket away.
func TestServerAcceptsOneClientAfterTheOther(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "mon0", SocketConfig{Path: path, Server: true})
	if got, want := c.Filename(), "disconnected:unix:"+path+",server=on"; got != want {
		t.Errorf("Filename = %q, want %q", got, want)
	}
	if c.FrontendOpen() {
		t.Error("FrontendOpen before Attach")
	}
	fe := attach(t, c)
	if !c.FrontendOpen() {
		t.Error("not FrontendOpen after Attach")
	}
	if n := c.Write(make([]byte, 3*QueueSize)); n != 3*QueueSize {
		t.Errorf("Write without a peer took %d bytes, want all", n)
	}
	var want []Event
	for i := range 3 {
		conn := dial(t, "unix", path)
		want = append(want, EventOpened)
		fe.waitEvents(want...)
		if got, want := c.Filename(), "unix:"+path+",server=on"; got != want {
			t.Errorf("Filename = %q, want %q", got, want)
		}
		fmt.Fprintf(conn, "hello %d\n", i)
		waitFor(t, "input", func() bool { return strings.HasSuffix(fe.input(), fmt.Sprintf("hello %d\n", i)) })
		if n := c.Write([]byte("answer")); n != 6 {
			t.Fatalf("Write = %d", n)
		}
		if got := readString(t, conn, 6); got != "answer" {
			t.Errorf("peer read %q", got)
		}
		conn.Write([]byte("last"))
		conn.Close()
		want = append(want, EventClosed)
		fe.waitEvents(want...)
		if !strings.HasSuffix(fe.input(), "last") {
			t.Errorf("input before the close was lost: %q", fe.input())
		}
		waitFor(t, "disconnected", func() bool { return strings.HasPrefix(c.Filename(), "disconnected:unix:") })
	}
	c.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	if _, ok := r.Get("mon0"); ok {
		t.Error("the closed chardev is still in the registry")
	}
}

// The socket of a successor on the same path survives.
func TestCloseLeavesAnothersSocket(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "a", SocketConfig{Path: path, Server: true})
	mustAdd(t, r, "b", SocketConfig{Path: path, Server: true})
	c.Close()
	dial(t, "unix", path)
}

// A second client waits in the backlog until the first one has gone.
func TestSecondClientWaits(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "c", SocketConfig{Path: path, Server: true})
	fe := attach(t, c)
	one := dial(t, "unix", path)
	fe.waitEvents(EventOpened)
	two := dial(t, "unix", path)
	two.Write([]byte("two"))
	time.Sleep(50 * time.Millisecond)
	if fe.input() != "" {
		t.Fatal("the second client was served")
	}
	one.Write([]byte("one"))
	fe.waitInput("one")
	one.Close()
	fe.waitInput("onetwo")
	fe.waitEvents(EventOpened, EventClosed, EventOpened)
}

// Disconnect drops the peer, also from inside a frontend's call.
func TestDisconnect(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "c", SocketConfig{Path: path, Server: true})
	fe := newRecorder(t)
	fe.hook = func([]byte) { c.Disconnect() }
	c.Attach(fe)
	for range 3 {
		conn := dial(t, "unix", path)
		conn.Write([]byte("x"))
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("peer: %v, want EOF", err)
		}
	}
	waitFor(t, "events", func() bool { return len(fe.got()) == 6 })
}

// Input stops while CanReceive is 0, the peer is held back, and nothing is lost or reordered.
func TestInputBackPressure(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "c", SocketConfig{Path: path, Server: true})
	fe := newRecorder(t)
	fe.room = 0
	c.Attach(fe)
	conn := dial(t, "unix", path)
	var sent bytes.Buffer
	for i := range 300000 {
		sent.WriteByte(byte(i * 7))
	}
	done := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent.Bytes())
		done <- err
	}()
	time.Sleep(50 * time.Millisecond)
	if n := len(fe.input()); n != 0 {
		t.Fatalf("%d bytes came with CanReceive 0", n)
	}
	fe.setRoom(c, 16)
	waitFor(t, "16 bytes", func() bool { return len(fe.input()) == 16 })
	time.Sleep(20 * time.Millisecond)
	if n := len(fe.input()); n != 16 {
		t.Fatalf("%d bytes came with CanReceive 16", n)
	}
	select {
	case <-done:
		t.Fatal("the peer could write 300000 bytes that nobody takes")
	default:
	}
	for size := 1; len(fe.input()) < sent.Len(); size = size*3%10000 + 1 {
		before := len(fe.input())
		fe.setRoom(c, size)
		waitFor(t, "progress", func() bool { return len(fe.input()) >= min(before+size, sent.Len()) })
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if fe.input() != sent.String() {
		t.Error("the input is not what was sent")
	}
}

// A Write that does not fit is cut short, and Writable follows when the peer has read.
func TestOutputBackPressure(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "c", SocketConfig{Path: path, Server: true})
	fe := attach(t, c)
	conn := dial(t, "unix", path)
	fe.waitEvents(EventOpened)
	var want bytes.Buffer
	line := []byte(strings.Repeat("0123456789abcdef", 100))
	var short bool
	for range 10000 {
		n := c.Write(line)
		want.Write(line[:n])
		if n < len(line) {
			if c.Write(line) == 0 { // the writer may have made room in between
				short = true
				break
			}
			t.Skip("the queue emptied meanwhile")
		}
	}
	if !short {
		t.Fatal("Write took 16 MB that nobody reads")
	}
	fe.mu.Lock()
	early := fe.writes
	fe.mu.Unlock()
	if early != 0 {
		t.Errorf("Writable before there was room")
	}
	if got := readString(t, conn, want.Len()); got != want.String() {
		t.Error("the output is not what Write took")
	}
	waitFor(t, "Writable", func() bool { fe.mu.Lock(); defer fe.mu.Unlock(); return fe.writes == 1 })
	if n := c.Write(line); n != len(line) {
		t.Errorf("Write after Writable = %d", n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.Flush(ctx); err != nil {
		t.Errorf("Flush: %v", err)
	}
}

// Flush ends with its context when the peer does not read, and Close does not take long.
func TestFlushAndCloseAreBounded(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "c", SocketConfig{Path: path, Server: true})
	fe := attach(t, c)
	dial(t, "unix", path)
	fe.waitEvents(EventOpened)
	for full := 0; full < 3; {
		if c.Write(make([]byte, 8192)) > 0 {
			full = 0
			continue
		}
		full++
		time.Sleep(10 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := c.Flush(ctx); err != context.DeadlineExceeded {
		t.Errorf("Flush = %v", err)
	}
	start := time.Now()
	c.Close()
	if d := time.Since(start); d < 100*time.Millisecond || d > 3*time.Second {
		t.Errorf("Close took %v, want a tenth of a second here", d)
	}
	fe.waitEvents(EventOpened, EventClosed)
}

// Close writes out what is queued: the reply to "quit" reaches the client.
func TestCloseFlushes(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "c", SocketConfig{Path: path, Server: true})
	fe := attach(t, c)
	conn := dial(t, "unix", path)
	fe.waitEvents(EventOpened)
	want := strings.Repeat("x", QueueSize)
	if n := c.Write([]byte(want)); n != QueueSize {
		t.Fatalf("Write = %d", n)
	}
	got := make(chan string)
	go func() {
		b, _ := io.ReadAll(conn)
		got <- string(b)
	}()
	c.Close()
	if s := <-got; s != want {
		t.Errorf("the peer read %d bytes, want %d", len(s), len(want))
	}
}

// A client that closes its sending half still gets the answers.
func TestHalfClose(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "c", SocketConfig{Path: path, Server: true})
	fe := newRecorder(t)
	fe.hook = func(p []byte) { c.Write([]byte("answer")) }
	c.Attach(fe)
	conn := dial(t, "unix", path).(*net.UnixConn)
	conn.Write([]byte("question"))
	conn.CloseWrite()
	b, err := io.ReadAll(conn)
	if string(b) != "answer" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	fe.waitEvents(EventOpened, EventClosed)
}

// A peer that leaves while the frontend takes nothing does not block the server for good.
func TestDepartureDuringBackPressure(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "c", SocketConfig{Path: path, Server: true})
	fe := newRecorder(t)
	fe.room = 0
	c.Attach(fe)
	conn := dial(t, "unix", path)
	conn.Write([]byte("nobody reads this"))
	fe.waitEvents(EventOpened)
	conn.Close()
	fe.waitEvents(EventOpened, EventClosed)
	dial(t, "unix", path)
	fe.waitEvents(EventOpened, EventClosed, EventOpened)
}

// A peer that closed its sending half only is not dropped: the guest may be slow.
func TestHalfCloseDuringBackPressure(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "c", SocketConfig{Path: path, Server: true})
	fe := newRecorder(t)
	fe.room = 0
	c.Attach(fe)
	conn := dial(t, "unix", path).(*net.UnixConn)
	conn.Write([]byte("patience"))
	conn.CloseWrite()
	time.Sleep(300 * time.Millisecond) // three of this registry's seconds
	fe.setRoom(c, 100)
	fe.waitEvents(EventOpened, EventClosed)
	if fe.input() != "patience" {
		t.Errorf("input %q", fe.input())
	}
}

// The same without any frontend.
func TestDepartureWithoutFrontend(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "c", SocketConfig{Path: path, Server: true})
	conn := dial(t, "unix", path)
	waitFor(t, "connected", func() bool { return !strings.HasPrefix(c.Filename(), "disc") })
	conn.Close()
	waitFor(t, "disconnected", func() bool { return strings.HasPrefix(c.Filename(), "disc") })
}

func TestTwoHundredConnectsLeakNothing(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "c", SocketConfig{Path: path, Server: true})
	fe := attach(t, c)
	before := countFDs(t)
	for i := range 200 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte("x"))
		if i%2 == 0 {
			waitFor(t, "input", func() bool { return len(fe.input()) == i+1 })
		}
		conn.Close()
		waitFor(t, "events", func() bool { return len(fe.got()) == 2*(i+1) })
	}
	if fe.input() != strings.Repeat("x", 200) {
		t.Errorf("%d bytes came", len(fe.input()))
	}
	waitFor(t, "the descriptors of before", func() bool { return countFDs(t) <= before })
	for i, e := range fe.got() {
		if e != Event(i%2) {
			t.Fatalf("event %d is %v", i, e)
		}
	}
}

// Descriptors come with the bytes they were sent with, and those nobody takes are closed.
func TestSCMRights(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "c", SocketConfig{Path: path, Server: true})
	fe := newRecorder(t)
	taken := make(chan []int, 10)
	fe.hook = func(p []byte) {
		if bytes.Contains(p, []byte("take")) {
			taken <- c.TakeFDs()
		}
	}
	c.Attach(fe)
	conn := dial(t, "unix", path).(*net.UnixConn)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	defer pw.Close()
	fe.waitEvents(EventOpened)
	before := countFDs(t)
	send := func(text string, fds ...int) {
		t.Helper()
		if _, _, err := conn.WriteMsgUnix([]byte(text), unix.UnixRights(fds...), nil); err != nil {
			t.Fatal(err)
		}
	}
	send("take two", int(pw.Fd()), int(pr.Fd()))
	fds := <-taken
	if len(fds) != 2 {
		t.Fatalf("TakeFDs = %v", fds)
	}
	if again := c.TakeFDs(); again != nil {
		t.Errorf("TakeFDs twice = %v", again)
	}
	for _, fd := range fds {
		if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
			t.Errorf("fd %d: flags %#x, %v: not close-on-exec", fd, fl, err)
		}
		if fl, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); fl&unix.O_NONBLOCK != 0 {
			t.Errorf("fd %d is non-blocking", fd)
		}
	}
	if _, err := unix.Write(fds[0], []byte("!")); err != nil {
		t.Error(err)
	}
	closeFDs(fds)
	// Left behind, replaced, left behind, and more than one message may carry.
	send("leave", int(pr.Fd()))
	waitFor(t, "leave", func() bool { return strings.HasSuffix(fe.input(), "leave") })
	many := make([]int, 40)
	for i := range many {
		many[i] = int(pr.Fd())
	}
	send("take many", many...)
	if got := <-taken; len(got) == 0 || len(got) > maxFDs {
		t.Errorf("%d descriptors of 40 came", len(got))
	} else {
		closeFDs(got)
	}
	send("abandon", int(pr.Fd()), int(pw.Fd()))
	waitFor(t, "abandon", func() bool { return strings.HasSuffix(fe.input(), "abandon") })
	conn.Close()
	fe.waitEvents(EventOpened, EventClosed)
	waitFor(t, "no descriptor left", func() bool { return countFDs(t) <= before-2 })
}

// wait=on: Add prints QEMU's line and blocks until a client is there.
func TestWaitBlocksUntilAClientComes(t *testing.T) {
	r, msgs := newRegistry(t)
	path := socketPath(t)
	got := make(chan *Chardev)
	go func() {
		c, err := r.Add("c", SocketConfig{Path: path, Server: true, Wait: true})
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	want := "info: QEMU waiting for connection on: disconnected:unix:" + path + ",server=on\n"
	waitFor(t, "the line", func() bool { return msgs.String() == want })
	select {
	case <-got:
		t.Fatal("Add returned without a client")
	case <-time.After(50 * time.Millisecond):
	}
	if _, err := r.Add("c", NullConfig{}); err == nil || err.Error() != "Duplicate ID 'c' for chardev" {
		t.Errorf("Add of the same id: %v", err)
	}
	if _, ok := r.Get("c"); ok || len(r.List()) != 0 {
		t.Error("a chardev that is not open is visible")
	}
	conn := dial(t, "unix", path)
	c := <-got
	if got := c.Filename(); got != "unix:"+path+",server=on" {
		t.Errorf("Filename = %q", got)
	}
	fe := attach(t, c)
	conn.Write([]byte("hi"))
	fe.waitInput("hi")
	conn.Close()
	fe.waitEvents(EventOpened, EventClosed)
	dial(t, "unix", path)
	fe.waitEvents(EventOpened, EventClosed, EventOpened)
}

func TestCloseAllEndsAWait(t *testing.T) {
	r, msgs := newRegistry(t)
	path := socketPath(t)
	errs := make(chan error)
	go func() {
		_, err := r.Add("c", SocketConfig{Path: path, Server: true, Wait: true})
		errs <- err
	}()
	waitFor(t, "the wait", func() bool { return msgs.String() != "" })
	r.CloseAll()
	if err := <-errs; err == nil {
		t.Error("Add succeeded")
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestTCPServer(t *testing.T) {
	r, _ := newRegistry(t)
	c := mustAdd(t, r, "c", SocketConfig{Host: "127.0.0.1", Port: "0", Server: true, Nodelay: true})
	name := c.Filename()
	port, ok := strings.CutPrefix(name, "disconnected:tcp:127.0.0.1:")
	port, ok2 := strings.CutSuffix(port, ",server=on")
	if n, err := strconv.Atoi(port); !ok || !ok2 || err != nil || n == 0 {
		t.Fatalf("Filename = %q", name)
	}
	fe := attach(t, c)
	conn := dial(t, "tcp", "127.0.0.1:"+port)
	fe.waitEvents(EventOpened)
	if got, want := c.Filename(), fmt.Sprintf("tcp:127.0.0.1:%s,server=on <-> %s", port, conn.LocalAddr()); got != want {
		t.Errorf("Filename = %q, want %q", got, want)
	}
	conn.Write([]byte("hi"))
	fe.waitInput("hi")
	conn.Close()
	fe.waitEvents(EventOpened, EventClosed)
	if c.Filename() != name {
		t.Errorf("Filename = %q, want %q", c.Filename(), name)
	}
}

// localhost stands for two addresses, and a server answers on both, one client at a time.
func TestServerOnSeveralAddresses(t *testing.T) {
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skip("no IPv6 here")
	} else {
		l.Close()
	}
	r, _ := newRegistry(t)
	probe, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(probe.Addr().String())
	probe.Close()
	c := mustAdd(t, r, "c", SocketConfig{Port: port, Server: true})
	if got, want := c.Filename(), "disconnected:tcp:0.0.0.0:"+port+",server=on"; got != want {
		t.Errorf("Filename = %q, want %q", got, want)
	}
	fe := attach(t, c)
	for i, host := range []string{"127.0.0.1", "::1", "127.0.0.1"} {
		conn := dial(t, "tcp", net.JoinHostPort(host, port))
		conn.Write([]byte("x"))
		waitFor(t, "input by "+host, func() bool { return len(fe.input()) == i+1 })
		conn.Close()
		waitFor(t, "closed", func() bool { return len(fe.got()) == 2*i+2 })
	}
}

func TestPortRange(t *testing.T) {
	r, _ := newRegistry(t)
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	cfg := SocketConfig{Host: "127.0.0.1", Port: port, Server: true}
	if _, err := r.Add("c", cfg); err == nil || err.Error() != "Failed to find an available port: Address already in use" {
		t.Errorf("taken port: %v", err)
	}
	n, _ := strconv.Atoi(port)
	cfg.To = n + 20
	c := mustAdd(t, r, "c", cfg)
	if strings.Contains(c.Filename(), ":"+port+",") {
		t.Errorf("Filename = %q", c.Filename())
	}
}

func TestClient(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := mustAdd(t, r, "c", SocketConfig{Path: path})
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Filename(); got != "unix:" {
		t.Errorf("Filename = %q", got)
	}
	fe := attach(t, c)
	conn.Write([]byte("hi"))
	fe.waitInput("hi")
	c.Write([]byte("ho"))
	if got := readString(t, conn, 2); got != "ho" {
		t.Errorf("read %q", got)
	}
	conn.Close()
	fe.waitEvents(EventOpened, EventClosed)
	if got := c.Filename(); got != "disconnected:unix:"+path {
		t.Errorf("Filename = %q", got)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the client took the server's socket away: %v", err)
	}
}

// With reconnect= the client reports the first failure only, and comes back after each loss.
func TestReconnect(t *testing.T) {
	r, msgs := newRegistry(t)
	path := socketPath(t)
	c := mustAdd(t, r, "c", SocketConfig{Path: path, Reconnect: 1})
	if got := c.Filename(); got != "disconnected:unix:"+path {
		t.Errorf("Filename = %q", got)
	}
	fe := attach(t, c)
	want := "Unable to connect character device c: Failed to connect to '" + path + "': No such file or directory\n"
	waitFor(t, "the report", func() bool { return msgs.String() == want })
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte("x"))
		conn.Close()
	}
	fe.waitInput("xx")
	if msgs.String() != want {
		t.Errorf("messages %q", msgs.String())
	}
}

// libvirt's form: a listening socket that was inherited.
func TestInheritedListener(t *testing.T) {
	r, _ := newRegistry(t)
	path := socketPath(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	early := dial(t, "unix", path) // libvirt connects before the emulator runs
	c := mustAdd(t, r, "charmonitor", SocketConfig{FD: &fd, Server: true})
	fe := attach(t, c)
	fe.waitEvents(EventOpened)
	if got, want := c.Filename(), "unix:"+path+",server=on"; got != want {
		t.Errorf("Filename = %q, want %q", got, want)
	}
	early.Close()
	fe.waitEvents(EventOpened, EventClosed)
	if got, want := c.Filename(), "disconnected:unix:"+path+",server=on"; got != want {
		t.Errorf("Filename = %q, want %q", got, want)
	}
	dial(t, "unix", path)
	fe.waitEvents(EventOpened, EventClosed, EventOpened)
	c.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("another's socket was unlinked: %v", err)
	}
}

func TestInheritedConnection(t *testing.T) {
	r, _ := newRegistry(t)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	peer := os.NewFile(uintptr(fds[1]), "peer")
	c := mustAdd(t, r, "c", SocketConfig{FD: &fds[0]})
	if got := c.Filename(); got != "unix:" {
		t.Errorf("Filename = %q", got)
	}
	fe := attach(t, c)
	peer.Write([]byte("hi"))
	fe.waitInput("hi")
	peer.Close()
	fe.waitEvents(EventOpened, EventClosed)
	if got, want := c.Filename(), fmt.Sprintf("disconnected:fd:%d", fds[0]); got != want {
		t.Errorf("Filename = %q, want %q", got, want)
	}
}

func TestAbstractSocket(t *testing.T) {
	r, _ := newRegistry(t)
	for _, loose := range []bool{false, true} {
		name := fmt.Sprintf("chardev-test-%d-%v", os.Getpid(), loose)
		addr, tight := "@"+name, ",tight=on"
		if loose {
			addr, tight = addr+strings.Repeat("\x00", 107-len(name)), ""
		}
		c := mustAdd(t, r, "c", SocketConfig{Path: name, Abstract: true, Loose: loose, Server: true})
		if got, want := c.Filename(), "disconnected:unix:"+name+",abstract=on"+tight+",server=on"; got != want {
			t.Errorf("Filename = %q, want %q", got, want)
		}
		fe := attach(t, c)
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: addr})
		if err != nil {
			t.Fatal(err)
		}
		fe.waitEvents(EventOpened)
		if got := c.Filename(); got != "unix:,server=on" {
			t.Errorf("Filename = %q", got)
		}
		conn.Close()
		c.Close()
	}
}
