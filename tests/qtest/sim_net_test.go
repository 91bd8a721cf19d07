package qtest

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Feature bits of virtio-net that simNIC asks for (virtio 1.2 section 5.1.3).
const (
	netFeatures = FeatureVersion1 | 1<<3 | 1<<5 | 1<<16 | 1<<17 | 1<<18 | 1<<20 | 1<<23
	netMQ       = 1 << 22
)

// simNIC is a driver of virtio-net: queue pairs and a control queue.
type simNIC struct {
	*VirtioMMIO
	a      Allocator
	header int
	rx, tx []*Vring
	rooms  []map[uint16]uint64 // by queue pair: buffers by chain
	ctrl   *Vring
	ctrlN  int
	out    uint64
}

// simRoom is the size of a receive buffer.
const simRoom = 2048

// startNIC takes the device in a slot to DRIVER_OK. at is memory of its own.
func startNIC(m *Machine, slotN int, at uint64, pairs int, more uint64) *simNIC {
	m.t.Helper()
	n := &simNIC{VirtioMMIO: slot(m, slotN), a: &Alloc{at}, header: 12, ctrlN: 2}
	if id := n.In(VDeviceID); id != 1 {
		m.t.Fatalf("device id %d", id)
	}
	if !n.Init(netFeatures | more) {
		m.t.Fatal("the features are refused")
	}
	if n.Legacy {
		n.header = 10
	}
	if more&netMQ != 0 {
		n.ctrlN = 2 * pairs
	}
	for i := range pairs {
		n.rx = append(n.rx, n.Queue(2*i, 32, n.a))
		n.tx = append(n.tx, n.Queue(2*i+1, 32, n.a))
		n.rooms = append(n.rooms, map[uint16]uint64{})
	}
	n.ctrl = n.Queue(n.ctrlN, 8, n.a)
	n.out = n.a.Take(4096, 4096)
	if st := n.DriverOK(); st&(StatusNeedsReset|StatusDriverOK) != StatusDriverOK {
		m.t.Fatalf("status %#x", st)
	}
	return n
}

// post gives the device receive buffers.
func (n *simNIC) post(pair, count int) {
	n.M.t.Helper()
	for range count {
		at := n.a.Take(simRoom, 16)
		n.rooms[pair][n.rx[pair].Add(Buffer{Addr: at, Len: simRoom, Write: true})] = at
	}
	n.Kick(2 * pair)
}

// send sends a frame and waits until the device has taken it.
func (n *simNIC) send(pair int, f []byte) {
	n.M.t.Helper()
	n.M.Write(n.out, append(make([]byte, n.header), f...))
	n.tx[pair].Add(Buffer{Addr: n.out, Len: uint32(n.header)}, Buffer{Addr: n.out + uint64(n.header), Len: uint32(len(f))})
	n.Kick(2*pair + 1)
	n.tx[pair].Wait()
}

// take gives a frame that was received, if there is one.
func (n *simNIC) take(pair int) ([]byte, bool) {
	n.M.t.Helper()
	id, size, ok := n.rx[pair].Take()
	if !ok {
		return nil, false
	}
	at := n.rooms[pair][id]
	delete(n.rooms[pair], id)
	b := n.M.Read(at, int(size))
	head := make([]byte, n.header)
	if n.header > 10 {
		head[10] = 1 // buffer
	}
	if !bytes.Equal(b[:n.header], head) {
		n.M.t.Errorf("header %x", b[:n.header])
	}
	return b[n.header:], true
}

func (n *simNIC) expect(pair int, want []byte) {
	n.M.t.Helper()
	var got []byte
	n.M.Eventually("a frame", func() (ok bool) {
		got, ok = n.take(pair)
		return ok
	})
	if !bytes.Equal(got, want) {
		n.M.t.Errorf("%d bytes %.20x are received, %d bytes %.20x were sent", len(got), got, len(want), want)
	}
}

// command gives the device a command and returns its answer.
func (n *simNIC) command(b ...byte) byte {
	n.M.t.Helper()
	n.M.Write(n.out, append(bytes.Clone(b), 0xee))
	end := uint64(len(b))
	n.ctrl.Add(Buffer{Addr: n.out, Len: 2}, Buffer{Addr: n.out + 2, Len: uint32(end - 2)}, Buffer{Addr: n.out + end, Len: 1, Write: true})
	n.Kick(n.ctrlN)
	n.ctrl.Wait()
	return n.M.Readb(n.out + end)
}

// mac is the device's address, as it is now.
func (n *simNIC) mac() []byte { n.M.t.Helper(); return n.Config(0, 6) }

func (n *simNIC) link() bool { n.M.t.Helper(); return n.Config(6, 1)[0]&1 != 0 }

// frame makes an Ethernet frame of so many bytes after its header.
func simFrame(to, from []byte, i, n int) []byte {
	return slices.Concat(to, from, []byte{0x88, 0xb5}, simPattern(i, n))
}

var everybody = bytes.Repeat([]byte{0xff}, 6)

// netVersions runs a test with a legacy, a modern and a packed device.
func netVersions(t *testing.T, f func(t *testing.T, more uint64, args ...string)) {
	versions(t, func(t *testing.T, args ...string) { f(t, 0, args...) })
	t.Run("packed", func(t *testing.T) {
		t.Parallel()
		f(t, FeatureRingPacked|FeatureEventIdx, "-global", "virtio-mmio.force-legacy=false")
	})
}

// TestSimNetPair: what a guest sends on one of two devices it receives on the
// other, also after the VM has stopped and gone on.
func TestSimNetPair(t *testing.T) {
	t.Parallel()
	netVersions(t, func(t *testing.T, more uint64, args ...string) {
		m := Start(t, append(Args("-nodefaults -M microvm -object vdpa-sim-net,id=n0,mode=pair,peer=n1 -object vdpa-sim-net,id=n1,mode=pair,peer=n0 "+
			"-device vhost-vdpa-device,vhostdev=/objects/n0 -device vhost-vdpa-device,vhostdev=/objects/n1"), args...)...)
		a, b := startNIC(m, 23, 0x200000, 1, more), startNIC(m, 22, 0x400000, 1, more)
		if !a.link() || !b.link() || bytes.Equal(a.mac(), b.mac()) {
			t.Errorf("links %v and %v, addresses %x and %x", a.link(), b.link(), a.mac(), b.mac())
		}
		a.post(0, 20)
		b.post(0, 20)
		macA, macB := a.mac(), b.mac()
		for i := range 60 {
			a.send(0, simFrame(macB, macA, i, 60+i*20))
			b.send(0, simFrame(everybody, macB, i, 46+i))
			b.expect(0, simFrame(macB, macA, i, 60+i*20))
			a.expect(0, simFrame(everybody, macB, i, 46+i))
			a.post(0, 1)
			b.post(0, 1)
			if i%20 == 10 {
				m.QMP.Must("stop", nil, nil)
				m.QMP.Must("cont", nil, nil)
			}
		}
		b.Interrupts()
		if more&FeatureEventIdx != 0 {
			b.rx[0].SetUsedEvent(0)
		}
		a.send(0, simFrame(b.mac(), a.mac(), 1, 100))
		b.WaitInterrupt(1)
		b.expect(0, simFrame(b.mac(), a.mac(), 1, 100))
		a.send(0, simFrame([]byte{2, 0, 0, 0, 0, 9}, a.mac(), 1, 100))
		m.Eventually("a filtered frame", func() bool { return simCount(m, "/objects/n1", "rx-filtered") == 1 })
		for name, want := range map[string]uint64{"tx-packets": 62, "tx-dropped": 0, "rx-packets": 60, "rx-dropped": 0, "broken-rings": 0} {
			if c := simCount(m, "/objects/n0", name); c != want {
				t.Errorf("%s is %d, want %d", name, c, want)
			}
		}
	})
}

// TestSimNetPairEnds: a peer that comes and goes is told to the driver as the
// link.
func TestSimNetPairEnds(t *testing.T) {
	t.Parallel()
	m := microvm(t, Args("-global virtio-mmio.force-legacy=false -object vdpa-sim-net,id=n0,mode=pair,peer=n1 "+
		"-device vhost-vdpa-device,vhostdev=/objects/n0")...)
	a := startNIC(m, 23, 0x200000, 1, 0)
	for i := range 3 {
		if a.link() {
			t.Error("a link to an object that is not there")
		}
		a.send(0, simFrame(everybody, a.mac(), 1, 100))
		a.Interrupts()
		m.QMP.Must("object-add", map[string]any{"qom-type": "vdpa-sim-net", "id": "n1", "mode": "pair", "peer": "n0"}, nil)
		a.WaitInterrupt(2)
		if !a.link() {
			t.Error("no link to the peer")
		}
		a.send(0, simFrame(everybody, a.mac(), 1, 100))
		m.Eventually("a frame that nobody receives", func() bool { return simCount(m, "/objects/n1", "rx-dropped") == 1 })
		a.Interrupts()
		m.QMP.Must("object-del", map[string]any{"id": "n1"}, nil)
		a.WaitInterrupt(2)
		if c := simCount(m, "/objects/n0", "tx-dropped"); c != uint64(i)+1 {
			t.Errorf("tx-dropped is %d", c)
		}
	}
}

// TestSimNetSocket: two processes exchange frames. One that is killed takes the
// link with it, and its successor brings it back.
func TestSimNetSocket(t *testing.T) {
	t.Parallel()
	netVersions(t, func(t *testing.T, more uint64, args ...string) {
		path := filepath.Join(ShortDir(t), "net")
		start := func(id, props string) *Machine {
			return Start(t, append(Args("-nodefaults -M microvm -device vhost-vdpa-device,vhostdev=/objects/n0 "+
				"-object vdpa-sim-net,id=n0,mode=socket,path="+path+",mac=52:54:00:00:00:0"+id+props), args...)...)
		}
		client := start("1", "")
		a := startNIC(client, 23, 0x200000, 1, more)
		if a.link() {
			t.Error("a link without a server")
		}
		a.post(0, 16)
		for round := range 3 {
			server := start("2", ",server=on")
			b := startNIC(server, 23, 0x200000, 1, more)
			b.post(0, 16)
			client.Eventually("a link", func() bool { return a.link() && b.link() })
			a.WaitInterrupt(2)
			macA, macB := a.mac(), b.mac()
			for i := range 40 {
				there, back := simFrame(macB, macA, i, 46+i*36), simFrame(macA, macB, i, 46+i)
				a.send(0, there)
				b.expect(0, there)
				b.send(0, back)
				a.expect(0, back)
				a.post(0, 1)
				b.post(0, 1)
			}
			// Bursts: nothing is lost while there are buffers.
			for range 4 {
				for i := range 12 {
					a.send(0, simFrame(everybody, macA, i, 1400))
				}
				for i := range 12 {
					b.expect(0, simFrame(everybody, macA, i, 1400))
				}
				b.post(0, 12)
			}
			for _, name := range []string{"rx-dropped", "tx-dropped", "rx-filtered"} {
				if c := simCount(server, "/objects/n0", name); c != 0 {
					t.Errorf("%s is %d", name, c)
				}
			}
			a.Interrupts()
			if round == 1 {
				server.Quit()
			} else {
				server.Kill()
			}
			a.WaitInterrupt(2)
			client.Eventually("no link", func() bool { return !a.link() })
		}
	})
}

// TestSimNetControl: the control queue's commands, where multiqueue has it and
// where it is without, and what they do to what is received; all of it stays
// while the VM stands and ends with a reset.
func TestSimNetControl(t *testing.T) {
	t.Parallel()
	netVersions(t, func(t *testing.T, more uint64, args ...string) {
		m := Start(t, append(Args("-nodefaults -M microvm -object vdpa-sim-net,id=n0,queue-pairs=2,mac=52:54:00:00:00:01 "+
			"-device vhost-vdpa-device,vhostdev=/objects/n0"), args...)...)
		n := startNIC(m, 23, 0x200000, 2, more|netMQ)
		if b := n.Config(8, 2); !bytes.Equal(b, []byte{2, 0}) {
			t.Errorf("max_virtqueue_pairs is %x", b)
		}
		want := func(answer byte, b ...byte) {
			t.Helper()
			if s := n.command(b...); s != answer {
				t.Errorf("command %x: %d, want %d", b, s, answer)
			}
		}
		other, group := []byte{2, 0, 0, 0, 0, 9}, []byte{1, 0, 0x5e, 0, 0, 1}
		n.post(0, 12)
		n.post(1, 12)
		// sends tells whether a frame on pair comes back on pair to.
		sends := func(what string, to []byte, pair, on int, received bool) {
			t.Helper()
			f := simFrame(to, n.mac(), 7, 80)
			n.send(pair, f)
			if received {
				n.expect(on, f)
				n.post(on, 1)
			} else if f, ok := n.take(on); ok {
				t.Errorf("%s: %x is received", what, f)
			}
		}
		sends("at first", other, 0, 0, false)
		sends("one pair", everybody, 1, 0, true)
		want(0, 0, 0, 1)
		sends("promiscuous", other, 0, 0, true)
		want(0, 4, 0, 2, 0)
		sends("two pairs", other, 1, 1, true)
		m.QMP.Must("stop", nil, nil)
		m.QMP.Must("cont", nil, nil)
		sends("after stop and cont", other, 1, 1, true)
		want(0, 0, 0, 0)
		sends("not promiscuous", other, 1, 1, false)
		want(0, 0, 1, 0)
		sends("no groups", group, 1, 1, false)
		want(0, slices.Concat([]byte{1, 0, 1, 0, 0, 0}, other, []byte{1, 0, 0, 0}, group)...)
		sends("a table", other, 1, 1, true)
		sends("a table", group, 1, 1, true)
		want(0, 1, 1, 2, 0, 0, 0, 0, 8)
		if mac := n.mac(); !bytes.Equal(mac, []byte{2, 0, 0, 0, 0, 8}) {
			t.Errorf("address %x", mac)
		}
		for _, b := range [][]byte{{0, 0, 1, 1}, {0, 9, 1}, {1, 0, 1, 0, 0, 0}, {1, 1, 2}, {4, 0, 3, 0}, {4, 0, 0, 0}, {4, 0, 1}, {9, 9, 9}} {
			want(1, b...)
		}
		if c := simCount(m, "/objects/n0", "failed-ctrl-commands"); c != 8 {
			t.Errorf("failed-ctrl-commands is %d", c)
		}
		n = startNIC(m, 23, 0x400000, 1, more) // without MQ, on the third queue
		want(1, 4, 0, 2, 0)
		want(0, 0, 0, 1)
		n.post(0, 2)
		f := simFrame(group, n.mac(), 1, 60)
		n.send(0, f)
		n.expect(0, f)
	})
}

// TestSimNetObject: object-add knows the properties, checks them, and leaves
// nothing of what it refuses.
func TestSimNetObject(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	path := filepath.Join(ShortDir(t), "net")
	add := func(props map[string]any) error {
		args := map[string]any{"qom-type": "vdpa-sim-net", "id": "n0"}
		for k, v := range props {
			args[k] = v
		}
		return m.QMP.Execute("object-add", args, nil)
	}
	cycle := func() {
		for want, props := range map[string]map[string]any{
			"vdpa-sim-net: mode=pair needs peer":                               {"mode": "pair"},
			"vdpa-sim-net: mode=socket needs path":                             {"mode": "socket"},
			"vdpa-sim-net: ifname is for mode=tap":                             {"ifname": "x"},
			"vdpa-sim-net: queue-pairs must be 1 to 64":                        {"queue-pairs": 1000},
			"Parameter 'mode' does not accept value 'bridge'":                  {"mode": "bridge"},
			"Failed to bind socket to /nosuch/net: No such file or directory":  {"mode": "socket", "path": "/nosuch/net", "server": true},
			"Parameter 'queue-pairs' expects uint64":                           {"queue-pairs": "x"},
			"UNIX socket path '/" + strings.Repeat("x", 120) + "' is too long": {"mode": "socket", "path": "/" + strings.Repeat("x", 120)},
		} {
			if err := add(props); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%v: %v, want %s", props, err, want)
			}
		}
		for _, props := range []map[string]any{
			{"mode": "pair", "peer": "n1"}, {"mode": "socket", "path": path, "server": true}, {"mode": "socket", "path": path}, {"queue-pairs": 8},
		} {
			if err := add(props); err != nil {
				t.Fatal(err)
			}
			m.QMP.Must("object-del", map[string]any{"id": "n0"}, nil)
		}
	}
	cycle()
	fds := fmt.Sprint(m.FDs())
	for range 20 {
		cycle()
	}
	if now := fmt.Sprint(m.FDs()); now != fds {
		t.Errorf("descriptors %v, were %v", now, fds)
	}
	if err := add(map[string]any{"queue-pairs": 4}); err != nil {
		t.Fatal(err)
	}
	if err := m.QMP.Execute("qom-set", map[string]any{"path": "/objects/n0", "property": "mode", "value": "tap"}, nil); err == nil ||
		!strings.HasSuffix(err.Error(), "cannot change property 'mode' of vdpa-sim-net") {
		t.Errorf("qom-set: %v", err)
	}
}

// TestSimNetTap: frames go between the guest and a tap interface of the host.
func TestSimNetTap(t *testing.T) {
	t.Parallel()
	ip := func(args ...string) error { return exec.Command("ip", args...).Run() }
	name := fmt.Sprintf("gqt%d", time.Now().UnixNano()%1e9)
	if err := ip("tuntap", "add", name, "mode", "tap", "multi_queue", "vnet_hdr"); err != nil {
		t.Skipf("no taps here: %v", err)
	}
	defer func() { _ = ip("link", "del", name) }() // the test's end has deleted it
	m := microvm(t, Args("-global virtio-mmio.force-legacy=false -object vdpa-sim-net,id=n0,mode=tap,queue-pairs=2,ifname="+name+
		" -device vhost-vdpa-device,vhostdev=/objects/n0")...)
	defer m.Quit()
	n := startNIC(m, 23, 0x200000, 2, netMQ)
	n.post(0, 30)
	if err := ip("link", "set", name, "up"); err != nil {
		t.Skipf("interfaces cannot be set up here: %v", err)
	}
	iface, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	const experimental = 0xb588 // 0x88b5, in network order
	host, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, experimental)
	if err != nil {
		t.Skipf("no packet sockets here: %v", err)
	}
	defer syscall.Close(host)
	addr := &syscall.SockaddrLinklayer{Protocol: experimental, Ifindex: iface.Index}
	if err := syscall.Bind(host, addr); err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetsockoptTimeval(host, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 20}); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		there := simFrame(everybody, n.mac(), i, 60+i*100)
		n.send(i%2, there)
		b := make([]byte, 2048)
		if k, _, err := syscall.Recvfrom(host, b, 0); err != nil || !bytes.Equal(b[:k], there) {
			t.Fatalf("the host receives %d bytes, %v; %d were sent", k, err, len(there))
		}
		back := simFrame(n.mac(), iface.HardwareAddr, i, 60+i*90)
		if err := syscall.Sendto(host, back, 0, addr); err != nil {
			t.Fatal(err)
		}
		m.Eventually("the host's frame", func() bool {
			for {
				f, ok := n.take(0)
				if !ok {
					return false
				}
				n.post(0, 1)
				if bytes.Equal(f, back) {
					return true
				}
			}
		})
	}
	// The host takes the interface away.
	n.Interrupts()
	if !n.link() {
		t.Error("no link")
	}
	if err := ip("link", "del", name); err != nil {
		t.Fatal(err)
	}
	n.WaitInterrupt(2)
	if n.link() {
		t.Error("a link to an interface that is gone")
	}
	n.send(0, simFrame(everybody, n.mac(), 1, 60))
	if c := simCount(m, "/objects/n0", "tx-dropped"); c != 1 {
		t.Errorf("tx-dropped is %d", c)
	}
}
