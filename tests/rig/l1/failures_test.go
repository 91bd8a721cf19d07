package l1

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// stateEvent is the event of gqemu's own for devices that break and recover.
const stateEvent = "__io.github.gqemu_VDPA_DEVICE_STATE"

// queryLimit is how long a query may take while a device misbehaves.
const queryLimit = 5 * time.Second

// checkAnswers: the monitor answers, soon.
func checkAnswers(g *Guest, want string) {
	g.T.Helper()
	start := time.Now()
	if s := g.Status(); s != want {
		g.Fatalf("query-status says %s, want %s", s, want)
	}
	if took := time.Since(start); took > queryLimit {
		g.Fatalf("query-status took %v", took)
	}
}

// checkDeleted: the administrator deletes a vDPA device that is in use. The
// kernel lets him wait until the VMM has closed it and tells nobody; the device
// works as long, and the VMM does not hold it beyond its end.
func checkDeleted(g *Guest, name string) {
	deleted := make(chan error, 1)
	go func() {
		out, err := tryTool("vdpa", "dev", "del", name)
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		deleted <- err
	}()
	select {
	case err := <-deleted:
		g.Fatalf("it was deleted while in use: %v", err)
	case <-time.After(3 * time.Second):
	}
	checkAnswers(g, "running")
	checkDisk(g)
	if err := g.Quit(); err != nil {
		g.Fatalf("%v", err)
	}
	select {
	case err := <-deleted:
		if err != nil {
			g.Fatalf("vdpa dev del: %v", err)
		}
	case <-time.After(30 * time.Second):
		g.Fatalf("the device is not gone 30 s after the VMM's end")
	}
	if _, err := os.Stat(vdpaDir(name)); !os.IsNotExist(err) {
		g.Fatalf("%s: %v", vdpaDir(name), err)
	}
}

// vduseTimeout is what the kernel grants the process behind a VDUSE device for
// an answer; 30 s unless told otherwise.
const vduseTimeout = 5 * time.Second

func setVDUSETimeout(t *testing.T, name string) {
	t.Helper()
	seconds := strconv.Itoa(int(vduseTimeout / time.Second))
	if err := os.WriteFile("/sys/class/vduse/"+name+"/msg_timeout", []byte(seconds), 0); err != nil {
		t.Fatal(err)
	}
}

// checkDaemonKilled: the process behind a VDUSE device dies. The VM runs and
// answers, and so do the guest's console and its other devices.
func checkDaemonKilled(g *Guest, daemon *storageDaemon) {
	daemon.kill()
	g.Sh("( dd if=/dev/vda of=/dev/null bs=1M count=1 iflag=direct ) >/dev/null 2>&1 &")
	for range 5 {
		time.Sleep(time.Second)
		checkAnswers(g, "running")
	}
	g.Sh("test -e /proc/1")
}

// checkDaemonMissed: the kernel says nothing of a process that is gone until it
// is asked for something that this would have to do, and then, after
// vduseTimeout, EIO. The VMM asks for that under its lock: that long its
// monitors wait. Client and guest are told then.
func checkDaemonMissed(g *Guest) {
	mark := g.QMP.Mark()
	start := time.Now()
	g.Run("stop", nil)
	took := time.Since(start)
	g.T.Logf("stop took %.1f s", took.Seconds())
	if took > 2*vduseTimeout+queryLimit {
		g.Fatalf("stop took %v, the kernel waits for %v", took, vduseTimeout)
	}
	e := g.Event(mark, stateEvent)
	g.T.Logf("%s %v", e.Event, e.Data)
	if e.Data["state"] != "broken" {
		g.Fatalf("the event says %v", e.Data)
	}
	g.Run("cont", nil)
	checkAnswers(g, "running")
	status := g.Number("cat /sys/bus/virtio/devices/virtio0/status")
	if status&needsReset == 0 {
		g.Fatalf("the device's status is %#x, without DEVICE_NEEDS_RESET", status)
	}
}

// checkQuit: the client ends the VMM.
func checkQuit(g *Guest) {
	if err := g.Quit(); err != nil {
		g.Fatalf("%v", err)
	}
}
