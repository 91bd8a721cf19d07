package l1

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSocketNetwork: two VMMs, whose network devices are joined by a socket,
// and sustained traffic both ways between their guests, also while one is
// stopped for a while.
func TestSocketNetwork(t *testing.T) {
	vdpaOnly(t, isQEMU(Binary()))
	path := filepath.Join(t.TempDir(), "net")
	seconds := "20s"
	if Full() {
		seconds = "5m"
	}
	start := func(t *testing.T, mac, more string) *Guest {
		return Start(t, Config{
			Modern: true, MemoryMiB: 256, CPUs: 1, Tools: true,
			Args: []string{
				"-object", "vdpa-sim-net,id=n0,mac=" + mac + ",mode=socket,path=" + path + more,
				"-device", "vhost-vdpa-device,id=net,vhostdev=/objects/n0",
			},
		}).With(t)
	}
	a := start(t, "52:54:00:00:00:01", ",server=on")
	b := start(t, "52:54:00:00:00:02", "")
	for g, address := range map[*Guest]string{a: "10.9.0.1/24", b: "10.9.0.2/24"} {
		checkBoot(g)
		g.Sh("ip link set eth0 up && ip addr add " + address + " dev eth0")
	}
	sub(t, b, "the other answers", func(g *Guest) { g.Sh("ping -c 5 -W 10 10.9.0.1") })
	sub(t, b, "sustained traffic is the same on both sides", func(b *Guest) {
		a.Sh("( rig-guest serve 10.9.0.1:5000 >/tmp/served 2>&1 ) </dev/null >/dev/null 2>&1 &")
		a.Until("the server serves", "grep -q SERVING /tmp/served", time.Minute)
		b.Sh("( rig-guest send -for " + seconds + " 10.9.0.1:5000 >/tmp/sent 2>&1; : >/tmp/over ) </dev/null >/dev/null 2>&1 &")
		time.Sleep(5 * time.Second)
		a.Run("stop", nil)
		time.Sleep(2 * time.Second)
		a.Run("cont", nil)
		b.Until("the traffic ends", "test -e /tmp/over", 20*time.Minute)
		sent, served := b.Sh("cat /tmp/sent"), a.Sh("cat /tmp/served")
		b.T.Logf("%s; %s", sent, served)
		if !strings.Contains(sent, "SENT ") {
			b.Fatalf("%s; %s", sent, served)
		}
	})
	sub(t, a, "poweroff ends the VMM", checkPoweroff)
	sub(t, b, "the other lives on without it", func(g *Guest) {
		g.Try("ping -c 2 -W 2 10.9.0.1") // nobody answers
		checkPoweroff(g)
	})
}
