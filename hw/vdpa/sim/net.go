package sim

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/hw/virtio/vring"
)

// Feature bits of a network device (virtio 1.2 section 5.1.3).
const (
	netMTU         = 3
	netMAC         = 5
	netStatus      = 16
	netCtrlVQ      = 17
	netCtrlMACAddr = 23
)

const (
	netConfig = 24 // bytes, as in the kernel

	netRX, netTX, netCtrl = 0, 1, 2

	ctrlMAC        = 1 // class VIRTIO_NET_CTRL_MAC
	ctrlMACAddrSet = 1
	ctrlOK         = 0
	ctrlError      = 1

	// netHeader is struct virtio_net_hdr; with VERSION_1 two bytes more, the
	// number of buffers.
	netHeader = 10

	linkUp = 1

	// maxPacket bounds what is copied for one packet, its header included: a
	// chain may name the same memory again and again.
	maxPacket = 64<<10 + 64
)

// loop is a network device whose packets come back to it: those that are sent
// to its own address, to a group or to everybody.
type loop struct {
	max   uint16
	space [netConfig]byte // guarded by device.mu
	stats *netStats
}

// netStats is what clients see of a network device's work.
type netStats struct {
	txPackets, txBytes, rxPackets, rxBytes, rxFiltered, rxDropped atomic.Uint64
	ctrl, ctrlErrors, ringErrors                                  atomic.Uint64
}

func newLoop(mac [6]byte, mtu, max uint16, stats *netStats) *loop {
	l := &loop{max: max, stats: stats}
	copy(l.space[:], mac[:])
	binary.LittleEndian.PutUint16(l.space[10:], mtu)
	return l
}

func (l *loop) deviceID() uint32 { return 1 }
func (l *loop) queueMax() uint16 { return l.max }
func (l *loop) config() []byte   { return l.space[:] }

// groups has the control queue apart, so that it can be given an address
// space of its own.
func (l *loop) groups() []int { return []int{0, 0, 1} }

// setLink sets the status field's bit. Guarded like the space.
func (l *loop) setLink(up bool) {
	l.space[6] &^= linkUp
	if up {
		l.space[6] |= linkUp
	}
}

func (l *loop) setConfig(offset int, data []byte) { copy(l.space[offset:], data) }

func (l *loop) features() uint64 {
	return ringFeatures | 1<<netMTU | 1<<netMAC | 1<<netStatus | 1<<netCtrlVQ | 1<<netCtrlMACAddr
}

// serve is part of model.
func (l *loop) serve(d *device, n int, q *vring.Queue) (bool, error) {
	if n == netTX {
		return l.transmit(d, q)
	}
	return l.control(d, q)
}

// passive is part of model. What comes is put into the receive queue by
// transmit.
func (l *loop) passive(n int) bool { return n == netRX }

// transmit takes one packet and hands it back to the driver.
func (l *loop) transmit(d *device, tx *vring.Queue) (bool, error) {
	c, err := tx.Pop()
	if c == nil {
		return false, err
	}
	n := vring.Bytes(c.Out)
	l.stats.txPackets.Add(1)
	l.stats.txBytes.Add(n)
	l.receive(d, c.Out, n)
	if err := tx.Push(c, 0); err != nil {
		return false, err
	}
	d.interrupt(netTX)
	return true, nil
}

// receive puts a packet of n bytes, its header included, into the receive
// queue. Where there is no buffer, or one that is too small, it is dropped, as
// is what is longer than any packet.
func (l *loop) receive(d *device, packet [][]byte, n uint64) {
	header := uint64(netHeader)
	modern := d.accepted>>virtio.FeatureVersion1&1 != 0
	if modern {
		header += 2
	}
	if n < header+6 {
		l.stats.rxFiltered.Add(1)
		return
	}
	var head [netHeader + 2 + 6]byte
	packet = take(packet, head[:header+6])
	if !l.accepts(d, [6]byte(head[header:header+6])) {
		l.stats.rxFiltered.Add(1)
		return
	}
	done := false
	if n <= maxPacket {
		d.with(netRX, func(rx *vring.Queue) error {
			c, err := rx.Pop()
			if c == nil {
				return err
			}
			if vring.Bytes(c.In) < n {
				rx.Unpop(c)
				return nil
			}
			// The header is the device's: nothing was offloaded, and the packet
			// is in one buffer.
			clear(head[:header])
			if modern {
				head[netHeader] = 1
			}
			in := move(c.In, [][]byte{head[:header+6]})
			move(in, packet)
			if err := rx.Push(c, uint32(n)); err != nil {
				return err
			}
			done = true
			d.interrupt(netRX)
			return nil
		})
	}
	if !done {
		l.stats.rxDropped.Add(1)
		return
	}
	l.stats.rxPackets.Add(1)
	l.stats.rxBytes.Add(n)
}

// accepts is the filter of receiving: groups and everybody, or this device.
// Nothing passes without a link.
func (l *loop) accepts(d *device, to [6]byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return l.space[6]&linkUp != 0 && (to[0]&1 != 0 || to == [6]byte(l.space[:6]))
}

// control carries out one command (section 5.1.6.5).
func (l *loop) control(d *device, q *vring.Queue) (bool, error) {
	c, err := q.Pop()
	if c == nil {
		return false, err
	}
	l.stats.ctrl.Add(1)
	ack := byte(ctrlError)
	var cmd [2 + 6]byte
	if n := vring.Bytes(c.Out); n == uint64(len(cmd)) && d.accepted>>netCtrlMACAddr&1 != 0 {
		take(c.Out, cmd[:])
		if cmd[0] == ctrlMAC && cmd[1] == ctrlMACAddrSet {
			d.mu.Lock()
			copy(l.space[:6], cmd[2:])
			d.mu.Unlock()
			ack = ctrlOK
		}
	}
	if ack != ctrlOK {
		l.stats.ctrlErrors.Add(1)
	}
	if err := q.Push(c, uint32(put(c.In, []byte{ack}))); err != nil {
		return false, err
	}
	d.interrupt(netCtrl)
	return true, nil
}

// move copies from to to, which has room, and gives what is left of to.
func move(to, from [][]byte) [][]byte {
	for _, b := range from {
		for len(b) > 0 && len(to) > 0 {
			n := copy(to[0], b)
			b = b[n:]
			if to[0] = to[0][n:]; len(to[0]) == 0 {
				to = to[1:]
			}
		}
	}
	return to
}
