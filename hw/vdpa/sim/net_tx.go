package sim

import "github.com/gqemu/gqemu/hw/virtio/vring"

// transmit takes one packet of queue n and sends it.
func (c *card) transmit(d *device, n int, q *vring.Queue) (bool, error) {
	chain, err := q.Pop()
	if chain == nil {
		return false, err
	}
	t := &c.tx[n/2]
	c.stats.txPackets.Add(1)
	if !c.gather(d.accepted, chain, t) || !c.up.Load() || !c.dispatch(d, n/2, &t.f) {
		c.stats.txDropped.Add(1)
	}
	if err := q.Push(chain, 0); err != nil {
		return false, err
	}
	d.interrupt(n)
	return true, nil
}

// gather copies a packet out of the driver's memory. It tells whether it is
// one: longer than an Ethernet header and no longer than any packet.
func (c *card) gather(accepted uint64, chain *vring.Chain, t *transmitter) bool {
	header := headerSize(accepted)
	size := vring.Bytes(chain.Out)
	if size < uint64(header+minFrame) || size > maxPacket {
		return false
	}
	n := int(size) - header
	if cap(t.buf) < n {
		t.buf = make([]byte, max(n, 2048))
	}
	var head [netHeader + 2]byte
	t.f.data = t.buf[:n]
	take(take(chain.Out, head[:header]), t.f.data)
	c.stats.txBytes.Add(uint64(n))
	// Without an offload that it could ask for, the header is not looked at.
	t.f.head = [netHeader]byte{}
	if c.wire != nil && accepted&c.wire.offloads()&sendOffloads != 0 {
		t.f.head = [netHeader]byte(head[:])
		return checkHeader(&t.f.head, accepted>>netCsum&1 != 0,
			accepted>>netHostTSO4&1 != 0, accepted>>netHostTSO6&1 != 0, accepted>>netHostECN&1 != 0)
	}
	return true
}

// dispatch sends a frame of a queue pair and tells whether it went anywhere.
func (c *card) dispatch(d *device, pair int, f *frame) bool {
	if c.active.Load() > 1 {
		c.flows[flowHash(f.data)].Store(uint32(pair) + 1)
	}
	if c.wire != nil {
		return c.wire.send(pair, f)
	}
	// What is not received is counted where it is received.
	if c.admits(d, f) {
		if v := c.insert(d, c.steer(f, -1), f); v != received {
			c.stats.rxDropped.Add(1)
		}
	}
	return true
}
