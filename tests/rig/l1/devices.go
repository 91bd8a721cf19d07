package l1

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// addVDPA makes a vDPA device of a management device and returns its character
// device. It is gone at the end of the test.
func addVDPA(t testing.TB, name, management string) string {
	t.Helper()
	tool(t, "vdpa", "dev", "add", "name", name, "mgmtdev", management)
	t.Cleanup(func() {
		if _, err := os.Stat(vdpaDir(name)); err != nil {
			return // the test has deleted it
		}
		if out, err := tryTool("vdpa", "dev", "del", name); err != nil {
			t.Errorf("vdpa dev del %s: %v: %s", name, err, out)
		}
	})
	return vhostPath(t, name)
}

func vdpaDir(name string) string { return "/sys/bus/vdpa/devices/" + name }

// vhostPath is a vDPA device's character device.
func vhostPath(t testing.TB, name string) string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		list, err := filepath.Glob(vdpaDir(name) + "/vhost-vdpa-*")
		if err == nil && len(list) == 1 {
			return "/dev/" + filepath.Base(list[0])
		}
		if time.Now().After(end) {
			t.Fatalf("the vDPA device %s has the character devices %v", name, list)
		}
	}
}

// storageDaemon is Debian's, with one disk image.
type storageDaemon struct {
	cmd    *exec.Cmd
	output *syncBuffer
	gone   chan struct{}
}

// startStorageDaemon exports an image as a VDUSE device and waits until that is
// there.
func startStorageDaemon(t testing.TB, image, name string) *storageDaemon {
	t.Helper()
	d := &storageDaemon{output: &syncBuffer{}, gone: make(chan struct{})}
	d.cmd = exec.Command("qemu-storage-daemon",
		"--blockdev", "driver=file,node-name=disk,filename="+image,
		"--export", "type=vduse-blk,id=export,node-name=disk,writable=on,num-queues=2,queue-size=256,name="+name)
	d.cmd.Stdout, d.cmd.Stderr = d.output, d.output
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait() // how it ended is in ProcessState
		close(d.gone)
	}()
	t.Cleanup(d.kill)
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if _, err := os.Stat("/dev/vduse/" + name); err == nil {
			return d
		}
		select {
		case <-d.gone:
			t.Fatalf("qemu-storage-daemon ended: %v\n%s", d.cmd.ProcessState, d.output)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("no /dev/vduse/%s\n%s", name, d.output)
		}
	}
}

func (d *storageDaemon) kill() {
	_ = d.cmd.Process.Kill() // fails only when it has ended
	<-d.gone
}

// pattern is n bytes that follow from seed.
func pattern(seed byte, n int) []byte {
	b := make([]byte, n)
	x := uint64(seed) + 1
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	return b
}

func sha256Hex(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// readImage reads a part of an image from outside.
func readImage(t testing.TB, path string, offset int64, n int) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, n)
	if _, err := f.ReadAt(data, offset); err != nil {
		t.Fatal(err)
	}
	return data
}

// The two places of an image that is compared from both sides, in MiB; other
// checks do not write there.
const (
	outsideAt = 104 // what L1 wrote there is read by the guest
	insideAt  = 116 // and the other way round
	imageMiB  = 8   // each
)

// checkImage holds what the guest sees of its disk against the image behind
// it, and what the guest writes.
func checkImage(g *Guest, image string, outside []byte) {
	g.T.Helper()
	sum := g.Sh(fmt.Sprintf("dd if=/dev/vda bs=1M skip=%d count=%d iflag=direct status=none | sha256sum", outsideAt, imageMiB))
	if got, want := strings.Fields(sum)[0], sha256Hex(outside); got != want {
		g.Fatalf("the guest reads data with the sum %s, the image has %s", got, want)
	}
	g.Sh(fmt.Sprintf("dd if=/dev/urandom of=/tmp/inside bs=1M count=%d status=none && "+
		"dd if=/tmp/inside of=/dev/vda bs=1M seek=%d conv=notrunc,fsync status=none", imageMiB, insideAt))
	want := strings.Fields(g.Sh("sha256sum /tmp/inside && rm /tmp/inside"))[0]
	inside := readImage(g.T, image, insideAt<<20, imageMiB<<20)
	if got := sha256Hex(inside); got != want {
		g.Fatalf("the image has data with the sum %s, the guest wrote %s", got, want)
	}
	if !bytes.Equal(readImage(g.T, image, outsideAt<<20, imageMiB<<20), outside) {
		g.Fatalf("the image changed where the guest only read")
	}
	g.T.Logf("%d MiB from outside and %d MiB from inside are the same on both sides", imageMiB, imageMiB)
}
