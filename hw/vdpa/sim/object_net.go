package sim

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Modes of a network device: where its cable leads.
const (
	modeLoopback = "loopback"
	modePair     = "pair"
	modeSocket   = "socket"
	modeTap      = "tap"
)

// Net is the type "vdpa-sim-net".
type Net struct {
	object
	mac    [6]byte
	macSet bool
	mtu    uint32
	pairs  uint32
	mode   string
	// Properties of modes.
	ifname, path, peer string
	server             bool

	stats netStats
	// linkMu makes the news of a link one after the other. It guards wire, too,
	// which the VM lock's holders read without it.
	linkMu sync.Mutex
	wire   wire // nil with loopback
	// plugged is the property link, up whether there is a link: what they are
	// is set under the VM lock and by the wire's goroutines.
	plugged, up atomic.Bool
	// port is the device that was opened last. Nobody has to know whether it is
	// still open.
	port atomic.Pointer[port]
}

// port is where a cable ends.
type port struct {
	dev  *device
	card *card
}

var _ station = (*Net)(nil)

// Complete is part of qdev.UserCreatable.
func (n *Net) Complete(h *qdev.Host) error {
	err := n.check()
	if err == nil {
		if err = n.finish(h); err == nil {
			err = n.connect()
		}
	}
	if err != nil {
		n.complete = false
		return err
	}
	if !n.macSet {
		n.chooseMAC()
	}
	n.linkChanged()
	return nil
}

// check tells what is wrong with the properties.
func (n *Net) check() error {
	switch {
	case n.mtu < 68 || n.mtu > 65535:
		return errors.New("vdpa-sim-net: mtu must be 68 to 65535")
	case n.pairs == 0 || n.pairs > maxPairs:
		return fmt.Errorf("vdpa-sim-net: queue-pairs must be 1 to %d", maxPairs)
	case n.mode == modePair && n.peer == "":
		return errors.New("vdpa-sim-net: mode=pair needs peer")
	case n.mode == modePair && n.peer == n.Name():
		return errors.New("vdpa-sim-net: peer must be another object")
	case n.mode == modeSocket && n.path == "":
		return errors.New("vdpa-sim-net: mode=socket needs path")
	}
	for _, p := range []struct {
		name, mode string
		set        bool
	}{
		{"ifname", modeTap, n.ifname != ""}, {"peer", modePair, n.peer != ""},
		{"path", modeSocket, n.path != ""}, {"server", modeSocket, n.server},
	} {
		if p.set && n.mode != p.mode {
			return fmt.Errorf("vdpa-sim-net: %s is for mode=%s", p.name, p.mode)
		}
	}
	return nil
}

// connect makes the wire.
func (n *Net) connect() error {
	switch n.mode {
	case modePair:
		return n.connectPair()
	case modeSocket:
		w, err := newSocketWire(n, n.path, n.server)
		if err != nil {
			return err
		}
		n.setWire(w)
	case modeTap:
		w, err := newTapWire(n, n.ifname, int(n.pairs))
		if err != nil {
			return err
		}
		n.setWire(w)
		n.ifname = w.ifname
	}
	return nil
}

func (n *Net) setWire(w wire) {
	n.linkMu.Lock()
	defer n.linkMu.Unlock()
	n.wire = w
}

// connectPair joins the two ends of a cable if the other is there already.
func (n *Net) connectPair() error {
	other, exists := qom.Child(n.Parent(), n.peer).(*Net)
	for _, c := range n.siblings() {
		switch {
		case c.mode != modePair || c == other:
		case c.peer == n.peer:
			return fmt.Errorf("vdpa-sim-net: '%s' is the peer of '%s'", n.peer, c.Name())
		case c.peer == n.Name():
			return fmt.Errorf("vdpa-sim-net: '%s' is the peer of '%s'", n.Name(), c.Name())
		}
	}
	if exists && (other.mode != modePair || other.peer != n.Name()) {
		return fmt.Errorf("vdpa-sim-net: '%s' is not the peer of '%s'", n.Name(), n.peer)
	}
	w := newPairWire(n)
	n.setWire(w)
	if exists {
		w.join(other.wire.(*pairWire))
	}
	return nil
}

// siblings are the other network devices.
func (n *Net) siblings() (list []*Net) {
	for _, o := range qom.Children(n.Parent()) {
		if c, ok := o.(*Net); ok && c != n {
			list = append(list, c)
		}
	}
	return list
}

// chooseMAC takes the first address that no other device has, as QEMU does for
// its network cards.
func (n *Net) chooseMAC() {
	for taken := true; taken; {
		taken = false
		for _, c := range n.siblings() {
			if c.mac == n.mac {
				taken = true
				if n.mac[5]++; n.mac[5] == 0 {
					n.mac[4]++
				}
				break
			}
		}
	}
}

// Release is part of qdev.UserCreatable.
func (n *Net) Release() {
	if n.wire != nil {
		n.wire.close() // whose goroutines may take linkMu
		n.setWire(nil)
	}
}

// OpenVDPA is part of vdpa.Provider.
func (n *Net) OpenVDPA() (vdpa.Backend, error) {
	c := newCard(n.mac, uint16(n.mtu), uint16(n.queueSize), int(n.pairs), n.wire, &n.up, &n.stats)
	be, err := n.open(c, &n.stats.ringErrors)
	if err == nil {
		n.port.Store(&port{n.dev, c}) // and not before: it may be in use, by another
		n.linkChanged()
	}
	return be, err
}

// linkChanged is part of station: it shows the driver whether there is a link.
func (n *Net) linkChanged() {
	n.linkMu.Lock()
	defer n.linkMu.Unlock()
	n.up.Store(n.plugged.Load() && (n.mode == modeLoopback || n.wire != nil && n.wire.connected()))
	if p := n.port.Load(); p != nil {
		p.dev.announce(p.card.showLink)
	}
}

// arrive is part of station.
func (n *Net) arrive(pair int, f *frame) {
	if p := n.port.Load(); p != nil {
		p.card.arrive(p.dev, pair, f)
		return
	}
	n.stats.rxDropped.Add(1)
}

// netType is the type "vdpa-sim-net".
func netType() qom.Type {
	return qom.Type{
		Name: "vdpa-sim-net", Parent: "vdpa-sim", New: func() qom.Object { return new(Net) },
		Properties: []*qom.Property{
			macProperty(),
			linkProperty(),
			field("mtu", "Largest packet without its Ethernet header", 1500, func(n *Net) *uint32 { return &n.mtu }),
			guarded(qom.Enum("mode", "VdpaSimNetMode", []string{modeLoopback, modePair, modeSocket, modeTap},
				func(n *Net) *string { return &n.mode }, modeLoopback, qom.HideDefault(),
				qom.Description("Where the cable leads: loopback, pair, socket or tap"))),
			field("peer", "With mode=pair: id of the device at the other end", "", func(n *Net) *string { return &n.peer }),
			field("path", "With mode=socket: unix socket to the other process", "", func(n *Net) *string { return &n.path }),
			field("server", "With mode=socket: listen rather than connect", false, func(n *Net) *bool { return &n.server }),
			field("ifname", "With mode=tap: the interface's name", "", func(n *Net) *string { return &n.ifname }),
			field("queue-pairs", "Receiving and sending queues, each", 1, func(n *Net) *uint32 { return &n.pairs }),
			qom.NewProperty("connected", "bool", nil,
				func(n *Net) any { return n.complete && (n.wire == nil || n.wire.connected()) }, nil, nil),
			counter("tx-packets", "Packets that the guest sent", func(n *Net) *atomic.Uint64 { return &n.stats.txPackets }),
			counter("tx-bytes", "", func(n *Net) *atomic.Uint64 { return &n.stats.txBytes }),
			counter("tx-dropped", "Packets that could not be sent", func(n *Net) *atomic.Uint64 { return &n.stats.txDropped }),
			counter("rx-packets", "Packets that the guest received", func(n *Net) *atomic.Uint64 { return &n.stats.rxPackets }),
			counter("rx-bytes", "", func(n *Net) *atomic.Uint64 { return &n.stats.rxBytes }),
			counter("rx-filtered", "Packets for others", func(n *Net) *atomic.Uint64 { return &n.stats.rxFiltered }),
			counter("rx-dropped", "Packets that could not be received, for want of a buffer or of a driver", func(n *Net) *atomic.Uint64 { return &n.stats.rxDropped }),
			counter("ctrl-commands", "", func(n *Net) *atomic.Uint64 { return &n.stats.ctrl }),
			counter("failed-ctrl-commands", "", func(n *Net) *atomic.Uint64 { return &n.stats.ctrlErrors }),
			counter("broken-rings", "Rings that drivers broke", func(n *Net) *atomic.Uint64 { return &n.stats.ringErrors }),
		},
	}
}

// linkProperty may be set at any time: a guest is told.
func linkProperty() *qom.Property {
	p := qom.NewProperty("link", "bool", nil,
		func(n *Net) any { return n.plugged.Load() },
		func(n *Net, v qom.Value) error {
			up, err := v.Bool("link")
			if err == nil {
				n.plugged.Store(up)
				n.linkChanged()
			}
			return err
		},
		func(n *Net) { n.plugged.Store(true) })
	p.Description = "Whether the cable is plugged in; what is sent is lost otherwise"
	return p
}

func macProperty() *qom.Property {
	p := qom.NewProperty("mac", "str", nil,
		func(n *Net) any { return net.HardwareAddr(n.mac[:]).String() },
		func(n *Net, v qom.Value) error {
			s, err := v.Str("mac")
			if err != nil {
				return err
			}
			mac, err := net.ParseMAC(s)
			if err != nil || len(mac) != len(n.mac) || mac[0]&1 != 0 {
				return fmt.Errorf("Property '%s.mac' doesn't take value '%s'", n.TypeName(), s)
			}
			n.mac, n.macSet = [6]byte(mac), true
			return nil
		},
		func(n *Net) { n.mac = [6]byte{0x52, 0x54, 0x00, 0x12, 0x34, 0x56} })
	p.Description = "Ethernet address (ex: 52:54:00:12:34:56)"
	return guarded(p)
}
