package sim

import (
	"encoding/binary"

	"github.com/gqemu/gqemu/hw/virtio/vring"
)

// Commands of the control queue (virtio 1.2 section 5.1.6.5), by class.
const (
	ctrlRX         = 0 // VIRTIO_NET_CTRL_RX
	ctrlRXPromisc  = 0
	ctrlRXAllMulti = 1
	ctrlRXAllUni   = 2
	ctrlRXNoMulti  = 3
	ctrlRXNoUni    = 4
	ctrlRXNoBcast  = 5

	ctrlMAC         = 1 // VIRTIO_NET_CTRL_MAC
	ctrlMACTableSet = 0
	ctrlMACAddrSet  = 1

	ctrlMQ         = 4 // VIRTIO_NET_CTRL_MQ
	ctrlMQPairsSet = 0

	ctrlOK    = 0 // VIRTIO_NET_OK
	ctrlError = 1

	// maxCommand bounds a command, in bytes. Tables of addresses are the
	// longest; one of 2700 fits.
	maxCommand = 16 << 10
)

// control carries out one command of queue n.
func (c *card) control(d *device, n int, q *vring.Queue) (bool, error) {
	chain, err := q.Pop()
	if chain == nil {
		return false, err
	}
	c.stats.ctrl.Add(1)
	ack := byte(ctrlError)
	// One whose outcome could not be told is not carried out.
	if size := vring.Bytes(chain.Out); size >= 2 && size <= maxCommand && vring.Bytes(chain.In) > 0 {
		b := c.cmd[:size]
		take(chain.Out, b)
		if c.command(d, b[0], b[1], b[2:]) {
			ack = ctrlOK
		}
	}
	if ack != ctrlOK {
		c.stats.ctrlErrors.Add(1)
	}
	if err := q.Push(chain, uint32(put(chain.In, []byte{ack}))); err != nil {
		return false, err
	}
	d.interrupt(n)
	return true, nil
}

// command tells whether it has done what a driver asked for. Nothing is done in
// part. A class exists if its feature was negotiated.
func (c *card) command(d *device, class, command byte, data []byte) bool {
	has := func(bit int) bool { return d.accepted>>bit&1 != 0 }
	switch {
	case class == ctrlRX && (command <= ctrlRXAllMulti && has(netCtrlRX) || command > ctrlRXAllMulti && has(netCtrlRXExtra)):
		return len(data) == 1 && data[0] <= 1 &&
			c.refilter(func(f *filter) bool { return f.mode(command, data[0] != 0) })
	case class == ctrlMAC && command == ctrlMACTableSet && has(netCtrlRX):
		return c.refilter(func(f *filter) bool { return f.setTables(data) })
	case class == ctrlMAC && command == ctrlMACAddrSet && has(netCtrlMACAddr):
		if len(data) != 6 {
			return false
		}
		d.mu.Lock()
		copy(c.space[:6], data)
		d.mu.Unlock()
		return true
	case class == ctrlMQ && command == ctrlMQPairsSet && has(netMQ):
		if len(data) != 2 {
			return false
		}
		n := int(binary.LittleEndian.Uint16(data))
		if n == 0 || n > c.pairs {
			return false
		}
		c.active.Store(int32(n))
		return true
	}
	return false
}

// refilter replaces the filter by one that change has changed, if it could.
func (c *card) refilter(change func(f *filter) bool) bool {
	f := *c.filter.Load()
	ok := change(&f)
	if ok {
		c.filter.Store(&f)
	}
	return ok
}
