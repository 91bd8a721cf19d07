// Command rig builds and runs the machine with real KVM and real vhost-vdpa
// that package rig describes.
//
//	rig build                  prepare the cache
//	rig run [flags] -- CMD...  boot it and run a command inside
//	rig test [flags]           boot it and run the scenario tests inside
//	rig bench [flags]          boot it and compare gqemu with Debian's QEMU
//
// Its exit code is the command's own; 124 when the time is over, 125 when the
// rig itself failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gqemu/gqemu/tests/rig"
	"github.com/gqemu/gqemu/tests/rig/l1"
)

// Exit codes of the rig's own, chosen as timeout(1) does.
const (
	exitTimeout = 124
	exitFailed  = 125
)

var errTimeout = errors.New("the time is over")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

const usage = "usage: rig build | run [flags] -- CMD... | test [flags] | bench [flags]"

func run(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		return exitFailed, errors.New(usage)
	}
	checkout, err := rig.Checkout()
	if err != nil {
		return exitFailed, err
	}
	verbs := map[string]func(context.Context, string, []string) (int, error){
		"build": buildVerb, "run": runVerb, "test": testVerb, "bench": benchVerb,
	}
	verb := verbs[args[0]]
	if verb == nil {
		return exitFailed, errors.New(usage)
	}
	return verb(ctx, checkout, args[1:])
}

func buildVerb(ctx context.Context, checkout string, args []string) (int, error) {
	if len(args) != 0 {
		return exitFailed, errors.New(usage)
	}
	a, err := rig.Build(ctx, checkout, os.Stderr)
	if err != nil {
		return exitFailed, err
	}
	fmt.Printf("%s with kernel %s\n", a.Dir, a.Release)
	return 0, nil
}

// machine are the flags that all verbs with a machine share.
type machine struct {
	memory, cpus int
	timeout      time.Duration
	console      bool
	shares       shareFlag
	args         string
	append       string
	bare         bool
	hardware     rig.Hardware
}

func (m *machine) flags(name string, memory int, timeout time.Duration) *flag.FlagSet {
	fs := flag.NewFlagSet("rig "+name, flag.ContinueOnError)
	fs.IntVar(&m.memory, "m", memory, "L1's memory in `MiB`; 0 lets the verb choose")
	fs.IntVar(&m.cpus, "smp", 2, "L1's CPUs")
	fs.DurationVar(&m.timeout, "timeout", timeout, "kill the machine after this `time`")
	fs.BoolVar(&m.console, "console", false, "show L1's console on stderr")
	fs.Var(&m.shares, "share", "share `host=path[,ro]`; may be repeated")
	fs.StringVar(&m.args, "qemu", "", "more `arguments` for L1's emulator, separated by spaces")
	fs.StringVar(&m.append, "append", "", "more of L1's kernel command line")
	fs.BoolVar(&m.bare, "bare", false, "do not create the vDPA devices blk0 and net0")
	fs.BoolVar(&m.hardware.VirtioPCI, "virtio-pci", false, "give L1 an IOMMU and a disk for vp_vdpa")
	fs.BoolVar(&m.hardware.Disk, "disk", false, "give L1 an empty disk")
	return fs
}

type shareFlag []rig.Share

func (f *shareFlag) String() string { return "" }

func (f *shareFlag) Set(text string) error {
	host, path, ok := strings.Cut(text, "=")
	if !ok || !filepath.IsAbs(host) {
		return errors.New("want /host/path=/path/in/l1[,ro]")
	}
	path, ro := strings.CutSuffix(path, ",ro")
	if !filepath.IsAbs(path) {
		return errors.New("the path in L1 must be absolute")
	}
	*f = append(*f, rig.Share{Host: host, Path: path, ReadOnly: ro})
	return nil
}

// inside builds, boots and runs one command with the terminal's streams.
func (m *machine) inside(ctx context.Context, checkout string, c rig.Cmd) (int, error) {
	a, err := rig.Build(ctx, checkout, os.Stderr)
	if err != nil {
		return exitFailed, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.timeout, fmt.Errorf("%w (%v)", errTimeout, m.timeout))
	defer cancel()
	opts := rig.Options{
		Artifacts: a, MemoryMiB: m.memory, CPUs: m.cpus, Shares: m.shares,
		Args: strings.Fields(m.args), Append: m.append, Bare: m.bare,
		Hardware: m.hardware,
	}
	if m.console {
		opts.Console = os.Stderr
	}
	start := time.Now()
	vm, err := rig.Boot(ctx, opts)
	if err != nil {
		return exitFailed, err
	}
	defer vm.Close()
	fmt.Fprintf(os.Stderr, "rig: L1 is up after %.1f s: kernel %s, %d CPUs, %d MiB\n",
		time.Since(start).Seconds(), a.Release, m.cpus, m.memory)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	code, err := vm.Run(ctx, c)
	switch {
	case errors.Is(err, errTimeout):
		return exitTimeout, err
	case err != nil && code <= 0:
		return exitFailed, err
	}
	return code, err
}

func runVerb(ctx context.Context, checkout string, args []string) (int, error) {
	var m machine
	fs := m.flags("run", rig.DefaultMemoryMiB, 30*time.Minute)
	if err := fs.Parse(args); err != nil {
		return exitFailed, nil
	}
	if fs.NArg() == 0 {
		return exitFailed, errors.New(usage)
	}
	dir, err := os.Getwd()
	if err != nil {
		return exitFailed, err
	}
	return m.inside(ctx, checkout, rig.Cmd{Args: fs.Args(), Dir: dir})
}

// compile makes the test program and, unless vmm names another, gqemu.
func compile(ctx context.Context, checkout, vmm string) (test, binary string, err error) {
	cache := filepath.Join(checkout, ".cache", "rig")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", "", err
	}
	test, binary = filepath.Join(cache, "l1.test"), vmm
	if err := goTool(ctx, checkout, "test", "-c", "-o", test, "./tests/rig/l1"); err != nil {
		return "", "", err
	}
	if binary == "" {
		binary = filepath.Join(cache, "gqemu")
		if err := goTool(ctx, checkout, "build", "-o", binary, "./cmd/gqemu"); err != nil {
			return "", "", err
		}
	}
	binary, err = filepath.Abs(binary)
	return test, binary, err
}

func goTool(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	// No C inside: the programs also run where only the kernel is the same.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = io.Discard, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("rig: go %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func testVerb(ctx context.Context, checkout string, args []string) (int, error) {
	var m machine
	fs := m.flags("test", 0, time.Hour)
	full := fs.Bool("full", false, "the whole matrix and the long counts, not one of each")
	pattern := fs.String("run", "", "only the tests that match this `regexp`, in one L1")
	interrupts := fs.Int("interrupts", 0, "how many interrupts the test for lost ones waits for, each way; as many as fit into 25 s when 0")
	vmm := fs.String("vmm", "", "the VMM to test; gqemu is built when this is empty")
	if err := fs.Parse(args); err != nil || fs.NArg() != 0 {
		return exitFailed, err
	}
	test, binary, err := compile(ctx, checkout, *vmm)
	if err != nil {
		return exitFailed, err
	}
	env := []string{"GQEMU_BINARY=" + binary}
	if *interrupts > 0 {
		env = append(env, "GQEMU_RIG_INTERRUPTS="+strconv.Itoa(*interrupts))
	}
	if *full {
		env = append(env, "GQEMU_RIG_FULL=1")
	}
	units := l1.Units(*full)
	if *pattern != "" {
		if units, err = l1.Matching(*pattern); err != nil {
			return exitFailed, err
		}
	}
	asked, worst := m, 0
	for _, u := range units {
		m = asked.forUnit(u)
		code, err := m.unit(ctx, checkout, test, env, u)
		if err != nil {
			fmt.Fprintf(os.Stderr, "rig: %s: %v\n", u.Name, err)
		}
		if ctx.Err() != nil {
			return exitFailed, context.Cause(ctx)
		}
		if code != 0 {
			fmt.Fprintf(os.Stderr, "rig: %s: FAIL (%d)\n", u.Name, code)
		}
		worst = max(worst, code)
	}
	if *pattern == "" {
		m = asked
		code, err := m.kernelUnit(ctx, checkout)
		if err != nil || code != 0 {
			fmt.Fprintf(os.Stderr, "rig: vDPA backend: FAIL (%d) %v\n", code, err)
		}
		worst = max(worst, code)
	}
	return worst, nil
}

// forUnit is the machine that a unit needs, with what the flags ask for.
func (m machine) forUnit(u l1.Unit) machine {
	if m.memory == 0 {
		m.memory = u.MemoryMiB
	}
	m.hardware.VirtioPCI = m.hardware.VirtioPCI || u.VirtioPCI
	m.hardware.Disk = m.hardware.Disk || u.Disk
	return m
}

// kernelUnit runs the vDPA device's own tests against the kernel's simulator.
func (m *machine) kernelUnit(ctx context.Context, checkout string) (int, error) {
	test := filepath.Join(checkout, ".cache", "rig", "vdpa.test")
	if err := goTool(ctx, checkout, "test", "-c", "-o", test, "./hw/vdpa"); err != nil {
		return exitFailed, err
	}
	m.memory = rig.DefaultMemoryMiB
	return m.repeat(ctx, checkout, "vDPA backend", rig.Cmd{
		Args: []string{test, "-test.v", "-test.run=Kernel", "-test.timeout=" + m.timeout.String()},
		Dir:  filepath.Join(checkout, "hw", "vdpa"),
		Env:  []string{"GQEMU_VDPA_BLK=/dev/vhost-vdpa-0", "GQEMU_VDPA_NET=/dev/vhost-vdpa-1"},
	})
}

// unit runs some scenario tests in an L1 of their own.
func (m *machine) unit(ctx context.Context, checkout, test string, env []string, u l1.Unit) (int, error) {
	c := rig.Cmd{
		Args: []string{test, "-test.v", "-test.run=" + u.Run, "-test.skip=" + u.Skip, "-test.timeout=" + m.timeout.String()},
		Dir:  filepath.Join(checkout, "tests", "rig", "l1"),
		Env:  env,
	}
	return m.repeat(ctx, checkout, u.Name, c)
}

// repeat runs a command in an L1 of its own, and again when the emulation
// killed that.
func (m *machine) repeat(ctx context.Context, checkout, name string, c rig.Cmd) (code int, err error) {
	err = rig.Repeat(ctx, os.Stderr, func() error {
		fmt.Fprintf(os.Stderr, "rig: %s\n", name)
		var err error
		code, err = m.inside(ctx, checkout, c)
		return err
	})
	return code, err
}

func benchVerb(ctx context.Context, checkout string, args []string) (int, error) {
	var m machine
	fs := m.flags("bench", 0, 2*time.Hour)
	rounds := fs.Int("rounds", 5, "how often each of them starts, or is measured")
	pattern := fs.String("run", ".", "only the benchmarks that match this `regexp`: start, disk, first request")
	vmm := fs.String("vmm", "", "the VMM to measure; gqemu is built when this is empty")
	if err := fs.Parse(args); err != nil || fs.NArg() != 0 {
		return exitFailed, err
	}
	wanted, err := regexp.Compile(*pattern)
	if err != nil {
		return exitFailed, err
	}
	test, binary, err := compile(ctx, checkout, *vmm)
	if err != nil {
		return exitFailed, err
	}
	env := []string{"GQEMU_BINARY=" + binary, "GQEMU_RIG_BENCH=" + strconv.Itoa(*rounds)}
	asked, worst := m, 0
	for _, u := range l1.Benchmarks() {
		if !wanted.MatchString(u.Name) {
			continue
		}
		m := asked.forUnit(u)
		code, err := m.unit(ctx, checkout, test, env, u)
		if err != nil {
			fmt.Fprintf(os.Stderr, "rig: %s: %v\n", u.Name, err)
		}
		if ctx.Err() != nil {
			return exitFailed, context.Cause(ctx)
		}
		worst = max(worst, code)
	}
	return worst, nil
}
