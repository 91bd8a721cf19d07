package vdpatest

import (
	"bytes"
	"fmt"
	"testing"
)

// Net runs the tests of a network device that loops what it is sent, with a
// control queue.
func Net(t *testing.T, target Target) {
	for _, features := range []uint64{1 << 32, 1<<32 | 1<<28, 1<<32 | 1<<29, 0} {
		t.Run(fmt.Sprintf("features %#x", features), func(t *testing.T) {
			n := &net{Driver: NewDriver(t, target.open(t)), header: 12}
			if f, err := n.GetFeatures(); err != nil || features&^f != 0 {
				t.Skipf("it offers %#x, %v", f, err)
			}
			if features>>32&1 == 0 {
				n.header = 10
			}
			n.Start(features | 1<<5 | 1<<17 | 1<<23)
			n.packets()
			n.commands()
		})
	}
}

// net is a driver of a network device: queue 0 receives, 1 sends, 2 controls.
type net struct {
	*Driver
	header int
}

// Offsets in Mem.
const (
	sendAt    = Data
	receiveAt = Data + 0x10000
	ackAt     = Data + 0x20000
)

// send sends a packet to an address and gives what follows its header.
func (n *net) send(to [6]byte, size int) []byte {
	n.T.Helper()
	p := append(append(make([]byte, n.header), to[:]...), pattern(size, size-6)...)
	copy(n.Mem[sendAt:], p)
	n.Queues[1].Add(Buffer{At: sendAt, Len: n.header}, Buffer{At: sendAt + n.header, Len: size})
	if k := n.Queues[1].Wait(); k != 0 {
		n.T.Errorf("used length of a sent packet: %d", k)
	}
	return p[n.header:]
}

// post gives the device a buffer to receive into, receive takes it.
func (n *net) post(size int) {
	n.T.Helper()
	clear(n.Mem[receiveAt : receiveAt+size])
	n.Queues[0].Add(Buffer{At: receiveAt, Len: size, Write: true})
}

func (n *net) receive(want []byte) {
	n.T.Helper()
	k := int(n.Queues[0].Wait())
	if k != n.header+len(want) || !bytes.Equal(n.Mem[receiveAt+n.header:receiveAt+k], want) {
		n.T.Errorf("%d bytes came back, %d were sent: %.40x", k, n.header+len(want), n.Mem[receiveAt:receiveAt+40])
	}
}

func (n *net) address() (mac [6]byte) {
	n.T.Helper()
	n.Must(n.GetConfig(0, mac[:]))
	return mac
}

func (n *net) packets() {
	t := n.T
	t.Helper()
	own := n.address()
	everybody, group := [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, [6]byte{0x33, 0x33, 5: 1}
	// Linux 6.1 compares addresses up to their first zero.
	other := [6]byte{2, 0x99, 1, 2, 3, 4}
	for i := range 3 * QueueNum {
		n.post(2048)
		n.receive(n.send([][6]byte{own, everybody, group}[i%3], 60+i*10))
	}
	n.post(2048)
	n.send(other, 100)
	if !n.Queues[0].Idle() {
		t.Error("a packet for somebody else came back")
	}
	n.receive(n.send(own, 100))
	n.send(own, 100)
	n.post(2048)
	if !n.Queues[0].Idle() {
		t.Error("a packet waited for a buffer")
	}
	n.receive(n.send(own, 100))
}

// command gives the device a command and returns its answer.
func (n *net) command(b ...byte) byte {
	n.T.Helper()
	copy(n.Mem[sendAt:], b)
	n.Mem[ackAt] = 0xee
	n.Queues[2].Add(Buffer{At: sendAt, Len: 2}, Buffer{At: sendAt + 2, Len: len(b) - 2}, Buffer{At: ackAt, Len: 1, Write: true})
	n.Queues[2].Wait()
	return n.Mem[ackAt]
}

func (n *net) commands() {
	t := n.T
	t.Helper()
	had := n.address()
	next := [6]byte{2, 0x11, 0x22, 0x33, 0x44, 0x55}
	set := func(mac [6]byte) {
		t.Helper()
		if s := n.command(append([]byte{1, 1}, mac[:]...)...); s != 0 {
			t.Errorf("the new address is refused: %d", s)
		}
		if got := n.address(); got != mac {
			t.Errorf("address %x, want %x", got, mac)
		}
	}
	set(next)
	n.post(2048)
	n.receive(n.send(next, 100))
	set(had)
	for _, c := range [][]byte{{0, 0, 1}, {4, 0, 1, 0}, {1, 9, 2, 0, 0, 0, 0, 9}} {
		if s := n.command(c...); s != 1 {
			t.Errorf("command %x: %d", c, s)
		}
	}
	if got := n.address(); got != had {
		t.Errorf("address %x, want %x", got, had)
	}
}
