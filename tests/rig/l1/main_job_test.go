package l1

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/go-qemu/qemu"
	"github.com/digitalocean/go-qemu/qmp"
)

// TestMainJob takes one guest with both devices, modern, from its start over a
// reset and a reboot to the power button: three guest boots.
func TestMainJob(t *testing.T) {
	props := ",bootindex=1"
	g := boot(t, Config{Modern: true, Block: true, Net: true, BlockProps: props})

	sub(t, g, "System RAM is what -m says", checkMemory)
	sub(t, g, "virtio-mmio is modern", checkTransport)
	sub(t, g, "bootorder lists the disk", checkBootOrder)
	sub(t, g, "24 MiB survive dropped caches", checkBlock)
	sub(t, g, "tx and rx rise together", checkNet)
	sub(t, g, "the control queue sets the MAC address", checkControlQueue)
	sub(t, g, "virtio_blk reloads ten times without a leak", checkReload)
	sub(t, g, "data survive a stop of 5 s while writing", checkLongStop)
	sub(t, g, "no request hangs over random stop and cont", checkRandomStops)
	sub(t, g, "system_reset boots again and the disk works", checkSystemReset)
	sub(t, g, "the guest's reboot boots again and the disk works", checkReboot)
	sub(t, g, "a go-qemu program powers the guest down", checkGoQEMU)
}

// checkBootOrder: fw_cfg's bootorder, read back in the guest, has the disk
// once, by QEMU's path. Transports are filled from the top, and the disk is
// the first device of the command line. (QEMU's own list begins with the ROM
// that loads the kernel.)
func checkBootOrder(g *Guest) {
	const transport = "/virtio-mmio@00000000feb02e00"
	text := g.Sh("tr '\\0' '\\n' </sys/firmware/qemu_fw_cfg/by_name/bootorder/raw")
	g.T.Logf("bootorder: %q", text)
	if strings.Count(text, transport) != 1 || strings.Count(text, "/virtio-mmio@") != 1 {
		g.Fatalf("bootorder %q, want one device, %s", text, transport)
	}
}

// reloads is how often virtio_blk is unloaded and loaded.
const reloads = 10

// checkReload: the driver comes and goes, and the VMM keeps nothing of it.
func checkReload(g *Guest) {
	reload := func() {
		// Not modprobe -r: busybox's would take what virtio_blk depends on along.
		g.Sh("rmmod virtio_blk && ! test -e /dev/vda && modprobe virtio_blk")
		g.Until("/dev/vda is back", "test -b /dev/vda", 30*time.Second)
		checkDisk(g)
	}
	count := func() Resources {
		r, err := CountResources(g.PID)
		if err != nil {
			g.Fatalf("%v", err)
		}
		return r
	}
	reload() // what is made once and kept is there from now on
	before := count()
	for range reloads - 1 {
		reload()
	}
	after := count()
	g.T.Logf("after 1 reload %+v, after %d %+v", before, reloads, after)
	// Heaps and thread stacks come and go; one leak per reload makes nine.
	slack := 4
	if g.QEMU {
		slack = 64 // its pool of threads for files
	}
	if after.FDs > before.FDs || after.Files > before.Files || after.Maps > before.Maps+slack {
		g.Fatalf("the VMM grew from %+v to %+v", before, after)
	}
}

// checkLongStop: the guest is stopped in the middle of its writes.
func checkLongStop(g *Guest) {
	g.Sh("dd if=/dev/urandom of=/tmp/data bs=1M count=24 status=none; rm -f /tmp/rc")
	// Two copies, in requests of 64 KiB, so that it takes a while.
	g.Sh("( for at in 512 1024; do dd if=/tmp/data of=/dev/vda bs=64k seek=$at conv=notrunc oflag=direct || exit; done; " +
		"echo ok >/tmp/rc ) >/dev/null 2>&1 &")
	time.Sleep(500 * time.Millisecond)
	if g.Try("test -e /tmp/rc") {
		g.Fatalf("the writes were over before the stop: this proves nothing")
	}
	mark := g.QMP.Mark()
	g.Run("stop", nil)
	g.Event(mark, "STOP")
	if s := g.Status(); s != "paused" {
		g.Fatalf("query-status says %s after stop", s)
	}
	time.Sleep(5 * time.Second)
	g.Run("cont", nil)
	g.Event(mark, "RESUME")
	if s := g.Status(); s != "running" {
		g.Fatalf("query-status says %s after cont", s)
	}
	g.Until("the writes are done after cont", "test -e /tmp/rc", time.Minute)
	verifyData(g, 32) // 512 times 64 KiB
	verifyData(g, 64)
	g.Sh("rm /tmp/data")
}

// stressScript writes and reads back for ever, with a count of its rounds and
// of what went wrong.
const stressScript = `rm -f /tmp/stop /tmp/bad /tmp/over; echo 0 >/tmp/n; ` +
	`( n=0; dd if=/dev/urandom of=/tmp/p bs=64k count=1; while [ ! -e /tmp/stop ]; do at=$((16+n%64)); ` +
	`dd if=/tmp/p of=/dev/vda bs=64k seek=$at conv=notrunc oflag=direct || echo write $n >>/tmp/bad; ` +
	`dd if=/dev/vda of=/tmp/q bs=64k skip=$at count=1 iflag=direct || echo read $n >>/tmp/bad; ` +
	`cmp /tmp/p /tmp/q || echo differ $n >>/tmp/bad; n=$((n+1)); echo $n >/tmp/n; done; : >/tmp/over ) >/dev/null 2>&1 &`

// checkRandomStops: stop and cont at random times; the guest's requests go on.
func checkRandomStops(g *Guest) { randomStops(g, 0) }

// randomStops stops the VM each time for at least some time.
func randomStops(g *Guest, least time.Duration) {
	g.T.Helper()
	rounds := 20
	if Full() {
		rounds = 200
	}
	seed := uint64(time.Now().UnixNano())
	g.T.Logf("%d rounds, seed %d", rounds, seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	pause := func(limit time.Duration) { time.Sleep(time.Duration(rnd.Int64N(int64(limit)))) }

	g.Sh(stressScript)
	g.Until("the stress has begun", "test $(cat /tmp/n) -gt 0", time.Minute)
	mark := g.QMP.Mark()
	for range rounds {
		pause(300 * time.Millisecond)
		g.Run("stop", nil)
		time.Sleep(least)
		pause(100 * time.Millisecond)
		g.Run("cont", nil)
	}
	n := g.Number("cat /tmp/n")
	last := g.Sh("cat /tmp/n")
	for end := time.Now().Add(time.Minute); !g.Try("test $(cat /tmp/n) -gt " + last); time.Sleep(time.Second) {
		if time.Now().After(end) {
			g.Fatalf("the stress does not go on after the last cont; the guest's kernel says\n%s", g.Sh("dmesg | tail -n 15"))
		}
	}
	g.Sh(": >/tmp/stop")
	g.Until("the stress ends when told to", "test -e /tmp/over", time.Minute)
	if g.Try("test -e /tmp/bad") {
		g.Fatalf("requests failed:\n%s", g.Sh("head -n 20 /tmp/bad"))
	}
	stops, conts := g.QMP.Count(mark, "STOP"), g.QMP.Count(mark, "RESUME")
	g.T.Logf("%d writes and reads by the last cont, %d STOP, %d RESUME", n, stops, conts)
	if stops != rounds || conts != rounds {
		g.Fatalf("%d STOP and %d RESUME events for %d rounds", stops, conts, rounds)
	}
}

// checkSystemReset: the client resets the machine.
func checkSystemReset(g *Guest) {
	mark := g.QMP.Mark()
	g.Run("system_reset", nil)
	checkReason(g, g.Event(mark, "RESET").Data, false, "host-qmp-system-reset")
	checkBoot(g)
	checkDisk(g)
}

// checkReboot: the guest resets the machine.
func checkReboot(g *Guest) {
	mark := g.QMP.Mark()
	typeLast(g, "reboot -f")
	checkReason(g, g.Event(mark, "RESET").Data, true, "guest-reset")
	checkBoot(g)
	checkDisk(g)
}

// checkGoQEMU: a program on go-qemu's Domain sees version, status and
// commands, presses the power button and gets the events; the guest powers
// itself off and the VMM ends with 0.
func checkGoQEMU(g *Guest) {
	mon, err := qmp.NewSocketMonitor("unix", g.QMPSocket(), 10*time.Second)
	if err != nil {
		g.Fatalf("%v", err)
	}
	defer mon.Disconnect()
	if err := mon.Connect(); err != nil {
		g.Fatalf("connect: %v", err)
	}
	domain, err := qemu.NewDomain(mon, "guest")
	if err != nil {
		g.Fatalf("%v", err)
	}
	version, err := domain.Version()
	if err != nil {
		g.Fatalf("Version: %v", err)
	}
	status, err := domain.Status()
	if err != nil || status != qemu.StatusRunning {
		g.Fatalf("Status: %v, %v", status, err)
	}
	commands, err := domain.Commands()
	if err != nil || !slices.Contains(commands, "system_powerdown") {
		g.Fatalf("Commands: %v, %v", commands, err)
	}
	g.T.Logf("go-qemu: version %s, status %v, %d commands", version, status, len(commands))
	stream, done, err := domain.Events()
	if err != nil {
		g.Fatalf("Events: %v", err)
	}
	defer func() { done <- struct{}{} }()
	if err := domain.SystemPowerdown(); err != nil {
		g.Fatalf("SystemPowerdown: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var names []string
	for !slices.Contains(names, "SHUTDOWN") {
		select {
		case e, ok := <-stream:
			if !ok {
				g.Fatalf("the stream ended after the events %v", names)
			}
			text, _ := json.Marshal(e)
			g.T.Logf("event %s", text)
			names = append(names, e.Event)
			if e.Event == "SHUTDOWN" {
				checkReason(g, e.Data, true, "guest-shutdown")
			}
		case <-ctx.Done():
			g.Fatalf("no SHUTDOWN, only the events %v", names)
		}
	}
	if names[0] != "POWERDOWN" {
		g.Fatalf("events %v, want POWERDOWN first", names)
	}
	checkExit(g)
}
