package l1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Config describes a VMM and its guest. Zero fields have the defaults of the
// comment.
type Config struct {
	Binary    string // GQEMU_BINARY
	Machine   string // microvm
	MemoryMiB int    // 512
	CPUs      int    // 2
	Kernel    string // Debian's bzImage
	Append    string // added to "console=ttyS0 panic=-1"
	CPUModel  string // the VMM's own default
	Modern    bool   // virtio-mmio version 2
	Block     bool   // a block device: vDPA's, or a file for QEMU
	Net       bool   // a network device: vDPA's, or the user network for QEMU
	SimNet    string // the simulated network card that Args makes: its QOM path
	// Socket puts the console on a unix socket instead of stdio.
	Socket bool
	Tools  bool     // the initramfs with ext4, e2fsck and rig-guest
	Env    []string // added to the environment
	// Device is the vDPA device of Block; the kernel's simulator.
	Device string
	// Memlock is RLIMIT_MEMLOCK in bytes; unlimited.
	Memlock int64
	// BlockProps are more properties of the block device, as ",name=value".
	BlockProps string
	Args       []string
}

// VMM is a started VMM.
type VMM struct {
	Config
	QEMU    bool // Debian's, without vDPA
	PID     int
	Started time.Time // when it was executed
	Console *Console
	QMP     *QMP

	t      testing.TB
	dir    string
	cmd    *exec.Cmd
	stderr *syncBuffer
	serial io.WriteCloser

	gone chan struct{} // closed when the process has ended

	mu       sync.Mutex // guards the rest: one command at a time
	commands int        // so far
	booted   int        // the console's mark behind the last boot
}

// syncBuffer is a buffer that the process writes and a test reads.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// qmpSockets is how many monitors a VMM is started with: the kit's and one for
// the test itself.
const qmpSockets = 2

// QMPSocket is the path of the monitor that the kit leaves to the test.
func (v *VMM) QMPSocket() string { return filepath.Join(v.dir, "qmp1") }

// Arguments returns the command line behind the program's name. dir is where
// its sockets and files are.
func (c *Config) Arguments(dir string) []string {
	qemu := isQEMU(c.Binary)
	machine := c.Machine
	if qemu {
		machine += ",accel=kvm" // gqemu takes what is best
	}
	args := []string{
		"-M", machine, "-m", strconv.Itoa(c.MemoryMiB) + "m", "-smp", strconv.Itoa(c.CPUs),
		"-kernel", c.Kernel, "-initrd", initrd(c.Tools),
		"-append", strings.TrimSpace("console=ttyS0 panic=-1 " + c.Append),
		"-nodefaults", "-display", "none",
	}
	if c.Socket {
		args = append(args, "-chardev", "socket,id=console,path="+filepath.Join(dir, "console")+",server=on,wait=on",
			"-serial", "chardev:console")
	} else {
		args = append(args, "-serial", "stdio")
	}
	for i := range qmpSockets {
		args = append(args, "-qmp", fmt.Sprintf("unix:%s/qmp%d,server=on,wait=off", dir, i))
	}
	if c.CPUModel != "" {
		args = append(args, "-cpu", c.CPUModel)
	}
	if c.Modern {
		args = append(args, "-global", "virtio-mmio.force-legacy=false")
	}
	if c.Block {
		if qemu {
			args = append(args, "-drive", "if=none,id=disk,format=raw,file="+filepath.Join(dir, "disk"),
				"-device", "virtio-blk-device,id=blk,drive=disk"+c.BlockProps)
		} else {
			args = append(args, "-device", "vhost-vdpa-device,id=blk,vhostdev="+c.Device+c.BlockProps)
		}
	}
	if c.Net {
		if qemu {
			args = append(args, "-netdev", "user,id=user", "-device", "virtio-net-device,id=net,netdev=user")
		} else {
			args = append(args, "-device", "vhost-vdpa-device,id=net,vhostdev="+vdpaNet)
		}
	}
	return append(args, c.Args...)
}

func (c *Config) defaults() {
	if c.Binary == "" {
		c.Binary = Binary()
	}
	if c.Machine == "" {
		c.Machine = "microvm"
	}
	if c.MemoryMiB == 0 {
		c.MemoryMiB = 512
	}
	if c.CPUs == 0 {
		c.CPUs = 2
	}
	if c.Kernel == "" {
		c.Kernel = bzImage()
	}
	if c.Device == "" {
		c.Device = vdpaBlock
	}
	if isQEMU(c.Binary) {
		// With hardware-reduced ACPI and no EFI Linux's first way to reboot is a
		// jump to the firmware's reset vector, at which QEMU's microvm firmware
		// goes astray. QEMU's documentation asks for a triple fault instead.
		c.Append = strings.TrimSpace(c.Append + " reboot=t")
	}
}

// Start starts a VMM and connects its console and its monitor. It does not
// wait for the guest. The VMM is killed at the end of the test at the latest.
func Start(t testing.TB, c Config) *VMM {
	t.Helper()
	c.defaults()
	// Not the test's own folder: its name may hold a comma, and be long.
	dir, err := os.MkdirTemp("", "vmm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	v := &VMM{
		Config: c, QEMU: isQEMU(c.Binary), Console: NewConsole(),
		t: t, dir: dir, stderr: &syncBuffer{}, gone: make(chan struct{}),
	}
	if v.QEMU && c.Block {
		if err := makeDisk(filepath.Join(v.dir, "disk")); err != nil {
			t.Fatal(err)
		}
	}
	argv := append([]string{c.Binary}, c.Arguments(v.dir)...)
	t.Logf("%s", strings.Join(argv, " "))
	if c.Memlock != 0 {
		// dash's unit is KiB.
		limit := fmt.Sprintf(`ulimit -l %d && exec "$@"`, c.Memlock>>10)
		argv = append([]string{"/bin/sh", "-c", limit, "sh"}, argv...)
	}
	v.cmd = exec.Command(argv[0], argv[1:]...)
	v.cmd.Stderr = v.stderr
	v.cmd.Env = append(os.Environ(), c.Env...)
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := v.start(); err != nil {
		t.Fatalf("%v\nstderr:\n%s", err, v.stderr)
	}
	t.Cleanup(v.kill)
	if err := v.connect(); err != nil {
		v.Fatalf("%v", err)
	}
	return v
}

func makeDisk(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(diskBytes)
}

// start executes the VMM. Its output is read by goroutines that end with it.
func (v *VMM) start() error {
	var stdin, stdout *os.File
	if !v.Socket {
		var err error
		var in, out *os.File
		if in, stdin, err = os.Pipe(); err != nil {
			return err
		}
		if stdout, out, err = os.Pipe(); err != nil {
			return err
		}
		defer in.Close()
		defer out.Close()
		v.cmd.Stdin, v.cmd.Stdout = in, out
		v.serial = stdin
	}
	v.Started = time.Now()
	if err := v.cmd.Start(); err != nil {
		return err
	}
	v.PID = v.cmd.Process.Pid
	go func() {
		// How it ended is in ProcessState.
		_ = v.cmd.Wait()
		close(v.gone)
	}()
	if stdout != nil {
		v.followConsole(stdout)
	}
	return nil
}

// followConsole reads the console into memory and into the results folder.
func (v *VMM) followConsole(r io.ReadCloser) {
	name := strings.NewReplacer("/", "-", " ", "-").Replace(v.t.Name()) + ".console"
	log, err := os.Create(filepath.Join(Results(), name))
	if err != nil {
		v.t.Logf("the console will not be kept: %v", err)
	}
	go func() {
		defer r.Close()
		defer log.Close()
		v.Console.follow(r, log)
	}()
}

// connectTimeout is for a VMM to open its sockets.
const connectTimeout = time.Minute

func (v *VMM) connect() error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	if v.Socket {
		conn, err := v.dial(ctx, "console")
		if err != nil {
			return err
		}
		v.serial = conn
		v.followConsole(conn)
	}
	// The monitor's socket is there from when a dial succeeds.
	conn, err := v.dial(ctx, "qmp1")
	if err != nil {
		return err
	}
	conn.Close()
	v.QMP, err = DialQMP(filepath.Join(v.dir, "qmp0"))
	return err
}

// dial connects to one of the VMM's sockets as soon as it is there.
func (v *VMM) dial(ctx context.Context, name string) (net.Conn, error) {
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "unix", filepath.Join(v.dir, name))
		if err == nil {
			return conn, nil
		}
		select {
		case <-v.gone:
			return nil, fmt.Errorf("the VMM ended before its socket %s was there: %s", name, v.cmd.ProcessState)
		case <-ctx.Done():
			return nil, fmt.Errorf("the VMM's socket %s: %w", name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stderr is what the VMM has printed there so far.
func (v *VMM) Stderr() string { return v.stderr.String() }

// Alive says whether the process runs.
func (v *VMM) Alive() bool {
	select {
	case <-v.gone:
		return false
	default:
		return true
	}
}

// Wait waits for the process to end by itself and returns its exit code, or
// 128+N after signal N.
func (v *VMM) Wait(timeout time.Duration) (int, error) {
	select {
	case <-v.gone:
	case <-time.After(timeout):
		return -1, fmt.Errorf("the VMM still runs after %v", timeout)
	}
	status := v.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

func (v *VMM) kill() {
	// Fails only when it has ended.
	_ = v.cmd.Process.Kill()
	<-v.gone
	if v.serial != nil {
		v.serial.Close()
	}
	if v.QMP != nil {
		v.QMP.Close()
	}
}

// Quit ends the VMM by its monitor, in order to start the next.
func (v *VMM) Quit() error {
	// The reply may or may not come before the end.
	if _, err := v.QMP.Run("quit", nil); err != nil && !errors.Is(err, ErrClosed) {
		return err
	}
	code, err := v.Wait(time.Minute)
	if err == nil && code != 0 {
		err = fmt.Errorf("quit: exit code %d, stderr: %s", code, v.Stderr())
	}
	return err
}

// Report is what to look at when something went wrong.
func (v *VMM) Report() string {
	state := "it runs"
	if !v.Alive() {
		state = "it ended: " + v.cmd.ProcessState.String()
	}
	return fmt.Sprintf("\nthe VMM: %s\n%sits stderr:\n%s\nthe guest's last lines:\n%s",
		state, Threads(v.PID), v.Stderr(), v.Console.Tail(60))
}

// Fatalf fails the test that the VMM was started for, with a Report. It must
// be called by the test's goroutine.
func (v *VMM) Fatalf(format string, args ...any) {
	v.t.Helper()
	v.t.Fatalf(format+"%s", append(args, v.Report())...)
}
