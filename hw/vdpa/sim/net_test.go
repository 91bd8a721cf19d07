package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gqemu/gqemu/hw/vdpa/vdpatest"
)

// nic drives a network device. Its receive queues have buffers one after the
// other, which are received into in that order.
type nic struct {
	*vdpatest.Driver
	posted, taken [4]int
	ctrl          int
}

// Where a nic has its buffers, behind the queues of two pairs.
const (
	nicSend, nicCommand, nicAck = 0x40000, 0x60000, 0x70000
	nicReceive, nicRoom         = 0x80000, 0x800
	nicRings                    = 0x10000 // of 16 buffers and to spare
)

// nicFeatures are all that it can.
const nicFeatures = 1<<32 | 1<<netMAC | 1<<netStatus | 1<<netMTU |
	1<<netCtrlVQ | 1<<netCtrlRX | 1<<netCtrlRXExtra | 1<<netCtrlMACAddr

func (k *kit) nic(id string, features uint64) *nic {
	k.T.Helper()
	n := &nic{Driver: vdpatest.NewDriver(k.T, k.open(id)), ctrl: netCtrl}
	if features>>netMQ&1 != 0 {
		n.ctrl = len(n.Queues) - 1
	}
	n.Start(features)
	return n
}

// post gives buffers to the receive queue of a pair.
func (n *nic) post(pair, count int) {
	n.T.Helper()
	for range count {
		at := nicReceive + pair*nicRings + n.posted[pair]%vdpatest.QueueNum*nicRoom
		n.posted[pair]++
		n.Queues[2*pair].Add(vdpatest.Buffer{At: at, Len: nicRoom, Write: true})
	}
}

// send sends a frame on a pair.
func (n *nic) send(pair int, f []byte) {
	n.T.Helper()
	clear(n.Mem[nicSend : nicSend+12])
	copy(n.Mem[nicSend+12:], f)
	n.Queues[2*pair+1].Add(vdpatest.Buffer{At: nicSend, Len: 12}, vdpatest.Buffer{At: nicSend + 12, Len: len(f)})
	n.Queues[2*pair+1].Wait()
}

// receive takes a frame of a pair, with its header.
func (n *nic) receive(pair int) (head, f []byte) {
	n.T.Helper()
	// Several frames may come with one interrupt.
	var size int
	wait(n.T, "frame", func() bool {
		used, ok := n.Queues[2*pair].Take()
		size = int(used)
		return ok
	})
	at := nicReceive + pair*nicRings + n.taken[pair]%vdpatest.QueueNum*nicRoom
	n.taken[pair]++
	b := bytes.Clone(n.Mem[at : at+size])
	return b[:12], b[12:]
}

// expect receives a frame and checks it.
func (n *nic) expect(pair int, want []byte) {
	n.T.Helper()
	head, f := n.receive(pair)
	if !bytes.Equal(f, want) || !bytes.Equal(head, append(make([]byte, 10), 1, 0)) {
		n.T.Errorf("header %x, %d bytes %.30x, want %d bytes %.30x", head, len(f), f, len(want), want)
	}
}

// command gives the device a command and returns its answer.
func (n *nic) command(b ...byte) byte {
	n.T.Helper()
	copy(n.Mem[nicCommand:], b)
	n.Mem[nicAck] = 0xee
	n.Queues[n.ctrl].Add(vdpatest.Buffer{At: nicCommand, Len: len(b)}, vdpatest.Buffer{At: nicAck, Len: 1, Write: true})
	if used := n.Queues[n.ctrl].Wait(); used != 1 {
		n.T.Errorf("command %x: used length %d", b, used)
	}
	return n.Mem[nicAck]
}

func (n *nic) must(b ...byte) {
	n.T.Helper()
	if s := n.command(b...); s != ctrlOK {
		n.T.Fatalf("command %.20x: %d", b, s)
	}
}

func (n *nic) mac() (mac [6]byte) {
	n.T.Helper()
	n.Must(n.GetConfig(0, mac[:]))
	return mac
}

func (n *nic) link() bool {
	n.T.Helper()
	var s [1]byte
	n.Must(n.GetConfig(6, s[:]))
	return s[0]&linkUp != 0
}

// ethernet makes a frame of n bytes.
func ethernet(to, from [6]byte, n int) []byte {
	f := append(append(make([]byte, 0, n), to[:]...), from[:]...)
	f = append(f, 0x88, 0xb5) // for experiments
	for i := len(f); i < n; i++ {
		f = append(f, byte(i*7))
	}
	return f
}

var broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// wait waits for something.
func wait(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("there is no %s", what)
		}
	}
}

func (k *kit) waitCount(id, name string, n uint64) {
	k.T.Helper()
	wait(k.T, fmt.Sprintf("%s of %d", name, n), func() bool { return k.count("/objects/"+id, name) == n })
}

// Commands of the control queue are as long as they have to be, name what
// there is, and need their feature; else they are refused and change nothing.
func TestControlCommands(t *testing.T) {
	table := func(uni, multi int) []byte {
		b := binary.LittleEndian.AppendUint32([]byte{ctrlMAC, ctrlMACTableSet}, uint32(uni))
		b = binary.LittleEndian.AppendUint32(append(b, make([]byte, 6*uni)...), uint32(multi))
		return append(b, make([]byte, 6*multi)...)
	}
	k := newKit(t)
	k.mustMake("vdpa-sim-net", "n0", map[string]any{"queue-pairs": int64(2)})
	n := k.nic("n0", nicFeatures|1<<netMQ)
	var pairs [2]byte
	n.Must(n.GetConfig(8, pairs[:]))
	if pairs != [2]byte{2, 0} {
		t.Errorf("max_virtqueue_pairs is %x", pairs)
	}
	for _, c := range []struct {
		want byte
		cmd  []byte
	}{
		{ctrlOK, []byte{ctrlRX, ctrlRXPromisc, 1}}, {ctrlOK, []byte{ctrlRX, ctrlRXNoBcast, 0}},
		{ctrlError, []byte{ctrlRX, 6, 1}}, {ctrlError, []byte{ctrlRX, ctrlRXPromisc}},
		{ctrlError, []byte{ctrlRX, ctrlRXPromisc, 2}}, {ctrlError, []byte{ctrlRX, ctrlRXPromisc, 1, 0}},
		{ctrlOK, table(0, 0)}, {ctrlOK, table(3, 2)}, {ctrlOK, table(200, 200)}, {ctrlOK, table(2700, 0)},
		{ctrlError, table(2900, 0)}, {ctrlError, append(table(1, 1), 0)}, {ctrlError, table(1, 1)[:17]},
		{ctrlError, []byte{ctrlMAC, ctrlMACTableSet, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}},
		{ctrlError, []byte{ctrlMAC, ctrlMACTableSet, 0, 0, 0, 0, 0xab, 0xaa, 0xaa, 0xaa}},
		{ctrlOK, []byte{ctrlMAC, ctrlMACAddrSet, 2, 0, 0, 0, 0, 5}},
		{ctrlError, []byte{ctrlMAC, ctrlMACAddrSet, 2, 0, 0, 0, 0}}, {ctrlError, []byte{ctrlMAC, ctrlMACAddrSet, 2, 0, 0, 0, 0, 5, 6}},
		{ctrlError, []byte{ctrlMAC, 2, 2, 0, 0, 0, 0, 5}},
		{ctrlOK, []byte{ctrlMQ, ctrlMQPairsSet, 2, 0}}, {ctrlOK, []byte{ctrlMQ, ctrlMQPairsSet, 1, 0}},
		{ctrlError, []byte{ctrlMQ, ctrlMQPairsSet, 0, 0}}, {ctrlError, []byte{ctrlMQ, ctrlMQPairsSet, 3, 0}},
		{ctrlError, []byte{ctrlMQ, ctrlMQPairsSet, 1, 1}}, {ctrlError, []byte{ctrlMQ, ctrlMQPairsSet, 1}},
		{ctrlError, []byte{ctrlMQ, 1, 1, 0}},
		{ctrlError, []byte{2, 0, 1, 0}}, {ctrlError, []byte{3, 0}}, {ctrlError, []byte{0xff, 0xff}}, {ctrlError, []byte{0}},
	} {
		if s := n.command(c.cmd...); s != c.want {
			t.Errorf("command %.20x: %d, want %d", c.cmd, s, c.want)
		}
	}
	if m := n.mac(); m != [6]byte{2, 0, 0, 0, 0, 5} {
		t.Errorf("address %x", m)
	}
	// One whose outcome cannot be told is not carried out.
	copy(n.Mem[nicCommand:], []byte{ctrlMAC, ctrlMACAddrSet, 2, 0, 0, 0, 0, 6})
	n.Queues[n.ctrl].Add(vdpatest.Buffer{At: nicCommand, Len: 8})
	if used := n.Queues[n.ctrl].Wait(); used != 0 || n.mac()[5] != 5 {
		t.Errorf("used length %d, address %x", used, n.mac())
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = k.nic("n0", 1<<32|1<<netCtrlVQ) // no MQ: the control queue is the third
	for _, c := range [][]byte{{ctrlRX, 0, 1}, {ctrlRX, 2, 1}, table(0, 0), {ctrlMAC, ctrlMACAddrSet, 2, 0, 0, 0, 0, 5}, {ctrlMQ, 0, 1, 0}} {
		if s := n.command(c...); s != ctrlError {
			t.Errorf("command %.20x without its feature: %d", c, s)
		}
	}
}

// What is received is what the driver has asked for.
func TestReceiveFilter(t *testing.T) {
	own, other, group := [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}, [6]byte{0x33, 0x33, 0, 0, 0, 9}
	list := [][6]byte{own, other, group, broadcast}
	k := newKit(t)
	k.mustMake("vdpa-sim-net", "n0", map[string]any{"mac": "02:00:00:00:00:01"})
	n := k.nic("n0", nicFeatures)
	many := append([]byte{ctrlMAC, ctrlMACTableSet, 65, 0, 0, 0}, make([]byte, 65*6+4)...)
	for _, c := range []struct {
		what     string
		commands [][]byte
		want     string // own, other, group, broadcast
	}{
		{"at first", nil, "o-gb"},
		{"ALLMULTI off", [][]byte{{0, 1, 0}}, "o--b"},
		{"PROMISC", [][]byte{{0, 0, 1}}, "oxgb"},
		{"PROMISC off", [][]byte{{0, 0, 0}}, "o--b"},
		{"ALLUNI", [][]byte{{0, 2, 1}}, "ox-b"},
		{"NOUNI", [][]byte{{0, 4, 1}}, "---b"},
		{"NOBCAST", [][]byte{{0, 4, 0}, {0, 2, 0}, {0, 5, 1}}, "o---"},
		{"ALLMULTI", [][]byte{{0, 5, 0}, {0, 1, 1}}, "o-gb"},
		{"NOMULTI", [][]byte{{0, 3, 1}}, "o--b"},
		{"a table", [][]byte{{0, 3, 0}, {0, 1, 0}, slices.Concat([]byte{1, 0, 1, 0, 0, 0}, other[:], []byte{1, 0, 0, 0}, group[:])}, "oxgb"},
		{"an empty table", [][]byte{{1, 0, 0, 0, 0, 0, 0, 0, 0, 0}}, "o--b"},
		{"a long table", [][]byte{many}, "ox-b"},
		{"another address", [][]byte{{1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, append([]byte{1, 1}, other[:]...)}, "-x-b"},
	} {
		for _, cmd := range c.commands {
			n.must(cmd...)
		}
		for i, to := range list {
			n.post(0, 1)
			n.send(0, ethernet(to, own, 60))
			if want := c.want[i] != '-'; want {
				n.expect(0, ethernet(to, own, 60))
			} else if _, ok := n.Queues[0].Take(); ok {
				t.Fatalf("%s: a frame to %x is received", c.what, to)
			} else {
				// The buffer is still there: what comes next uses it.
				n.posted[0]--
				n.must(0, 0, 1)
				n.posted[0]++
				n.send(0, ethernet(other, own, 60))
				n.expect(0, ethernet(other, own, 60))
				n.must(0, 0, 0)
			}
		}
	}
}

// Frames beyond the MTU are not received by a driver that knows it; an 802.1Q
// tag is no part of it.
func TestMTU(t *testing.T) {
	k := newKit(t)
	k.mustMake("vdpa-sim-net", "n0", map[string]any{"mtu": int64(1000)})
	n := k.nic("n0", nicFeatures)
	tagged := ethernet(broadcast, n.mac(), 1018)
	tagged[12], tagged[13] = 0x81, 0
	n.post(0, 2)
	n.send(0, ethernet(broadcast, n.mac(), 1015))
	n.send(0, ethernet(broadcast, n.mac(), 1014))
	n.expect(0, ethernet(broadcast, n.mac(), 1014))
	n.send(0, tagged)
	n.expect(0, tagged)
	if c := k.count("/objects/n0", "rx-dropped"); c != 1 {
		t.Errorf("%d frames were dropped", c)
	}
}

// udp makes a frame of a flow.
func udp(from, to byte, fromPort, toPort uint16) []byte {
	f := ethernet(broadcast, [6]byte{2}, 14)
	f[12], f[13] = 8, 0
	ip := make([]byte, 28)
	ip[0], ip[9] = 0x45, 17
	copy(ip[12:], []byte{10, 0, 0, from, 10, 0, 0, to})
	binary.BigEndian.PutUint16(ip[20:], fromPort)
	binary.BigEndian.PutUint16(ip[22:], toPort)
	return append(f, ip...)
}

// Once the driver uses several pairs, a flow is received where it is sent.
func TestSteering(t *testing.T) {
	k := newKit(t)
	k.mustMake("vdpa-sim-net", "n0", map[string]any{"queue-pairs": int64(2)})
	n := k.nic("n0", nicFeatures|1<<netMQ)
	n.post(0, 1)
	n.post(1, 1)
	flow := udp(1, 2, 1000, 2000)
	n.send(1, flow)
	n.expect(0, flow) // there is one pair yet
	n.must(ctrlMQ, ctrlMQPairsSet, 2, 0)
	for i := range 8 {
		flow := udp(1, 2, 1000+uint16(i), 2000)
		n.send(1, flow)
		n.expect(1, flow)
		n.post(1, 1)
	}
	n.post(0, 1)
	n.send(0, flow)
	n.expect(0, flow)
	n.must(ctrlMQ, ctrlMQPairsSet, 1, 0)
	n.post(0, 1)
	n.send(1, flow)
	n.expect(0, flow)
}

// A flow's hash is the same in both directions, and none panics.
func TestFlowHash(t *testing.T) {
	seen := map[uint8]bool{}
	for i := range 200 {
		h := flowHash(udp(1, 2, uint16(1000+i), 2000))
		if back := flowHash(udp(2, 1, 2000, uint16(1000+i))); back != h {
			t.Errorf("flow %d: %d there, %d back", i, h, back)
		}
		seen[h] = true
	}
	if len(seen) < 50 {
		t.Errorf("200 flows have %d hashes", len(seen))
	}
	v6 := ethernet(broadcast, [6]byte{2}, 80)
	v6[12], v6[13] = 0x86, 0xdd
	for _, f := range [][]byte{udp(1, 2, 3, 4), v6} {
		tagged := append(append(bytes.Clone(f[:12]), 0x81, 0, 0, 1), f[12:]...)
		if flowHash(tagged) != flowHash(f) {
			t.Error("an 802.1Q tag makes another flow")
		}
		for n := minFrame; n <= len(tagged); n++ {
			flowHash(tagged[:n])
		}
	}
}

// What a driver has asked for is kept while the VM stands, and not beyond a
// reset of its own.
func TestStopKeepsFilter(t *testing.T) {
	k := newKit(t)
	k.mustMake("vdpa-sim-net", "n0", map[string]any{"queue-pairs": int64(2)})
	be := k.open("n0").(*device)
	n := &nic{Driver: vdpatest.NewDriver(t, be), ctrl: 4}
	n.Start(nicFeatures | 1<<netMQ)
	n.must(ctrlRX, ctrlRXPromisc, 1)
	n.must(ctrlMQ, ctrlMQPairsSet, 2, 0)
	state := func() (promisc bool, active int32) {
		c := be.model.(*card)
		return c.filter.Load().promisc, c.active.Load()
	}
	n.Stop()
	n.Start(nicFeatures | 1<<netMQ)
	if promisc, active := state(); !promisc || active != 2 {
		t.Errorf("after stop and cont: promiscuous %v, %d pairs", promisc, active)
	}
	n.Must(n.SetStatus(0))
	n.Unmap()
	n.Start(nicFeatures | 1<<netMQ)
	if promisc, active := state(); promisc || active != 1 {
		t.Errorf("after a reset: promiscuous %v, %d pairs", promisc, active)
	}
	n.must(ctrlRX, ctrlRXPromisc, 1)
	n.Stop()
	be.io.Lock()
	be.mu.Lock()
	be.model.(*card).negotiated(nicFeatures | 1<<netMQ) // by another driver, while the VM stands
	be.model.(*card).begin(false)
	be.mu.Unlock()
	be.io.Unlock()
	if promisc, _ := state(); promisc {
		t.Error("another driver has the filter of the one before")
	}
}
