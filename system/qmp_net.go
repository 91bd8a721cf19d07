package system

import (
	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qdev"
)

// RxFilterInfo is one entry of query-rx-filter. Only network cards of the
// program's own have a filter that it can see; there are none.
type RxFilterInfo struct {
	Name        string `qapi:"name"`
	Promiscuous bool   `qapi:"promiscuous"`
	MainMAC     string `qapi:"main-mac"`
}

type rxFilterArgs struct {
	Name *string `qapi:"name,optional"`
}

type setLinkArgs struct {
	Name string `qapi:"name"`
	Up   bool   `qapi:"up"`
}

type netdevDelArgs struct {
	ID string `qapi:"id"`
}

// netdevArgs is what netdev_add takes. Of backends other than vhost-vdpa, which
// clients look for by name, only the type is known here.
type netdevArgs struct {
	ID        string               `qapi:"id"`
	Type      netClientDriver      `qapi:"type,discriminator"`
	VhostVDPA *netdevVhostVDPAArgs `qapi:",case=vhost-vdpa"`
	Other     *netdevOtherArgs     `qapi:",case=nic|user|tap|l2tpv3|socket|stream|dgram|vde|bridge|hubport|netmap|vhost-user"`
}

type netdevVhostVDPAArgs struct {
	VhostDev *string `qapi:"vhostdev,optional"`
	VhostFD  *string `qapi:"vhostfd,optional"`
	Queues   *int64  `qapi:"queues,optional"`
	SVQ      *bool   `qapi:"x-svq,optional,unstable"`
}

// netdevOtherArgs takes anything: a backend that is not here checks nothing.
type netdevOtherArgs struct {
	Rest map[string]any `qapi:",rest"`
}

type netClientDriver string

func (netClientDriver) QAPIName() string { return "NetClientDriver" }

// QAPIEnum lists QEMU 8.2's. They are known, so that clients are told what is
// missing.
func (netClientDriver) QAPIEnum() []string {
	return []string{"none", "nic", "user", "tap", "l2tpv3", "socket", "stream", "dgram", "vde", "bridge", "hubport",
		"netmap", "vhost-user", "vhost-vdpa"}
}

// registerNet adds commands of QAPI module net. A vDPA device brings its
// network along, so there are no backends.
func (v *VM) registerNet() {
	register(v, "query-rx-filter", func(a rxFilterArgs) ([]RxFilterInfo, error) {
		if a.Name != nil {
			return nil, qapi.Errorf("invalid net client name: %s", *a.Name)
		}
		return []RxFilterInfo{}, nil
	})
	register(v, "set_link", func(a setLinkArgs) (none, error) { return none{}, &qdev.NotFoundError{ID: a.Name} })
	register(v, "netdev_del", func(a netdevDelArgs) (none, error) { return none{}, &qdev.NotFoundError{ID: a.ID} },
		qapi.AllowPreconfig())
	register(v, "netdev_add", func(a netdevArgs) (none, error) {
		return none{}, qapi.Errorf("network backend '%s' is not compiled into this binary", a.Type)
	}, qapi.AllowPreconfig())
}
