package sim

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/hw/virtio/vring"
)

// Feature bits of a network device (virtio 1.2 section 5.1.3).
const (
	netCsum        = 0
	netGuestCsum   = 1
	netMTU         = 3
	netMAC         = 5
	netGuestTSO4   = 7
	netGuestTSO6   = 8
	netGuestECN    = 9
	netHostTSO4    = 11
	netHostTSO6    = 12
	netHostECN     = 13
	netStatus      = 16
	netCtrlVQ      = 17
	netCtrlRX      = 18
	netCtrlRXExtra = 20
	netMQ          = 22
	netCtrlMACAddr = 23
)

const (
	netConfig = 24 // bytes, as in the kernel

	// The queues of the first pair. The control queue is behind the last pair
	// with VIRTIO_NET_F_MQ, behind the first without (section 5.1.2).
	netRX, netTX, netCtrl = 0, 1, 2

	// netHeader is struct virtio_net_hdr; with VERSION_1 two bytes more, the
	// number of buffers.
	netHeader = 10

	linkUp = 1 // VIRTIO_NET_S_LINK_UP

	// maxPacket bounds what is copied for one packet, its header included: a
	// chain may name the same memory again and again.
	maxPacket = 64<<10 + 64
	maxFrame  = maxPacket - netHeader - 2
	// minFrame is an Ethernet header.
	minFrame = 14

	// maxPairs bounds queue-pairs=.
	maxPairs = 64
)

// frame is an Ethernet frame with what its virtio header says of it.
type frame struct {
	head [netHeader]byte // zero where nothing is offloaded
	data []byte          // from the destination's address on
}

// card is a network device: what it sends goes into its wire, or comes back to
// itself where there is none.
type card struct {
	max   uint16
	mtu   uint16
	pairs int
	wire  wire
	stats *netStats
	up    *atomic.Bool // whether there is a link

	space [netConfig]byte // guarded by device.mu

	// tx is by queue pair, each guarded by the mutex of its sending queue.
	tx []transmitter
	// cmd is the control queue's scratch, guarded by its mutex.
	cmd [maxCommand]byte

	filter atomic.Pointer[filter] // never nil; not changed in place
	saved  *netState              // by suspend; guarded by device.mu
	// active is how many queue pairs receive.
	active atomic.Int32
	// flows is the pair a flow was last sent on, plus one; by its hash.
	flows [256]atomic.Uint32
	// starved tells that a receive queue had no buffers for longer than a
	// frame waits; by pair.
	starved [maxPairs]atomic.Bool
	// accepted is the driver's features, for those who hold no lock of the
	// device's.
	accepted atomic.Uint64
}

// netState is what a driver has asked for by the control queue.
type netState struct {
	accepted uint64
	filter   *filter
	active   int32
}

// transmitter is a sending queue's scratch.
type transmitter struct {
	buf []byte
	f   frame
}

// netStats is what clients see of a network device's work.
type netStats struct {
	txPackets, txBytes, txDropped             atomic.Uint64
	rxPackets, rxBytes, rxFiltered, rxDropped atomic.Uint64
	ctrl, ctrlErrors, ringErrors              atomic.Uint64
}

// newCard makes a card of the given number of queue pairs. w may be nil.
func newCard(mac [6]byte, mtu, max uint16, pairs int, w wire, up *atomic.Bool, stats *netStats) *card {
	c := &card{max: max, mtu: mtu, pairs: pairs, wire: w, up: up, stats: stats, tx: make([]transmitter, pairs)}
	copy(c.space[:], mac[:])
	if pairs > 1 { // the kernel's, which has no multiqueue, leaves it 0
		binary.LittleEndian.PutUint16(c.space[8:], uint16(pairs))
	}
	binary.LittleEndian.PutUint16(c.space[10:], mtu)
	c.showLink()
	c.negotiated(0)
	return c
}

func (c *card) deviceID() uint32 { return 1 }
func (c *card) queueMax() uint16 { return c.max }
func (c *card) config() []byte   { return c.space[:] }

// groups has the control queue apart, so that it can be given an address
// space of its own: the one that multiqueue drivers use.
func (c *card) groups() []int {
	g := make([]int, 2*c.pairs+1)
	g[2*c.pairs] = 1
	return g
}

// showLink sets the status field's bit and tells whether that changed it.
// Guarded like the space.
func (c *card) showLink() (changed bool) {
	was := c.space[6]
	c.space[6] &^= linkUp
	if c.up.Load() {
		c.space[6] |= linkUp
	}
	return c.space[6] != was
}

func (c *card) setConfig(offset int, data []byte) { copy(c.space[offset:], data) }

func (c *card) features() uint64 {
	f := ringFeatures | 1<<netMTU | 1<<netMAC | 1<<netStatus |
		1<<netCtrlVQ | 1<<netCtrlMACAddr | 1<<netCtrlRX | 1<<netCtrlRXExtra
	if c.pairs > 1 {
		f |= 1 << netMQ
	}
	if c.wire != nil {
		f |= c.wire.offloads()
	}
	return f
}

// negotiated is part of model.
func (c *card) negotiated(features uint64) {
	c.accepted.Store(features)
	c.filter.Store(newFilter())
	c.active.Store(1)
	for i := range c.flows {
		c.flows[i].Store(0)
	}
	for i := range c.starved {
		c.starved[i].Store(false)
	}
	if c.wire != nil {
		c.wire.setOffloads(features)
	}
}

// suspend is part of resumable.
func (c *card) suspend() { c.saved = &netState{c.accepted.Load(), c.filter.Load(), c.active.Load()} }

// begin is part of resumable.
func (c *card) begin(resumed bool) {
	if s := c.saved; resumed && s != nil && s.accepted == c.accepted.Load() {
		c.filter.Store(s.filter)
		c.active.Store(s.active)
	}
	c.saved = nil
}

// controlQueue is the index of the control queue.
func (c *card) controlQueue() int {
	if c.accepted.Load()>>netMQ&1 != 0 {
		return 2 * c.pairs
	}
	return netCtrl
}

// headerSize is how long a packet's header is in the driver's buffers.
func headerSize(accepted uint64) int {
	if accepted>>virtio.FeatureVersion1&1 != 0 {
		return netHeader + 2
	}
	return netHeader
}

// passive is part of model. What comes is put into the receive queues by
// whoever brings it.
func (c *card) passive(n int) bool { return n%2 == 0 && n != c.controlQueue() }

// serve is part of model.
func (c *card) serve(d *device, n int, q *vring.Queue) (bool, error) {
	if n == c.controlQueue() {
		return c.control(d, n, q)
	}
	return c.transmit(d, n, q)
}
