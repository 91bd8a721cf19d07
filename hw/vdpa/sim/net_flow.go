package sim

import "encoding/binary"

// steer gives the queue pair that receives a frame. pair is the one that the
// wire says, -1 for the one that the frame's flow was last sent on (automatic
// receive steering, virtio 1.2 section 5.1.6.5.6.1).
func (c *card) steer(f *frame, pair int) int {
	active := int(c.active.Load())
	if active == 1 {
		return 0
	}
	if pair < 0 {
		h := flowHash(f.data)
		if pair = int(c.flows[h].Load()) - 1; pair < 0 {
			pair = int(h)
		}
	}
	return pair % active
}

// flowHash is a hash of a frame's flow, the same in both directions: of its IP
// addresses and ports, or else of its Ethernet addresses.
func flowHash(data []byte) uint8 {
	be := binary.BigEndian
	h, at := uint32(0), 12
	mix := func(b []byte) {
		for ; len(b) >= 2; b = b[2:] {
			h ^= uint32(be.Uint16(b))
		}
	}
	typ := be.Uint16(data[at:])
	if (typ == 0x8100 || typ == 0x88a8) && len(data) >= at+6 {
		at += 4
		typ = be.Uint16(data[at:])
	}
	p := data[at+2:]
	proto, ports := byte(0), []byte(nil)
	switch {
	case typ == 0x0800 && len(p) >= 20:
		mix(p[12:20])
		// A fragment but the first has no ports, so no fragment is told by them.
		if n := 4 * int(p[0]&15); n >= 20 && len(p) >= n+4 && be.Uint16(p[6:])&0x3fff == 0 {
			proto, ports = p[9], p[n:n+4]
		}
	case typ == 0x86dd && len(p) >= 44:
		mix(p[8:40])
		proto, ports = p[6], p[40:44]
	default:
		mix(data[:12])
	}
	if proto == 6 || proto == 17 {
		mix(ports)
	}
	return uint8((h * 0x9e3779b1) >> 24)
}
