package sim

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Net is the type "vdpa-sim-net".
type Net struct {
	object
	mac   [6]byte
	mtu   uint32
	link  bool
	loop  *loop // what was opened last
	stats netStats
}

// Complete is part of qdev.UserCreatable.
func (n *Net) Complete(h *qdev.Host) error {
	if n.mtu < 68 || n.mtu > 65535 {
		return errors.New("vdpa-sim-net: mtu must be 68 to 65535")
	}
	return n.finish(h)
}

// Release is part of qdev.UserCreatable.
func (n *Net) Release() {}

// OpenVDPA is part of vdpa.Provider.
func (n *Net) OpenVDPA() (vdpa.Backend, error) {
	loop := newLoop(n.mac, uint16(n.mtu), uint16(n.queueSize), &n.stats)
	loop.setLink(n.link)
	d, err := n.open(loop, &n.stats.ringErrors)
	if err == nil {
		n.loop = loop // and not before: it may be in use, by another
	}
	return d, err
}

// setLink plugs the cable in or out.
func (n *Net) setLink(up bool) {
	n.link = up
	if n.dev != nil {
		n.dev.reconfigure(func() { n.loop.setLink(up) })
	}
}

// netType is the type "vdpa-sim-net".
func netType() qom.Type {
	return qom.Type{
		Name: "vdpa-sim-net", Parent: "vdpa-sim", New: func() qom.Object { return new(Net) },
		Properties: []*qom.Property{
			macProperty(),
			linkProperty(),
			field("mtu", "Largest packet without its Ethernet header", 1500, func(n *Net) *uint32 { return &n.mtu }),
			counter("tx-packets", "Packets that the guest sent", func(n *Net) *atomic.Uint64 { return &n.stats.txPackets }),
			counter("tx-bytes", "", func(n *Net) *atomic.Uint64 { return &n.stats.txBytes }),
			counter("rx-packets", "Packets that came back", func(n *Net) *atomic.Uint64 { return &n.stats.rxPackets }),
			counter("rx-bytes", "", func(n *Net) *atomic.Uint64 { return &n.stats.rxBytes }),
			counter("rx-filtered", "Packets for others", func(n *Net) *atomic.Uint64 { return &n.stats.rxFiltered }),
			counter("rx-dropped", "Packets without a buffer to receive them", func(n *Net) *atomic.Uint64 { return &n.stats.rxDropped }),
			counter("ctrl-commands", "", func(n *Net) *atomic.Uint64 { return &n.stats.ctrl }),
			counter("failed-ctrl-commands", "", func(n *Net) *atomic.Uint64 { return &n.stats.ctrlErrors }),
			counter("broken-rings", "Rings that drivers broke", func(n *Net) *atomic.Uint64 { return &n.stats.ringErrors }),
		},
	}
}

// linkProperty may be set at any time: a guest is told.
func linkProperty() *qom.Property {
	p := qom.Field("link", func(n *Net) *bool { return &n.link }, true, qom.HideDefault(),
		qom.Description("Whether the cable is plugged in; what is sent is lost otherwise"))
	p.Set = func(o qom.Object, v qom.Value) error {
		up, err := v.Bool("link")
		if err == nil {
			o.(*Net).setLink(up)
		}
		return err
	}
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
			n.mac = [6]byte(mac)
			return nil
		},
		func(n *Net) { n.mac = [6]byte{0x52, 0x54, 0x00, 0x12, 0x34, 0x56} })
	p.Description = "Ethernet address (ex: 52:54:00:12:34:56)"
	return guarded(p)
}
