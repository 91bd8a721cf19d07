package sim

import "encoding/binary"

// maxAddresses is how many addresses of a kind are kept; with more of them all
// are accepted.
const maxAddresses = 64

// filter is what a driver has asked to receive (virtio 1.2 section 5.1.6.5.1
// and 5.1.6.5.2).
type filter struct {
	promisc                    bool
	allMulti, allUni           bool
	noMulti, noUni, noBcast    bool
	unicast, multicast         map[[6]byte]struct{}
	manyUnicast, manyMulticast bool
}

// newFilter is what is received before the driver has asked for anything: what
// is sent to the device, to any group and to everybody, as in the kernel's
// simulator.
func newFilter() *filter { return &filter{allMulti: true} }

// accepts tells whether a frame to an address is received by the card of
// address own.
func (f *filter) accepts(own, to [6]byte) bool {
	switch {
	case f.promisc:
		return true
	case to == [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}:
		return !f.noBcast
	case to[0]&1 != 0:
		_, known := f.multicast[to]
		return !f.noMulti && (f.allMulti || f.manyMulticast || known)
	}
	_, known := f.unicast[to]
	return !f.noUni && (to == own || f.allUni || f.manyUnicast || known)
}

// mode changes one of the modes of receiving. ok tells whether there is such a
// one.
func (f *filter) mode(command byte, on bool) (ok bool) {
	switch command {
	case ctrlRXPromisc:
		f.promisc = on
	case ctrlRXAllMulti:
		f.allMulti = on
	case ctrlRXAllUni:
		f.allUni = on
	case ctrlRXNoMulti:
		f.noMulti = on
	case ctrlRXNoUni:
		f.noUni = on
	case ctrlRXNoBcast:
		f.noBcast = on
	default:
		return false
	}
	return true
}

// setTables takes the tables of unicast and multicast addresses. data is both,
// each after its length, and nothing else.
func (f *filter) setTables(data []byte) (ok bool) {
	uni, manyUni, data, ok := addressTable(data)
	if !ok {
		return false
	}
	multi, manyMulti, data, ok := addressTable(data)
	if !ok || len(data) != 0 {
		return false
	}
	f.unicast, f.manyUnicast, f.multicast, f.manyMulticast = uni, manyUni, multi, manyMulti
	return true
}

// addressTable reads struct virtio_net_ctrl_mac. many tells that it has more
// addresses than are kept.
func addressTable(data []byte) (set map[[6]byte]struct{}, many bool, rest []byte, ok bool) {
	if len(data) < 4 {
		return nil, false, nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(data))
	if data = data[4:]; n > uint64(len(data)/6) {
		return nil, false, nil, false
	}
	rest = data[6*n:]
	if n > maxAddresses {
		return nil, true, rest, true
	}
	set = make(map[[6]byte]struct{}, n)
	for ; n > 0; n-- {
		set[[6]byte(data)] = struct{}{}
		data = data[6:]
	}
	return set, false, rest, true
}
