package sim

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/hw/vdpa/vdpatest"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

func pairOf(peer string) map[string]any { return map[string]any{"mode": "pair", "peer": peer} }

// remove deletes an object, as object-del does.
func (k *kit) remove(o qdev.UserCreatable) {
	k.T.Helper()
	k.Do(func() {
		o.Release()
		qom.Unparent(o)
	})
}

// What is sent on one end of a pair is received on the other, in order.
func TestPair(t *testing.T) {
	k := newKit(t)
	k.mustMake("vdpa-sim-net", "n0", pairOf("n1"))
	a := k.nic("n0", nicFeatures)
	if a.link() {
		t.Error("a cable without another end has a link")
	}
	a.send(0, ethernet(broadcast, a.mac(), 60))
	if n := k.count("/objects/n0", "tx-dropped"); n != 1 {
		t.Errorf("%d frames are dropped without a peer", n)
	}
	peer := k.mustMake("vdpa-sim-net", "n1", pairOf("n0"))
	if !a.link() {
		t.Error("no link with a peer")
	}
	a.send(0, ethernet(broadcast, a.mac(), 60))
	k.waitCount("n1", "rx-dropped", 1) // nobody has opened it

	b := k.nic("n1", nicFeatures)
	if a.mac() == b.mac() {
		t.Errorf("both have the address %x", a.mac())
	}
	for i := range 3 * vdpatest.QueueNum {
		b.post(0, 1)
		a.post(0, 1)
		there, back := ethernet(b.mac(), a.mac(), 60+i*20), ethernet(a.mac(), b.mac(), 100+i)
		a.send(0, there)
		b.expect(0, there)
		b.send(0, back)
		a.expect(0, back)
	}
	for i := range vdpatest.QueueNum { // several on their way
		a.post(0, 1)
		b.send(0, ethernet(a.mac(), b.mac(), 60+i))
	}
	for i := range vdpatest.QueueNum {
		a.expect(0, ethernet(a.mac(), b.mac(), 60+i))
	}
	b.send(0, ethernet([6]byte{2, 9}, b.mac(), 60))
	k.waitCount("n0", "rx-filtered", 1)

	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	k.remove(peer)
	if a.link() {
		t.Error("a link to a peer that is gone")
	}
	a.send(0, ethernet(broadcast, a.mac(), 60))
	if n := k.count("/objects/n0", "tx-dropped"); n != 2 {
		t.Errorf("%d frames are dropped", n)
	}
}

// An end of a cable goes into one device.
func TestPairErrors(t *testing.T) {
	k := newKit(t)
	k.mustMake("vdpa-sim-net", "n0", pairOf("n1"))
	k.mustMake("vdpa-sim-net", "loop", nil)
	for _, c := range []struct{ id, peer, want string }{
		{"n2", "n1", "'n1' is the peer of 'n0'"},
		{"n2", "n0", "'n2' is not the peer of 'n0'"},
		{"n1", "n2", "'n1' is the peer of 'n0'"},
		{"n2", "loop", "'n2' is not the peer of 'loop'"},
		{"n2", "n2", "peer must be another object"},
	} {
		if _, err := k.make("vdpa-sim-net", c.id, pairOf(c.peer)); err == nil || err.Error() != "vdpa-sim-net: "+c.want {
			t.Errorf("%s with peer %s: %v", c.id, c.peer, err)
		}
	}
	k.mustMake("vdpa-sim-net", "n1", pairOf("n0"))
}

// Two devices that send all they can to each other, with few buffers and
// resets in between, end when they are told to and lose count of nothing.
func TestPairStorm(t *testing.T) {
	k := newKit(t)
	before := runtime.NumGoroutine()
	ends := []qdev.UserCreatable{k.mustMake("vdpa-sim-net", "n0", pairOf("n1")), k.mustMake("vdpa-sim-net", "n1", pairOf("n0"))}
	nics := []*nic{k.nic("n0", nicFeatures), k.nic("n1", nicFeatures)}
	const frames = 400
	var tasks sync.WaitGroup
	for i, n := range nics {
		tasks.Go(func() {
			f := ethernet(broadcast, [6]byte{2}, 1000)
			for j := range frames {
				if j%64 == 63 {
					n.Stop()
					n.Start(nicFeatures)
				}
				if j%8 == i {
					n.post(0, 1)
				}
				n.send(0, f)
				for range 4 {
					_, _ = n.Queues[0].Take()
				}
			}
		})
	}
	tasks.Wait()
	for i, id := range []string{"n0", "n1"} {
		other := []string{"n1", "n0"}[i]
		wait(t, "account of every frame", func() bool {
			return k.count("/objects/"+id, "tx-packets") ==
				k.count("/objects/"+id, "tx-dropped")+k.count("/objects/"+other, "rx-packets")+k.count("/objects/"+other, "rx-dropped")
		})
		if n := k.count("/objects/"+id, "rx-packets"); n == 0 {
			t.Errorf("%s has received nothing", id)
		}
	}
	for i, n := range nics {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		k.remove(ends[i])
	}
	wait(t, "end of all goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

func socketOf(path string, server bool) map[string]any {
	return map[string]any{"mode": "socket", "path": path, "server": server}
}

// Two devices with one socket exchange frames; a peer that vanishes takes the
// link with it, and one that comes brings it back.
func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net")
	k := newKit(t)
	before := runtime.NumGoroutine()
	client := k.mustMake("vdpa-sim-net", "n0", socketOf(path, false))
	a := k.nic("n0", nicFeatures)
	a.send(0, ethernet(broadcast, a.mac(), 60))
	if n := k.count("/objects/n0", "tx-dropped"); n != 1 || a.link() {
		t.Errorf("%d frames are dropped without a server, link %v", n, a.link())
	}
	for round := range 3 {
		server := k.mustMake("vdpa-sim-net", "n1", socketOf(path, true))
		b := k.nic("n1", nicFeatures)
		wait(t, "link", func() bool { return a.link() && b.link() })
		for i := range 40 {
			a.post(0, 1)
			b.post(0, 1)
			there, back := ethernet(b.mac(), a.mac(), 60+i*30), ethernet(broadcast, b.mac(), 60+i)
			a.send(0, there)
			b.expect(0, there)
			b.send(0, back)
			a.expect(0, back)
		}
		switch round {
		case 0: // another client is turned away, and harms nobody
			fd, err := packetSocket()
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
				t.Fatal(err)
			}
			if err := unix.SetNonblock(fd, false); err != nil {
				t.Fatal(err)
			}
			if n, err := unix.Read(fd, make([]byte, 10)); n != 0 && err == nil {
				t.Errorf("a second client reads %d bytes, %v", n, err)
			}
			unix.Close(fd)
		case 1: // a driver that takes nothing costs frames, and nothing else
			for range 300 {
				a.send(0, ethernet(b.mac(), a.mac(), 1400))
			}
			wait(t, "account of every frame", func() bool {
				return k.count("/objects/n1", "rx-dropped")+k.count("/objects/n0", "tx-dropped") >= 300
			})
			b.post(0, 1)
			wait(t, "frame after that", func() bool {
				a.send(0, ethernet(b.mac(), a.mac(), 70))
				_, ok := b.Queues[0].Take()
				return ok
			})
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		k.remove(server)
		wait(t, "end of the link", func() bool { return !a.link() })
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("the socket is left: %v", err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	k.remove(client)
	wait(t, "end of all goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

// A peer is not trusted: what is no frame is passed over.
func TestSocketPeer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net")
	k := newKit(t)
	k.mustMake("vdpa-sim-net", "n0", socketOf(path, true))
	a := k.nic("n0", nicFeatures)
	fd, err := packetSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	wait(t, "link", a.link)
	a.post(0, 1)
	for _, n := range []int{1, 13, maxFrame + 1, maxFrame + 1000} {
		if _, err := unix.Write(fd, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	f := ethernet(a.mac(), [6]byte{2}, 60)
	if _, err := unix.Write(fd, f); err != nil {
		t.Fatal(err)
	}
	a.expect(0, f)
	a.send(0, f)
	b := make([]byte, 100)
	if n, err := unix.Read(fd, b); err != nil || !bytes.Equal(b[:n], f) {
		t.Errorf("the peer reads %x, %v", b[:max(n, 0)], err)
	}
}

// What cannot be made says why.
func TestWireErrors(t *testing.T) {
	k := newKit(t)
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("x", 108))
	for want, props := range map[string]map[string]any{
		"UNIX socket path '" + long + "' is too long":                          socketOf(long, false),
		"Failed to unlink socket " + dir + ": Is a directory":                  socketOf(dir, true),
		"Failed to bind socket to " + dir + "/no/n: No such file or directory": socketOf(dir+"/no/n", true),
		"vdpa-sim-net: mode=socket needs path":                                 {"mode": "socket"},
		"vdpa-sim-net: mode=pair needs peer":                                   {"mode": "pair"},
		"vdpa-sim-net: path is for mode=socket":                                {"path": "x"},
		"vdpa-sim-net: server is for mode=socket":                              {"server": true},
		"vdpa-sim-net: ifname is for mode=tap":                                 {"mode": "pair", "peer": "n1", "ifname": "x"},
		"vdpa-sim-net: peer is for mode=pair":                                  {"mode": "tap", "peer": "x"},
		"vdpa-sim-net: queue-pairs must be 1 to 64":                            {"queue-pairs": int64(65)},
		"vdpa-sim-net: ifname must be at most 15 bytes":                        {"mode": "tap", "ifname": "1234567890123456"},
	} {
		if _, err := k.make("vdpa-sim-net", "n0", props); err == nil || err.Error() != want {
			t.Errorf("%v: %v, want %s", props, err, want)
		}
	}
}

// tapPeer is the host's side of a tap: a packet socket with virtio headers.
func tapPeer(t *testing.T, ifname string) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no packet sockets here: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	req, err := unix.NewIfreq(ifname)
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		t.Skipf("interfaces cannot be brought up here: %v", err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		t.Fatal(err)
	}
	const ours = 0xb588 // 0x88b5, in network order
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ours, Ifindex: int(req.Uint32())}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// A tap passes frames both ways, with the headers that were negotiated: a
// checksum that is yet to be made is the driver's who takes it, and made for
// him who does not.
func TestTap(t *testing.T) {
	if f, err := os.OpenFile(tunDevice, os.O_RDWR, 0); err != nil {
		t.Skipf("no taps here: %v", err)
	} else {
		f.Close()
	}
	for _, pairs := range []int64{1, 2} {
		k := newKit(t)
		obj, err := k.make("vdpa-sim-net", "n0", map[string]any{"mode": "tap", "queue-pairs": pairs})
		if err != nil {
			t.Skipf("no taps here: %v", err)
		}
		host := tapPeer(t, obj.(*Net).ifname)
		if !obj.(*Net).up.Load() {
			t.Error("a tap without a link")
		}
		for _, offload := range []bool{false, true} {
			features := uint64(nicFeatures)
			if offload {
				features |= 1<<netCsum | 1<<netGuestCsum
			}
			n := k.nic("n0", features)
			f := ethernet(broadcast, [6]byte{2, 0, 0, 0, 0, 9}, 60)
			head := make([]byte, netHeader)
			if offload {
				head[0] = headNeedsCsum
				binary.LittleEndian.PutUint16(head[6:], 20) // from here on
				binary.LittleEndian.PutUint16(head[8:], 4)  // goes here
			}
			clear(n.Mem[nicSend : nicSend+12])
			copy(n.Mem[nicSend:], head)
			copy(n.Mem[nicSend+12:], f)
			n.Queues[1].Add(vdpatest.Buffer{At: nicSend, Len: 12 + len(f)})
			n.Queues[1].Wait()
			b := make([]byte, 200)
			got, err := unix.Read(host, b)
			if err != nil || !bytes.Equal(b[netHeader:got], f) || (b[0]&headNeedsCsum != 0) != offload {
				t.Fatalf("the host reads %x, %v; sent %x with header %x", b[:max(got, 0)], err, f, head)
			}
			n.post(0, 4)
			head[0] = headNeedsCsum
			binary.LittleEndian.PutUint16(head[6:], 20)
			binary.LittleEndian.PutUint16(head[8:], 4)
			if _, err := unix.Write(host, append(bytes.Clone(head), f...)); err != nil {
				t.Fatal(err)
			}
			h, in := n.receive(0)
			for bytes.HasPrefix(in, []byte{0x33, 0x33}) { // the host's own, of IPv6
				n.post(0, 1)
				h, in = n.receive(0)
			}
			made := !bytes.Equal(in[24:26], f[24:26])
			if len(in) != len(f) || !bytes.Equal(in[:24], f[:24]) || (h[0]&headNeedsCsum != 0) != offload || made == offload || h[10] != 1 {
				t.Errorf("received with header %x: %x", h, in)
			}
			if !offload { // what it could not read is never shown to it
				n.send(0, f)
				if _, err := unix.Read(host, b); err != nil || b[0] != 0 {
					t.Errorf("header %x, %v", b[:netHeader], err)
				}
			}
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The header that a driver writes is not trusted.
func TestCheckHeader(t *testing.T) {
	for _, c := range []struct {
		flags, gso            byte
		csum, tso4, tso6, ecn bool
		ok                    bool
	}{
		{ok: true}, {flags: 1}, {flags: 1, csum: true, ok: true}, {flags: 2, ok: true}, {flags: 4, csum: true},
		{gso: 1}, {gso: 1, tso4: true, ok: true}, {gso: 1, tso6: true}, {gso: 4, tso6: true, ok: true}, {gso: 4, tso4: true},
		{gso: 0x81, tso4: true}, {gso: 0x81, tso4: true, ecn: true, ok: true}, {gso: 0x80, ecn: true},
		{gso: 3, tso4: true, tso6: true, csum: true}, {gso: 5, tso4: true, tso6: true},
	} {
		h := [netHeader]byte{c.flags, c.gso}
		if ok := checkHeader(&h, c.csum, c.tso4, c.tso6, c.ecn); ok != c.ok || ok && !c.csum && h[0] != 0 {
			t.Errorf("%+v: %v, flags %d", c, ok, h[0])
		}
	}
}

// A frame that finds no buffer waits a moment for one, and the next does not.
func TestPatience(t *testing.T) {
	k := newKit(t)
	k.mustMake("vdpa-sim-net", "n0", pairOf("n1"))
	k.mustMake("vdpa-sim-net", "n1", pairOf("n0"))
	a, b := k.nic("n0", nicFeatures), k.nic("n1", nicFeatures)
	begun := time.Now()
	for range 100 {
		a.send(0, ethernet(broadcast, a.mac(), 60))
	}
	k.waitCount("n1", "rx-dropped", 100)
	if d := time.Since(begun); d > 100*patience/2 {
		t.Errorf("100 frames without a buffer take %v", d)
	}
	b.post(0, 1)
	f := ethernet(broadcast, a.mac(), 61)
	a.send(0, f)
	b.expect(0, f)
}
