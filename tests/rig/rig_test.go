package rig

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gqemu/gqemu/tests/rig/wire"
)

func TestNewestKernelHasHeaders(t *testing.T) {
	images := "linux-image-6.1.0-9-amd64\nlinux-image-6.1.0-56-amd64\nlinux-image-6.1.0-57-amd64\nlinux-image-6.1.0-58-rt-amd64\n"
	headers := "linux-headers-6.1.0-9-amd64\nlinux-headers-6.1.0-56-amd64\nlinux-headers-6.1.0-99-common\n"
	if got, err := chooseKernel([]byte(images), []byte(headers)); err != nil || got != "6.1.0-56" {
		t.Fatalf("%q, %v; want 6.1.0-56", got, err)
	}
	if _, err := chooseKernel([]byte(images), nil); err == nil {
		t.Fatal("a kernel without headers was chosen")
	}
}

func TestModuleClosureIsCompleteAndOnce(t *testing.T) {
	deps, err := parseModulesDep("kernel/a-b.ko: kernel/c.ko kernel/d.ko\nkernel/c.ko: kernel/d.ko\nkernel/d.ko:\n")
	if err != nil {
		t.Fatal(err)
	}
	got, err := deps.closure([]string{"c", "a_b", "a-b"})
	if want := []string{"kernel/c.ko", "kernel/d.ko", "kernel/a-b.ko"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v; want %v", got, err, want)
	}
	if _, err := deps.closure([]string{"nosuch"}); err == nil {
		t.Fatal("a missing module was accepted")
	}
	if _, err := parseModulesDep("no colon"); err == nil {
		t.Fatal("a broken modules.dep was accepted")
	}
}

// A newc archive is read back by the host's cpio when it has one; the layout
// is held in any case.
func TestCpioIsNewc(t *testing.T) {
	w := newCpio()
	w.File("/a/b/file", 0o644, []byte("hello"))
	w.File("a/b/other", 0o600, nil)
	w.Link("a/link", "b/file")
	w.Char("dev/console", 0o600, 5, 1)
	b := w.Bytes()
	if len(b)%512 != 0 {
		t.Errorf("%d bytes are no whole blocks", len(b))
	}
	type entry struct {
		name string
		mode uint64
		data string
	}
	var got []entry
	for off := 0; ; {
		h := string(b[off : off+110])
		if h[:6] != "070701" {
			t.Fatalf("no magic at %d: %q", off, h[:6])
		}
		hex := func(i int) int {
			n := 0
			for _, c := range h[6+8*i : 14+8*i] {
				n = n<<4 | strings.IndexRune("0123456789abcdef", c)
			}
			return n
		}
		size, nameLen := hex(6), hex(11)
		name := string(b[off+110 : off+110+nameLen-1])
		data := (off + 110 + nameLen + 3) &^ 3
		if name == "TRAILER!!!" {
			break
		}
		got = append(got, entry{name, uint64(hex(1)), string(b[data : data+size])})
		off = (data + size + 3) &^ 3
	}
	want := []entry{
		{"a", 0o040755, ""}, {"a/b", 0o040755, ""}, {"a/b/file", 0o100644, "hello"},
		{"a/b/other", 0o100600, ""}, {"a/link", 0o120777, "b/file"},
		{"dev", 0o040755, ""}, {"dev/console", 0o020600, ""},
	}
	if !slices.Equal(got, want) {
		t.Fatalf("entries %+v\nwant %+v", got, want)
	}
}

// fakeImage is a bzImage with nothing but a payload.
func fakeImage(payload []byte) []byte {
	image := make([]byte, 5*512+16)
	image[hdrSetupSects] = 4
	copy(image[hdrMagic:], "HdrS")
	binary.LittleEndian.PutUint16(image[hdrVersion:], 0x20f)
	binary.LittleEndian.PutUint32(image[hdrPayloadOffset:], 16)
	binary.LittleEndian.PutUint32(image[hdrPayloadLength:], uint32(len(payload)+4))
	return append(append(image, payload...), 0, 0, 0, 0)
}

func TestPayloadIsFoundAndBounded(t *testing.T) {
	var z bytes.Buffer
	g := gzip.NewWriter(&z)
	g.Write([]byte("the kernel"))
	g.Close()
	image := fakeImage(z.Bytes())
	payload, err := bzImagePayload(image)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decompress(context.Background(), payload); err != nil || string(got) != "the kernel" {
		t.Fatalf("%q, %v", got, err)
	}
	for name, broken := range map[string][]byte{
		"cut":       image[:len(image)-5],
		"no header": image[:100],
		"no magic":  make([]byte, 4096),
	} {
		if _, err := bzImagePayload(broken); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	far := bytes.Clone(image)
	binary.LittleEndian.PutUint32(far[hdrPayloadOffset:], 0xfffffff0)
	if _, err := bzImagePayload(far); err == nil {
		t.Error("a payload outside the image was accepted")
	}
	if _, err := decompress(context.Background(), []byte("nothing known")); err == nil {
		t.Error("an unknown compression was accepted")
	}
	if err := checkPVH([]byte("\x7fELF")); err == nil {
		t.Error("a broken ELF file was accepted")
	}
}

func TestStageRunsOnceAndAgainWhenItsInputsChange(t *testing.T) {
	dir := t.TempDir()
	b := &builder{Artifacts: &Artifacts{Dir: dir}, log: &bytes.Buffer{}}
	out, runs, key := filepath.Join(dir, "out"), 0, "1"
	s := stage{
		name: "s", outputs: []string{out},
		key: func() (string, error) { return key, nil },
		run: func(context.Context) error {
			runs++
			return os.WriteFile(out, nil, 0o644)
		},
	}
	for i, step := range []struct {
		what   string
		change func()
		want   int
	}{
		{"first", func() {}, 1},
		{"unchanged", func() {}, 1},
		{"new key", func() { key = "2" }, 2},
		{"output gone", func() { os.Remove(out) }, 3},
	} {
		step.change()
		if err := b.runStage(context.Background(), s); err != nil {
			t.Fatal(err)
		}
		if runs != step.want {
			t.Errorf("step %d, %s: run %d times, want %d", i, step.what, runs, step.want)
		}
	}
}

func TestResultsOfRunsAreApart(t *testing.T) {
	dir := t.TempDir()
	for range keptRuns + 3 {
		if _, err := newResults(dir); err != nil {
			t.Fatal(err)
		}
	}
	last, err := newResults(dir)
	if err != nil {
		t.Fatal(err)
	}
	if link, err := os.Readlink(filepath.Join(dir, "last")); err != nil || link != filepath.Base(last) {
		t.Errorf("last is %q, %v; want %s", link, err, filepath.Base(last))
	}
	if runs, _ := filepath.Glob(filepath.Join(dir, "run-*")); len(runs) > keptRuns {
		t.Errorf("%d runs are kept, want %d", len(runs), keptRuns)
	}
}

func TestConsoleKeepsTheLastLines(t *testing.T) {
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	c := &console{log: log}
	defer c.close()
	for range consoleLines + 50 {
		c.Write([]byte("old\r\n"))
	}
	c.Write([]byte("new\r\nno end"))
	if got := c.last(3); got != "old\nnew\nno end" {
		t.Fatalf("%q", got)
	}
}

func TestEmulationFaultIsToldFromOtherDeaths(t *testing.T) {
	for _, c := range []struct {
		console, resets string
		want            bool
	}{
		{"RIP: 0010:__svm_vcpu_run+0x9c/0x210 [kvm_amd]\nKernel panic - not syncing: Fatal exception\n", "", true},
		{"RIP: 0010:vhost_vdpa_ioctl+0x9c/0x210\nKernel panic - not syncing: Fatal exception\n", "", false},
		{"RIP: 0010:__svm_vcpu_run+0x9c/0x210 [kvm_amd]\n", "", false},
		{"BUG: TASK stack guard page was hit at 0\nKernel panic - not syncing: corrupted stack end\n", "", true},
		{"traps: PANIC: double fault\nRIP: 0010:entry_SYSCALL_64+0x0/0x29\nKernel panic - not syncing: Fatal exception in interrupt\n", "", true},
		{"rcu: rcu_preempt kthread timer wakeup didn't happen for 9 jiffies!\nKernel panic - not syncing: RCU Stall\n", "", true},
		{"BUG: soft lockup\nKernel panic - not syncing: softlockup: hung tasks\nRIP: 0010:smp_call_function_many_cond+0xf1/0x330\n", "", true},
		{"BUG: soft lockup\nKernel panic - not syncing: softlockup: hung tasks\nRIP: 0010:vhost_vdpa_ioctl+0xf1/0x330\n", "", false},
		{"Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n", "", false},
		{"", "CPU Reset (CPU 0)\nEAX=00000000\n", false},
		{"", "CPU Reset (CPU 0)\nTriple fault\nCPU Reset (CPU 0)\n", true},
		{"[   20.1] rig: " + wire.LostGuest + "\n", "", true},
	} {
		dir := t.TempDir()
		log, err := os.Create(filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, resetLog), []byte(c.resets), 0o644); err != nil {
			t.Fatal(err)
		}
		m := &L1{results: dir, console: &console{log: log}, goneErr: errors.New("ended")}
		m.console.Write([]byte(c.console))
		m.console.close()
		got := m.goneError()
		if !errors.Is(got, ErrGone) || errors.Is(got, ErrEmulation) != c.want {
			t.Errorf("%q, %q: %v", c.console, c.resets, got)
		}
	}
}

func TestRepeatIsForTheEmulationAlone(t *testing.T) {
	for _, c := range []struct {
		errs []error // of each attempt; nil from then on
		runs int
		ok   bool
	}{
		{nil, 1, true},
		{[]error{ErrGone}, 1, false},
		{[]error{fmt.Errorf("%w: %w", ErrGone, ErrEmulation)}, 2, true},
		{slices.Repeat([]error{ErrEmulation}, Attempts+1), Attempts, false},
	} {
		runs := 0
		err := Repeat(t.Context(), io.Discard, func() error {
			runs++
			if runs <= len(c.errs) {
				return c.errs[runs-1]
			}
			return nil
		})
		if runs != c.runs || (err == nil) != c.ok {
			t.Errorf("%v: %d runs, %v", c.errs, runs, err)
		}
	}
}
